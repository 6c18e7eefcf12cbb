// Changing an instance: with the graph of a second capture, node by node, and switching nodes off.
#include <cstring>

#include "check.h"

__global__ void add(int* data, int n, int value) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) data[i] += value;
}

__global__ void multiply(int* data, int n, int value) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) data[i] *= value;
}

constexpr int n = 512;

cudaGraph_t capture(cudaStream_t stream, int* data, int first, int second, bool third) {
  cudaGraph_t graph;
  CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  CUDA_CHECK(cudaMemsetAsync(data, 0, n * sizeof(int), stream));
  add<<<n / 128, 128, 0, stream>>>(data, n, first);
  multiply<<<n / 128, 128, 0, stream>>>(data, n, second);
  if (third) add<<<n / 128, 128, 0, stream>>>(data, n, 1);
  CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  return graph;
}

int main() {
  check::DeviceArray<int> data(n), other(n);
  cudaStream_t stream;
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  cudaGraph_t graph = capture(stream, data.get(), 2, 3, false);
  cudaGraphExec_t exec;
  CUDA_CHECK(cudaGraphInstantiate(&exec, graph, 0));
  const auto run = [&](const char* what, const check::DeviceArray<int>& where) {
    CUDA_CHECK(cudaGraphLaunch(exec, stream));
    CUDA_CHECK(cudaStreamSynchronize(stream));
    std::printf("%s: %d\n", what, where.fetch()[n - 1]);
  };
  run("as captured", data);

  // The same shape with other arguments, in another place.
  cudaGraph_t again = capture(stream, other.get(), 5, 7, false);
  cudaGraphExecUpdateResultInfo info;
  std::memset(&info, 0, sizeof info);
  CUDA_CHECK(cudaGraphExecUpdate(exec, again, &info));
  std::printf("update: %d\n", info.result);
  run("updated", other);

  // Another shape is refused, and the instance stays as it was.
  cudaGraph_t longer = capture(stream, data.get(), 1, 1, true);
  check::step("update with another shape", cudaGraphExecUpdate(exec, longer, &info),
              cudaErrorGraphExecUpdateFailure);
  std::printf("result: topology changed %d\n",
              info.result == cudaGraphExecUpdateErrorTopologyChanged);
  cudaGetLastError();
  run("still", other);

  // One node's arguments, in the instance only.
  cudaGraphNode_t nodes[3];
  size_t count = 3;
  CUDA_CHECK(cudaGraphGetNodes(graph, nodes, &count));
  cudaGraphNode_t first_kernel = nullptr, last_kernel = nullptr, set = nullptr;
  for (cudaGraphNode_t node : nodes) {
    cudaGraphNodeType type;
    CUDA_CHECK(cudaGraphNodeGetType(node, &type));
    if (type == cudaGraphNodeTypeMemset) set = node;
    if (type != cudaGraphNodeTypeKernel) continue;
    cudaKernelNodeParams params;
    CUDA_CHECK(cudaGraphKernelNodeGetParams(node, &params));
    (params.func == reinterpret_cast<void*>(add) ? first_kernel : last_kernel) = node;
  }
  int* pointer = other.get();
  int size = n, value = 50;
  void* args[] = {&pointer, &size, &value};
  cudaKernelNodeParams params;
  CUDA_CHECK(cudaGraphKernelNodeGetParams(first_kernel, &params));
  params.kernelParams = args;
  CUDA_CHECK(cudaGraphExecKernelNodeSetParams(exec, first_kernel, &params));
  run("first kernel changed", other);
  CUDA_CHECK(cudaGraphKernelNodeGetParams(first_kernel, &params));
  std::printf("the graph's node still has %d\n", *static_cast<int*>(params.kernelParams[2]));

  cudaMemsetParams fill = {};
  fill.dst = other.get();
  fill.value = 1;
  fill.elementSize = 4;
  fill.width = n;
  fill.height = 1;
  CUDA_CHECK(cudaGraphExecMemsetNodeSetParams(exec, set, &fill));
  run("memset changed", other);

  CUDA_CHECK(cudaGraphNodeSetEnabled(exec, last_kernel, 0));
  unsigned enabled = 1;
  CUDA_CHECK(cudaGraphNodeGetEnabled(exec, last_kernel, &enabled));
  std::printf("last kernel enabled: %u\n", enabled);
  run("without the last kernel", other);
  CUDA_CHECK(cudaGraphNodeSetEnabled(exec, last_kernel, 1));
  run("with it again", other);

  // A copy's host memory, in an instance.
  int *in, *in_too, *out;
  CUDA_CHECK(cudaMallocHost(reinterpret_cast<void**>(&in), n * sizeof(int)));
  CUDA_CHECK(cudaMallocHost(reinterpret_cast<void**>(&in_too), n * sizeof(int)));
  CUDA_CHECK(cudaMallocHost(reinterpret_cast<void**>(&out), n * sizeof(int)));
  for (int i = 0; i < n; ++i) {
    in[i] = i;
    in_too[i] = -i;
  }
  cudaGraph_t copies;
  CUDA_CHECK(cudaGraphCreate(&copies, 0));
  cudaGraphNode_t to_device, to_host;
  CUDA_CHECK(cudaGraphAddMemcpyNode1D(&to_device, copies, nullptr, 0, data.get(), in,
                                      n * sizeof(int), cudaMemcpyHostToDevice));
  CUDA_CHECK(cudaGraphAddMemcpyNode1D(&to_host, copies, &to_device, 1, out, data.get(),
                                      n * sizeof(int), cudaMemcpyDeviceToHost));
  cudaGraphExec_t exec_copies;
  CUDA_CHECK(cudaGraphInstantiate(&exec_copies, copies, 0));
  CUDA_CHECK(cudaGraphLaunch(exec_copies, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  std::printf("copied: %d\n", out[9]);
  CUDA_CHECK(cudaGraphExecMemcpyNodeSetParams1D(exec_copies, to_device, data.get(), in_too,
                                                n * sizeof(int), cudaMemcpyHostToDevice));
  CUDA_CHECK(cudaGraphLaunch(exec_copies, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  std::printf("copied from elsewhere: %d\n", out[9]);

  for (cudaGraphExec_t one : {exec, exec_copies}) CUDA_CHECK(cudaGraphExecDestroy(one));
  for (cudaGraph_t one : {graph, again, longer, copies}) CUDA_CHECK(cudaGraphDestroy(one));
  for (int* one : {in, in_too, out}) CUDA_CHECK(cudaFreeHost(one));
  CUDA_CHECK(cudaStreamDestroy(stream));
  return check::finish();
}
