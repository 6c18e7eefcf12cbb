// Nodes of graphs: adding them, changing them, asking what they are made of.
#include <algorithm>
#include <cstring>

#include "client/core/graph_detail.h"
#include "protocol/limits.h"

namespace farlane::client {

namespace limits = protocol::limits;

GraphNode* find_node(Session* s, CUgraphNode handle, Graph** graph, CUresult* error) {
  GraphNode* node = s->graph_nodes.find(bits_of(handle));
  *graph = node == nullptr ? nullptr : s->graphs.find(node->graph);
  if (*graph != nullptr) {
    return node;
  }
  *error = CUDA_ERROR_INVALID_VALUE;
  return nullptr;
}

namespace {

// `how` on the wire.
enum class NodeChange : uint32_t { kAdd = 0, kInGraph = 1, kInExec = 2 };

// A place, looked up. The graph's lock is held while it exists.
struct Put {
  Session* s = nullptr;
  Graph* graph = nullptr;
  uint64_t graph_bits = 0;
  uint32_t number = 0;
  NodeChange how = NodeChange::kAdd;
  GraphExec* exec = nullptr;
  std::vector<message::GraphDependency> dependencies;
  std::unique_lock<std::mutex> lock;

  // The parts that all such commands have.
  template <class M>
  void fill(M* command) const {
    command->graph = graph->id;
    // A name must be one; this is looked at only when the change is the instance's.
    command->exec = exec != nullptr ? exec->id : protocol::ExecId::make(0, 0);
    command->node = number;
    command->how = static_cast<uint32_t>(how);
    command->dependencies = dependencies;
  }
  GraphCopies& copies() { return exec != nullptr ? exec->copies : graph->copies; }
  std::vector<HostFunctionRef>& functions() { return graph->functions; }
  std::vector<uint64_t>& events() { return exec != nullptr ? exec->events : graph->events; }
};

CUresult begin(const NodePlace& place, Put* put) {
  CUresult error = CUDA_SUCCESS;
  put->s = session(&error);
  if (put->s == nullptr) {
    return error;
  }
  if (place.node == nullptr) {
    put->graph = find_graph(put->s, place.graph, &error);
    if (put->graph == nullptr) {
      return error;
    }
    put->graph_bits = bits_of(place.graph);
    error = read_dependencies(put->s, put->graph_bits, place.dependencies, &put->dependencies);
    if (error != CUDA_SUCCESS) {
      return error;
    }
    put->lock = std::unique_lock(put->graph->mutex);
    error = refresh_nodes(put->s, put->graph);
    put->number = put->graph->nodes;
    return error;
  }
  const GraphNode* node = find_node(put->s, place.node, &put->graph, &error);
  if (node == nullptr) {
    return error;
  }
  put->graph_bits = node->graph;
  put->number = node->number;
  put->how = NodeChange::kInGraph;
  put->lock = std::unique_lock(put->graph->mutex);
  if (place.exec != nullptr) {
    put->how = NodeChange::kInExec;
    put->exec = find_exec(put->s, place.exec, &error);
  }
  return error;
}

// The command has been posted.
CUresult end(const NodePlace& place, Put* put, uint64_t sequence) {
  if (sequence == 0) {
    return kServerLost;
  }
  if (put->how == NodeChange::kAdd) {
    ++put->graph->nodes;
    *place.added = node_handle(put->s, put->graph_bits, put->graph, put->number);
    if (*place.added == nullptr) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
  }
  return CUDA_SUCCESS;
}

template <class M>
CUresult ask_node(CUgraphNode handle, Session** s, Graph** graph, Answer<M>* answer) {
  CUresult error = CUDA_SUCCESS;
  *s = session(&error);
  if (*s == nullptr) {
    return error;
  }
  const GraphNode* node = find_node(*s, handle, graph, &error);
  if (node == nullptr) {
    return error;
  }
  return (*s)->ask(M{.graph = (*graph)->id, .node = node->number}, answer);
}

}  // namespace

CUresult node_put_kernel(const NodePlace& place, CUfunction function, const Launch& launch) {
  CUresult error = CUDA_SUCCESS;
  Session* s = session(&error);
  if (s == nullptr) {
    return error;
  }
  const Function* kernel = s->resolve(function, &error);
  if (kernel == nullptr) {
    return error;
  }
  if (const CUresult wrong = check_launch(*kernel, launch); wrong != CUDA_SUCCESS) {
    return wrong;
  }
  alignas(16) std::byte packed[limits::param_bytes_max];
  message::KernelNode command;
  error = pack_params(*kernel, launch, packed, &command.params);
  Put put;
  if (error == CUDA_SUCCESS) {
    error = begin(place, &put);
  }
  if (error != CUDA_SUCCESS) {
    return error;
  }
  put.fill(&command);
  command.kernel = kernel->id;
  command.grid_x = launch.grid[0];
  command.grid_y = launch.grid[1];
  command.grid_z = launch.grid[2];
  command.block_x = launch.block[0];
  command.block_y = launch.block[1];
  command.block_z = launch.block[2];
  command.shared_bytes = static_cast<uint32_t>(launch.shared_bytes);
  return end(place, &put, s->post(command));
}

CUresult node_put_copy(const NodePlace& place, const Copy& copy) {
  Put put;
  if (const CUresult result = begin(place, &put); result != CUDA_SUCCESS) {
    return result;
  }
  Session* s = put.s;
  if (copy.width == 0 || copy.height == 0 || copy.depth == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  Copy box = copy;
  const bool flat = box.height == 1 && box.depth == 1;
  if (flat) {
    box.to_pitch = box.from_pitch = box.width;
  }
  if (box.depth == 1) {
    box.to_slice = box.to_pitch * box.height;
    box.from_slice = box.from_pitch * box.height;
  }
  bool to_device = false;
  bool from_device = false;
  if (const CUresult wrong = check_copy_ends(s, box, &to_device, &from_device);
      wrong != CUDA_SUCCESS) {
    return wrong;
  }
  // What the node copied before may have been the host's.
  if (put.how != NodeChange::kAdd && !put.copies().empty()) {
    Answer<message::CopyNodeGet> before;
    const CUresult result =
        s->ask(message::CopyNodeGet{.graph = put.graph->id, .node = put.number}, &before);
    if (result != CUDA_SUCCESS) {
      return result;
    }
    put.copies().remove(before.reply.from, false);
    put.copies().remove(before.reply.to, true);
  }
  if (const CUresult result = put.copies().replace_host_ends(put.graph->device->ordinal, !to_device,
                                                             !from_device, &box);
      result != CUDA_SUCCESS) {
    return result;
  }
  message::CopyNode command;
  put.fill(&command);
  command.to = box.to;
  command.to_pitch = box.to_pitch;
  command.to_slice = box.to_slice;
  command.from = box.from;
  command.from_pitch = box.from_pitch;
  command.from_slice = box.from_slice;
  command.width = box.width;
  command.height = box.height;
  command.depth = box.depth;
  const CUresult result = end(place, &put, s->post(command));
  return result == CUDA_SUCCESS && put.exec != nullptr && put.exec->parts > 1
             ? fetch_parts(s, put.exec)
             : result;
}

CUresult node_put_fill(const NodePlace& place, CUdeviceptr to, size_t pitch, uint32_t value,
                       unsigned element_bytes, size_t width, size_t height) {
  Put put;
  if (const CUresult result = begin(place, &put); result != CUDA_SUCCESS) {
    return result;
  }
  if ((element_bytes != 1 && element_bytes != 2 && element_bytes != 4) || width == 0 ||
      height == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  size_t row_bytes = 0;
  size_t bytes = 0;
  Device* owner = nullptr;
  if (__builtin_mul_overflow(width, size_t{element_bytes}, &row_bytes) || to % element_bytes != 0 ||
      (height > 1 && (pitch < row_bytes || pitch % element_bytes != 0)) ||
      __builtin_mul_overflow(height == 1 ? row_bytes : pitch, height, &bytes) ||
      !put.s->is_device_range(to, (height == 1 ? 0 : pitch * (height - 1)) + row_bytes, &owner)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  message::FillNode command;
  put.fill(&command);
  command.to = to;
  command.pitch = height == 1 ? row_bytes : pitch;
  command.value = value;
  command.element_bytes = element_bytes;
  command.width = width;
  command.height = height;
  return end(place, &put, put.s->post(command));
}

CUresult node_put_event(const NodePlace& place, CUevent event, bool wait) {
  Put put;
  if (const CUresult result = begin(place, &put); result != CUDA_SUCCESS) {
    return result;
  }
  const Event* found = put.s->events.find(bits_of(event));
  if (found == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  message::EventNode command;
  put.fill(&command);
  command.event = found->id;
  command.wait = wait ? 1 : 0;
  if (!wait) {
    put.events().push_back(bits_of(event));
  }
  return end(place, &put, put.s->post(command));
}

CUresult node_put_child(const NodePlace& place, CUgraph child) {
  CUresult error = CUDA_SUCCESS;
  Session* s = session(&error);
  Graph* inside = s == nullptr ? nullptr : find_graph(s, child, &error);
  if (inside == nullptr) {
    return error;
  }
  GraphCopies copies;
  std::vector<uint64_t> events;
  std::vector<HostFunctionRef> functions;
  {
    std::lock_guard lock(inside->mutex);
    if (!inside->memory.empty()) {
      return CUDA_ERROR_NOT_SUPPORTED;
    }
    copies = inside->copies;
    events = inside->events;
    functions = inside->functions;
  }
  Put put;
  error = begin(place, &put);
  if (error != CUDA_SUCCESS) {
    return error;
  }
  if (inside == put.graph) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  message::ChildNode command;
  put.fill(&command);
  command.child = inside->id;
  put.copies().add_all(copies);
  put.events().insert(put.events().end(), events.begin(), events.end());
  put.functions().insert(put.functions().end(), functions.begin(), functions.end());
  return end(place, &put, s->post(command));
}

CUresult node_put_host(const NodePlace& place, CUhostFn function, void* data) {
  Put put;
  if (const CUresult result = begin(place, &put); result != CUDA_SUCCESS) {
    return result;
  }
  if (function == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const HostFunctionRef made = put.s->host_functions.add(function, data);
  if (put.how == NodeChange::kInExec) {
    std::lock_guard lock(put.exec->mutex);
    for (PartCall& call : put.exec->calls) {
      if (call.node == put.number) {
        call.function = made;
        return CUDA_SUCCESS;
      }
    }
    return CUDA_ERROR_INVALID_VALUE;
  }
  put.functions().push_back(made);
  return end(place, &put,
             put.s->post(message::HostNode{.graph = put.graph->id,
                                           .node = put.number,
                                           .how = static_cast<uint32_t>(put.how),
                                           .function = made->number,
                                           .dependencies = put.dependencies}));
}

CUresult node_add_allocation(const NodePlace& place, int device, size_t bytes,
                             std::vector<CUmemAccessDesc> access, CUdeviceptr* address) {
  Put put;
  if (const CUresult result = begin(place, &put); result != CUDA_SUCCESS) {
    return result;
  }
  GraphMemoryRef made;
  if (bytes == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (const CUresult result =
          put.s->graph_memories.allocate(device, bytes, std::move(access), &made);
      result != CUDA_SUCCESS) {
    return result;
  }
  *address = made->address;
  put.graph->memory.allocated.push_back(std::move(made));
  return end(place, &put,
             put.s->post(message::MemoryNode{.graph = put.graph->id,
                                             .node = put.number,
                                             .address = *address,
                                             .bytes = bytes,
                                             .dependencies = put.dependencies}));
}

CUresult node_add_free(const NodePlace& place, CUdeviceptr address) {
  Put put;
  if (const CUresult result = begin(place, &put); result != CUDA_SUCCESS) {
    return result;
  }
  GraphMemoryRef found = put.s->graph_memories.find(address);
  if (found == nullptr || put.graph->memory.has_freed(address)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const size_t bytes = found->bytes;
  put.graph->memory.freed.push_back(std::move(found));
  return end(place, &put,
             put.s->post(message::MemoryNode{.graph = put.graph->id,
                                             .node = put.number,
                                             .frees = 1,
                                             .address = address,
                                             .bytes = bytes,
                                             .dependencies = put.dependencies}));
}

CUresult node_memory(CUgraphNode handle, CUDA_MEM_ALLOC_NODE_PARAMS* params) {
  Session* s = nullptr;
  Graph* graph = nullptr;
  Answer<message::MemoryNodeGet> answer;
  if (const CUresult result = ask_node(handle, &s, &graph, &answer); result != CUDA_SUCCESS) {
    return result;
  }
  const GraphMemoryRef found = s->graph_memories.find(answer.reply.address);
  if (found == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *params = {};
  params->poolProps.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  params->poolProps.location = {CU_MEM_LOCATION_TYPE_DEVICE, found->device};
  params->accessDescs = found->access.empty() ? nullptr : found->access.data();
  params->accessDescCount = found->access.size();
  params->bytesize = found->bytes;
  params->dptr = found->address;
  return CUDA_SUCCESS;
}

CUresult node_add_empty(const NodePlace& place) {
  Put put;
  if (const CUresult result = begin(place, &put); result != CUDA_SUCCESS) {
    return result;
  }
  return end(place, &put,
             put.s->post(message::EmptyNode{
                 .graph = put.graph->id, .node = put.number, .dependencies = put.dependencies}));
}

CUresult node_destroy(CUgraphNode handle) {
  CUresult error = CUDA_SUCCESS;
  Session* s = session(&error);
  Graph* graph = nullptr;
  const GraphNode* node = s == nullptr ? nullptr : find_node(s, handle, &graph, &error);
  if (node == nullptr) {
    return error;
  }
  if (!graph->memory.empty()) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  const uint32_t number = node->number;
  if (!graph->copies.empty()) {
    CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
    Answer<message::CopyNodeGet> before;
    if (node_type(handle, &type) == CUDA_SUCCESS && type == CU_GRAPH_NODE_TYPE_MEMCPY &&
        s->ask(message::CopyNodeGet{.graph = graph->id, .node = number}, &before) == CUDA_SUCCESS) {
      std::lock_guard lock(graph->mutex);
      graph->copies.remove(before.reply.from, false);
      graph->copies.remove(before.reply.to, true);
    }
  }
  std::lock_guard lock(graph->mutex);
  graph->names.erase(number);
  ++graph->destroyed;
  s->graph_nodes.destroy(bits_of(handle));
  const uint64_t sequence = s->post(message::NodeDestroy{.graph = graph->id, .node = number});
  return sequence == 0 ? kServerLost : CUDA_SUCCESS;
}

// ---- questions

CUresult node_type(CUgraphNode handle, CUgraphNodeType* type) {
  CUresult error = CUDA_SUCCESS;
  Session* s = session(&error);
  Graph* graph = nullptr;
  const GraphNode* node = s == nullptr ? nullptr : find_node(s, handle, &graph, &error);
  if (node == nullptr) {
    return error;
  }
  Answer<message::GraphShape> answer;
  error = s->ask(
      message::GraphShape{.graph = graph->id, .first_node = node->number, .first_edge = UINT32_MAX},
      &answer);
  if (error != CUDA_SUCCESS) {
    return error;
  }
  if (answer.reply.types.empty() || answer.reply.types[0].type == kNodeDestroyed) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *type = static_cast<CUgraphNodeType>(answer.reply.types[0].type);
  return CUDA_SUCCESS;
}

namespace {

CUresult edges_at(CUgraphNode handle, bool into, std::vector<Edge>* edges) {
  CUresult error = CUDA_SUCCESS;
  Session* s = session(&error);
  Graph* graph = nullptr;
  const GraphNode* node = s == nullptr ? nullptr : find_node(s, handle, &graph, &error);
  if (node == nullptr) {
    return error;
  }
  const uint64_t bits = node->graph;
  const uint32_t number = node->number;
  std::lock_guard lock(graph->mutex);
  Shape shape;
  error = fetch_shape(s, *graph, &shape);
  if (error != CUDA_SUCCESS) {
    return error;
  }
  for (const message::GraphEdge& edge : shape.edges) {
    if ((into ? edge.to : edge.from) == number) {
      edges->push_back({node_handle(s, bits, graph, edge.from),
                        node_handle(s, bits, graph, edge.to), edge_data_of(edge.data)});
    }
  }
  return CUDA_SUCCESS;
}

}  // namespace

CUresult node_dependencies(CUgraphNode node, std::vector<Edge>* edges) {
  return edges_at(node, true, edges);
}
CUresult node_dependents(CUgraphNode node, std::vector<Edge>* edges) {
  return edges_at(node, false, edges);
}

CUresult node_find_in_clone(CUgraphNode original, CUgraph clone, CUgraphNode* out) {
  CUresult error = CUDA_SUCCESS;
  Session* s = session(&error);
  Graph* graph = s == nullptr ? nullptr : find_graph(s, clone, &error);
  if (graph == nullptr) {
    return error;
  }
  const GraphNode* node = s->graph_nodes.find(bits_of(original));
  std::lock_guard lock(graph->mutex);
  if (node == nullptr || graph->original != node->graph || node->number >= graph->nodes) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *out = node_handle(s, bits_of(clone), graph, node->number);
  return CUDA_SUCCESS;
}

CUresult node_kernel(CUgraphNode handle, CUfunction* function, Launch* launch) {
  Session* s = nullptr;
  Graph* graph = nullptr;
  Answer<message::KernelNodeGet> answer;
  if (const CUresult result = ask_node(handle, &s, &graph, &answer); result != CUDA_SUCCESS) {
    return result;
  }
  const Function* kernel = s->functions.find(answer.reply.kernel);
  if (kernel == nullptr) {
    unsupported("the parameters of a library's kernel node");
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  *function = handle_of<CUfunction>(answer.reply.kernel);
  *launch = {};
  launch->grid[0] = answer.reply.grid_x;
  launch->grid[1] = answer.reply.grid_y;
  launch->grid[2] = answer.reply.grid_z;
  launch->block[0] = answer.reply.block_x;
  launch->block[1] = answer.reply.block_y;
  launch->block[2] = answer.reply.block_z;
  launch->shared_bytes = answer.reply.shared_bytes;
  GraphNode* node = s->graph_nodes.find(bits_of(handle));
  if (node == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::lock_guard lock(graph->mutex);
  node->params.assign(answer.reply.params.begin(), answer.reply.params.end());
  node->param_pointers.clear();
  for (const message::Param& param : kernel->facts.params) {
    if (param.offset + param.bytes <= node->params.size()) {
      node->param_pointers.push_back(node->params.data() + param.offset);
    }
  }
  launch->params = node->param_pointers.empty() ? nullptr : node->param_pointers.data();
  return CUDA_SUCCESS;
}

CUresult node_copy(CUgraphNode handle, Copy* copy) {
  Session* s = nullptr;
  Graph* graph = nullptr;
  Answer<message::CopyNodeGet> answer;
  if (const CUresult result = ask_node(handle, &s, &graph, &answer); result != CUDA_SUCCESS) {
    return result;
  }
  const auto& reply = answer.reply;
  *copy = {.to = reply.to,
           .from = reply.from,
           .to_place = Place::kDevice,
           .from_place = Place::kDevice,
           .width = reply.width,
           .height = reply.height,
           .depth = reply.depth,
           .to_pitch = reply.to_pitch,
           .from_pitch = reply.from_pitch,
           .to_slice = reply.to_slice,
           .from_slice = reply.from_slice};
  std::lock_guard lock(graph->mutex);
  if (const HostCopy* host = graph->copies.find(copy->from, false)) {
    copy->from = host->host;
    copy->from_place = Place::kHost;
    copy->from_pitch = host->pitch;
    copy->from_slice = host->slice;
  }
  if (const HostCopy* host = graph->copies.find(copy->to, true)) {
    copy->to = host->host;
    copy->to_place = Place::kHost;
    copy->to_pitch = host->pitch;
    copy->to_slice = host->slice;
  }
  return CUDA_SUCCESS;
}

CUresult node_fill(CUgraphNode handle, CUDA_MEMSET_NODE_PARAMS* params) {
  Session* s = nullptr;
  Graph* graph = nullptr;
  Answer<message::FillNodeGet> answer;
  if (const CUresult result = ask_node(handle, &s, &graph, &answer); result != CUDA_SUCCESS) {
    return result;
  }
  *params = {answer.reply.to,    answer.reply.pitch, answer.reply.value, answer.reply.element_bytes,
             answer.reply.width, answer.reply.height};
  return CUDA_SUCCESS;
}

CUresult node_host(CUgraphNode handle, CUhostFn* function, void** data) {
  Session* s = nullptr;
  Graph* graph = nullptr;
  Answer<message::HostNodeGet> answer;
  if (const CUresult result = ask_node(handle, &s, &graph, &answer); result != CUDA_SUCCESS) {
    return result;
  }
  const HostFunctionRef found = s->host_functions.find(answer.reply.function);
  if (found == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *function = found->function;
  *data = found->data;
  return CUDA_SUCCESS;
}

CUresult node_event(CUgraphNode handle, CUevent* event) {
  Session* s = nullptr;
  Graph* graph = nullptr;
  Answer<message::EventNodeGet> answer;
  if (const CUresult result = ask_node(handle, &s, &graph, &answer); result != CUDA_SUCCESS) {
    return result;
  }
  *event = handle_of<CUevent>(answer.reply.event);
  return CUDA_SUCCESS;
}

CUresult node_child(CUgraphNode handle, CUgraph* child) {
  CUresult error = CUDA_SUCCESS;
  Session* s = session(&error);
  Graph* graph = nullptr;
  const GraphNode* node = s == nullptr ? nullptr : find_node(s, handle, &graph, &error);
  if (node == nullptr) {
    return error;
  }
  std::lock_guard lock(graph->mutex);
  CUgraph& known = graph->children[node->number];
  if (known == nullptr) {
    uint64_t bits = 0;
    Graph* inside = s->graphs.create(&bits);
    if (inside == nullptr) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    inside->id = protocol::GraphId::from_bits(bits);
    inside->device = graph->device;
    inside->is_inside = true;
    Answer<message::GraphChild> answer;
    const CUresult result =
        s->ask(message::GraphChild{.graph = inside->id, .parent = graph->id, .node = node->number},
               &answer);
    if (result != CUDA_SUCCESS) {
      s->graphs.destroy(bits);
      graph->children.erase(node->number);
      return result;
    }
    inside->nodes = answer.reply.nodes;
    s->graphs.publish(bits);
    known = handle_of<CUgraph>(bits);
  }
  *child = known;
  return CUDA_SUCCESS;
}

CUresult node_attribute(CUgraphNode handle, CUkernelNodeAttrID id, CUkernelNodeAttrValue* value) {
  CUresult error = CUDA_SUCCESS;
  Session* s = session(&error);
  Graph* graph = nullptr;
  const GraphNode* node = s == nullptr ? nullptr : find_node(s, handle, &graph, &error);
  if (node == nullptr) {
    return error;
  }
  Answer<message::NodeAttributeGet> answer;
  error = s->ask(
      message::NodeAttributeGet{
          .graph = graph->id, .node = node->number, .id = static_cast<uint32_t>(id)},
      &answer);
  static_assert(sizeof *value == sizeof answer.reply.value);
  std::memcpy(value, answer.reply.value.data(), sizeof *value);
  return error;
}

CUresult node_set_attribute(CUgraphNode handle, CUkernelNodeAttrID id,
                            const CUkernelNodeAttrValue& value) {
  CUresult error = CUDA_SUCCESS;
  Session* s = session(&error);
  Graph* graph = nullptr;
  const GraphNode* node = s == nullptr ? nullptr : find_node(s, handle, &graph, &error);
  if (node == nullptr) {
    return error;
  }
  message::NodeAttribute command;
  command.graph = graph->id;
  command.node = node->number;
  command.id = static_cast<uint32_t>(id);
  std::memcpy(command.value.data(), &value, sizeof value);
  return s->post(command) == 0 ? kServerLost : CUDA_SUCCESS;
}

CUresult node_copy_attributes(CUgraphNode to, CUgraphNode from) {
  CUresult error = CUDA_SUCCESS;
  Session* s = session(&error);
  if (s == nullptr) {
    return error;
  }
  Graph* to_graph = nullptr;
  Graph* from_graph = nullptr;
  const GraphNode* to_node = find_node(s, to, &to_graph, &error);
  const GraphNode* from_node =
      to_node == nullptr ? nullptr : find_node(s, from, &from_graph, &error);
  if (from_node == nullptr) {
    return error;
  }
  const uint64_t sequence = s->post(message::NodeAttributesCopy{.to = to_graph->id,
                                                                .from = from_graph->id,
                                                                .to_node = to_node->number,
                                                                .from_node = from_node->number});
  return sequence == 0 ? kServerLost : CUDA_SUCCESS;
}

}  // namespace farlane::client
