// Host memory in graphs: it is read when the graph is launched and written by the time the launch
// is over, pinned or not; and values that go through host memory within one graph.
#include <cstring>

#include "check.h"

__global__ void add(int* data, int n, int value) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) data[i] += value;
}

int main() {
  constexpr int n = 4096;
  constexpr size_t bytes = n * sizeof(int);
  check::DeviceArray<int> data(n), other(n);
  int *in, *out;
  CUDA_CHECK(cudaMallocHost(reinterpret_cast<void**>(&in), bytes));
  CUDA_CHECK(cudaMallocHost(reinterpret_cast<void**>(&out), bytes));
  cudaStream_t stream, second;
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CUDA_CHECK(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
  for (int i = 0; i < n; ++i) in[i] = -1;

  CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  CUDA_CHECK(cudaMemcpyAsync(data.get(), in, bytes, cudaMemcpyHostToDevice, stream));
  add<<<n / 256, 256, 0, stream>>>(data.get(), n, 100);
  CUDA_CHECK(cudaMemcpyAsync(out, data.get(), bytes, cudaMemcpyDeviceToHost, stream));
  cudaGraph_t graph;
  CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  cudaGraphExec_t exec;
  CUDA_CHECK(cudaGraphInstantiate(&exec, graph, 0));
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < n; ++i) in[i] = i + round * 10;
    std::memset(out, 0, bytes);
    CUDA_CHECK(cudaGraphLaunch(exec, round == 3 ? second : stream));
    CUDA_CHECK(cudaStreamSynchronize(round == 3 ? second : stream));
    for (int i = 0; i < n; ++i) {
      if (out[i] != i + round * 10 + 100) check::fail("round %d, element %d: %d", round, i, out[i]);
    }
    std::printf("round %d: %d %d\n", round, out[0], out[n - 1]);
  }

  // Type and parameters of the nodes are those of the program's copies.
  cudaGraphNode_t nodes[3];
  size_t count = 3;
  CUDA_CHECK(cudaGraphGetNodes(graph, nodes, &count));
  for (cudaGraphNode_t node : nodes) {
    cudaGraphNodeType type;
    CUDA_CHECK(cudaGraphNodeGetType(node, &type));
    if (type != cudaGraphNodeTypeMemcpy) continue;
    cudaMemcpy3DParms params;
    CUDA_CHECK(cudaGraphMemcpyNodeGetParams(node, &params));
    std::printf("copies %zu bytes, from the host: %d, to the host: %d\n", params.extent.width,
                params.srcPtr.ptr == in, params.dstPtr.ptr == out);
  }
  CUDA_CHECK(cudaGraphExecDestroy(exec));
  CUDA_CHECK(cudaGraphDestroy(graph));

  // Out to the host and in again: one launch after the other counts on.
  CUDA_CHECK(cudaMemset(data.get(), 0, bytes));
  CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  add<<<n / 256, 256, 0, stream>>>(data.get(), n, 3);
  CUDA_CHECK(cudaMemcpyAsync(out, data.get(), bytes, cudaMemcpyDeviceToHost, stream));
  CUDA_CHECK(cudaMemsetAsync(data.get(), 0xff, bytes, stream));
  CUDA_CHECK(cudaMemcpyAsync(data.get(), out, bytes, cudaMemcpyHostToDevice, stream));
  CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  CUDA_CHECK(cudaGraphInstantiate(&exec, graph, 0));
  for (int i = 0; i < 4; ++i) CUDA_CHECK(cudaGraphLaunch(exec, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  std::printf("through the host, four times: %d %d\n", out[0], data.fetch()[n - 1]);
  CUDA_CHECK(cudaGraphExecDestroy(exec));
  CUDA_CHECK(cudaGraphDestroy(graph));

  // Rows with gaps, on both sides.
  CUDA_CHECK(cudaMemset(data.get(), 0, bytes));
  for (int i = 0; i < n; ++i) in[i] = i;
  std::memset(out, 0, bytes);
  CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  CUDA_CHECK(cudaMemcpy2DAsync(data.get(), 256, in, 128, 64, 20, cudaMemcpyHostToDevice, stream));
  CUDA_CHECK(cudaMemcpy2DAsync(out, 96, data.get(), 256, 64, 20, cudaMemcpyDeviceToHost, stream));
  CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  CUDA_CHECK(cudaGraphInstantiate(&exec, graph, 0));
  CUDA_CHECK(cudaGraphLaunch(exec, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  for (int row = 0; row < 20; ++row) {
    for (int i = 0; i < 24; ++i) {
      const int want = i < 16 ? row * 32 + i : 0;
      if (out[row * 24 + i] != want)
        check::fail("row %d, element %d: %d", row, i, out[row * 24 + i]);
    }
  }
  std::printf("rows: %d %d\n", out[24], out[19 * 24 + 15]);
  CUDA_CHECK(cudaGraphExecDestroy(exec));
  CUDA_CHECK(cudaGraphDestroy(graph));

  // Large, and in two graphs that feed each other.
  constexpr size_t large = 24 << 20;
  char *big, *big_device;
  CUDA_CHECK(cudaMallocHost(reinterpret_cast<void**>(&big), large));
  CUDA_CHECK(cudaMalloc(reinterpret_cast<void**>(&big_device), large));
  for (size_t i = 0; i < large; ++i) big[i] = static_cast<char>(i * 7 + (i >> 12));
  CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  CUDA_CHECK(cudaMemcpyAsync(big_device, big, large, cudaMemcpyHostToDevice, stream));
  CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  cudaGraph_t back;
  CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  CUDA_CHECK(cudaMemcpyAsync(big, big_device, large, cudaMemcpyDeviceToHost, stream));
  CUDA_CHECK(cudaStreamEndCapture(stream, &back));
  cudaGraphExec_t exec_back;
  CUDA_CHECK(cudaGraphInstantiate(&exec, graph, 0));
  CUDA_CHECK(cudaGraphInstantiate(&exec_back, back, 0));
  CUDA_CHECK(cudaGraphLaunch(exec, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  std::memset(big, 0, large);
  CUDA_CHECK(cudaGraphLaunch(exec_back, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  for (size_t i = 0; i < large; ++i) {
    if (big[i] != static_cast<char>(i * 7 + (i >> 12))) check::fail("large: byte %zu", i);
  }
  std::printf("24 MiB there and back\n");
  CUDA_CHECK(cudaGraphExecDestroy(exec));
  CUDA_CHECK(cudaGraphExecDestroy(exec_back));
  CUDA_CHECK(cudaGraphDestroy(graph));
  CUDA_CHECK(cudaGraphDestroy(back));
  CUDA_CHECK(cudaFreeHost(big));
  CUDA_CHECK(cudaFree(big_device));
  CUDA_CHECK(cudaFreeHost(in));
  CUDA_CHECK(cudaFreeHost(out));
  CUDA_CHECK(cudaStreamDestroy(stream));
  CUDA_CHECK(cudaStreamDestroy(second));
  return check::finish();
}
