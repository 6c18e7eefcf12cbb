// Nodes of graphs: adding them, changing them, asking what they are made of.
#include <algorithm>
#include <cstring>

#include "client/core/graph_detail.h"
#include "protocol/limits.h"

namespace farlane::client {

namespace limits = protocol::limits;

namespace {

// `how` on the wire.
enum class NodeChange : uint32_t { kAdd = 0, kInGraph = 1, kInExec = 2 };

// What a node of a graph copies from and to host memory.
CUresult names_in_graph(Session* s, const Graph& graph, uint32_t number,
                        GraphCopies::Names* names) {
  Answer<message::CopyNodeGet> answer;
  const CUresult result = s->ask(message::CopyNodeGet{.graph = graph.id, .node = number}, &answer);
  for (const bool to_host : {false, true}) {
    const HostCopy* found =
        result == CUDA_SUCCESS
            ? graph.contents->copies.find(to_host ? answer.reply.to : answer.reply.from, to_host)
            : nullptr;
    if (found != nullptr) {
      names->of(to_host) = found->name;
    }
  }
  return result;
}

// A place, looked up. The graph's lock is held while it exists, and the instance's.
class Put : public Call {
 public:
  explicit Put(const NodePlace& place) : place_(place) {
    if (place.node == nullptr) {
      find_new();
    } else {
      find_old();
    }
  }

  Graph* graph = nullptr;
  uint32_t number = 0;
  NodeChange how = NodeChange::kAdd;
  GraphExec* exec = nullptr;
  std::vector<message::GraphDependency> dependencies;

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
  GraphContents& contents() { return *graph->contents; }
  GraphCopies& copies() { return exec != nullptr ? exec->copies : contents().copies; }
  ObjectCounts& objects() { return exec != nullptr ? exec->objects : graph->objects; }
  GraphEvents& events() { return exec != nullptr ? exec->events : contents().events; }

  // The copies from and to host memory that the node made so far.
  CUresult find_copies(GraphCopies::Names* names) {
    if (how == NodeChange::kAdd || (copies().empty() && contents().copies.empty())) {
      return CUDA_SUCCESS;
    }
    if (exec != nullptr) {
      if (!exec->knows_names) {
        unsupported("changing a copy of an instance that was updated from a graph with others");
        return CUDA_ERROR_NOT_SUPPORTED;
      }
      const auto changed = exec->changed_copies.find({graph->id.bits(), number});
      if (changed != exec->changed_copies.end()) {
        *names = changed->second;
        return CUDA_SUCCESS;
      }
    }
    return names_in_graph(session, *graph, number, names);
  }

  // Posts the command that does it. A new node gets its handle.
  template <class M>
  CUresult finish(const M& command) {
    if (session->post(command) == 0) {
      return kServerLost;
    }
    if (how == NodeChange::kAdd) {
      ++graph->nodes;
      *place_.added = node_handle(session, graph->id.bits(), graph, number);
      if (*place_.added == nullptr) {
        return CUDA_ERROR_OUT_OF_MEMORY;
      }
    }
    return CUDA_SUCCESS;
  }

 private:
  void find_new() {
    graph = Call::graph(place_.graph);
    if (graph == nullptr) {
      return;
    }
    error = read_dependencies(session, graph->id.bits(), place_.dependencies, &dependencies);
    if (error != CUDA_SUCCESS) {
      return;
    }
    lock_ = std::unique_lock(graph->mutex);
    error = refresh_nodes(session, graph);
    number = graph->nodes;
  }
  void find_old() {
    const GraphNode* node = Call::node(place_.node, &graph);
    if (node == nullptr) {
      return;
    }
    number = node->number;
    how = NodeChange::kInGraph;
    lock_ = std::unique_lock(graph->mutex);
    if (place_.exec != nullptr) {
      how = NodeChange::kInExec;
      exec = Call::exec(place_.exec);
      if (exec != nullptr) {
        exec_lock_ = std::unique_lock(exec->mutex);
      }
    }
  }

  const NodePlace& place_;
  std::unique_lock<std::mutex> lock_;
  std::unique_lock<std::mutex> exec_lock_;
};

// What the server says about a node.
template <class M>
struct NodeAnswer : Call {
  explicit NodeAnswer(CUgraphNode handle) : node(Call::node(handle, &graph)) {
    if (node != nullptr) {
      error = session->ask(M{.graph = graph->id, .node = node->number}, &answer);
    }
  }
  Graph* graph = nullptr;
  GraphNode* node;
  Answer<M> answer;
};

}  // namespace

CUresult node_put_kernel(const NodePlace& place, CUfunction function, const Launch& launch) {
  Call call;
  const Function* kernel = call.function(function);
  if (kernel == nullptr) {
    return call.error;
  }
  if (const CUresult wrong = check_launch(*kernel, launch); wrong != CUDA_SUCCESS) {
    return wrong;
  }
  alignas(16) std::byte packed[limits::param_bytes_max];
  message::KernelNode command;
  if (const CUresult wrong = pack_params(*kernel, launch, packed, &command.params);
      wrong != CUDA_SUCCESS) {
    return wrong;
  }
  Put put(place);
  if (!put) {
    return put.error;
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
  return put.finish(command);
}

CUresult node_put_copy(const NodePlace& place, const Copy& copy) {
  Put put(place);
  if (!put) {
    return put.error;
  }
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
  if (const CUresult wrong = check_copy_ends(put.session, box, &to_device, &from_device);
      wrong != CUDA_SUCCESS) {
    return wrong;
  }
  // What the node copied before may have been the host's.
  GraphCopies::Names names;
  if (const CUresult result = put.find_copies(&names); result != CUDA_SUCCESS) {
    return result;
  }
  if (const CUresult result = put.copies().replace_host_ends(put.graph->device->ordinal, !to_device,
                                                             !from_device, &box, &names);
      result != CUDA_SUCCESS) {
    return result;
  }
  if (put.exec != nullptr && (names.to_host != 0 || names.from_host != 0)) {
    put.exec->changed_copies[{put.graph->id.bits(), put.number}] = names;
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
  const CUresult result = put.finish(command);
  return result == CUDA_SUCCESS && put.exec != nullptr && put.exec->parts > 1
             ? fetch_parts(put.session, put.exec)
             : result;
}

CUresult node_put_fill(const NodePlace& place, CUdeviceptr to, size_t pitch, uint32_t value,
                       unsigned element_bytes, size_t width, size_t height) {
  Put put(place);
  if (!put) {
    return put.error;
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
      !put->is_device_range(to, (height == 1 ? 0 : pitch * (height - 1)) + row_bytes, &owner)) {
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
  return put.finish(command);
}

CUresult node_put_event(const NodePlace& place, CUevent event, bool wait) {
  Put put(place);
  if (!put) {
    return put.error;
  }
  const Event* found = put->events.find(bits_of(event));
  if (found == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  message::EventNode command;
  put.fill(&command);
  command.event = found->id;
  command.wait = wait ? 1 : 0;
  if (!wait) {
    put.events().put(put.exec != nullptr ? put.graph->id.bits() : GraphEvents::kHere, put.number,
                     bits_of(event));
  }
  return put.finish(command);
}

CUresult node_put_child(const NodePlace& place, CUgraph child) {
  Call call;
  Graph* inside = call.graph(child);
  if (inside == nullptr) {
    return call.error;
  }
  GraphContentsRef contents;
  ObjectCounts objects;
  {
    std::lock_guard lock(inside->mutex);
    if (!inside->memory.empty()) {
      return CUDA_ERROR_NOT_SUPPORTED;
    }
    contents = inside->contents->clone_as_child();
    objects = inside->objects;
  }
  const GraphContents all = contents->flat(0);
  Put put(place);
  if (!put) {
    return put.error;
  }
  if (inside == put.graph) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  // Which of the instance's copies and calls were the old child's is not known.
  if (put.exec != nullptr && !(put.copies().empty() && put.exec->calls.empty() &&
                               all.copies.empty() && all.functions.empty())) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  message::ChildNode command;
  put.fill(&command);
  command.child = inside->id;
  if (put.exec != nullptr) {
    put.events().add_all(all.events, 0);
  } else {
    put.contents().children[put.number] = std::move(contents);
  }
  retain_objects(call.session, objects);
  for (const auto& [object, references] : objects) {
    put.objects()[object] += references;
  }
  return put.finish(command);
}

CUresult node_put_host(const NodePlace& place, CUhostFn function, void* data) {
  Put put(place);
  if (!put) {
    return put.error;
  }
  if (function == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const HostFunctionRef made = put->host_functions.add(function, data);
  if (put.how == NodeChange::kInExec) {
    for (PartCall& call : put.exec->calls) {
      if (call.node == put.number) {
        call.function = made;
        return CUDA_SUCCESS;
      }
    }
    return CUDA_ERROR_INVALID_VALUE;
  }
  put.contents().node_functions[put.number] = made;
  return put.finish(message::HostNode{.graph = put.graph->id,
                                      .node = put.number,
                                      .how = static_cast<uint32_t>(put.how),
                                      .function = made->number,
                                      .dependencies = put.dependencies});
}

CUresult node_add_allocation(const NodePlace& place, int device, size_t bytes,
                             std::vector<CUmemAccessDesc> access, CUdeviceptr* address) {
  Put put(place);
  if (!put) {
    return put.error;
  }
  GraphMemoryRef made;
  if (bytes == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (put.graph->is_inside) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  if (const CUresult result = put->graph_memories.allocate(device, bytes, std::move(access), &made);
      result != CUDA_SUCCESS) {
    return result;
  }
  *address = made->address;
  put.graph->memory.allocated.push_back(std::move(made));
  return put.finish(message::MemoryNode{.graph = put.graph->id,
                                        .node = put.number,
                                        .address = *address,
                                        .bytes = bytes,
                                        .dependencies = put.dependencies});
}

CUresult node_add_free(const NodePlace& place, CUdeviceptr address) {
  Put put(place);
  if (!put) {
    return put.error;
  }
  if (put.graph->is_inside) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  GraphMemoryRef found = put->graph_memories.find(address);
  if (found == nullptr || put.graph->memory.has_freed(address)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const size_t bytes = found->bytes;
  put.graph->memory.freed.push_back(std::move(found));
  return put.finish(message::MemoryNode{.graph = put.graph->id,
                                        .node = put.number,
                                        .frees = 1,
                                        .address = address,
                                        .bytes = bytes,
                                        .dependencies = put.dependencies});
}

CUresult node_memory(CUgraphNode handle, CUDA_MEM_ALLOC_NODE_PARAMS* params) {
  const NodeAnswer<message::MemoryNodeGet> asked(handle);
  if (!asked) {
    return asked.error;
  }
  const GraphMemoryRef found = asked->graph_memories.find(asked.answer.reply.address);
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
  Put put(place);
  if (!put) {
    return put.error;
  }
  return put.finish(message::EmptyNode{
      .graph = put.graph->id, .node = put.number, .dependencies = put.dependencies});
}

CUresult node_destroy(CUgraphNode handle) {
  Call call;
  Graph* graph = nullptr;
  const GraphNode* node = call.node(handle, &graph);
  if (node == nullptr) {
    return call.error;
  }
  if (!graph->memory.empty()) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  const uint32_t number = node->number;
  CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
  const bool copies = !graph->contents->copies.empty() &&
                      node_type(handle, &type) == CUDA_SUCCESS && type == CU_GRAPH_NODE_TYPE_MEMCPY;
  GraphContentsRef child;  // given back without the lock
  std::unique_lock lock(graph->mutex);
  GraphCopies::Names names;
  if (copies && names_in_graph(call.session, *graph, number, &names) == CUDA_SUCCESS) {
    graph->contents->copies.remove(names);
  }
  graph->contents->events.remove(GraphEvents::kHere, number);
  graph->contents->node_functions.erase(number);
  if (const auto found = graph->contents->children.find(number);
      found != graph->contents->children.end()) {
    child = std::move(found->second);
    graph->contents->children.erase(found);
  }
  CUgraph inside = nullptr;
  if (const auto found = graph->children.find(number); found != graph->children.end()) {
    inside = found->second;
    graph->children.erase(found);
  }
  graph->names.erase(number);
  ++graph->destroyed;
  lock.unlock();
  if (Graph* named = inside == nullptr ? nullptr : call->graphs.find(bits_of(inside))) {
    destroy_graph(call.session, bits_of(inside), named);
  }
  call->graph_nodes.destroy(bits_of(handle));
  return posted(call->post(message::NodeDestroy{.graph = graph->id, .node = number}));
}

// ---- questions

CUresult node_type(CUgraphNode handle, CUgraphNodeType* type) {
  Call call;
  Graph* graph = nullptr;
  const GraphNode* node = call.node(handle, &graph);
  if (node == nullptr) {
    return call.error;
  }
  Answer<message::GraphShape> answer;
  call.error = call->ask(
      message::GraphShape{.graph = graph->id, .first_node = node->number, .first_edge = UINT32_MAX},
      &answer);
  if (!call) {
    return call.error;
  }
  if (answer.reply.types.empty() || answer.reply.types[0].type == kNodeDestroyed) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *type = static_cast<CUgraphNodeType>(answer.reply.types[0].type);
  return CUDA_SUCCESS;
}

namespace {

CUresult edges_at(CUgraphNode handle, bool into, std::vector<Edge>* edges) {
  Call call;
  Graph* graph = nullptr;
  const GraphNode* node = call.node(handle, &graph);
  if (node == nullptr) {
    return call.error;
  }
  const uint64_t bits = node->graph;
  const uint32_t number = node->number;
  std::lock_guard lock(graph->mutex);
  Shape shape;
  call.error = fetch_shape(call.session, *graph, &shape);
  if (!call) {
    return call.error;
  }
  for (const message::GraphEdge& edge : shape.edges) {
    if ((into ? edge.to : edge.from) == number) {
      edges->push_back({node_handle(call.session, bits, graph, edge.from),
                        node_handle(call.session, bits, graph, edge.to), edge_data_of(edge.data)});
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
  Call call;
  Graph* graph = call.graph(clone);
  if (graph == nullptr) {
    return call.error;
  }
  const GraphNode* node = call->graph_nodes.find(bits_of(original));
  std::lock_guard lock(graph->mutex);
  if (node == nullptr || graph->original != node->graph || node->number >= graph->nodes) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *out = node_handle(call.session, bits_of(clone), graph, node->number);
  return CUDA_SUCCESS;
}

CUresult node_kernel(CUgraphNode handle, CUfunction* function, Launch* launch) {
  const NodeAnswer<message::KernelNodeGet> asked(handle);
  if (!asked) {
    return asked.error;
  }
  const auto& reply = asked.answer.reply;
  const Function* kernel = asked->functions.find(reply.kernel);
  if (kernel == nullptr) {
    unsupported("the parameters of a library's kernel node");
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  *function = handle_of<CUfunction>(reply.kernel);
  *launch = {};
  launch->grid[0] = reply.grid_x;
  launch->grid[1] = reply.grid_y;
  launch->grid[2] = reply.grid_z;
  launch->block[0] = reply.block_x;
  launch->block[1] = reply.block_y;
  launch->block[2] = reply.block_z;
  launch->shared_bytes = reply.shared_bytes;
  GraphNode* node = asked->graph_nodes.find(bits_of(handle));
  if (node == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::lock_guard lock(asked.graph->mutex);
  node->params.assign(reply.params.begin(), reply.params.end());
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
  const NodeAnswer<message::CopyNodeGet> asked(handle);
  if (!asked) {
    return asked.error;
  }
  const auto& reply = asked.answer.reply;
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
  std::lock_guard lock(asked.graph->mutex);
  for (const bool target : {false, true}) {
    const CopyEnd end = end_of(copy, target);
    if (const HostCopy* host = asked.graph->contents->copies.find(*end.address, target)) {
      *end.address = host->host;
      *end.place = Place::kHost;
      *end.pitch = host->pitch;
      *end.slice = host->slice;
    }
  }
  return CUDA_SUCCESS;
}

CUresult node_fill(CUgraphNode handle, CUDA_MEMSET_NODE_PARAMS* params) {
  const NodeAnswer<message::FillNodeGet> asked(handle);
  if (!asked) {
    return asked.error;
  }
  const auto& reply = asked.answer.reply;
  *params = {reply.to, reply.pitch, reply.value, reply.element_bytes, reply.width, reply.height};
  return CUDA_SUCCESS;
}

CUresult node_host(CUgraphNode handle, CUhostFn* function, void** data) {
  const NodeAnswer<message::HostNodeGet> asked(handle);
  if (!asked) {
    return asked.error;
  }
  const HostFunctionRef found = asked->host_functions.find(asked.answer.reply.function);
  if (found == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *function = found->function;
  *data = found->data;
  return CUDA_SUCCESS;
}

CUresult node_event(CUgraphNode handle, CUevent* event) {
  const NodeAnswer<message::EventNodeGet> asked(handle);
  if (!asked) {
    return asked.error;
  }
  *event = handle_of<CUevent>(asked.answer.reply.event);
  return CUDA_SUCCESS;
}

CUresult node_child(CUgraphNode handle, CUgraph* child) {
  Call call;
  Graph* graph = nullptr;
  const GraphNode* node = call.node(handle, &graph);
  if (node == nullptr) {
    return call.error;
  }
  std::lock_guard lock(graph->mutex);
  CUgraph& known = graph->children[node->number];
  if (known == nullptr) {
    Graph* inside = call.make(call->graphs, graph->device);
    if (inside == nullptr) {
      return call.error;
    }
    const uint64_t bits = inside->id.bits();
    inside->is_inside = true;
    if (GraphContentsRef& contents = graph->contents->children[node->number]; contents != nullptr) {
      inside->contents = contents;
    } else {
      contents = inside->contents;
    }
    Answer<message::GraphChild> answer;
    const CUresult result = call->ask(
        message::GraphChild{.graph = inside->id, .parent = graph->id, .node = node->number},
        &answer);
    if (result != CUDA_SUCCESS) {
      call->graphs.destroy(bits);
      graph->children.erase(node->number);
      return result;
    }
    inside->nodes = answer.reply.nodes;
    call->graphs.publish(bits);
    known = handle_of<CUgraph>(bits);
  }
  *child = known;
  return CUDA_SUCCESS;
}

CUresult node_attribute(CUgraphNode handle, CUkernelNodeAttrID id, CUkernelNodeAttrValue* value) {
  Call call;
  Graph* graph = nullptr;
  const GraphNode* node = call.node(handle, &graph);
  if (node == nullptr) {
    return call.error;
  }
  Answer<message::NodeAttributeGet> answer;
  call.error = call->ask(
      message::NodeAttributeGet{
          .graph = graph->id, .node = node->number, .id = static_cast<uint32_t>(id)},
      &answer);
  static_assert(sizeof *value == sizeof answer.reply.value);
  std::memcpy(value, answer.reply.value.data(), sizeof *value);
  return call.error;
}

CUresult node_set_attribute(CUgraphNode handle, CUkernelNodeAttrID id,
                            const CUkernelNodeAttrValue& value) {
  Call call;
  Graph* graph = nullptr;
  const GraphNode* node = call.node(handle, &graph);
  if (node == nullptr) {
    return call.error;
  }
  message::NodeAttribute command;
  command.graph = graph->id;
  command.node = node->number;
  command.id = static_cast<uint32_t>(id);
  std::memcpy(command.value.data(), &value, sizeof value);
  return posted(call->post(command));
}

CUresult node_copy_attributes(CUgraphNode to, CUgraphNode from) {
  Call call;
  Graph* to_graph = nullptr;
  Graph* from_graph = nullptr;
  const GraphNode* to_node = call.node(to, &to_graph);
  const GraphNode* from_node = call.node(from, &from_graph);
  if (from_node == nullptr) {
    return call.error;
  }
  return posted(call->post(message::NodeAttributesCopy{.to = to_graph->id,
                                                       .from = from_graph->id,
                                                       .to_node = to_node->number,
                                                       .from_node = from_node->number}));
}

}  // namespace farlane::client
