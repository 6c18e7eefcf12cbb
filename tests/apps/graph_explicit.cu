// Graphs built node by node: every kind of node that has no array in it, edges, clones, child
// graphs, user objects, and what a program can ask about them.
#include <cstring>

#include "check.h"

__device__ int symbol[4];

__global__ void axpy(int* y, const int* x, int n, int a) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] += a * x[i];
}

__global__ void use_symbol(int* out) {
  out[threadIdx.x] = symbol[threadIdx.x] * 2;
}

void destroyed(void* data) {
  ++*static_cast<int*>(data);
}

int main() {
  constexpr int n = 1024;
  constexpr size_t bytes = n * sizeof(int);
  check::DeviceArray<int> x(n), y(n);
  int *in, *out;
  CUDA_CHECK(cudaMallocHost(reinterpret_cast<void**>(&in), bytes));
  CUDA_CHECK(cudaMallocHost(reinterpret_cast<void**>(&out), bytes));
  cudaStream_t stream;
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));

  cudaGraph_t graph;
  CUDA_CHECK(cudaGraphCreate(&graph, 0));
  cudaGraphNode_t set_y, copy_x, kernel, fetch, empty;
  cudaMemsetParams set = {};
  set.dst = y.get();
  set.value = 5;
  set.elementSize = 4;
  set.width = n;
  set.height = 1;
  CUDA_CHECK(cudaGraphAddMemsetNode(&set_y, graph, nullptr, 0, &set));
  CUDA_CHECK(cudaGraphAddMemcpyNode1D(&copy_x, graph, nullptr, 0, x.get(), in, bytes,
                                      cudaMemcpyHostToDevice));
  const cudaGraphNode_t both[] = {set_y, copy_x};
  CUDA_CHECK(cudaGraphAddEmptyNode(&empty, graph, both, 2));
  int* y_pointer = y.get();
  int* x_pointer = x.get();
  int count = n, factor = 3;
  void* args[] = {&y_pointer, &x_pointer, &count, &factor};
  cudaKernelNodeParams launch = {};
  launch.func = reinterpret_cast<void*>(axpy);
  launch.gridDim = dim3(n / 256);
  launch.blockDim = dim3(256);
  launch.kernelParams = args;
  CUDA_CHECK(cudaGraphAddKernelNode(&kernel, graph, nullptr, 0, &launch));
  CUDA_CHECK(cudaGraphAddDependencies(graph, &empty, &kernel, nullptr, 1));
  cudaMemcpy3DParms copy = {};
  copy.srcPtr = make_cudaPitchedPtr(y.get(), bytes, n, 1);
  copy.dstPtr = make_cudaPitchedPtr(out, bytes, n, 1);
  copy.extent = make_cudaExtent(bytes, 1, 1);
  copy.kind = cudaMemcpyDeviceToHost;
  CUDA_CHECK(cudaGraphAddMemcpyNode(&fetch, graph, &kernel, 1, &copy));
  factor = 1000;  // the node has its own copy

  size_t nodes = 0, edges = 0, roots = 0;
  CUDA_CHECK(cudaGraphGetNodes(graph, nullptr, &nodes));
  CUDA_CHECK(cudaGraphGetEdges(graph, nullptr, nullptr, nullptr, &edges));
  CUDA_CHECK(cudaGraphGetRootNodes(graph, nullptr, &roots));
  std::printf("%zu nodes, %zu edges, %zu roots\n", nodes, edges, roots);
  cudaGraphNode_t list[8];
  size_t room = 8;
  CUDA_CHECK(cudaGraphNodeGetDependencies(empty, list, nullptr, &room));
  std::printf("the empty node has %zu before it", room);
  room = 8;
  CUDA_CHECK(cudaGraphNodeGetDependentNodes(empty, list, nullptr, &room));
  std::printf(" and %zu behind it, the kernel: %d\n", room, list[0] == kernel);
  cudaKernelNodeParams got = {};
  CUDA_CHECK(cudaGraphKernelNodeGetParams(kernel, &got));
  std::printf("kernel node: same function %d, grid %u, block %u, arguments %d %d\n",
              got.func == reinterpret_cast<void*>(axpy), got.gridDim.x, got.blockDim.x,
              *static_cast<int*>(got.kernelParams[2]), *static_cast<int*>(got.kernelParams[3]));
  cudaMemsetParams got_set = {};
  CUDA_CHECK(cudaGraphMemsetNodeGetParams(set_y, &got_set));
  std::printf("memset node: %u of %u bytes, %zu times\n", got_set.value, got_set.elementSize,
              got_set.width);

  const auto run = [&](cudaGraph_t one, const char* what) {
    cudaGraphExec_t exec;
    CUDA_CHECK(cudaGraphInstantiate(&exec, one, 0));
    for (int i = 0; i < n; ++i) in[i] = i;
    std::memset(out, 0, bytes);
    CUDA_CHECK(cudaGraphLaunch(exec, stream));
    CUDA_CHECK(cudaStreamSynchronize(stream));
    std::printf("%s: %d %d\n", what, out[1], out[n - 1]);
    CUDA_CHECK(cudaGraphExecDestroy(exec));
  };
  run(graph, "built");

  // A clone is independent of what becomes of the original.
  cudaGraph_t clone;
  CUDA_CHECK(cudaGraphClone(&clone, graph));
  cudaGraphNode_t kernel_in_clone;
  CUDA_CHECK(cudaGraphNodeFindInClone(&kernel_in_clone, kernel, clone));
  factor = 10;
  CUDA_CHECK(cudaGraphKernelNodeSetParams(kernel_in_clone, &launch));
  set.value = 1;
  CUDA_CHECK(cudaGraphMemsetNodeSetParams(set_y, &set));
  run(graph, "original");
  run(clone, "clone");

  // Without the kernel's node.
  CUDA_CHECK(cudaGraphAddDependencies(graph, &empty, &fetch, nullptr, 1));
  CUDA_CHECK(cudaGraphDestroyNode(kernel));
  CUDA_CHECK(cudaGraphGetNodes(graph, nullptr, &nodes));
  CUDA_CHECK(cudaGraphGetEdges(graph, nullptr, nullptr, nullptr, &edges));
  std::printf("%zu nodes, %zu edges\n", nodes, edges);
  run(graph, "without the kernel");

  // A child graph, and copies to and from a variable.
  cudaGraph_t outer;
  CUDA_CHECK(cudaGraphCreate(&outer, 0));
  cudaGraphNode_t child, to_symbol, kernel_symbol, from_symbol;
  CUDA_CHECK(cudaGraphAddChildGraphNode(&child, outer, nullptr, 0, clone));
  int values[4] = {1, 2, 3, 4};
  CUDA_CHECK(cudaGraphAddMemcpyNodeToSymbol(&to_symbol, outer, &child, 1, symbol, values,
                                            sizeof values, 0, cudaMemcpyHostToDevice));
  void* symbol_args[] = {&x_pointer};
  cudaKernelNodeParams symbol_launch = {};
  symbol_launch.func = reinterpret_cast<void*>(use_symbol);
  symbol_launch.gridDim = dim3(1);
  symbol_launch.blockDim = dim3(4);
  symbol_launch.kernelParams = symbol_args;
  CUDA_CHECK(cudaGraphAddKernelNode(&kernel_symbol, outer, &to_symbol, 1, &symbol_launch));
  int read_back[2] = {0, 0};
  CUDA_CHECK(cudaGraphAddMemcpyNodeFromSymbol(&from_symbol, outer, &kernel_symbol, 1, read_back,
                                              symbol, sizeof read_back, 8, cudaMemcpyDeviceToHost));
  run(outer, "outer");
  const std::vector<int> doubled = x.fetch();
  std::printf("through the variable: %d %d %d %d, read back: %d %d\n", doubled[0], doubled[1],
              doubled[2], doubled[3], read_back[0], read_back[1]);
  size_t inside = 0;
  cudaGraph_t inner;
  CUDA_CHECK(cudaGraphChildGraphNodeGetGraph(child, &inner));
  CUDA_CHECK(cudaGraphGetNodes(inner, nullptr, &inside));
  std::printf("inside of the child: %zu nodes\n", inside);

  // Objects that graphs and their instances keep alive.
  int gone = 0;
  cudaUserObject_t object;
  CUDA_CHECK(cudaUserObjectCreate(&object, &gone, destroyed, 1, cudaUserObjectNoDestructorSync));
  CUDA_CHECK(cudaGraphRetainUserObject(outer, object, 1, cudaGraphUserObjectMove));
  cudaGraphExec_t holder;
  CUDA_CHECK(cudaGraphInstantiate(&holder, outer, 0));
  CUDA_CHECK(cudaGraphLaunch(holder, stream));
  CUDA_CHECK(cudaGraphDestroy(outer));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  std::printf("destroyed while the instance lives: %d\n", gone);
  CUDA_CHECK(cudaGraphExecDestroy(holder));
  CUDA_CHECK(cudaDeviceSynchronize());
  for (int i = 0; i < 1000000 && *const_cast<volatile int*>(&gone) == 0; ++i) {
    CUDA_CHECK(cudaDeviceSynchronize());  // CUDA may do it on another thread
  }
  std::printf("destroyed with it: %d\n", gone);

  CUDA_CHECK(cudaGraphDestroy(graph));
  CUDA_CHECK(cudaGraphDestroy(clone));
  CUDA_CHECK(cudaFreeHost(in));
  CUDA_CHECK(cudaFreeHost(out));
  CUDA_CHECK(cudaStreamDestroy(stream));
  return check::finish();
}
