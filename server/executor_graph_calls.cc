// Commands about nodes whose work is not the driver's alone: host nodes, whose functions run in the
// client; memory nodes, whose addresses the client decides; conditional nodes, whose bodies the
// client names.
#include <fmt/format.h>

#include <set>

#include "protocol/limits.h"
#include "server/executor.h"
#include "server/graph_parts.h"
#include "server/node_commands.h"

namespace farlane::server {

namespace {

// Stands in the driver's host nodes. They only keep the place of the client's function, whose
// number is their data: what is instantiated has none of them.
void CUDA_CB never_called(void*) {}

CUDA_HOST_NODE_PARAMS host_params(uint64_t function) {
  return {never_called, reinterpret_cast<void*>(function)};
}

}  // namespace

// ---- host nodes

bool Executor::on(const RecordHeader& header, const message::HostNode& node) {
  const CUDA_HOST_NODE_PARAMS params = host_params(node.function);
  const bool can = driver_.cuGraphAddHostNode != nullptr &&
                   driver_.cuGraphHostNodeGetParams != nullptr &&
                   driver_.cuGraphHostNodeSetParams != nullptr;
  return put_node(
      header, NewNode{node.graph, {}, node.node, node.how, node.dependencies},
      can ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED,
      [&](const Graph& graph, const CUgraphNode* on, size_t count, CUgraphNode* out) {
        return driver_.cuGraphAddHostNode(out, graph.handle, on, count, &params);
      },
      [&](const Graph&, CUgraphNode one) { return driver_.cuGraphHostNodeSetParams(one, &params); },
      [](const ExecPlace&, CUgraphNode) { return CUDA_ERROR_INVALID_VALUE; });
}

bool Executor::on(const RecordHeader& header, const message::HostCaptured& captured) {
  CUresult result = CUDA_SUCCESS;
  const StreamRef* stream = find_stream(header, captured.stream, &result);
  if (stream != nullptr) {
    const CUDA_HOST_NODE_PARAMS params = host_params(captured.function);
    result = (*stream)->capture == nullptr
                 ? CUDA_ERROR_ILLEGAL_STATE
                 : driver_.cuLaunchHostFunc((*stream)->handle, params.fn, params.userData);
  }
  return posted(header, result, [&] { return describe(captured.stream); });
}

bool Executor::on(const RecordHeader& header, const message::HostNodeGet& get) {
  message::HostNodeGetReply reply;
  CUresult result = CUDA_SUCCESS;
  CUgraphNode node = nullptr;
  CUDA_HOST_NODE_PARAMS params{};
  if (find_node(header, get.graph, get.node, &node, &result) != nullptr) {
    result = driver_.cuGraphHostNodeGetParams == nullptr
                 ? CUDA_ERROR_NOT_SUPPORTED
                 : driver_.cuGraphHostNodeGetParams(node, &params);
    reply.function = reinterpret_cast<uint64_t>(params.userData);
  }
  return answer(header.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::ExecParts& parts) {
  message::ExecPartsReply reply;
  CUresult result = CUDA_SUCCESS;
  const GraphExec* exec = find_exec(header, parts.exec, &result);
  reply.parts = 1;
  if (exec != nullptr && exec->parts != nullptr) {
    const auto page = [](const auto& all, size_t first) {
      const std::span list(all);
      const size_t begin = std::min(first, list.size());
      return list.subspan(begin,
                          std::min<size_t>(list.size() - begin, protocol::limits::part_items_max));
    };
    reply.parts = static_cast<uint32_t>(exec->parts->parts.size());
    reply.calls = static_cast<uint32_t>(exec->parts->calls.size());
    reply.copies = static_cast<uint32_t>(exec->parts->copies.size());
    reply.call_list = page(exec->parts->calls, parts.first_call);
    reply.copy_list = page(exec->parts->copies, parts.first_copy);
  }
  return answer(header.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::PartLaunch& launch) {
  CUresult result = CUDA_SUCCESS;
  const GraphExec* exec = find_exec(header, launch.exec, &result);
  const StreamRef* stream = exec == nullptr ? nullptr : find_stream(header, launch.stream, &result);
  if (stream != nullptr && (exec->parts == nullptr || launch.part >= exec->parts->parts.size())) {
    result = CUDA_ERROR_INVALID_VALUE;
  } else if (stream != nullptr) {
    if (is_far_ahead(**stream)) return false;
    result = (*stream)->device->use(**stream);
    if (result == CUDA_SUCCESS) {
      result = driver_.cuGraphLaunch(exec->parts->parts[launch.part].exec, (*stream)->handle);
    }
  }
  return posted(header, result, [&] {
    return fmt::format("part {} of {} on {}", launch.part, describe(launch.exec),
                       describe(launch.stream));
  });
}

bool Executor::on(const RecordHeader& header, const message::StandInsMove& move) {
  CUresult result = CUDA_SUCCESS;
  const Graph* graph = find_graph(header, move.graph, &result);
  for (const message::StandInMove& one : move.moves) {
    if (!may_touch(one.to, 0, one.bytes, 1)) result = CUDA_ERROR_INVALID_VALUE;
  }
  if (graph != nullptr && result == CUDA_SUCCESS) {
    result = move_stand_ins(driver_, graph->handle, move.moves);
  }
  return posted(header, result, [&] { return describe(move.graph); });
}

// ---- memory nodes

bool Executor::on(const RecordHeader& header, const message::MemoryNode& node) {
  return put_node(
      header, NewNode{node.graph, {}, node.node, 0, node.dependencies}, CUDA_SUCCESS,
      [&](Graph& graph, const CUgraphNode* on, size_t count, CUgraphNode* out) {
        const CUresult result = driver_.cuGraphAddEmptyNode(out, graph.handle, on, count);
        if (result == CUDA_SUCCESS) {
          graph.memory[*out] = {node.address, node.bytes, node.frees != 0};
        }
        return result;
      },
      [](const Graph&, CUgraphNode) { return CUDA_ERROR_INVALID_VALUE; },
      [](const ExecPlace&, CUgraphNode) { return CUDA_ERROR_INVALID_VALUE; });
}

bool Executor::on(const RecordHeader& header, const message::MemoryCaptured& captured) {
  CUresult result = CUDA_SUCCESS;
  const StreamRef* stream = find_stream(header, captured.stream, &result);
  const CaptureRef capture = stream == nullptr ? nullptr : (*stream)->capture;
  if (stream != nullptr && capture == nullptr) {
    result = CUDA_ERROR_ILLEGAL_STATE;
  } else if (stream != nullptr && driver_.cuStreamUpdateCaptureDependencies == nullptr) {
    result = CUDA_ERROR_NOT_SUPPORTED;
  } else if (stream != nullptr) {
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    cuuint64_t id = 0;
    CUgraph handle = nullptr;
    const CUgraphNode* after = nullptr;
    const CUgraphEdgeData* edges = nullptr;
    size_t count = 0;
    CUgraphNode node = nullptr;
    result = driver_.cuStreamGetCaptureInfo((*stream)->handle, &status, &id, &handle, &after,
                                            &edges, &count);
    if (result == CUDA_SUCCESS && status != CU_STREAM_CAPTURE_STATUS_ACTIVE) {
      result = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    }
    if (result == CUDA_SUCCESS) {
      result = driver_.cuGraphAddEmptyNode(&node, handle, after, count);
    }
    if (result == CUDA_SUCCESS) {
      result = driver_.cuStreamUpdateCaptureDependencies((*stream)->handle, &node, nullptr, 1,
                                                         CU_STREAM_SET_CAPTURE_DEPENDENCIES);
    }
    Graph* graph = nullptr;
    if (result == CUDA_SUCCESS && graphs_.find(capture->graph, &graph) == Lookup::kLive) {
      graph->memory[node] = {captured.address, captured.bytes, captured.frees != 0};
    }
  }
  return posted(header, result, [&] { return describe(captured.stream); });
}

bool Executor::on(const RecordHeader& header, const message::MemoryNodeGet& get) {
  message::MemoryNodeGetReply reply;
  CUresult result = CUDA_SUCCESS;
  CUgraphNode node = nullptr;
  const Graph* graph = find_node(header, get.graph, get.node, &node, &result);
  if (graph != nullptr) {
    const auto found = graph->memory.find(node);
    if (found == graph->memory.end()) {
      result = CUDA_ERROR_INVALID_VALUE;
    } else {
      reply.address = found->second.address;
      reply.bytes = found->second.bytes;
    }
  }
  return answer(header.sequence, reply, result);
}

// ---- conditional nodes

bool Executor::on(const RecordHeader& header, const message::ConditionCreate& create) {
  message::ConditionCreateReply reply;
  CUresult result = CUDA_SUCCESS;
  const Graph* graph = find_graph(header, create.graph, &result);
  if (graph != nullptr) {
    CUgraphConditionalHandle condition = 0;
    result = driver_.cuGraphConditionalHandleCreate == nullptr
                 ? CUDA_ERROR_NOT_SUPPORTED
                 : driver_.cuGraphConditionalHandleCreate(&condition, graph->handle,
                                                          graph->device->context(),
                                                          create.default_value, create.flags);
    reply.condition = condition;
  }
  return answer(header.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::ConditionNode& node) {
  std::set<uint32_t> indices;
  for (const message::GraphBody& body : node.bodies) {
    const auto id = protocol::GraphId::from_bits(body.graph);
    if (!id.is_valid() || !graphs_.can_create(id) || !indices.insert(id.index()).second) {
      return fault(header, describe(id) + " cannot be created");
    }
  }
  CUgraphNodeParams params{};
  params.type = CU_GRAPH_NODE_TYPE_CONDITIONAL;
  params.conditional.handle = node.condition;
  params.conditional.type = static_cast<CUgraphConditionalNodeType>(node.kind);
  params.conditional.size = static_cast<unsigned>(node.bodies.size());
  Device* device = nullptr;
  const bool known = node.kind <= CU_GRAPH_COND_TYPE_SWITCH;
  const bool done = put_node(
      header, NewNode{node.graph, {}, node.node, 0, node.dependencies},
      !known                              ? CUDA_ERROR_INVALID_VALUE
      : driver_.cuGraphAddNode == nullptr ? CUDA_ERROR_NOT_SUPPORTED
                                          : CUDA_SUCCESS,
      [&](const Graph& graph, const CUgraphNode* on, size_t count, CUgraphNode* out) {
        params.conditional.ctx = graph.device->context();
        const CUresult result =
            driver_.cuGraphAddNode(out, graph.handle, on, nullptr, count, &params);
        if (result == CUDA_SUCCESS) device = graph.device;
        return result;
      },
      [](const Graph&, CUgraphNode) { return CUDA_ERROR_INVALID_VALUE; },
      [](const ExecPlace&, CUgraphNode) { return CUDA_ERROR_INVALID_VALUE; });
  if (end_ != SessionEnd::kNotYet) return false;
  for (size_t i = 0; i < node.bodies.size(); ++i) {
    const auto id = protocol::GraphId::from_bits(node.bodies[i].graph);
    if (device == nullptr) {
      graphs_.create_failed(id);
      continue;
    }
    Graph body;
    body.name = id.bits();
    body.handle = params.conditional.phGraph_out[i];
    body.device = device;
    body.owned = false;
    body.is_named_before_capture = true;
    graphs_.create(id, std::move(body));
  }
  return done;
}

}  // namespace farlane::server
