// Instances of graphs and the host memory that they copy: two of one graph under way at once, two
// threads that launch into one stream, additions to the inside of a child graph node, and instances
// that are changed and updated.
#include <atomic>
#include <thread>
#include <vector>

#include "check.h"
#include "gate.h"

__global__ void add(int* data, int value) {
  *data += value;
}
__global__ void note(const int* data, int* list, int* count) {
  list[atomicAdd(count, 1)] = *data;
}
__global__ void store(int* data, int value) {
  *data = value;
}
__global__ void expect(const int* data, int value, int* wrong) {
  if (*data != value) atomicAdd(wrong, 1);
}

cudaStream_t stream, second, third;

void nothing(void*) {}
void count(void* data) {
  ++*static_cast<int*>(data);
}

template <typename... Params, typename... Arguments>
cudaGraphNode_t add_kernel(cudaGraph_t graph, const std::vector<cudaGraphNode_t>& behind,
                           void (*kernel)(Params...), Arguments... arguments) {
  void* pointers[] = {&arguments...};
  cudaKernelNodeParams params{};
  params.func = reinterpret_cast<void*>(kernel);
  params.gridDim = params.blockDim = dim3(1);
  params.kernelParams = pointers;
  cudaGraphNode_t node;
  CUDA_CHECK(cudaGraphAddKernelNode(&node, graph, behind.data(), behind.size(), &params));
  return node;
}
cudaGraphNode_t add_copy(cudaGraph_t graph, const std::vector<cudaGraphNode_t>& behind, int* to,
                         const int* from, cudaMemcpyKind kind) {
  cudaGraphNode_t node;
  CUDA_CHECK(cudaGraphAddMemcpyNode1D(&node, graph, behind.data(), behind.size(), to, from,
                                      sizeof(int), kind));
  return node;
}
cudaGraphNode_t add_host(cudaGraph_t graph, const std::vector<cudaGraphNode_t>& behind,
                         cudaHostFn_t function, void* data) {
  cudaHostNodeParams params{function, data};
  cudaGraphNode_t node;
  CUDA_CHECK(cudaGraphAddHostNode(&node, graph, behind.data(), behind.size(), &params));
  return node;
}
cudaGraphNode_t add_child(cudaGraph_t graph, const std::vector<cudaGraphNode_t>& behind,
                          cudaGraph_t child) {
  cudaGraphNode_t node;
  CUDA_CHECK(cudaGraphAddChildGraphNode(&node, graph, behind.data(), behind.size(), child));
  return node;
}
cudaGraph_t make_graph() {
  cudaGraph_t graph;
  CUDA_CHECK(cudaGraphCreate(&graph, 0));
  return graph;
}
cudaGraphExec_t instantiate(cudaGraph_t graph) {
  cudaGraphExec_t exec;
  CUDA_CHECK(cudaGraphInstantiate(&exec, graph, 0));
  return exec;
}
void launch(cudaGraphExec_t exec) {
  CUDA_CHECK(cudaGraphLaunch(exec, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
}
void destroy(cudaGraphExec_t exec) {
  CUDA_CHECK(cudaGraphExecDestroy(exec));
}
void destroy(cudaGraph_t graph) {
  CUDA_CHECK(cudaGraphDestroy(graph));
}

// Each of two instances waits for an event between the launch and its copy from the host; the host
// memory changes between the launches. `as`: the graph itself, a clone, or a child of another.
enum class As { kItself, kClone, kChild };
void two_at_once(const char* name, As as) {
  check::DeviceArray<int> data(std::vector<int>{0}), list(std::vector<int>(2)),
      used(std::vector<int>{0});
  cudaEvent_t first_event, second_event;
  CUDA_CHECK(cudaEventCreateWithFlags(&first_event, cudaEventDisableTiming));
  CUDA_CHECK(cudaEventCreateWithFlags(&second_event, cudaEventDisableTiming));
  int in = 0;
  cudaGraph_t graph = make_graph();
  cudaGraphNode_t wait;
  CUDA_CHECK(cudaGraphAddEventWaitNode(&wait, graph, nullptr, 0, first_event));
  const cudaGraphNode_t copy = add_copy(graph, {wait}, data.get(), &in, cudaMemcpyHostToDevice);
  add_kernel(graph, {copy}, note, data.get(), list.get(), used.get());
  const cudaGraphExec_t one = instantiate(graph);
  cudaGraph_t other = graph;
  if (as == As::kClone) CUDA_CHECK(cudaGraphClone(&other, graph));
  if (as == As::kChild) add_child(other = make_graph(), {}, graph);
  CUDA_CHECK(cudaGraphEventWaitNodeSetEvent(wait, second_event));
  if (as == As::kClone) {
    cudaGraphNode_t theirs;
    CUDA_CHECK(cudaGraphNodeFindInClone(&theirs, wait, other));
    CUDA_CHECK(cudaGraphEventWaitNodeSetEvent(theirs, second_event));
  } else if (as == As::kChild) {
    destroy(other);
    add_child(other = make_graph(), {}, graph);
  }
  const cudaGraphExec_t two = instantiate(other);

  Gate first_gate, second_gate;
  CUDA_CHECK(cudaLaunchHostFunc(third, wait_at_gate, &first_gate));
  CUDA_CHECK(cudaEventRecord(first_event, third));
  CUDA_CHECK(cudaLaunchHostFunc(third, wait_at_gate, &second_gate));
  CUDA_CHECK(cudaEventRecord(second_event, third));
  in = 1;
  CUDA_CHECK(cudaGraphLaunch(one, stream));
  in = 2;
  CUDA_CHECK(cudaGraphLaunch(two, second));
  first_gate.set(&Gate::open);
  CUDA_CHECK(cudaStreamSynchronize(stream));
  second_gate.set(&Gate::open);
  CUDA_CHECK(cudaStreamSynchronize(second));
  const std::vector<int> seen = list.fetch();
  std::printf("%s: the first copied %d, the second %d\n", name, seen[0], seen[1]);

  // The graph's nodes are still those of the program.
  cudaMemcpy3DParms params{};
  CUDA_CHECK(cudaGraphMemcpyNodeGetParams(copy, &params));
  std::printf("  it copies from the host's variable: %d\n", params.srcPtr.ptr == &in);
  destroy(one);
  destroy(two);
  if (other != graph) destroy(other);
  destroy(graph);
  CUDA_CHECK(cudaEventDestroy(first_event));
  CUDA_CHECK(cudaEventDestroy(second_event));
}

// One graph updates two instances.
void two_updated() {
  check::DeviceArray<int> data(std::vector<int>{0}), list(std::vector<int>(2)),
      used(std::vector<int>{0});
  cudaEvent_t events[2];
  int in = 0;
  Gate gates[2];
  cudaGraphExec_t execs[2];
  cudaGraphNode_t wait;
  cudaGraph_t graph = make_graph();
  for (cudaEvent_t& event : events) {
    CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  }
  CUDA_CHECK(cudaGraphAddEventWaitNode(&wait, graph, nullptr, 0, events[0]));
  add_kernel(graph, {add_copy(graph, {wait}, data.get(), &in, cudaMemcpyHostToDevice)}, note,
             data.get(), list.get(), used.get());
  for (int i = 0; i < 2; ++i) {
    execs[i] = instantiate(graph);
    CUDA_CHECK(cudaLaunchHostFunc(third, wait_at_gate, &gates[i]));
    CUDA_CHECK(cudaEventRecord(events[i], third));
  }
  for (int i = 0; i < 2; ++i) {
    CUDA_CHECK(cudaGraphEventWaitNodeSetEvent(wait, events[i]));
    cudaGraphExecUpdateResultInfo info;
    CUDA_CHECK(cudaGraphExecUpdate(execs[i], graph, &info));
  }
  for (int i = 0; i < 2; ++i) {
    in = i + 3;
    CUDA_CHECK(cudaGraphLaunch(execs[i], i == 0 ? stream : second));
  }
  for (int i = 0; i < 2; ++i) {
    gates[i].set(&Gate::open);
    CUDA_CHECK(cudaStreamSynchronize(i == 0 ? stream : second));
  }
  const std::vector<int> seen = list.fetch();
  std::printf("updated from one graph: %d and %d\n", seen[0], seen[1]);
  for (int i = 0; i < 2; ++i) {
    destroy(execs[i]);
    CUDA_CHECK(cudaEventDestroy(events[i]));
  }
  destroy(graph);
}

// Two graphs share memory on the device; the order of their launches in a stream keeps them apart.
// Host memory that is read in the middle makes each launch take its time.
void two_threads_one_stream() {
  check::DeviceArray<int> data(std::vector<int>{0}), wrong(std::vector<int>{0});
  std::thread threads[2];
  std::atomic<int> ready(0);
  for (int i = 0; i < 2; ++i) {
    threads[i] = std::thread([&, i] {
      cudaGraph_t graph = make_graph();
      const cudaGraphNode_t stored = add_kernel(graph, {}, store, data.get(), i);
      const cudaGraphNode_t called = add_host(graph, {stored}, nothing, nullptr);
      constexpr size_t many = 1 << 20;
      const std::vector<int> from(many);
      const check::DeviceArray<int> to(many);
      cudaGraphNode_t copied;
      CUDA_CHECK(cudaGraphAddMemcpyNode1D(&copied, graph, &called, 1, to.get(), from.data(),
                                          many * sizeof(int), cudaMemcpyHostToDevice));
      add_kernel(graph, {copied}, expect, data.get(), i, wrong.get());
      const cudaGraphExec_t exec = instantiate(graph);
      for (++ready; ready != 2;) std::this_thread::yield();
      for (int round = 0; round < 20; ++round) CUDA_CHECK(cudaGraphLaunch(exec, stream));
      CUDA_CHECK(cudaStreamSynchronize(stream));
      destroy(exec);
      destroy(graph);
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::printf("two threads, one stream: %d launches were mixed\n", wrong.fetch()[0]);
}

// What is added to the inside of a child graph node is the parent's.
void added_to_the_inside() {
  check::DeviceArray<int> data(std::vector<int>{5});
  int in = 0, out = 0, calls = 0;
  cudaEvent_t event;
  CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  cudaGraph_t leaf = make_graph();
  const cudaGraphNode_t kernel = add_kernel(leaf, {}, add, data.get(), 1);
  add_copy(leaf, {kernel}, &out, data.get(), cudaMemcpyDeviceToHost);
  cudaGraph_t middle = make_graph();
  const cudaGraphNode_t leaf_node = add_child(middle, {}, leaf);
  cudaGraph_t parent = make_graph();
  const cudaGraphNode_t middle_node = add_child(parent, {}, middle);
  destroy(leaf);
  (void)leaf_node;

  cudaGraph_t inside, deep;
  CUDA_CHECK(cudaGraphChildGraphNodeGetGraph(middle_node, &inside));
  cudaGraphNode_t nodes[2];
  size_t nodes_count = 1;
  CUDA_CHECK(cudaGraphGetNodes(inside, nodes, &nodes_count));
  CUDA_CHECK(cudaGraphChildGraphNodeGetGraph(nodes[0], &deep));
  nodes_count = 2;
  CUDA_CHECK(cudaGraphGetNodes(deep, nodes, &nodes_count));
  for (cudaGraphNode_t node : nodes) {
    cudaGraphNodeType type;
    CUDA_CHECK(cudaGraphNodeGetType(node, &type));
    if (type != cudaGraphNodeTypeMemcpy) continue;
    cudaMemcpy3DParms params{};
    CUDA_CHECK(cudaGraphMemcpyNodeGetParams(node, &params));
    std::printf("the inside copies to the host's variable: %d\n", params.dstPtr.ptr == &out);
  }
  cudaGraphNode_t roots[2];
  size_t roots_count = 1;
  CUDA_CHECK(cudaGraphGetRootNodes(deep, roots, &roots_count));
  const cudaGraphNode_t copy = add_copy(deep, {}, data.get(), &in, cudaMemcpyHostToDevice);
  CUDA_CHECK(cudaGraphAddDependencies(deep, &copy, &roots[0], nullptr, 1));
  add_host(deep, {roots[0]}, count, &calls);
  cudaGraphNode_t record;
  CUDA_CHECK(cudaGraphAddEventRecordNode(&record, deep, nullptr, 0, event));

  // Nothing may hold up its stream: behind a host function that waits, CUDA 13's launch of this
  // graph waits, too.
  const cudaGraphExec_t exec = instantiate(parent);
  in = 41;
  launch(exec);
  CUDA_CHECK(cudaEventQuery(event));
  std::printf("added to the inside: copied %d, called %d\n", out, calls);
  destroy(exec);

  // The original knows nothing of that.
  out = 0;
  const cudaGraphExec_t original = instantiate(middle);
  launch(original);
  std::printf("the child itself: copied %d, called %d\n", out, calls);
  destroy(original);

  // And a child that is gone copies nothing.
  CUDA_CHECK(cudaGraphDestroyNode(middle_node));
  add_kernel(parent, {}, add, data.get(), 1);
  const cudaGraphExec_t rest = instantiate(parent);
  out = -1;
  launch(rest);
  std::printf("without it: %d\n", out);
  destroy(rest);
  destroy(middle);
  destroy(parent);
  CUDA_CHECK(cudaEventDestroy(event));
}

// An instance whose copies are changed, again and after updates. `calls`: with a host node, so that
// it is launched in parts.
void changed_and_updated(const char* name, bool calls) {
  check::DeviceArray<int> data(std::vector<int>{7, 8}), spare(std::vector<int>{0, 0});
  int out[6] = {};
  const auto build = [&](bool numbers_differ, int* first_to, int* second_to,
                         cudaGraphNode_t* first_copy) {
    cudaGraph_t graph = make_graph();
    // Numbers of nodes are used up by nodes that are gone, too.
    if (numbers_differ)
      CUDA_CHECK(cudaGraphDestroyNode(add_kernel(graph, {}, add, spare.get(), 1)));
    cudaGraphNode_t before = add_kernel(graph, {}, add, spare.get(), 1);
    *first_copy = add_copy(graph, {before}, first_to, data.get(), cudaMemcpyDeviceToHost);
    if (calls) before = add_host(graph, {before}, nothing, nullptr);
    add_copy(graph, {before, *first_copy}, second_to, data.get() + 1, cudaMemcpyDeviceToHost);
    return graph;
  };
  const auto show = [&](const char* when, cudaGraphExec_t exec) {
    for (int& each : out) each = 0;
    launch(exec);
    std::printf("%s, %s: %d %d %d %d %d %d\n", name, when, out[0], out[1], out[2], out[3], out[4],
                out[5]);
  };
  const auto change = [&](cudaGraphExec_t exec, cudaGraphNode_t node, int* to) {
    CUDA_CHECK(cudaGraphExecMemcpyNodeSetParams1D(exec, node, to, data.get(), sizeof(int),
                                                  cudaMemcpyDeviceToHost));
  };
  cudaGraphNode_t first, ignored;
  cudaGraph_t graph = build(false, &out[0], &out[1], &first);
  const cudaGraphExec_t exec = instantiate(graph);
  show("made", exec);
  change(exec, first, &out[2]);
  show("changed", exec);
  change(exec, first, &out[3]);
  show("changed again", exec);
  cudaGraph_t update = build(true, &out[4], &out[5], &ignored);
  cudaGraphExecUpdateResultInfo info;
  CUDA_CHECK(cudaGraphExecUpdate(exec, update, &info));
  show("updated", exec);
  change(exec, first, &out[2]);
  show("changed behind that", exec);
  // The graph goes on without the instance.
  CUDA_CHECK(cudaGraphMemcpyNodeSetParams1D(first, &out[4], data.get(), sizeof(int),
                                            cudaMemcpyDeviceToHost));
  change(exec, first, &out[3]);
  show("beside its graph", exec);
  CUDA_CHECK(cudaGraphExecUpdate(exec, graph, &info));
  show("updated from its graph", exec);
  destroy(exec);
  destroy(graph);
  destroy(update);
}

int main() {
  for (cudaStream_t* each : {&stream, &second, &third}) {
    CUDA_CHECK(cudaStreamCreateWithFlags(each, cudaStreamNonBlocking));
  }
  two_at_once("two instances", As::kItself);
  two_at_once("one of a clone", As::kClone);
  two_at_once("one of a parent", As::kChild);
  two_updated();
  two_threads_one_stream();
  added_to_the_inside();
  changed_and_updated("whole", false);
  changed_and_updated("in parts", true);
  for (cudaStream_t each : {stream, second, third}) CUDA_CHECK(cudaStreamDestroy(each));
  return check::finish();
}
