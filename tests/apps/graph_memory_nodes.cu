// Memory that graphs allocate and free: added nodes and captured calls, memory that outlives a
// launch and a graph, and what may not be done with such graphs.
#include "check.h"

__global__ void fill(int* data, int n, int value) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) data[i] = value + i;
}
__global__ void sum(const int* data, int n, int* out) {
  int total = 0;
  for (int i = 0; i < n; ++i) total += data[i];
  *out += total;
}

constexpr int n = 1000;
constexpr size_t bytes = n * sizeof(int);

cudaMemAllocNodeParams on_device(size_t size) {
  cudaMemAllocNodeParams params{};
  params.poolProps.allocType = cudaMemAllocationTypePinned;
  params.poolProps.location.type = cudaMemLocationTypeDevice;
  params.poolProps.location.id = 0;
  params.bytesize = size;
  return params;
}

cudaGraphNode_t add_kernel(cudaGraph_t graph, cudaGraphNode_t after, void* kernel, void** arguments,
                           unsigned blocks, unsigned threads) {
  cudaKernelNodeParams params{};
  params.func = kernel;
  params.gridDim = dim3(blocks);
  params.blockDim = dim3(threads);
  params.kernelParams = arguments;
  cudaGraphNode_t node;
  CUDA_CHECK(cudaGraphAddKernelNode(&node, graph, &after, 1, &params));
  return node;
}

// What is not used any more counts until it is trimmed.
unsigned long long used() {
  unsigned long long value = 0;
  CUDA_CHECK(cudaDeviceGraphMemTrim(0));
  CUDA_CHECK(cudaDeviceGetGraphMemAttribute(0, cudaGraphMemAttrUsedMemCurrent, &value));
  return value;
}

int main() {
  cudaStream_t stream;
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  check::DeviceArray<int> out(1);
  out.zero();
  int* total = out.get();
  int count = n, value = 1;

  // 1. Allocated, used and freed by one graph, launch after launch.
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  cudaGraphNode_t allocate, release;
  CUDA_CHECK(cudaGraphCreate(&graph, 0));
  cudaMemAllocNodeParams params = on_device(bytes);
  CUDA_CHECK(cudaGraphAddMemAllocNode(&allocate, graph, nullptr, 0, &params));
  void* memory = params.dptr;
  void* fill_arguments[] = {&memory, &count, &value};
  void* sum_arguments[] = {&memory, &count, &total};
  cudaGraphNode_t last =
      add_kernel(graph, allocate, reinterpret_cast<void*>(fill), fill_arguments, 4, 256);
  last = add_kernel(graph, last, reinterpret_cast<void*>(sum), sum_arguments, 1, 1);
  CUDA_CHECK(cudaGraphAddMemFreeNode(&release, graph, &last, 1, memory));
  cudaGraphNodeType type;
  CUDA_CHECK(cudaGraphNodeGetType(allocate, &type));
  std::printf("allocation node: %d", type == cudaGraphNodeTypeMemAlloc);
  CUDA_CHECK(cudaGraphNodeGetType(release, &type));
  std::printf(", free node: %d\n", type == cudaGraphNodeTypeMemFree);
  cudaMemAllocNodeParams got{};
  void* freed = nullptr;
  CUDA_CHECK(cudaGraphMemAllocNodeGetParams(allocate, &got));
  CUDA_CHECK(cudaGraphMemFreeNodeGetParams(release, &freed));
  std::printf("%zu bytes, same address: %d %d\n", got.bytesize, got.dptr == memory,
              freed == memory);
  CUDA_CHECK(cudaGraphInstantiate(&exec, graph, 0));
  for (int i = 0; i < 3; ++i) CUDA_CHECK(cudaGraphLaunch(exec, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  std::printf("three launches: %d\n", out.fetch()[0]);

  // What may not be done with a graph that has such nodes.
  cudaGraph_t other;
  check::step("clone", cudaGraphClone(&other, graph), cudaErrorNotSupported);
  check::step("destroy a node", cudaGraphDestroyNode(release), cudaErrorNotSupported);
  cudaGraphNode_t child;
  CUDA_CHECK(cudaGraphCreate(&other, 0));
  check::step("in another graph", cudaGraphAddChildGraphNode(&child, other, nullptr, 0, graph),
              cudaErrorNotSupported);
  CUDA_CHECK(cudaGraphDestroy(other));
  cudaGraphExec_t second;
  check::step("a second instance", cudaGraphInstantiate(&second, graph, 0), cudaErrorNotSupported);
  check::step("free twice", cudaGraphAddMemFreeNode(&child, graph, &last, 1, memory),
              cudaErrorInvalidValue);
  check::step("free what a graph freed", cudaFree(memory), cudaErrorInvalidValue);
  params = on_device(0);
  check::step("no bytes", cudaGraphAddMemAllocNode(&child, graph, nullptr, 0, &params),
              cudaErrorInvalidValue);
  CUDA_CHECK(cudaGraphExecDestroy(exec));
  CUDA_CHECK(cudaGraphDestroy(graph));

  // 2. Not freed by the graph: the program has it, and frees it before the next launch.
  CUDA_CHECK(cudaGraphCreate(&graph, 0));
  params = on_device(bytes);
  CUDA_CHECK(cudaGraphAddMemAllocNode(&allocate, graph, nullptr, 0, &params));
  memory = params.dptr;
  value = 5;
  add_kernel(graph, allocate, reinterpret_cast<void*>(fill), fill_arguments, 4, 256);
  CUDA_CHECK(cudaGraphInstantiate(&exec, graph, 0));
  CUDA_CHECK(cudaGraphLaunch(exec, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  int host[2];
  CUDA_CHECK(cudaMemcpy(host, memory, sizeof host, cudaMemcpyDeviceToHost));
  std::printf("kept: %d %d\n", host[0], host[1]);
  check::step("launch before it is freed", cudaGraphLaunch(exec, stream), cudaErrorInvalidValue);
  CUDA_CHECK(cudaFreeAsync(memory, stream));
  CUDA_CHECK(cudaGraphLaunch(exec, stream));
  CUDA_CHECK(cudaFree(memory));
  CUDA_CHECK(cudaGraphLaunch(exec, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  CUDA_CHECK(cudaGraphExecDestroy(exec));
  CUDA_CHECK(cudaGraphDestroy(graph));
  fill<<<4, 256, 0, stream>>>(static_cast<int*>(memory), n, 70);
  CUDA_CHECK(cudaMemcpyAsync(host, memory, sizeof host, cudaMemcpyDeviceToHost, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  std::printf("after its graph: %d %d, some is used: %d\n", host[0], host[1], used() != 0);
  CUDA_CHECK(cudaFree(memory));
  std::printf("freed, used: %llu\n", used());

  // 3. Freed by the next launch.
  CUDA_CHECK(cudaGraphCreate(&graph, 0));
  params = on_device(bytes);
  CUDA_CHECK(cudaGraphAddMemAllocNode(&allocate, graph, nullptr, 0, &params));
  memory = params.dptr;
  last = add_kernel(graph, allocate, reinterpret_cast<void*>(fill), fill_arguments, 4, 256);
  CUDA_CHECK(cudaGraphInstantiate(&exec, graph, cudaGraphInstantiateFlagAutoFreeOnLaunch));
  for (int i = 0; i < 3; ++i) CUDA_CHECK(cudaGraphLaunch(exec, stream));
  CUDA_CHECK(cudaFreeAsync(memory, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  std::printf("freed at launch, used: %llu\n", used());
  CUDA_CHECK(cudaGraphExecDestroy(exec));
  CUDA_CHECK(cudaGraphDestroy(graph));

  // 4. Captured.
  int *inside, *kept;
  out.zero();
  CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  CUDA_CHECK(cudaMallocAsync(&inside, bytes, stream));
  fill<<<4, 256, 0, stream>>>(inside, n, 2);
  sum<<<1, 1, 0, stream>>>(inside, n, total);
  CUDA_CHECK(cudaFreeAsync(inside, stream));
  CUDA_CHECK(cudaMallocAsync(&kept, bytes, stream));
  CUDA_CHECK(cudaMemsetAsync(kept, 0, bytes, stream));
  CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  size_t nodes = 0;
  CUDA_CHECK(cudaGraphGetNodes(graph, nullptr, &nodes));
  CUDA_CHECK(cudaGraphInstantiate(&exec, graph, 0));
  CUDA_CHECK(cudaGraphLaunch(exec, stream));
  CUDA_CHECK(cudaMemcpyAsync(host, kept, sizeof host, cudaMemcpyDeviceToHost, stream));
  CUDA_CHECK(cudaFreeAsync(kept, stream));
  CUDA_CHECK(cudaGraphLaunch(exec, stream));
  CUDA_CHECK(cudaFreeAsync(kept, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  std::printf("captured, %zu nodes: %d, kept: %d %d\n", nodes, out.fetch()[0], host[0], host[1]);
  CUDA_CHECK(cudaGraphExecDestroy(exec));
  CUDA_CHECK(cudaGraphDestroy(graph));

  // 5. Allocated by one graph, freed by another.
  cudaGraphExec_t exec_release;
  CUDA_CHECK(cudaGraphCreate(&graph, 0));
  CUDA_CHECK(cudaGraphCreate(&other, 0));
  params = on_device(bytes);
  CUDA_CHECK(cudaGraphAddMemAllocNode(&allocate, graph, nullptr, 0, &params));
  memory = params.dptr;
  add_kernel(graph, allocate, reinterpret_cast<void*>(fill), fill_arguments, 4, 256);
  CUDA_CHECK(cudaGraphAddMemFreeNode(&release, other, nullptr, 0, memory));
  CUDA_CHECK(cudaGraphInstantiate(&exec, graph, 0));
  CUDA_CHECK(cudaGraphInstantiate(&exec_release, other, 0));
  for (int i = 0; i < 3; ++i) {
    CUDA_CHECK(cudaGraphLaunch(exec, stream));
    CUDA_CHECK(cudaGraphLaunch(exec_release, stream));
  }
  CUDA_CHECK(cudaStreamSynchronize(stream));
  std::printf("freed by another graph, used: %llu\n", used());
  CUDA_CHECK(cudaGraphExecDestroy(exec));
  CUDA_CHECK(cudaGraphExecDestroy(exec_release));
  CUDA_CHECK(cudaGraphDestroy(graph));
  CUDA_CHECK(cudaGraphDestroy(other));
  CUDA_CHECK(cudaStreamDestroy(stream));
  return check::finish();
}
