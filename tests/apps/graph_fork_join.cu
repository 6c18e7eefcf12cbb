// A capture that takes in other streams by events, comes back to the first, and what it looks like
// as a graph; event nodes that other streams can see; a graph captured into another graph.
#include "check.h"

__global__ void fill(int* data, int n, int value) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) data[i] = value;
}

__global__ void sum(const int* a, const int* b, int* out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = a[i] * 10 + b[i];
}

__global__ void add(int* data, int n, int value) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) data[i] += value;
}

bool captures(cudaStream_t stream) {
  cudaStreamCaptureStatus status;
  CUDA_CHECK(cudaStreamIsCapturing(stream, &status));
  return status == cudaStreamCaptureStatusActive;
}

void print_shape(const char* what, cudaGraph_t graph) {
  size_t nodes = 0, roots = 0, edges = 0;
  CUDA_CHECK(cudaGraphGetNodes(graph, nullptr, &nodes));
  CUDA_CHECK(cudaGraphGetRootNodes(graph, nullptr, &roots));
  CUDA_CHECK(cudaGraphGetEdges(graph, nullptr, nullptr, nullptr, &edges));
  std::printf("%s: %zu nodes, %zu roots, %zu edges\n", what, nodes, roots, edges);
}

int main() {
  constexpr int n = 2048;
  constexpr int blocks = n / 256;
  check::DeviceArray<int> a(n), b(n), c(n);
  cudaStream_t first, second, third;
  CUDA_CHECK(cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking));
  CUDA_CHECK(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
  CUDA_CHECK(cudaStreamCreate(&third));
  cudaEvent_t fork, join, join_third;
  CUDA_CHECK(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming));
  CUDA_CHECK(cudaEventCreateWithFlags(&join, cudaEventDisableTiming));
  CUDA_CHECK(cudaEventCreateWithFlags(&join_third, cudaEventDisableTiming));

  CUDA_CHECK(cudaStreamBeginCapture(first, cudaStreamCaptureModeGlobal));
  fill<<<blocks, 256, 0, first>>>(c.get(), n, 0);
  CUDA_CHECK(cudaEventRecord(fork, first));
  std::printf("second stream before the wait: %d\n", captures(second));
  CUDA_CHECK(cudaStreamWaitEvent(second, fork, 0));
  CUDA_CHECK(cudaStreamWaitEvent(third, fork, 0));
  std::printf("second stream after the wait: %d, third: %d\n", captures(second), captures(third));
  unsigned long long id_first = 0, id_second = 1;
  cudaStreamCaptureStatus status;
  CUDA_CHECK(
      cudaStreamGetCaptureInfo(first, &status, &id_first, nullptr, nullptr, nullptr, nullptr));
  CUDA_CHECK(
      cudaStreamGetCaptureInfo(second, &status, &id_second, nullptr, nullptr, nullptr, nullptr));
  std::printf("same capture: %d\n", id_first == id_second);
  fill<<<blocks, 256, 0, second>>>(a.get(), n, 4);
  fill<<<blocks, 256, 0, third>>>(b.get(), n, 2);
  CUDA_CHECK(cudaEventRecord(join, second));
  CUDA_CHECK(cudaEventRecord(join_third, third));
  CUDA_CHECK(cudaStreamWaitEvent(first, join, 0));
  CUDA_CHECK(cudaStreamWaitEvent(first, join_third, 0));
  const cudaGraphNode_t* dependencies = nullptr;
  size_t count = 0;
  CUDA_CHECK(
      cudaStreamGetCaptureInfo(first, &status, nullptr, nullptr, &dependencies, nullptr, &count));
  std::printf("the next node depends on %zu\n", count);
  sum<<<blocks, 256, 0, first>>>(a.get(), b.get(), c.get(), n);
  LAUNCH_CHECK();
  cudaGraph_t graph;
  CUDA_CHECK(cudaStreamEndCapture(first, &graph));
  std::printf("second stream after the end: %d\n", captures(second));
  print_shape("forked", graph);
  // Streams that took part are ordinary streams again.
  fill<<<blocks, 256, 0, second>>>(c.get(), n, 1);
  CUDA_CHECK(cudaStreamSynchronize(second));
  std::printf("before the launch: %d\n", c.fetch()[3]);

  cudaGraphExec_t exec;
  CUDA_CHECK(cudaGraphInstantiate(&exec, graph, 0));
  for (int i = 0; i < 3; ++i) CUDA_CHECK(cudaGraphLaunch(exec, first));
  CUDA_CHECK(cudaStreamSynchronize(first));
  std::printf("after it: %d\n", c.fetch()[3]);
  if (c.fetch()[n - 1] != 42) check::fail("the last element is %d", c.fetch()[n - 1]);

  // An event inside of a graph that the world outside can wait for.
  cudaEvent_t inside;
  CUDA_CHECK(cudaEventCreateWithFlags(&inside, cudaEventDisableTiming));
  CUDA_CHECK(cudaStreamBeginCapture(first, cudaStreamCaptureModeGlobal));
  add<<<blocks, 256, 0, first>>>(c.get(), n, 1);
  CUDA_CHECK(cudaEventRecordWithFlags(inside, first, cudaEventRecordExternal));
  add<<<blocks, 256, 0, first>>>(b.get(), n, 1);
  cudaGraph_t with_event;
  CUDA_CHECK(cudaStreamEndCapture(first, &with_event));
  print_shape("with an event", with_event);
  cudaGraphNode_t nodes[3];
  count = 3;
  CUDA_CHECK(cudaGraphGetNodes(with_event, nodes, &count));
  cudaEvent_t found = nullptr;
  CUDA_CHECK(cudaGraphEventRecordNodeGetEvent(nodes[1], &found));
  std::printf("the node has the event: %d\n", found == inside);
  cudaGraphExec_t exec_event;
  CUDA_CHECK(cudaGraphInstantiate(&exec_event, with_event, 0));
  for (int i = 0; i < 5; ++i) {
    CUDA_CHECK(cudaGraphLaunch(exec_event, first));
    CUDA_CHECK(cudaStreamWaitEvent(second, inside, 0));
    add<<<blocks, 256, 0, second>>>(a.get(), n, 1);
    CUDA_CHECK(cudaEventSynchronize(inside));
  }
  CUDA_CHECK(cudaStreamSynchronize(first));
  CUDA_CHECK(cudaStreamSynchronize(second));
  std::printf("counted: %d %d %d\n", c.fetch()[0], b.fetch()[0], a.fetch()[0]);

  // Captured behind a node of a graph that exists.
  cudaGraph_t base;
  CUDA_CHECK(cudaGraphCreate(&base, 0));
  cudaGraphNode_t start;
  cudaMemsetParams zero = {};
  zero.dst = c.get();
  zero.elementSize = 4;
  zero.width = n;
  zero.height = 1;
  zero.value = 7;
  CUDA_CHECK(cudaGraphAddMemsetNode(&start, base, nullptr, 0, &zero));
  CUDA_CHECK(
      cudaStreamBeginCaptureToGraph(first, base, &start, nullptr, 1, cudaStreamCaptureModeGlobal));
  add<<<blocks, 256, 0, first>>>(c.get(), n, 3);
  cudaGraph_t same;
  CUDA_CHECK(cudaStreamEndCapture(first, &same));
  std::printf("captured into the same graph: %d\n", same == base);
  print_shape("base", base);
  cudaGraphExec_t exec_base;
  CUDA_CHECK(cudaGraphInstantiate(&exec_base, base, 0));
  CUDA_CHECK(cudaGraphLaunch(exec_base, first));
  CUDA_CHECK(cudaStreamSynchronize(first));
  std::printf("base: %d\n", c.fetch()[11]);

  for (cudaGraphExec_t one : {exec, exec_event, exec_base}) {
    CUDA_CHECK(cudaGraphExecDestroy(one));
  }
  for (cudaGraph_t one : {graph, with_event, base}) CUDA_CHECK(cudaGraphDestroy(one));
  for (cudaEvent_t one : {fork, join, join_third, inside}) CUDA_CHECK(cudaEventDestroy(one));
  for (cudaStream_t one : {first, second, third}) CUDA_CHECK(cudaStreamDestroy(one));
  return check::finish();
}
