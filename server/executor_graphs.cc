// Commands about captures, graphs and their instances. Captures are the driver's own, so what a
// library posts to a capturing stream is captured like everything else.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "protocol/limits.h"
#include "server/executor.h"
#include "server/graph_parts.h"

namespace farlane::server {

namespace limits = protocol::limits;

// ---- capture

// The stream takes part in the capture from here on. What it did before must have a mark, because
// nothing can be recorded on it now.
CUresult Executor::join_capture(const StreamRef& stream, const CaptureRef& capture) {
  const CUresult result = stream->device->before_capture(stream);
  if (result != CUDA_SUCCESS) return result;
  stream->capture = capture;
  capture->members.push_back(stream);
  return CUDA_SUCCESS;
}

void Executor::leave_capture(const StreamRef& stream) {
  stream->capture = nullptr;
  stream->device->after_capture(stream);
}

void Executor::end_capture(const CaptureRef& capture) {
  for (const std::weak_ptr<Stream>& member : capture->members) {
    const StreamRef stream = member.lock();
    if (stream == nullptr || stream->capture != capture) continue;
    leave_capture(stream);
  }
  capture->members.clear();
}

void Executor::abandon_capture(CaptureRef capture) {
  Graph* graph = nullptr;
  const bool known = graphs_.find(capture->graph, &graph) == Lookup::kLive;
  const bool keep = known && graph->is_named_before_capture;
  CUgraph handle = nullptr;
  driver_.cuStreamEndCapture(capture->origin->handle, &handle);
  if (!keep && handle != nullptr) driver_.cuGraphDestroy(handle);
  if (!keep) graphs_.forget(capture->graph);
  if (keep) graph->capture.reset();
  end_capture(capture);
}

bool Executor::on(const RecordHeader& header, const message::CaptureBegin& begin) {
  if (begin.into == 0 && !graphs_.can_create(begin.graph)) {
    return fault(header, describe(begin.graph) + " cannot be created");
  }
  CUresult result = CUDA_SUCCESS;
  Graph* into = nullptr;
  if (begin.into != 0) into = find_graph(header, begin.graph, &result);
  const StreamRef* stream =
      result == CUDA_SUCCESS ? find_stream(header, begin.stream, &result) : nullptr;
  if (end_ != SessionEnd::kNotYet) return false;
  Dependencies dependencies;
  if (stream != nullptr) {
    if (!has_graphs(driver_) ||
        (into != nullptr && driver_.cuStreamBeginCaptureToGraph == nullptr)) {
      result = CUDA_ERROR_NOT_SUPPORTED;
    } else if (begin.stream.is_legacy()) {
      result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    } else if ((*stream)->capture != nullptr) {
      result = CUDA_ERROR_ILLEGAL_STATE;
    } else if (into != nullptr && !dependencies.read(*into, begin.dependencies)) {
      result = CUDA_ERROR_INVALID_VALUE;
    }
  }
  CaptureRef capture;
  if (result == CUDA_SUCCESS) {
    capture = std::make_shared<Capture>();
    capture->graph = begin.graph;
    capture->origin = *stream;
    result = join_capture(*stream, capture);
  }
  if (result == CUDA_SUCCESS) {
    // Relaxed: the worker's own calls are nobody's mistake.
    result = into == nullptr
                 ? driver_.cuStreamBeginCapture((*stream)->handle, CU_STREAM_CAPTURE_MODE_RELAXED)
                 : driver_.cuStreamBeginCaptureToGraph(
                       (*stream)->handle, into->handle, dependencies.nodes.data(),
                       dependencies.has_data ? dependencies.data.data() : nullptr,
                       dependencies.nodes.size(), CU_STREAM_CAPTURE_MODE_RELAXED);
    if (result != CUDA_SUCCESS) end_capture(capture);
  }
  if (into != nullptr) {
    if (result == CUDA_SUCCESS) into->capture = capture;
  } else if (result == CUDA_SUCCESS) {
    Graph graph;
    graph.name = begin.graph.bits();
    graph.device = (*stream)->device;
    graph.capture = capture;
    graphs_.create(begin.graph, std::move(graph));
  } else {
    graphs_.create_failed(begin.graph);
  }
  return posted(header, result, [&] { return describe(begin.stream); });
}

bool Executor::on(const RecordHeader& header, const message::CaptureEnd& end) {
  message::CaptureEndReply reply;
  CUresult result = CUDA_SUCCESS;
  const StreamRef* stream = find_stream(header, end.stream, &result);
  if (stream == nullptr) return answer(header.sequence, reply, result);
  const CaptureRef capture = (*stream)->capture;
  if (capture == nullptr) {
    graphs_.forget(end.graph);
    return answer(header.sequence, reply, CUDA_ERROR_ILLEGAL_STATE);
  }
  if (capture->origin != *stream || capture->graph != end.graph) {
    return answer(header.sequence, reply, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
  }
  CUgraph handle = nullptr;
  result = driver_.cuStreamEndCapture((*stream)->handle, &handle);
  end_capture(capture);
  Graph* graph = nullptr;
  const bool known = graphs_.find(end.graph, &graph) == Lookup::kLive;
  if (known) graph->capture.reset();
  // The program's own graph stays, whatever became of the capture into it.
  const bool stays = known && graph->is_named_before_capture;
  if (stays || (known && result == CUDA_SUCCESS && handle != nullptr && end.discard == 0)) {
    if (!stays) graph->handle = handle;
    const CUresult numbered = graph->number_new_nodes(driver_);
    if (result == CUDA_SUCCESS) result = numbered;
    reply.nodes = static_cast<uint32_t>(graph->nodes.size());
  } else {
    if (handle != nullptr) driver_.cuGraphDestroy(handle);
    graphs_.forget(end.graph);
  }
  return answer(header.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::CaptureState& state) {
  message::CaptureStateReply reply;
  std::vector<message::GraphDependency> numbers;
  CUresult result = CUDA_SUCCESS;
  const Graph* graph = find_graph(header, state.graph, &result);
  const StreamRef* stream = graph == nullptr ? nullptr : find_stream(header, state.stream, &result);
  if (stream != nullptr && (*stream)->capture == nullptr) result = CUDA_ERROR_ILLEGAL_STATE;
  if (stream != nullptr && result == CUDA_SUCCESS) {
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    cuuint64_t id = 0;
    CUgraph handle = nullptr;
    const CUgraphNode* nodes = nullptr;
    const CUgraphEdgeData* edges = nullptr;
    size_t count = 0;
    result = driver_.cuStreamGetCaptureInfo((*stream)->handle, &status, &id, &handle, &nodes,
                                            &edges, &count);
    if (result == CUDA_SUCCESS && count > limits::graph_edges_max) {
      result = CUDA_ERROR_NOT_SUPPORTED;
    }
    for (size_t i = 0; result == CUDA_SUCCESS && i < count; ++i) {
      numbers.push_back({graph->number_of(nodes[i]), edges == nullptr ? 0 : bits_of(edges[i])});
    }
    reply.nodes = static_cast<uint32_t>(graph->nodes.size());
    reply.dependencies = numbers;
  }
  return answer(header.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::CaptureDepend& depend) {
  CUresult result = CUDA_SUCCESS;
  const Graph* graph = find_graph(header, depend.graph, &result);
  const StreamRef* stream =
      graph == nullptr ? nullptr : find_stream(header, depend.stream, &result);
  Dependencies dependencies;
  if (stream != nullptr) {
    if ((*stream)->capture == nullptr) {
      result = CUDA_ERROR_ILLEGAL_STATE;
    } else if (driver_.cuStreamUpdateCaptureDependencies == nullptr) {
      result = CUDA_ERROR_NOT_SUPPORTED;
    } else if (!dependencies.read(*graph, depend.dependencies)) {
      result = CUDA_ERROR_INVALID_VALUE;
    } else {
      result = driver_.cuStreamUpdateCaptureDependencies(
          (*stream)->handle, dependencies.nodes.data(),
          dependencies.has_data ? dependencies.data.data() : nullptr, dependencies.nodes.size(),
          depend.flags);
    }
  }
  return posted(header, result, [&] { return describe(depend.stream); });
}

// ---- graphs

// During a capture the driver's graph grows, and what came last has no numbers yet.
Graph* Executor::find_graph(const RecordHeader& header, protocol::GraphId id, CUresult* result) {
  Graph* graph = nullptr;
  switch (graphs_.find(id, &graph)) {
    case Lookup::kLive:
      break;
    case Lookup::kFailed:
      *result = CUDA_ERROR_INVALID_VALUE;
      return nullptr;
    case Lookup::kUnknown:
      *result = CUDA_ERROR_INVALID_VALUE;
      fault(header, describe(id) + " does not exist");
      return nullptr;
  }
  *result = make_current(*graph->device);
  const CaptureRef capture = graph->capture.lock();
  if (*result == CUDA_SUCCESS && capture != nullptr) {
    if (graph->handle == nullptr) {
      CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
      cuuint64_t number = 0;
      *result = driver_.cuStreamGetCaptureInfo(capture->origin->handle, &status, &number,
                                               &graph->handle, nullptr, nullptr, nullptr);
      if (*result == CUDA_SUCCESS && graph->handle == nullptr) {
        *result = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
      }
    }
    if (*result == CUDA_SUCCESS) *result = graph->number_new_nodes(driver_);
  }
  return *result == CUDA_SUCCESS ? graph : nullptr;
}

GraphExec* Executor::find_exec(const RecordHeader& header, protocol::ExecId id, CUresult* result) {
  GraphExec* exec = nullptr;
  const Lookup found = execs_.find(id, &exec);
  if (found == Lookup::kLive) {
    *result = make_current(*exec->device);
    return *result == CUDA_SUCCESS ? exec : nullptr;
  }
  *result = CUDA_ERROR_INVALID_VALUE;
  if (found == Lookup::kUnknown) fault(header, describe(id) + " does not exist");
  return nullptr;
}

bool Executor::on(const RecordHeader& header, const message::GraphCreate& create) {
  if (!graphs_.can_create(create.graph)) {
    return fault(header, describe(create.graph) + " cannot be created");
  }
  CUresult result = CUDA_SUCCESS;
  Graph graph;
  graph.name = create.graph.bits();
  graph.is_named_before_capture = true;
  graph.device = find_device(header, create.device, &result);
  if (graph.device != nullptr) {
    result =
        has_graphs(driver_) ? driver_.cuGraphCreate(&graph.handle, 0) : CUDA_ERROR_NOT_SUPPORTED;
  }
  if (end_ != SessionEnd::kNotYet) return false;
  if (result == CUDA_SUCCESS) {
    graphs_.create(create.graph, std::move(graph));
  } else {
    graphs_.create_failed(create.graph);
  }
  return posted(header, result, [&] { return describe(create.graph); });
}

bool Executor::on(const RecordHeader& header, const message::GraphDestroy& destroy) {
  Graph* graph = nullptr;
  const Lookup found = graphs_.find(destroy.graph, &graph);
  if (found == Lookup::kUnknown) return fault(header, describe(destroy.graph) + " does not exist");
  CUresult result = CUDA_SUCCESS;
  if (found == Lookup::kLive && graph->owned && graph->handle != nullptr) {
    result = make_current(*graph->device);
    // A graph that a capture still adds to is the capture's.
    if (result == CUDA_SUCCESS && graph->capture.expired()) {
      result = driver_.cuGraphDestroy(graph->handle);
    }
  }
  graphs_.destroy(destroy.graph);
  return posted(header, result, [&] { return describe(destroy.graph); });
}

bool Executor::on(const RecordHeader& header, const message::GraphClone& clone) {
  if (!graphs_.can_create(clone.graph)) {
    return fault(header, describe(clone.graph) + " cannot be created");
  }
  CUresult result = CUDA_SUCCESS;
  Graph made;
  made.is_named_before_capture = true;
  made.name = clone.graph.bits();
  const Graph* original = find_graph(header, clone.original, &result);
  if (end_ != SessionEnd::kNotYet) return false;
  if (original != nullptr) {
    made.device = original->device;
    made.events = original->events;
    for (GraphEvent& event : made.events) {
      if (event.graph == clone.original.bits()) event.graph = clone.graph.bits();
    }
    result = driver_.cuGraphClone(&made.handle, original->handle);
    for (size_t i = 0; result == CUDA_SUCCESS && i < original->nodes.size(); ++i) {
      CUgraphNode node = nullptr;
      if (original->nodes[i] != nullptr) {
        result = driver_.cuGraphNodeFindInClone(&node, original->nodes[i], made.handle);
      }
      made.add(node);
    }
    if (result != CUDA_SUCCESS && made.handle != nullptr) driver_.cuGraphDestroy(made.handle);
  }
  if (result == CUDA_SUCCESS) {
    graphs_.create(clone.graph, std::move(made));
  } else {
    graphs_.create_failed(clone.graph);
  }
  return posted(header, result, [&] { return describe(clone.original); });
}

bool Executor::on(const RecordHeader& header, const message::GraphChild& child) {
  if (!graphs_.can_create(child.graph)) {
    return fault(header, describe(child.graph) + " cannot be created");
  }
  message::GraphChildReply reply;
  CUresult result = CUDA_SUCCESS;
  CUgraphNode node = nullptr;
  const Graph* parent = find_node(header, child.parent, child.node, &node, &result);
  if (end_ != SessionEnd::kNotYet) return false;
  Graph inside;
  inside.owned = false;
  inside.parent = child.parent;
  inside.name = child.graph.bits();
  inside.is_named_before_capture = true;
  if (parent != nullptr) {
    inside.device = parent->device;
    result = driver_.cuGraphChildGraphNodeGetGraph(node, &inside.handle);
    if (result == CUDA_SUCCESS) result = inside.number_new_nodes(driver_);
  }
  if (result == CUDA_SUCCESS) {
    reply.nodes = static_cast<uint32_t>(inside.nodes.size());
    graphs_.create(child.graph, std::move(inside));
  } else {
    graphs_.create_failed(child.graph);
  }
  return answer(header.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::GraphShape& shape) {
  message::GraphShapeReply reply;
  std::vector<message::GraphNode> types;
  std::vector<message::GraphEdge> edges;
  CUresult result = CUDA_SUCCESS;
  const Graph* graph = find_graph(header, shape.graph, &result);
  if (graph != nullptr) {
    reply.nodes = static_cast<uint32_t>(graph->nodes.size());
    for (size_t i = shape.first_node; result == CUDA_SUCCESS && i < graph->nodes.size() &&
                                      types.size() < limits::graph_edges_max;
         ++i) {
      CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
      if (graph->nodes[i] != nullptr) {
        result = driver_.cuGraphNodeGetType(graph->nodes[i], &type);
        if (const auto memory = graph->memory.find(graph->nodes[i]);
            memory != graph->memory.end()) {
          type = memory->second.frees ? CU_GRAPH_NODE_TYPE_MEM_FREE : CU_GRAPH_NODE_TYPE_MEM_ALLOC;
        }
      }
      types.push_back({graph->nodes[i] == nullptr ? UINT32_MAX : static_cast<uint32_t>(type)});
    }
    size_t count = 0;
    std::vector<CUgraphNode> from;
    std::vector<CUgraphNode> to;
    std::vector<CUgraphEdgeData> data;
    // Edges that carry data make the call fail unless there is room for it.
    if (result == CUDA_SUCCESS) {
      result = driver_.cuGraphGetEdges(graph->handle, nullptr, nullptr, nullptr, &count);
    }
    if (result == CUDA_SUCCESS && count != 0) {
      from.resize(count);
      to.resize(count);
      data.resize(count);
      result = driver_.cuGraphGetEdges(graph->handle, from.data(), to.data(), data.data(), &count);
    }
    reply.edges = static_cast<uint32_t>(count);
    for (size_t i = shape.first_edge;
         result == CUDA_SUCCESS && i < count && edges.size() < limits::graph_edges_max; ++i) {
      edges.push_back({graph->number_of(from[i]), graph->number_of(to[i]), bits_of(data[i])});
    }
  }
  reply.types = types;
  reply.edge_list = edges;
  return answer(header.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::GraphDot& dot) {
  message::GraphDotReply reply;
  std::string text;
  CUresult result = CUDA_SUCCESS;
  const Graph* graph = find_graph(header, dot.graph, &result);
  if (graph != nullptr) {
    // The driver writes to files only.
    char path[] = "/tmp/farlane-dot-XXXXXX";
    const int file = ::mkstemp(path);
    if (file < 0) {
      result = CUDA_ERROR_OPERATING_SYSTEM;
    } else {
      ::close(file);
      result = driver_.cuGraphDebugDotPrint(graph->handle, path, dot.flags);
      if (FILE* in = result == CUDA_SUCCESS ? std::fopen(path, "r") : nullptr) {
        char piece[4096];
        for (size_t n = 0; (n = std::fread(piece, 1, sizeof piece, in)) != 0;) {
          text.append(piece, n);
        }
        std::fclose(in);
      }
      ::unlink(path);
    }
  }
  reply.bytes = text.size();
  if (dot.offset < text.size()) {
    reply.text = std::as_bytes(std::span(text))
                     .subspan(dot.offset, std::min<size_t>(text.size() - dot.offset,
                                                           limits::graph_text_bytes_max));
  }
  return answer(header.sequence, reply, result);
}

// ---- instances

bool Executor::on(const RecordHeader& header, const message::GraphInstantiate& instantiate) {
  if (!execs_.can_create(instantiate.exec)) {
    return fault(header, describe(instantiate.exec) + " cannot be created");
  }
  message::GraphInstantiateReply reply;
  CUresult result = CUDA_SUCCESS;
  const Graph* graph = find_graph(header, instantiate.graph, &result);
  if (end_ != SessionEnd::kNotYet) return false;
  GraphExec exec;
  // Uploading takes a stream and is a command of its own; launches from the device need a handle
  // that kernels understand.
  constexpr uint64_t kFlags = CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH |
                              CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY;
  if (graph != nullptr && (instantiate.flags & ~kFlags) != 0) {
    result = CUDA_ERROR_NOT_SUPPORTED;
  } else if (graph != nullptr) {
    CUDA_GRAPH_INSTANTIATE_PARAMS params{};
    params.flags = instantiate.flags;
    exec.device = graph->device;
    exec.events = graph->events;
    bool cut = false;
    result = has_host_nodes(driver_, graph->handle, &cut);
    if (cut && result == CUDA_SUCCESS) {
      exec.parts = std::make_shared<GraphParts>();
      result = cut_graph(driver_, *graph, exec.parts.get());
      if (result == CUDA_SUCCESS) {
        result = instantiate_parts(driver_, instantiate.flags, exec.parts.get(), &reply.outcome,
                                   &reply.error_node);
        if (result != CUDA_SUCCESS) destroy_parts(driver_, exec.parts.get());
      }
    } else if (result == CUDA_SUCCESS) {
      result = driver_.cuGraphInstantiateWithParams(&exec.handle, graph->handle, &params);
      reply.outcome = static_cast<uint32_t>(params.result_out);
      reply.error_node = graph->number_of(params.hErrNode_out) + 1;
    }
  }
  if (result == CUDA_SUCCESS) {
    execs_.create(instantiate.exec, std::move(exec));
  } else {
    execs_.create_failed(instantiate.exec);
  }
  return answer(header.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::GraphLaunch& launch) {
  CUresult result = CUDA_SUCCESS;
  const GraphExec* exec = find_exec(header, launch.exec, &result);
  const StreamRef* stream = exec == nullptr ? nullptr : find_stream(header, launch.stream, &result);
  if (stream != nullptr && is_far_ahead(**stream)) return false;
  if (stream != nullptr) result = (*stream)->device->use(**stream);
  if (stream != nullptr && result == CUDA_SUCCESS) {
    // One with parts is launched part by part.
    result = exec->parts == nullptr ? driver_.cuGraphLaunch(exec->handle, (*stream)->handle)
                                    : CUDA_ERROR_INVALID_VALUE;
  }
  return posted(header, result,
                [&] { return describe(launch.exec) + " on " + describe(launch.stream); });
}

bool Executor::on(const RecordHeader& header, const message::GraphUpload& upload) {
  CUresult result = CUDA_SUCCESS;
  const GraphExec* exec = find_exec(header, upload.exec, &result);
  const StreamRef* stream = exec == nullptr ? nullptr : find_stream(header, upload.stream, &result);
  if (stream != nullptr) result = (*stream)->device->use(**stream);
  if (stream != nullptr && result == CUDA_SUCCESS) {
    result = exec->parts == nullptr ? driver_.cuGraphUpload(exec->handle, (*stream)->handle)
                                    : CUDA_SUCCESS;
    if (exec->parts != nullptr) {
      for (const GraphPart& part : exec->parts->parts) {
        if (result == CUDA_SUCCESS) result = driver_.cuGraphUpload(part.exec, (*stream)->handle);
      }
    }
  }
  return posted(header, result,
                [&] { return describe(upload.exec) + " on " + describe(upload.stream); });
}

bool Executor::on(const RecordHeader& header, const message::ExecDestroy& destroy) {
  GraphExec* exec = nullptr;
  const Lookup found = execs_.find(destroy.exec, &exec);
  if (found == Lookup::kUnknown) return fault(header, describe(destroy.exec) + " does not exist");
  CUresult result = CUDA_SUCCESS;
  if (found == Lookup::kLive) {
    result = make_current(*exec->device);
    if (result == CUDA_SUCCESS) result = destroy_exec(*exec);
  }
  execs_.destroy(destroy.exec);
  return posted(header, result, [&] { return describe(destroy.exec); });
}

// What a launch of a part of it does with events, for the backlog.
void Executor::add_events_of(protocol::ExecId id, uint32_t part, Touches* touches) {
  GraphExec* exec = nullptr;
  if (execs_.find(id, &exec) != Lookup::kLive) return;
  for (const GraphEvent& event : exec->events) {
    if (exec->parts != nullptr && !exec->parts->may_have(part, event.driver.handle())) continue;
    (event.waits ? touches->events_read : touches->events_written).push_back(event.index);
    touches->records |= !event.waits;
  }
}

CUresult Executor::destroy_exec(GraphExec& exec) {
  if (exec.parts == nullptr) return driver_.cuGraphExecDestroy(exec.handle);
  destroy_parts(driver_, exec.parts.get());
  return CUDA_SUCCESS;
}

bool Executor::on(const RecordHeader& header, const message::ExecUpdate& update) {
  message::ExecUpdateReply reply;
  CUresult result = CUDA_SUCCESS;
  const Graph* graph = find_graph(header, update.graph, &result);
  GraphExec* exec = graph == nullptr ? nullptr : find_exec(header, update.exec, &result);
  if (exec != nullptr) {
    if (exec->parts != nullptr) {
      GraphParts parts;
      result = cut_graph(driver_, *graph, &parts);
      if (result == CUDA_SUCCESS) {
        result = update_parts(driver_, parts, exec->parts.get(), &reply);
        destroy_parts(driver_, &parts);
      }
    } else {
      CUgraphExecUpdateResultInfo info{};
      result = driver_.cuGraphExecUpdate(exec->handle, graph->handle, &info);
      reply.outcome = static_cast<uint32_t>(info.result);
      reply.error_node = graph->number_of(info.errorNode) + 1;
      reply.error_from = graph->number_of(info.errorFromNode) + 1;
    }
    // Launches under way still have theirs: the driver keeps events until work is done with them.
    if (result == CUDA_SUCCESS) exec->events = graph->events;
  }
  return answer(header.sequence, reply, result);
}

// A reset of a device ends its captures and takes its graphs along.
void Executor::reset_graphs(Device& device) {
  streams_.for_each([&](protocol::StreamId, StreamRef& stream) {
    const CaptureRef capture = stream->capture;
    if (capture == nullptr || capture->origin->device != &device) return;
    abandon_capture(capture);
  });
  execs_.for_each([&](protocol::ExecId id, GraphExec& exec) {
    if (exec.device != &device) return;
    destroy_exec(exec);
    execs_.fail(id);
  });
  graphs_.for_each([&](protocol::GraphId id, Graph& graph) {
    if (graph.device != &device) return;
    if (graph.owned && graph.handle != nullptr) driver_.cuGraphDestroy(graph.handle);
    graphs_.fail(id);
  });
}

}  // namespace farlane::server
