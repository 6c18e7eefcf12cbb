// A capture: what it is while it goes on, that nothing runs before the launch, and many launches.
#include "check.h"

__global__ void add(int* data, int n, int value) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) data[i] += value;
}

__global__ void scale(int* data, int n, int factor) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) data[i] *= factor;
}

const char* status_of(cudaStream_t stream) {
  cudaStreamCaptureStatus status;
  CUDA_CHECK(cudaStreamIsCapturing(stream, &status));
  return status == cudaStreamCaptureStatusNone     ? "none"
         : status == cudaStreamCaptureStatusActive ? "active"
                                                   : "invalidated";
}

int main() {
  constexpr int n = 1000;
  check::DeviceArray<int> data(n);
  data.zero();
  cudaStream_t stream;
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  add<<<(n + 255) / 256, 256, 0, stream>>>(data.get(), n, 5);
  LAUNCH_CHECK();

  std::printf("before: %s\n", status_of(stream));
  CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  std::printf("during: %s\n", status_of(stream));
  cudaStreamCaptureStatus status;
  unsigned long long id = 0, id_again = 0;
  cudaGraph_t graph_then = nullptr;
  CUDA_CHECK(
      cudaStreamGetCaptureInfo(stream, &status, &id, &graph_then, nullptr, nullptr, nullptr));
  add<<<(n + 255) / 256, 256, 0, stream>>>(data.get(), n, 1);
  scale<<<(n + 255) / 256, 256, 0, stream>>>(data.get(), n, 2);
  LAUNCH_CHECK();
  CUDA_CHECK(cudaMemsetAsync(data.get(), 0, sizeof(int), stream));
  const cudaGraphNode_t* dependencies = nullptr;
  size_t count = 0;
  CUDA_CHECK(cudaStreamGetCaptureInfo(stream, &status, &id_again, nullptr, &dependencies, nullptr,
                                      &count));
  std::printf("same id: %d, dependencies: %zu\n", id == id_again && id != 0, count);
  cudaGraphNodeType type;
  CUDA_CHECK(cudaGraphNodeGetType(dependencies[0], &type));
  std::printf("the last one is a memset: %d\n", type == cudaGraphNodeTypeMemset);
  cudaGraph_t graph;
  CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  std::printf("after: %s, same graph: %d\n", status_of(stream), graph == graph_then);

  size_t nodes = 0, edges = 0;
  CUDA_CHECK(cudaGraphGetNodes(graph, nullptr, &nodes));
  CUDA_CHECK(cudaGraphGetEdges(graph, nullptr, nullptr, nullptr, &edges));
  std::printf("nodes: %zu, edges: %zu\n", nodes, edges);
  CUDA_CHECK(cudaStreamSynchronize(stream));
  std::printf("nothing has run yet: %d\n", data.fetch()[7]);

  cudaGraphExec_t exec;
  CUDA_CHECK(cudaGraphInstantiate(&exec, graph, 0));
  CUDA_CHECK(cudaGraphDestroy(graph));
  CUDA_CHECK(cudaGraphUpload(exec, stream));
  int want = 5;
  for (int round = 0; round < 4; ++round) {
    CUDA_CHECK(cudaGraphLaunch(exec, stream));
    add<<<(n + 255) / 256, 256, 0, stream>>>(data.get(), n, round);
    want = (want + 1) * 2 + round;
  }
  LAUNCH_CHECK();
  CUDA_CHECK(cudaStreamSynchronize(stream));
  const std::vector<int> got = data.fetch();
  std::printf("after four launches: %d and %d\n", got[0], got[7]);
  if (got[7] != want || got[999] != want || got[0] != 3) check::fail("wrong values");

  // Many launches without waiting, on the default stream too.
  data.zero();
  for (int i = 0; i < 20; ++i) CUDA_CHECK(cudaGraphLaunch(exec, i % 2 == 0 ? stream : nullptr));
  CUDA_CHECK(cudaDeviceSynchronize());
  std::printf("after twenty more: %d\n", data.fetch()[7]);
  CUDA_CHECK(cudaGraphExecDestroy(exec));

  // A capture of nothing, and one in the relaxed mode with allocations in it.
  CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  CUDA_CHECK(cudaGraphGetNodes(graph, nullptr, &nodes));
  std::printf("an empty capture: %zu nodes\n", nodes);
  CUDA_CHECK(cudaGraphInstantiate(&exec, graph, 0));
  CUDA_CHECK(cudaGraphLaunch(exec, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  CUDA_CHECK(cudaGraphExecDestroy(exec));
  CUDA_CHECK(cudaGraphDestroy(graph));

  CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
  {
    int* more = nullptr;
    CUDA_CHECK(cudaMalloc(reinterpret_cast<void**>(&more), 64 << 20));
    CUDA_CHECK(cudaMemsetAsync(more, 7, 1024, stream));
    CUDA_CHECK(cudaMemcpyAsync(data.get(), more, 1024, cudaMemcpyDeviceToDevice, stream));
    CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
    CUDA_CHECK(
        cudaGraphInstantiateWithFlags(&exec, graph, cudaGraphInstantiateFlagAutoFreeOnLaunch));
    CUDA_CHECK(cudaGraphLaunch(exec, stream));
    CUDA_CHECK(cudaStreamSynchronize(stream));
    std::printf("copied inside of the device: %#x\n", data.fetch()[5]);
    CUDA_CHECK(cudaGraphExecDestroy(exec));
    CUDA_CHECK(cudaGraphDestroy(graph));
    CUDA_CHECK(cudaFree(more));
  }
  CUDA_CHECK(cudaStreamDestroy(stream));
  return check::finish();
}
