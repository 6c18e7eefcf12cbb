// Graphs: what nodes do, captures that make them, instances that put them into streams.
//
// Everything here is under the scheduler's lock, as streams are, unless said otherwise. What a node
// does is never changed but replaced, so that work under way keeps what it was launched with.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <variant>
#include <vector>

#include "server/softcuda/driver_context.h"
#include "server/softcuda/driver_copy.h"
#include "server/softcuda/driver_launch.h"

namespace farlane::softcuda {

struct GraphObject;
struct GraphNode;

struct HostCall {
  CUhostFn function = nullptr;
  void* data = nullptr;
};
struct EventUse {
  std::shared_ptr<Event> event;
  CUevent handle = nullptr;
};

// What a node does, checked when it was made.
struct Work {
  CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
  std::function<void()> run;  // may run many times; empty for events, child graphs and empty nodes
  std::variant<std::monostate, KernelWork, Copy, Fill, HostCall, EventUse,
               std::shared_ptr<GraphObject>>
      what;
};
using WorkPtr = std::shared_ptr<const Work>;

struct GraphEdge {
  std::shared_ptr<GraphNode> from;
  CUgraphEdgeData data{};
};

struct GraphNode {
  CUgraphNode handle = nullptr;
  GraphObject* graph = nullptr;
  WorkPtr work;
  std::vector<GraphEdge> dependencies;
  std::map<int, CUkernelNodeAttrValue> attributes;
  std::vector<void*> param_pointers;  // handed out by cuGraphKernelNodeGetParams
  std::shared_ptr<GraphNode> cloned_from;
};
using NodePtr = std::shared_ptr<GraphNode>;

struct GraphObject {
  CUgraph handle = nullptr;
  ContextPtr context;
  std::vector<NodePtr> nodes;  // in the order they were made
  bool captured = false;       // a capture is adding to it
  bool inside_node = false;    // of a child graph node
  ~GraphObject();
};

// A capture under way.
struct CaptureState {
  std::shared_ptr<GraphObject> graph;
  std::shared_ptr<Stream> origin;
  std::vector<std::shared_ptr<Stream>> members;
  CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_ACTIVE;
  CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  std::thread::id thread;
  uint64_t id = 0;
};

struct ExecObject {
  struct Node {
    WorkPtr work;
    std::vector<size_t> dependencies;
    std::shared_ptr<GraphNode> original;
    std::vector<Node> inside;  // of a child graph
    bool enabled = true;
  };
  ContextPtr context;
  std::vector<Node> nodes;
  OpPtr tail;  // launches of one instance follow each other
  uint64_t flags = 0;
};

// Takes the lock. With a value: the stream is captured, or may not be used because of a capture;
// the caller returns it. Without: the work is to be put into the stream.
std::optional<CUresult> capture_work(const ContextPtr& context,
                                     const std::shared_ptr<Stream>& stream, Work work);
// The same for calls that cannot be captured: waiting, asking, callbacks. Breaks the capture.
std::optional<CUresult> refuse_captured(const ContextPtr& context, const Stream& stream);

NodePtr add_node(const std::shared_ptr<GraphObject>& graph, Work work,
                 std::vector<GraphEdge> dependencies);
std::shared_ptr<GraphObject> clone_graph(const GraphObject& graph);
// In an order in which predecessors come first; empty: there is a cycle.
std::optional<std::vector<ExecObject::Node>> instantiate(const GraphObject& graph);
// Puts one launch into the stream, which is not captured.
void launch_exec(std::unique_lock<std::mutex>& lock, ExecObject& exec, Stream& stream);

}  // namespace farlane::softcuda
