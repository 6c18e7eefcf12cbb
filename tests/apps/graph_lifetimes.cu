// Graphs beside work that is under way: made, launched, updated and destroyed while a host function
// waits for this thread, events recorded by a launch that waits for its turn, captures of a stream
// that has launched, and how long user objects live.
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "check.h"
#include "gate.h"

__global__ void add(int* data, int value) {
  *data += value;
}
__global__ void store(int* to, const int* from) {
  *to = *from;
}

void count(void* data) {
  ++*static_cast<int*>(data);
}

// A user object that says when it is destroyed: on whatever thread, some time after its last use.
struct Object {
  std::mutex mutex;
  std::condition_variable changed;
  int destroyed = 0;
  static void destroy(void* data) {
    Object* object = static_cast<Object*>(data);
    std::lock_guard<std::mutex> lock(object->mutex);
    ++object->destroyed;
    object->changed.notify_all();
  }
  void give_to(cudaGraph_t graph) {
    cudaUserObject_t made;
    CUDA_CHECK(cudaUserObjectCreate(&made, this, destroy, 1, cudaUserObjectNoDestructorSync));
    CUDA_CHECK(cudaGraphRetainUserObject(graph, made, 1, cudaGraphUserObjectMove));
  }
  int times() {
    std::lock_guard<std::mutex> lock(mutex);
    return destroyed;
  }
  bool goes() {
    std::unique_lock<std::mutex> lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(30), [&] { return destroyed != 0; });
  }
};

cudaGraphExec_t instantiate(cudaGraph_t graph) {
  cudaGraphExec_t exec;
  CUDA_CHECK(cudaGraphInstantiate(&exec, graph, 0));
  return exec;
}

int* device;
cudaStream_t stream, second;

int value() {
  int result = 0;
  CUDA_CHECK(cudaDeviceSynchronize());
  CUDA_CHECK(cudaMemcpy(&result, device, sizeof(int), cudaMemcpyDeviceToHost));
  return result;
}
void set(int to) {
  CUDA_CHECK(cudaMemcpy(device, &to, sizeof(int), cudaMemcpyHostToDevice));
  CUDA_CHECK(cudaDeviceSynchronize());
}

// A graph of one kernel and perhaps a function behind it.
cudaGraph_t make_graph(int amount, cudaHostFn_t function, void* data) {
  cudaGraph_t graph;
  cudaGraphNode_t kernel_node, host_node;
  CUDA_CHECK(cudaGraphCreate(&graph, 0));
  void* arguments[] = {&device, &amount};
  cudaKernelNodeParams kernel{};
  kernel.func = reinterpret_cast<void*>(add);
  kernel.gridDim = kernel.blockDim = dim3(1);
  kernel.kernelParams = arguments;
  CUDA_CHECK(cudaGraphAddKernelNode(&kernel_node, graph, nullptr, 0, &kernel));
  if (function != nullptr) {
    cudaHostNodeParams params{function, data};
    CUDA_CHECK(cudaGraphAddHostNode(&host_node, graph, &kernel_node, 1, &params));
  }
  return graph;
}

// A stream that launched an instance is captured; the instance is launched elsewhere meanwhile.
void launched_before_a_capture() {
  set(0);
  int calls = 0;
  cudaGraph_t graph = make_graph(1, count, &calls);
  cudaGraphExec_t exec = instantiate(graph);
  CUDA_CHECK(cudaGraphLaunch(exec, stream));
  cudaGraph_t captured;
  CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
  add<<<1, 1, 0, stream>>>(device, 100);
  CUDA_CHECK(cudaGraphLaunch(exec, second));
  cudaStreamCaptureStatus status;
  CUDA_CHECK(cudaStreamIsCapturing(second, &status));
  CUDA_CHECK(cudaStreamSynchronize(second));
  std::printf("%d calls beside a capture, the other stream is captured: %d\n", calls,
              status != cudaStreamCaptureStatusNone);
  CUDA_CHECK(cudaStreamEndCapture(stream, &captured));
  size_t nodes = 0;
  CUDA_CHECK(cudaGraphGetNodes(captured, nullptr, &nodes));
  std::printf("the capture has %zu node, the device %d\n", nodes, value());
  CUDA_CHECK(cudaGraphExecDestroy(exec));
  CUDA_CHECK(cudaGraphDestroy(captured));
  CUDA_CHECK(cudaGraphDestroy(graph));
}

// Its stream is captured when an instance with an object is destroyed.
void destroyed_during_a_capture() {
  Object object;
  cudaGraph_t graph = make_graph(1, nullptr, nullptr);
  object.give_to(graph);
  cudaGraphExec_t exec = instantiate(graph);
  CUDA_CHECK(cudaGraphDestroy(graph));
  CUDA_CHECK(cudaGraphLaunch(exec, stream));
  cudaGraph_t captured;
  CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
  std::printf("kept by the instance: %d\n", object.times() == 0);
  CUDA_CHECK(cudaGraphExecDestroy(exec));
  std::printf("it goes with the instance: %d\n", object.goes());
  check::step("the capture goes on", cudaStreamEndCapture(stream, &captured), cudaSuccess);
  CUDA_CHECK(cudaGraphDestroy(captured));
}

// Another thread tries to end a capture, on a stream that is not its origin.
void ended_elsewhere() {
  set(0);
  cudaEvent_t event;
  cudaGraph_t graph = nullptr;
  CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  CUDA_CHECK(cudaEventRecord(event, stream));
  CUDA_CHECK(cudaStreamWaitEvent(second, event, 0));
  add<<<1, 1, 0, second>>>(device, 100);
  bool refused = false;
  std::thread([&] { refused = cudaStreamEndCapture(second, &graph) != cudaSuccess; }).join();
  const bool broken = cudaStreamEndCapture(stream, &graph) != cudaSuccess;
  cudaGetLastError();
  for (cudaStream_t each : {stream, second}) {
    add<<<1, 1, 0, each>>>(device, 1);
    CUDA_CHECK(cudaStreamSynchronize(each));
  }
  std::printf("refused elsewhere: %d, and here: %d, the device has %d\n", refused, broken, value());
  CUDA_CHECK(cudaEventDestroy(event));
}

// What a host function waits for may need graphs.
void beside_a_host_function() {
  set(0);
  Gate gate;
  Object object;
  cudaGraph_t graph = make_graph(1, wait_at_gate, &gate);
  object.give_to(graph);
  cudaGraphExec_t exec = instantiate(graph);
  CUDA_CHECK(cudaGraphDestroy(graph));
  CUDA_CHECK(cudaGraphLaunch(exec, stream));
  add<<<1, 1, 0, stream>>>(device, 1000);
  gate.wait(&Gate::entered);
  CUDA_CHECK(cudaGraphExecDestroy(exec));
  std::printf("destroyed under way, the object is there: %d\n", object.times() == 0);
  graph = make_graph(10, nullptr, nullptr);
  exec = instantiate(graph);
  cudaEvent_t event;
  CUDA_CHECK(cudaEventCreate(&event));
  CUDA_CHECK(cudaGraphLaunch(exec, second));
  CUDA_CHECK(cudaEventRecord(event, second));
  CUDA_CHECK(cudaEventSynchronize(event));
  CUDA_CHECK(cudaEventDestroy(event));
  int seen = 0;
  CUDA_CHECK(cudaMemcpyAsync(&seen, device, sizeof(int), cudaMemcpyDeviceToHost, second));
  CUDA_CHECK(cudaStreamSynchronize(second));
  std::printf("another graph was made and launched: %d\n", seen);
  gate.set(&Gate::open);
  CUDA_CHECK(cudaStreamSynchronize(stream));
  std::printf("then the object goes: %d,", object.goes());
  std::printf(" once: %d, the device has %d\n", object.times(), value());
  CUDA_CHECK(cudaGraphExecDestroy(exec));
  CUDA_CHECK(cudaGraphDestroy(graph));
}

// A launch behind a host function records an event, and another one waits for one.
void events_of_a_waiting_launch() {
  set(0);
  cudaEvent_t event;
  CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  CUDA_CHECK(cudaEventRecord(event, second));
  cudaGraph_t records = make_graph(5, nullptr, nullptr);
  cudaGraph_t waits;
  cudaGraphNode_t node, record_node, wait_node;
  size_t one = 1;
  CUDA_CHECK(cudaGraphGetNodes(records, &node, &one));
  CUDA_CHECK(cudaGraphAddEventRecordNode(&record_node, records, &node, 1, event));
  CUDA_CHECK(cudaGraphCreate(&waits, 0));
  CUDA_CHECK(cudaGraphAddEventWaitNode(&wait_node, waits, nullptr, 0, event));
  int* from = device;
  int* to = device + 1;
  void* arguments[] = {&to, &from};
  cudaKernelNodeParams kernel{};
  kernel.func = reinterpret_cast<void*>(store);
  kernel.gridDim = kernel.blockDim = dim3(1);
  kernel.kernelParams = arguments;
  CUDA_CHECK(cudaGraphAddKernelNode(&node, waits, &wait_node, 1, &kernel));
  cudaGraphExec_t recording = instantiate(records);
  cudaGraphExec_t waiting = instantiate(waits);

  Gate gate;
  CUDA_CHECK(cudaLaunchHostFunc(stream, wait_at_gate, &gate));
  CUDA_CHECK(cudaGraphLaunch(recording, stream));
  CUDA_CHECK(cudaStreamWaitEvent(second, event, 0));
  store<<<1, 1, 0, second>>>(device + 1, device);
  gate.wait(&Gate::entered);
  check::step("who waits for it is not done", cudaStreamQuery(second), cudaErrorNotReady);
  gate.set(&Gate::open);
  CUDA_CHECK(cudaDeviceSynchronize());
  int seen[2];
  CUDA_CHECK(cudaMemcpy(seen, device, sizeof seen, cudaMemcpyDeviceToHost));
  std::printf("recorded by a launch: %d %d\n", seen[0], seen[1]);

  Gate again;
  CUDA_CHECK(cudaLaunchHostFunc(stream, wait_at_gate, &again));
  add<<<1, 1, 0, stream>>>(device, 2);
  CUDA_CHECK(cudaEventRecord(event, stream));
  CUDA_CHECK(cudaGraphLaunch(waiting, second));
  again.wait(&Gate::entered);
  check::step("a launch waits for it", cudaStreamQuery(second), cudaErrorNotReady);
  again.set(&Gate::open);
  CUDA_CHECK(cudaDeviceSynchronize());
  CUDA_CHECK(cudaMemcpy(seen, device, sizeof seen, cudaMemcpyDeviceToHost));
  std::printf("waited for by a launch: %d %d\n", seen[0], seen[1]);
  CUDA_CHECK(cudaGraphExecDestroy(recording));
  CUDA_CHECK(cudaGraphExecDestroy(waiting));
  CUDA_CHECK(cudaGraphDestroy(records));
  CUDA_CHECK(cudaGraphDestroy(waits));
  CUDA_CHECK(cudaEventDestroy(event));
}

// An update brings the other graph's objects; a child graph's stay with its parent.
void objects_of_updates_and_children() {
  Object first, next, inner;
  cudaGraph_t graph = make_graph(1, nullptr, nullptr);
  cudaGraph_t other = make_graph(2, nullptr, nullptr);
  first.give_to(graph);
  next.give_to(other);
  cudaGraphExec_t exec = instantiate(graph);
  CUDA_CHECK(cudaGraphLaunch(exec, stream));
  cudaGraphExecUpdateResultInfo info;
  CUDA_CHECK(cudaGraphExecUpdate(exec, other, &info));
  CUDA_CHECK(cudaGraphDestroy(other));
  std::printf("after an update: %d %d\n", first.times(), next.times());
  CUDA_CHECK(cudaGraphLaunch(exec, stream));
  CUDA_CHECK(cudaGraphDestroy(graph));
  std::printf("the first goes with its graph: %d, the next stays: %d\n", first.goes(),
              next.times() == 0);
  CUDA_CHECK(cudaGraphExecDestroy(exec));
  std::printf("and goes with the instance: %d\n", next.goes());

  cudaGraph_t child = make_graph(1, nullptr, nullptr);
  cudaGraph_t parent;
  cudaGraphNode_t node;
  inner.give_to(child);
  CUDA_CHECK(cudaGraphCreate(&parent, 0));
  CUDA_CHECK(cudaGraphAddChildGraphNode(&node, parent, nullptr, 0, child));
  CUDA_CHECK(cudaGraphDestroy(child));
  std::printf("a child's object stays: %d\n", inner.times() == 0);
  exec = instantiate(parent);
  CUDA_CHECK(cudaGraphDestroy(parent));
  CUDA_CHECK(cudaGraphLaunch(exec, stream));
  std::printf("with the instance too: %d\n", inner.times() == 0);
  CUDA_CHECK(cudaGraphExecDestroy(exec));
  std::printf("then it goes: %d,", inner.goes());
  std::printf(" each once: %d %d %d\n", first.times(), next.times(), inner.times());
}

int main() {
  CUDA_CHECK(cudaMalloc(&device, 2 * sizeof(int)));
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CUDA_CHECK(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
  // Loaded before anything waits: loading may wait for the device.
  set(0);
  add<<<1, 1>>>(device, 1);
  store<<<1, 1>>>(device + 1, device);
  std::printf("ready: %d\n", value());
  launched_before_a_capture();
  destroyed_during_a_capture();
  ended_elsewhere();
  beside_a_host_function();
  events_of_a_waiting_launch();
  objects_of_updates_and_children();
  CUDA_CHECK(cudaStreamDestroy(stream));
  CUDA_CHECK(cudaStreamDestroy(second));
  CUDA_CHECK(cudaFree(device));
  return check::finish();
}
