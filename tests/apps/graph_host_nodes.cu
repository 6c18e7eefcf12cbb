// Functions of the program in graphs: captured and added ones, what they read and write in host
// memory, several launches, child graphs, clones, and changing which function a node has.

#include "check.h"
#include "gate.h"

__global__ void add(int* data, int value) {
  *data += value;
}

struct Note {
  const int* source;
  std::vector<int>* log;
};
void note(void* data) {
  Note* n = static_cast<Note*>(data);
  n->log->push_back(*n->source);
}
void note_negative(void* data) {
  Note* n = static_cast<Note*>(data);
  n->log->push_back(-*n->source);
}
void count(void* data) {
  ++*static_cast<int*>(data);
}

void print(const char* what, std::vector<int>* log) {
  std::printf("%s:", what);
  for (int v : *log) std::printf(" %d", v);
  std::printf("\n");
  log->clear();
}

cudaGraphExec_t instantiate(cudaGraph_t graph) {
  cudaGraphExec_t exec;
  CUDA_CHECK(cudaGraphInstantiate(&exec, graph, 0));
  return exec;
}

int main() {
  int* device;
  int* pinned;
  CUDA_CHECK(cudaMalloc(&device, sizeof(int)));
  CUDA_CHECK(cudaMemset(device, 0, sizeof(int)));
  CUDA_CHECK(cudaMallocHost(&pinned, 2 * sizeof(int)));
  cudaStream_t stream, second;
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CUDA_CHECK(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
  std::vector<int> log;

  // 1. Captured: kernel, copy, function. Five launches without a wait in between.
  Note of_pinned{pinned, &log};
  cudaGraph_t graph;
  CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  add<<<1, 1, 0, stream>>>(device, 3);
  CUDA_CHECK(cudaMemcpyAsync(pinned, device, sizeof(int), cudaMemcpyDeviceToHost, stream));
  CUDA_CHECK(cudaLaunchHostFunc(stream, note, &of_pinned));
  CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  cudaGraphExec_t exec = instantiate(graph);
  for (int i = 0; i < 5; ++i) CUDA_CHECK(cudaGraphLaunch(exec, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  print("captured", &log);

  // 2. The node is one of the program's own function, and an instance can get another one.
  cudaGraphNode_t nodes[8];
  size_t n = 8;
  CUDA_CHECK(cudaGraphGetNodes(graph, nodes, &n));
  cudaGraphNode_t host = nullptr;
  for (size_t i = 0; i < n; ++i) {
    cudaGraphNodeType type;
    CUDA_CHECK(cudaGraphNodeGetType(nodes[i], &type));
    if (type == cudaGraphNodeTypeHost) host = nodes[i];
  }
  cudaHostNodeParams params;
  CUDA_CHECK(cudaGraphHostNodeGetParams(host, &params));
  std::printf("%zu nodes, the function is ours: %d, its data too: %d\n", n, params.fn == note,
              params.userData == &of_pinned);
  params.fn = note_negative;
  CUDA_CHECK(cudaGraphExecHostNodeSetParams(exec, host, &params));
  CUDA_CHECK(cudaGraphLaunch(exec, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  CUDA_CHECK(cudaGraphHostNodeGetParams(host, &params));
  std::printf("the graph's own is unchanged: %d\n", params.fn == note);
  print("another function", &log);

  // 3. A clone with the function changed brings the instance up to date.
  cudaGraph_t clone;
  cudaGraphNode_t in_clone;
  CUDA_CHECK(cudaGraphClone(&clone, graph));
  CUDA_CHECK(cudaGraphNodeFindInClone(&in_clone, host, clone));
  int calls = 0;
  params = {count, &calls};
  CUDA_CHECK(cudaGraphHostNodeSetParams(in_clone, &params));
  cudaGraphExecUpdateResultInfo info;
  CUDA_CHECK(cudaGraphExecUpdate(exec, clone, &info));
  for (int i = 0; i < 3; ++i) CUDA_CHECK(cudaGraphLaunch(exec, i == 1 ? second : stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  CUDA_CHECK(cudaStreamSynchronize(second));
  std::printf("updated from a clone: %d calls, %zu notes\n", calls, log.size());
  CUDA_CHECK(cudaGraphExecDestroy(exec));
  CUDA_CHECK(cudaGraphDestroy(clone));
  CUDA_CHECK(cudaGraphDestroy(graph));

  // 4. A function writes what a node behind it copies in.
  pinned[0] = pinned[1] = 0;
  CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  CUDA_CHECK(cudaLaunchHostFunc(stream, count, &pinned[1]));
  CUDA_CHECK(cudaMemcpyAsync(device, &pinned[1], sizeof(int), cudaMemcpyHostToDevice, stream));
  add<<<1, 1, 0, stream>>>(device, 1000);
  CUDA_CHECK(cudaMemcpyAsync(pinned, device, sizeof(int), cudaMemcpyDeviceToHost, stream));
  CUDA_CHECK(cudaLaunchHostFunc(stream, note, &of_pinned));
  CUDA_CHECK(cudaLaunchHostFunc(stream, count, pinned));
  CUDA_CHECK(cudaMemcpyAsync(device, pinned, sizeof(int), cudaMemcpyHostToDevice, stream));
  CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  exec = instantiate(graph);
  for (int i = 0; i < 4; ++i) CUDA_CHECK(cudaGraphLaunch(exec, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  print("through the host", &log);
  int last = 0;
  CUDA_CHECK(cudaMemcpy(&last, device, sizeof(int), cudaMemcpyDeviceToHost));
  std::printf("the device has %d, the counter %d\n", last, pinned[1]);
  CUDA_CHECK(cudaGraphExecDestroy(exec));

  // 5. Inside of a child graph, with work before and behind it.
  cudaGraph_t parent;
  cudaGraphNode_t first, child, behind, last_call;
  CUDA_CHECK(cudaGraphCreate(&parent, 0));
  int before_calls = 0, after_calls = 0;
  params = {count, &before_calls};
  CUDA_CHECK(cudaGraphAddHostNode(&first, parent, nullptr, 0, &params));
  CUDA_CHECK(cudaGraphAddChildGraphNode(&child, parent, &first, 1, graph));
  void* arguments[2];
  int seven = 7;
  arguments[0] = &device;
  arguments[1] = &seven;
  cudaKernelNodeParams kernel{};
  kernel.func = reinterpret_cast<void*>(add);
  kernel.gridDim = kernel.blockDim = dim3(1);
  kernel.kernelParams = arguments;
  CUDA_CHECK(cudaGraphAddKernelNode(&behind, parent, &child, 1, &kernel));
  params = {count, &after_calls};
  CUDA_CHECK(cudaGraphAddHostNode(&last_call, parent, &behind, 1, &params));
  exec = instantiate(parent);
  CUDA_CHECK(cudaGraphUpload(exec, stream));
  CUDA_CHECK(cudaGraphLaunch(exec, stream));
  CUDA_CHECK(cudaGraphLaunch(exec, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  print("in a child graph", &log);
  CUDA_CHECK(cudaMemcpy(&last, device, sizeof(int), cudaMemcpyDeviceToHost));
  std::printf("the device has %d; %d calls before, %d after\n", last, before_calls, after_calls);
  CUDA_CHECK(cudaGraphExecDestroy(exec));
  CUDA_CHECK(cudaGraphDestroy(parent));
  CUDA_CHECK(cudaGraphDestroy(graph));

  // 6. Functions side by side, joined by a kernel; nothing but functions; nodes of all kinds.
  CUDA_CHECK(cudaGraphCreate(&graph, 0));
  int counters[6] = {};
  cudaGraphNode_t many[6];
  for (int i = 0; i < 6; ++i) {
    params = {count, &counters[i]};
    CUDA_CHECK(cudaGraphAddHostNode(&many[i], graph, nullptr, 0, &params));
  }
  CUDA_CHECK(cudaGraphAddKernelNode(&behind, graph, many, 6, &kernel));
  exec = instantiate(graph);
  CUDA_CHECK(cudaMemset(device, 0, sizeof(int)));
  CUDA_CHECK(cudaDeviceSynchronize());
  for (int i = 0; i < 10; ++i) CUDA_CHECK(cudaGraphLaunch(exec, i % 2 == 0 ? stream : second));
  CUDA_CHECK(cudaDeviceSynchronize());
  CUDA_CHECK(cudaMemcpy(&last, device, sizeof(int), cudaMemcpyDeviceToHost));
  std::printf("side by side: %d %d %d, the device has %d\n", counters[0], counters[2], counters[5],
              last);
  CUDA_CHECK(cudaGraphExecDestroy(exec));
  CUDA_CHECK(cudaGraphDestroyNode(behind));
  exec = instantiate(graph);
  CUDA_CHECK(cudaGraphLaunch(exec, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  std::printf("functions only: %d %d\n", counters[0], counters[5]);
  CUDA_CHECK(cudaGraphExecDestroy(exec));
  CUDA_CHECK(cudaGraphDestroy(graph));

  // 7. While one runs, its stream is busy and others are not.
  Gate gate;
  CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  CUDA_CHECK(cudaLaunchHostFunc(stream, wait_at_gate, &gate));
  add<<<1, 1, 0, stream>>>(device, 1);
  CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  exec = instantiate(graph);
  cudaEvent_t event;
  CUDA_CHECK(cudaEventCreate(&event));
  CUDA_CHECK(cudaMemset(device, 0, sizeof(int)));
  CUDA_CHECK(cudaDeviceSynchronize());
  CUDA_CHECK(cudaGraphLaunch(exec, stream));
  CUDA_CHECK(cudaEventRecord(event, stream));
  gate.wait(&Gate::entered);
  check::step("the stream", cudaStreamQuery(stream), cudaErrorNotReady);
  check::step("an event behind the launch", cudaEventQuery(event), cudaErrorNotReady);
  CUDA_CHECK(cudaMemcpyAsync(pinned, device, sizeof(int), cudaMemcpyDeviceToHost, second));
  CUDA_CHECK(cudaStreamSynchronize(second));
  std::printf("another stream goes on and sees %d\n", *pinned);
  gate.set(&Gate::open);
  CUDA_CHECK(cudaEventSynchronize(event));
  CUDA_CHECK(cudaMemcpy(&last, device, sizeof(int), cudaMemcpyDeviceToHost));
  std::printf("then the device has %d\n", last);
  CUDA_CHECK(cudaGraphExecDestroy(exec));
  CUDA_CHECK(cudaGraphDestroy(graph));

  // 8. Pageable memory is read at the launch, pinned memory when the copy's turn has come.
  int pageable = 1;
  for (int* source : {&pageable, pinned}) {
    Gate closed;
    CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    CUDA_CHECK(cudaMemcpyAsync(device, source, sizeof(int), cudaMemcpyHostToDevice, stream));
    CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
    exec = instantiate(graph);
    *source = 1;
    CUDA_CHECK(cudaLaunchHostFunc(stream, wait_at_gate, &closed));
    CUDA_CHECK(cudaGraphLaunch(exec, stream));
    *source = 2;
    closed.set(&Gate::open);
    CUDA_CHECK(cudaStreamSynchronize(stream));
    CUDA_CHECK(cudaMemcpy(&last, device, sizeof(int), cudaMemcpyDeviceToHost));
    std::printf("%s memory: %d\n", source == pinned ? "pinned" : "pageable", last);
    CUDA_CHECK(cudaGraphExecDestroy(exec));
    CUDA_CHECK(cudaGraphDestroy(graph));
  }

  // 9. What is wrong is told.
  CUDA_CHECK(cudaGraphCreate(&graph, 0));
  params = {nullptr, nullptr};
  check::step("no function", cudaGraphAddHostNode(&host, graph, nullptr, 0, &params),
              cudaErrorInvalidValue);
  check::step("no parameters", cudaGraphAddHostNode(&host, graph, nullptr, 0, nullptr),
              cudaErrorInvalidValue);
  CUDA_CHECK(cudaGraphAddKernelNode(&behind, graph, nullptr, 0, &kernel));
  check::step("another node's parameters", cudaGraphHostNodeGetParams(behind, &params),
              cudaErrorInvalidValue);
  CUDA_CHECK(cudaGraphDestroy(graph));

  CUDA_CHECK(cudaEventDestroy(event));
  CUDA_CHECK(cudaStreamDestroy(stream));
  CUDA_CHECK(cudaStreamDestroy(second));
  CUDA_CHECK(cudaFreeHost(pinned));
  CUDA_CHECK(cudaFree(device));
  return check::finish();
}
