// Graphs as wholes, and captures that make them.
#include "client/core/graph.h"

#include <algorithm>
#include <utility>

#include "client/core/graph_detail.h"
#include "protocol/limits.h"

namespace farlane::client {

namespace limits = protocol::limits;

CUgraphEdgeData edge_data_of(uint32_t bits) {
  CUgraphEdgeData data{};
  data.from_port = static_cast<unsigned char>(bits);
  data.to_port = static_cast<unsigned char>(bits >> 8);
  data.type = static_cast<unsigned char>(bits >> 16);
  return data;
}

uint32_t edge_bits_of(const CUgraphEdgeData& data) {
  return uint32_t{data.from_port} | uint32_t{data.to_port} << 8 | uint32_t{data.type} << 16;
}

CUgraphNode node_handle(Session* s, uint64_t graph_bits, Graph* graph, uint32_t number) {
  CUgraphNode& handle = graph->names[number];
  if (handle == nullptr) {
    uint64_t bits = 0;
    GraphNode* made = s->graph_nodes.create(&bits);
    if (made == nullptr) {
      return nullptr;
    }
    made->graph = graph_bits;
    made->number = number;
    s->graph_nodes.publish(bits);
    handle = handle_of<CUgraphNode>(bits);
  }
  return handle;
}

CUresult read_dependencies(Session* s, uint64_t graph_bits, std::span<const Dependency> from,
                           std::vector<message::GraphDependency>* to) {
  if (from.size() > limits::graph_edges_max) {
    unsupported("a graph node with more dependencies than fit one command");
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  for (const Dependency& one : from) {
    const GraphNode* node = s->graph_nodes.find(bits_of(one.node));
    if (node == nullptr || node->graph != graph_bits) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    to->push_back({node->number, edge_bits_of(one.data)});
  }
  return CUDA_SUCCESS;
}

CUresult fetch_shape(Session* s, const Graph& graph, Shape* shape) {
  uint32_t nodes = 1;
  uint32_t edges = 0;
  while (shape->types.size() < nodes || shape->edges.size() < edges) {
    Answer<message::GraphShape> answer;
    const CUresult result =
        s->ask(message::GraphShape{.graph = graph.id,
                                   .first_node = static_cast<uint32_t>(shape->types.size()),
                                   .first_edge = static_cast<uint32_t>(shape->edges.size())},
               &answer);
    if (result != CUDA_SUCCESS) {
      return result;
    }
    nodes = answer.reply.nodes;
    edges = answer.reply.edges;
    if (answer.reply.types.empty() && answer.reply.edge_list.empty()) {
      break;
    }
    for (const message::GraphNode& node : answer.reply.types) {
      shape->types.push_back(node.type);
    }
    shape->edges.insert(shape->edges.end(), answer.reply.edge_list.begin(),
                        answer.reply.edge_list.end());
  }
  return CUDA_SUCCESS;
}

// ---- capture

namespace {

CUresult begin(CUstream stream, CUgraph into, std::span<const Dependency> dependencies,
               CUstreamCaptureMode mode) {
  Call call;
  Stream* origin = call.stream(stream);
  if (origin == nullptr) {
    return call.error;
  }
  if (mode < CU_STREAM_CAPTURE_MODE_GLOBAL || mode > CU_STREAM_CAPTURE_MODE_RELAXED) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::vector<message::GraphDependency> after;
  Graph* graph = into != nullptr ? call.graph(into) : call.make(call->graphs, origin->device);
  if (graph != nullptr && into != nullptr) {
    call.error = read_dependencies(call.session, bits_of(into), dependencies, &after);
  }
  if (!call) {
    return call.error;
  }
  const uint64_t bits = graph->id.bits();
  CaptureRef capture;
  if (const CUresult wrong = call->captures.begin(origin, mode, bits, into != nullptr, &capture);
      wrong != CUDA_SUCCESS) {
    if (into == nullptr) {
      call->graphs.destroy(bits);
    }
    return wrong;
  }
  {
    std::lock_guard lock(graph->mutex);
    graph->capture = capture->id;
  }
  return posted(call->post(message::CaptureBegin{.stream = origin->id,
                                                 .graph = graph->id,
                                                 .into = into != nullptr ? 1u : 0u,
                                                 .dependencies = after}));
}

}  // namespace

CUresult capture_begin(CUstream stream, CUstreamCaptureMode mode) {
  return begin(stream, nullptr, {}, mode);
}

CUresult capture_begin_to_graph(CUstream stream, CUgraph graph,
                                std::span<const Dependency> dependencies,
                                CUstreamCaptureMode mode) {
  return graph == nullptr ? CUDA_ERROR_INVALID_VALUE : begin(stream, graph, dependencies, mode);
}

CUresult capture_end(CUstream stream, CUgraph* handle) {
  Call call;
  *handle = nullptr;
  Stream* origin = call.stream(stream);
  if (origin == nullptr) {
    return call.error;
  }
  CaptureRef capture;
  const CUresult wrong = call->captures.may_end(*origin, &capture);
  if (capture == nullptr) {
    return wrong;
  }
  bool broken = false;
  {
    std::lock_guard lock(call->captures.mutex());
    broken = capture->broken;
  }
  Graph* graph = call->graphs.find(capture->graph);
  Answer<message::CaptureEnd> answer;
  CUresult result =
      call->ask(message::CaptureEnd{.stream = origin->id,
                                    .graph = protocol::GraphId::from_bits(capture->graph),
                                    .discard = broken ? 1u : 0u},
                &answer);
  call->captures.forget(capture);
  if (broken && result != kServerLost) {
    result = wrong != CUDA_SUCCESS ? wrong : CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  }
  if (graph == nullptr) {
    return result == CUDA_SUCCESS ? CUDA_ERROR_INVALID_VALUE : result;
  }
  if (result != CUDA_SUCCESS && !capture->into) {
    for (const auto& [number, name] : graph->names) {
      call->graph_nodes.destroy(bits_of(name));
    }
    call->graphs.destroy(capture->graph);
    return result;
  }
  {
    std::lock_guard lock(graph->mutex);
    graph->capture = 0;
    graph->nodes = std::max(graph->nodes, answer.reply.nodes);
    graph->contents->add_all(capture->contents);
    graph->memory.add_all(capture->memory);
  }
  call->graphs.publish(capture->graph);
  if (result == CUDA_SUCCESS) {
    *handle = handle_of<CUgraph>(capture->graph);
  }
  return result;
}

CUresult capture_facts(CUstream stream, CaptureFacts* facts) {
  Call call;
  *facts = {};
  Stream* found = call.stream(stream);
  if (found == nullptr) {
    return call.error;
  }
  if (found->is_legacy()) {
    // It cannot be asked about while a stream that is ordered with it is captured.
    return call->captures.check_legacy(*found);
  }
  if (const CaptureRef capture = call->captures.of(*found)) {
    std::lock_guard lock(call->captures.mutex());
    facts->status =
        capture->broken ? CU_STREAM_CAPTURE_STATUS_INVALIDATED : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    facts->id = capture->id;
    facts->graph = handle_of<CUgraph>(capture->graph);
  }
  return CUDA_SUCCESS;
}

CUresult refresh_nodes(Session* s, Graph* graph) {
  if (graph->capture == 0) {
    return CUDA_SUCCESS;
  }
  Answer<message::GraphShape> answer;
  const CUresult result = s->ask(
      message::GraphShape{.graph = graph->id, .first_node = UINT32_MAX, .first_edge = UINT32_MAX},
      &answer);
  if (result == CUDA_SUCCESS) {
    graph->nodes = answer.reply.nodes;
  }
  return result;
}

CUresult capture_dependencies(CUstream stream, std::vector<Dependency>* dependencies) {
  Call call;
  dependencies->clear();
  Stream* found = call.stream(stream);
  const CaptureRef capture = found == nullptr ? nullptr : call->captures.of(*found);
  if (capture == nullptr) {
    return call.error;
  }
  Graph* graph = call.graph(handle_of<CUgraph>(capture->graph));
  if (graph == nullptr) {
    return call.error;
  }
  Answer<message::CaptureState> answer;
  const CUresult result =
      call->ask(message::CaptureState{.stream = found->id, .graph = graph->id}, &answer);
  if (result != CUDA_SUCCESS) {
    return result;
  }
  std::lock_guard lock(graph->mutex);
  graph->nodes = answer.reply.nodes;
  for (const message::GraphDependency& one : answer.reply.dependencies) {
    dependencies->push_back(
        {node_handle(call.session, capture->graph, graph, one.node), edge_data_of(one.data)});
  }
  return CUDA_SUCCESS;
}

CUresult capture_update_dependencies(CUstream stream, std::span<const Dependency> dependencies,
                                     unsigned flags) {
  Call call;
  Stream* found = call.stream(stream);
  if (found == nullptr) {
    return call.error;
  }
  if (flags > CU_STREAM_SET_CAPTURE_DEPENDENCIES) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const CaptureRef capture = call->captures.of(*found);
  if (capture == nullptr) {
    return CUDA_ERROR_ILLEGAL_STATE;
  }
  std::vector<message::GraphDependency> numbers;
  const CUresult result = read_dependencies(call.session, capture->graph, dependencies, &numbers);
  if (result != CUDA_SUCCESS) {
    return result;
  }
  return posted(
      call->post(message::CaptureDepend{.stream = found->id,
                                        .graph = protocol::GraphId::from_bits(capture->graph),
                                        .flags = flags,
                                        .dependencies = numbers}));
}

// ---- graphs

CUresult graph_create(int device, CUgraph* handle) {
  Call call;
  Device* found = call.device(device);
  if (found == nullptr) {
    return call.error;
  }
  Graph* made = call.make(call->graphs, found);
  if (made == nullptr) {
    return call.error;
  }
  call->graphs.publish(made->id.bits());
  call->post(message::GraphCreate{.graph = made->id, .device = found->server_ordinal});
  *handle = handle_of<CUgraph>(made->id.bits());
  return CUDA_SUCCESS;
}

void destroy_graph(Session* s, uint64_t bits, Graph* graph) {
  ObjectCounts objects;
  GraphContentsRef contents;  // these two are given back without the lock
  GraphMemoryUse memory;
  std::map<uint32_t, CUgraph> children;
  const protocol::GraphId id = graph->id;
  {
    std::lock_guard lock(graph->mutex);
    objects.swap(graph->objects);
    children.swap(graph->children);
    contents.swap(graph->contents);
    memory = std::exchange(graph->memory, {});
    for (const auto& [number, name] : graph->names) {
      s->graph_nodes.destroy(bits_of(name));
    }
    graph->names.clear();
  }
  for (const auto& [number, child] : children) {
    if (Graph* inside = s->graphs.find(bits_of(child))) {
      destroy_graph(s, bits_of(child), inside);
    }
  }
  s->end(s->graphs, bits, message::GraphDestroy{.graph = id});
  release_objects(s, &objects);
}

CUresult graph_destroy(CUgraph handle) {
  Call call;
  Graph* graph = call.graph(handle);
  if (graph == nullptr) {
    return call.error;
  }
  if (graph->is_inside || graph->capture != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  destroy_graph(call.session, bits_of(handle), graph);
  return CUDA_SUCCESS;
}

CUresult graph_clone(CUgraph original, CUgraph* clone) {
  Call call;
  Graph* from = call.graph(original);
  if (from == nullptr) {
    return call.error;
  }
  if (!from->memory.empty()) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  Graph* made = call.make(call->graphs, from->device);
  if (made == nullptr) {
    return call.error;
  }
  made->original = bits_of(original);
  {
    std::lock_guard lock(from->mutex);
    made->nodes = from->nodes;
    made->destroyed = from->destroyed;
    made->contents = from->contents->clone();
    made->objects = from->objects;
  }
  retain_objects(call.session, made->objects);
  call->graphs.publish(made->id.bits());
  *clone = handle_of<CUgraph>(made->id.bits());
  return posted(call->post(message::GraphClone{.graph = made->id, .original = from->id}));
}

CUresult graph_node_count(CUgraph handle, size_t* count) {
  Call call;
  Graph* graph = call.graph(handle);
  if (graph == nullptr) {
    return call.error;
  }
  std::lock_guard lock(graph->mutex);
  if (const CUresult result = refresh_nodes(call.session, graph); result != CUDA_SUCCESS) {
    return result;
  }
  *count = graph->nodes - graph->destroyed;
  return CUDA_SUCCESS;
}

CUresult graph_nodes(CUgraph handle, std::vector<CUgraphNode>* nodes) {
  Call call;
  Graph* graph = call.graph(handle);
  if (graph == nullptr) {
    return call.error;
  }
  std::lock_guard lock(graph->mutex);
  call.error = refresh_nodes(call.session, graph);
  Shape shape;
  if (call.error == CUDA_SUCCESS && graph->destroyed != 0) {
    call.error = fetch_shape(call.session, *graph, &shape);
  }
  for (uint32_t i = 0; call.error == CUDA_SUCCESS && i < graph->nodes; ++i) {
    if (i >= shape.types.size() || shape.types[i] != kNodeDestroyed) {
      nodes->push_back(node_handle(call.session, bits_of(handle), graph, i));
    }
  }
  return call.error;
}

CUresult graph_root_nodes(CUgraph handle, std::vector<CUgraphNode>* nodes) {
  Call call;
  Graph* graph = call.graph(handle);
  if (graph == nullptr) {
    return call.error;
  }
  std::lock_guard lock(graph->mutex);
  Shape shape;
  if (const CUresult result = fetch_shape(call.session, *graph, &shape); result != CUDA_SUCCESS) {
    return result;
  }
  std::vector<bool> follows(shape.types.size(), false);
  for (const message::GraphEdge& edge : shape.edges) {
    if (edge.to < follows.size()) {
      follows[edge.to] = true;
    }
  }
  for (uint32_t i = 0; i < shape.types.size(); ++i) {
    if (!follows[i] && shape.types[i] != kNodeDestroyed) {
      nodes->push_back(node_handle(call.session, bits_of(handle), graph, i));
    }
  }
  return CUDA_SUCCESS;
}

CUresult graph_edges(CUgraph handle, std::vector<Edge>* edges) {
  Call call;
  Graph* graph = call.graph(handle);
  if (graph == nullptr) {
    return call.error;
  }
  std::lock_guard lock(graph->mutex);
  Shape shape;
  if (const CUresult result = fetch_shape(call.session, *graph, &shape); result != CUDA_SUCCESS) {
    return result;
  }
  for (const message::GraphEdge& edge : shape.edges) {
    edges->push_back({node_handle(call.session, bits_of(handle), graph, edge.from),
                      node_handle(call.session, bits_of(handle), graph, edge.to),
                      edge_data_of(edge.data)});
  }
  return CUDA_SUCCESS;
}

namespace {

// Asked for the shape first: whether an edge is possible is told at once.
CUresult change_edges(CUgraph handle, std::span<const Edge> edges, bool remove) {
  Call call;
  Graph* graph = call.graph(handle);
  if (graph == nullptr) {
    return call.error;
  }
  if (remove && !graph->memory.empty()) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  std::vector<message::GraphEdge> numbers;
  for (const Edge& edge : edges) {
    const GraphNode* from = call->graph_nodes.find(bits_of(edge.from));
    const GraphNode* to = call->graph_nodes.find(bits_of(edge.to));
    if (from == nullptr || to == nullptr || from == to || from->graph != bits_of(handle) ||
        to->graph != bits_of(handle)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    numbers.push_back({from->number, to->number, edge_bits_of(edge.data)});
  }
  std::lock_guard lock(graph->mutex);
  Shape shape;
  if (const CUresult result = fetch_shape(call.session, *graph, &shape); result != CUDA_SUCCESS) {
    return result;
  }
  for (const message::GraphEdge& edge : numbers) {
    const bool there = std::any_of(
        shape.edges.begin(), shape.edges.end(),
        [&](const message::GraphEdge& old) { return old.from == edge.from && old.to == edge.to; });
    if (there != remove) {
      return CUDA_ERROR_INVALID_VALUE;
    }
  }
  const std::span<const message::GraphEdge> all(numbers);
  for (size_t at = 0; at < all.size(); at += limits::graph_edges_max) {
    const uint64_t sequence = call->post(message::GraphEdges{
        .graph = graph->id,
        .remove = remove ? 1u : 0u,
        .edges = all.subspan(at, std::min<size_t>(all.size() - at, limits::graph_edges_max))});
    if (sequence == 0) {
      return kServerLost;
    }
  }
  return CUDA_SUCCESS;
}

}  // namespace

CUresult graph_add_edges(CUgraph graph, std::span<const Edge> edges) {
  return change_edges(graph, edges, false);
}
CUresult graph_remove_edges(CUgraph graph, std::span<const Edge> edges) {
  return change_edges(graph, edges, true);
}

CUresult graph_dot(CUgraph handle, unsigned flags, std::string* text) {
  Call call;
  Graph* graph = call.graph(handle);
  if (graph == nullptr) {
    return call.error;
  }
  for (uint64_t bytes = 1; text->size() < bytes;) {
    Answer<message::GraphDot> answer;
    const CUresult result = call->ask(
        message::GraphDot{.graph = graph->id, .flags = flags, .offset = text->size()}, &answer);
    if (result != CUDA_SUCCESS) {
      return result;
    }
    bytes = answer.reply.bytes;
    if (answer.reply.text.empty()) {
      break;
    }
    text->append(reinterpret_cast<const char*>(answer.reply.text.data()), answer.reply.text.size());
  }
  return CUDA_SUCCESS;
}

}  // namespace farlane::client
