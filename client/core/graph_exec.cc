// Instances of graphs: made once, launched with one small command.
#include <algorithm>
#include <functional>
#include <memory>
#include <utility>

#include "client/core/graph_detail.h"
#include "protocol/limits.h"

namespace farlane::client {

CUresult fetch_parts(Session* s, GraphExec* exec) {
  exec->calls.clear();
  std::vector<GraphCopies::Part> copies;
  uint32_t calls_total = 1;
  uint32_t copies_total = 1;
  while (exec->calls.size() < calls_total || copies.size() < copies_total) {
    Answer<message::ExecParts> answer;
    const CUresult result =
        s->ask(message::ExecParts{.exec = exec->id,
                                  .first_call = static_cast<uint32_t>(exec->calls.size()),
                                  .first_copy = static_cast<uint32_t>(copies.size())},
               &answer);
    if (result != CUDA_SUCCESS) {
      return result;
    }
    exec->parts = answer.reply.parts;
    calls_total = answer.reply.calls;
    copies_total = answer.reply.copies;
    for (const message::PartCall& call : answer.reply.call_list) {
      HostFunctionRef function = s->host_functions.find(call.function);
      if (function == nullptr) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      exec->calls.push_back({call.part, call.node, std::move(function)});
    }
    for (const message::PartCopy& copy : answer.reply.copy_list) {
      copies.push_back({copy.part, copy.to, copy.from, copy.bytes});
    }
    if (answer.reply.call_list.empty() && answer.reply.copy_list.empty()) {
      break;
    }
  }
  exec->copies.assign_parts(copies);
  return CUDA_SUCCESS;
}

namespace {

// Another instance may have the stand-ins of the graph: it gets new ones, before `exec` or, null, a
// new instance takes them along. With the graph's lock.
CUresult give_own_stand_ins(Session* s, Graph* graph, const GraphExec* exec) {
  std::vector<GraphContents::Move> moves;
  const CUresult result = graph->contents->replace_shared(
      graph->device->ordinal, exec == nullptr ? nullptr : &exec->copies, &moves);
  std::vector<message::StandInMove> list;
  for (size_t at = 0; result == CUDA_SUCCESS && at < moves.size(); ++at) {
    list.push_back({moves[at].from, moves[at].to, moves[at].bytes});
    if (list.size() == protocol::limits::part_items_max || at + 1 == moves.size()) {
      if (s->post(message::StandInsMove{.graph = graph->id, .moves = list}) == 0) {
        return kServerLost;
      }
      list.clear();
    }
  }
  return result;
}

}  // namespace

CUresult graph_instantiate(CUgraph handle, uint64_t flags, CUgraphExec* exec,
                           CUgraphInstantiateResult* outcome, CUgraphNode* error_node) {
  Call call;
  *exec = nullptr;
  Graph* graph = call.graph(handle);
  call.check_unsafe();
  if (!call) {
    return call.error;
  }
  constexpr uint64_t kKnown =
      CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH | CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD |
      CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH | CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY;
  if ((flags & ~kKnown) != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if ((flags & CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH) != 0) {
    unsupported("graphs that are launched from the device");
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  if (!graph->memory.empty() && graph->instances != 0) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  std::lock_guard lock(graph->mutex);
  call.error = give_own_stand_ins(call.session, graph, nullptr);
  GraphExec* made = call.make(call->graph_execs, graph->device);
  if (made == nullptr) {
    return call.error;
  }
  const uint64_t bits = made->id.bits();
  made->flags = flags;
  Answer<message::GraphInstantiate> answer;
  const CUresult result = call->ask(
      message::GraphInstantiate{
          .exec = made->id,
          .graph = graph->id,
          .flags = flags & ~static_cast<uint64_t>(CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD)},
      &answer);
  if (outcome != nullptr) {
    *outcome = static_cast<CUgraphInstantiateResult>(answer.reply.outcome);
  }
  if (error_node != nullptr) {
    *error_node = answer.reply.error_node == 0 ? nullptr
                                               : node_handle(call.session, bits_of(handle), graph,
                                                             answer.reply.error_node - 1);
  }
  if (result != CUDA_SUCCESS) {
    call->graph_execs.destroy(bits);
    return result;
  }
  GraphContents contents = graph->contents->flat(graph->id.bits());
  made->copies = std::move(contents.copies);
  made->events = std::move(contents.events);
  if (!contents.functions.empty()) {
    if (const CUresult told = fetch_parts(call.session, made); told != CUDA_SUCCESS) {
      call->end(call->graph_execs, bits,
                message::ExecDestroy{.exec = protocol::ExecId::from_bits(bits)});
      return told;
    }
  }
  if (!graph->memory.empty()) {
    made->memory = graph->memory;
    made->graph = bits_of(handle);
    ++graph->instances;
  }
  made->objects = graph->objects;
  retain_objects(call.session, made->objects);
  call->graph_execs.publish(bits);
  made->device->memory_changed();
  *exec = handle_of<CUgraphExec>(bits);
  return CUDA_SUCCESS;
}

namespace {

// Does what must come behind the last launch, which `order` marks: without a wait where that is
// possible, because a host function of such a launch may wait for the caller.
CUresult do_behind(Session* s, CUevent order, uint64_t last_stream, std::function<void()> what) {
  const RelaxedCapture ours;
  CUresult over = order == nullptr ? CUDA_SUCCESS : event_query(order);
  if (over == CUDA_ERROR_NOT_READY) {
    Stream* last = s->streams.find(last_stream);
    if (last != nullptr && s->captures.of(*last) == nullptr) {
      const auto call = [what = std::move(what)](CUresult) { what(); };
      return post_host_call(s, last, call) == 0 ? kServerLost : CUDA_SUCCESS;
    }
    over = event_synchronize(order);
  }
  what();
  return over;
}

// Launches under way may still use the objects.
CUresult release_behind(Session* s, CUevent order, uint64_t last_stream, ObjectCounts* objects) {
  const auto held = std::make_shared<ObjectCounts>(std::exchange(*objects, {}));
  return do_behind(s, order, last_stream, [s, held] { release_objects(s, held.get()); });
}

}  // namespace

CUresult exec_destroy(CUgraphExec handle) {
  Call call;
  GraphExec* exec = call.exec(handle);
  if (exec == nullptr) {
    return call.error;
  }
  ObjectCounts objects;
  GraphCopies copies;
  GraphMemoryUse memory;
  CUevent order = nullptr;
  uint64_t last_stream = 0;
  const protocol::ExecId id = exec->id;
  {
    std::lock_guard lock(exec->mutex);
    objects.swap(exec->objects);
    copies = std::exchange(exec->copies, {});
    memory = std::exchange(exec->memory, {});
    order = std::exchange(exec->order, nullptr);
    last_stream = exec->last_stream;
  }
  if (Graph* graph = exec->graph == 0 ? nullptr : call->graphs.find(exec->graph)) {
    std::lock_guard lock(graph->mutex);
    --graph->instances;
  }
  exec->device->memory_changed();
  Session* const s = call.session;
  const auto held = std::make_shared<ObjectCounts>(std::move(objects));
  const auto destroy = [s, id, order, held] {
    s->end(s->graph_execs, id.bits(), message::ExecDestroy{.exec = id});
    s->end(s->events, bits_of(order),
           message::EventDestroy{.event = protocol::EventId::from_bits(bits_of(order))});
    release_objects(s, held.get());
  };
  if (order == nullptr) {
    destroy();
    return CUDA_SUCCESS;
  }
  // Not before that: the next instance would get the name, which is not free on the server while
  // parts of a launch wait for their turn there. The same with the event.
  return do_behind(s, order, last_stream, destroy);
}

namespace {

// Copies from and to the stand-ins of one launch must not meet those of the launch before, nor may
// the parts of two launches mix.
CUresult order_behind_last(const GraphExec& exec, const Stream& stream, CUstream handle) {
  return exec.order == nullptr || exec.last_stream == stream.id.bits()
             ? CUDA_SUCCESS
             : stream_wait_event(handle, exec.order, 0);
}

// Done at once: later, the stream may be captured or gone.
CUresult mark_launch(Session* s, GraphExec* exec, const Stream& stream, CUstream handle) {
  const Event* known = s->events.find(bits_of(exec->order));
  if (known != nullptr && known->device != stream.device) {
    event_destroy(std::exchange(exec->order, nullptr));
  }
  if (exec->order == nullptr) {
    const CUresult made = make_event(stream.device->ordinal, CU_EVENT_DISABLE_TIMING, &exec->order);
    if (made != CUDA_SUCCESS) {
      return made;
    }
  }
  return event_record(exec->order, handle, 0);
}

// One part of a launch, or all of one that has only this, and what the client does around it.
CUresult launch_part(Session* s, GraphExec* exec, uint32_t part, Stream* found, CUstream stream,
                     uint64_t* sequence) {
  if (const CUresult result = copy_stand_ins(exec->copies, part, false, stream);
      result != CUDA_SUCCESS) {
    return result;
  }
  *sequence = exec->calls.empty()
                  ? s->post_to(found, message::GraphLaunch{.stream = found->id, .exec = exec->id})
                  : s->post_to(found, message::PartLaunch{
                                          .stream = found->id, .exec = exec->id, .part = part});
  if (*sequence == 0) {
    return kServerLost;
  }
  if (const CUresult result = copy_stand_ins(exec->copies, part, true, stream);
      result != CUDA_SUCCESS) {
    return result;
  }
  for (const PartCall& call : exec->calls) {
    if (call.part == part && call_in_stream(s, found, call.function) == 0) {
      return kServerLost;
    }
  }
  return CUDA_SUCCESS;
}

}  // namespace

CUresult exec_launch(CUgraphExec handle, CUstream stream) {
  Call call;
  call.take_earlier();
  GraphExec* exec = call.exec(handle);
  Stream* found = call.stream(stream);
  call.admit(found, false);  // CUDA 13 does not capture launches of graphs
  if (!call) {
    return call.error;
  }
  std::lock_guard lock(exec->mutex);
  std::unique_lock stream_lock(found->graph_launch);
  if (!exec->memory.empty()) {
    call.error = call->graph_memories.launch(
        exec->memory, (exec->flags & CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH) != 0);
    if (!call) {
      return call.error;
    }
  }
  if (!exec->copies.empty() || !exec->calls.empty()) {
    call.error = order_behind_last(*exec, *found, stream);
    if (!call) {
      return call.error;
    }
  }
  uint64_t sequence = 0;
  for (uint32_t part = 0; part < exec->parts; ++part) {
    call.error = launch_part(call.session, exec, part, found, stream, &sequence);
    if (!call) {
      return call.error;
    }
  }
  exec->last_stream = found->id.bits();
  if (!exec->copies.empty() || !exec->calls.empty() || !exec->objects.empty()) {
    call.error = mark_launch(call.session, exec, *found, stream);
    if (!call) {
      return call.error;
    }
  }
  stream_lock.unlock();
  for (const auto& recorded : exec->events.all()) {
    if (Event* event = call->events.find(recorded.event)) {
      event->capture.store(0, std::memory_order_release);
      event->recorded_stream.store(found->id.bits(), std::memory_order_release);
      event->recorded_sequence.store(sequence, std::memory_order_release);
    }
  }
  return call->launch_blocking ? stream_synchronize(stream) : CUDA_SUCCESS;
}

CUresult exec_upload(CUgraphExec handle, CUstream stream) {
  Call call;
  GraphExec* exec = call.exec(handle);
  Stream* found = call.stream(stream);
  call.admit(found, false);
  if (!call) {
    return call.error;
  }
  return posted(call->post_to(found, message::GraphUpload{.stream = found->id, .exec = exec->id}));
}

CUresult exec_update(CUgraphExec handle, CUgraph graph_handle, CUgraphExecUpdateResultInfo* info) {
  Call call;
  GraphExec* exec = call.exec(handle);
  Graph* graph = call.graph(graph_handle);
  if (graph == nullptr) {
    return call.error;
  }
  ObjectCounts objects;  // of the instance till now
  GraphCopies copies;    // too
  CUevent order = nullptr;
  uint64_t last_stream = 0;
  std::unique_lock graph_lock(graph->mutex, std::defer_lock);
  std::unique_lock exec_lock(exec->mutex, std::defer_lock);
  std::lock(graph_lock, exec_lock);
  if (const CUresult wrong = give_own_stand_ins(call.session, graph, exec); wrong != CUDA_SUCCESS) {
    return wrong;
  }
  Answer<message::ExecUpdate> answer;
  const CUresult result =
      call->ask(message::ExecUpdate{.exec = exec->id, .graph = graph->id}, &answer);
  const auto node = [&](uint32_t number) {
    return number == 0 ? nullptr
                       : node_handle(call.session, bits_of(graph_handle), graph, number - 1);
  };
  info->result = static_cast<CUgraphExecUpdateResult>(answer.reply.outcome);
  info->errorNode = node(answer.reply.error_node);
  info->errorFromNode = node(answer.reply.error_from);
  if (result != CUDA_SUCCESS) {
    return result;
  }
  GraphContents contents = graph->contents->flat(graph->id.bits());
  copies = std::exchange(exec->copies, std::move(contents.copies));
  exec->knows_names &= exec->copies.take_names(copies);
  exec->events = std::move(contents.events);
  const CUresult told = exec->calls.empty() ? CUDA_SUCCESS : fetch_parts(call.session, exec);
  retain_objects(call.session, graph->objects);
  objects = std::exchange(exec->objects, graph->objects);
  order = exec->order;
  last_stream = exec->last_stream;
  graph_lock.unlock();
  exec_lock.unlock();
  const CUresult earlier =
      objects.empty() ? CUDA_SUCCESS : release_behind(call.session, order, last_stream, &objects);
  return told != CUDA_SUCCESS ? told : earlier;
}

CUresult exec_flags(CUgraphExec handle, uint64_t* flags) {
  Call call;
  const GraphExec* exec = call.exec(handle);
  if (exec == nullptr) {
    return call.error;
  }
  *flags = exec->flags;
  return CUDA_SUCCESS;
}

CUresult exec_enable_node(CUgraphExec handle, CUgraphNode node_name, bool enabled) {
  Call call;
  GraphExec* exec = call.exec(handle);
  Graph* graph = nullptr;
  const GraphNode* node = call.node(node_name, &graph);
  if (node == nullptr) {
    return call.error;
  }
  CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
  if (const CUresult result = node_type(node_name, &type); result != CUDA_SUCCESS) {
    return result;
  }
  if (type != CU_GRAPH_NODE_TYPE_KERNEL && type != CU_GRAPH_NODE_TYPE_MEMCPY &&
      type != CU_GRAPH_NODE_TYPE_MEMSET) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::lock_guard lock(exec->mutex);
  if (enabled) {
    exec->disabled.erase({node->graph, node->number});
  } else {
    exec->disabled.insert({node->graph, node->number});
  }
  return posted(call->post(message::NodeEnable{
      .exec = exec->id, .graph = graph->id, .node = node->number, .enabled = enabled ? 1u : 0u}));
}

CUresult exec_node_enabled(CUgraphExec handle, CUgraphNode node_name, bool* enabled) {
  Call call;
  GraphExec* exec = call.exec(handle);
  Graph* graph = nullptr;
  const GraphNode* node = call.node(node_name, &graph);
  if (node == nullptr) {
    return call.error;
  }
  std::lock_guard lock(exec->mutex);
  *enabled = !exec->disabled.contains({node->graph, node->number});
  return CUDA_SUCCESS;
}

}  // namespace farlane::client
