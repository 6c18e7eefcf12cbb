// cuGraph*: graphs and their instances. Nodes are in driver_api_graph_nodes.cc.
#include <algorithm>
#include <cstdio>
#include <unordered_map>

#include "server/softcuda/driver_call.h"
#include "server/softcuda/driver_graph.h"
#include "server/softcuda/driver_stream.h"

using namespace farlane::softcuda;

namespace {

template <typename Body>
CUresult on_graph(CUgraph handle, Body&& body) noexcept {
  return in_context([&](const ContextPtr& context) -> CUresult {
    const auto graph = Driver::instance().graphs.find(handle);
    return graph == nullptr ? CUDA_ERROR_INVALID_VALUE : body(context, graph);
  });
}

CUresult make_exec(const ContextPtr& context, const std::shared_ptr<GraphObject>& graph,
                   unsigned long long flags, CUgraphExec* out) {
  auto exec = std::make_shared<ExecObject>();
  {
    const auto lock = Scheduler::instance().lock();
    auto nodes = instantiate(*graph);
    if (!nodes) {
      return CUDA_ERROR_INVALID_VALUE;  // a cycle
    }
    exec->nodes = std::move(*nodes);
  }
  exec->context = context;
  exec->flags = flags;
  *out = Driver::instance().graph_execs.add(std::move(exec));
  return CUDA_SUCCESS;
}

CUgraphExecUpdateResult take_over(std::vector<ExecObject::Node>& nodes,
                                  std::vector<ExecObject::Node>& update, CUgraphNode* wrong) {
  *wrong = nullptr;
  if (nodes.size() != update.size()) {
    return CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
  }
  for (size_t i = 0; i < nodes.size(); ++i) {
    *wrong = update[i].original->handle;
    if (nodes[i].dependencies != update[i].dependencies) {
      return CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
    }
    if (nodes[i].work->type != update[i].work->type) {
      return CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED;
    }
    CUgraphNode inner = nullptr;
    const CUgraphExecUpdateResult inside = take_over(nodes[i].inside, update[i].inside, &inner);
    if (inside != CU_GRAPH_EXEC_UPDATE_SUCCESS) {
      return inside;
    }
  }
  for (size_t i = 0; i < nodes.size(); ++i) {
    nodes[i].work = update[i].work;
  }
  *wrong = nullptr;
  return CU_GRAPH_EXEC_UPDATE_SUCCESS;
}

const char* type_name(CUgraphNodeType type) {
  switch (type) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
      return "KERNEL";
    case CU_GRAPH_NODE_TYPE_MEMCPY:
      return "MEMCPY";
    case CU_GRAPH_NODE_TYPE_MEMSET:
      return "MEMSET";
    case CU_GRAPH_NODE_TYPE_HOST:
      return "HOST";
    case CU_GRAPH_NODE_TYPE_GRAPH:
      return "GRAPH";
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
      return "EVENT_RECORD";
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
      return "EVENT_WAIT";
    default:
      return "EMPTY";
  }
}

}  // namespace

extern "C" {

CUresult cuGraphCreate(CUgraph* handle, unsigned int flags) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    if (handle == nullptr || flags != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    auto graph = std::make_shared<GraphObject>();
    graph->context = context;
    graph->handle = Driver::instance().graphs.add(graph);
    *handle = graph->handle;
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphDestroy(CUgraph handle) {
  return on_graph(handle, [&](const ContextPtr&, const auto& graph) -> CUresult {
    if (graph->inside_node || graph->captured) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    Driver::instance().graphs.take(handle);
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphClone(CUgraph* clone, CUgraph original) {
  return on_graph(original, [&](const ContextPtr&, const auto& graph) -> CUresult {
    if (clone == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::shared_ptr<GraphObject> made;
    {
      const auto lock = Scheduler::instance().lock();
      made = clone_graph(*graph);
    }
    made->handle = Driver::instance().graphs.add(made);
    *clone = made->handle;
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphNodeFindInClone(CUgraphNode* out, CUgraphNode original, CUgraph clone) {
  return on_graph(clone, [&](const ContextPtr&, const auto& graph) -> CUresult {
    const auto lock = Scheduler::instance().lock();
    for (const NodePtr& node : graph->nodes) {
      if (node->cloned_from != nullptr && node->cloned_from->handle == original) {
        *out = node->handle;
        return CUDA_SUCCESS;
      }
    }
    return CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuGraphGetNodes(CUgraph handle, CUgraphNode* nodes, size_t* count) {
  return on_graph(handle, [&](const ContextPtr&, const auto& graph) -> CUresult {
    if (count == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto lock = Scheduler::instance().lock();
    if (nodes == nullptr) {
      *count = graph->nodes.size();
      return CUDA_SUCCESS;
    }
    for (size_t i = 0; i < *count; ++i) {
      nodes[i] = i < graph->nodes.size() ? graph->nodes[i]->handle : nullptr;
    }
    *count = std::min(*count, graph->nodes.size());
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphGetEdges_v2(CUgraph handle, CUgraphNode* from, CUgraphNode* to,
                            CUgraphEdgeData* data, size_t* count) {
  return on_graph(handle, [&](const ContextPtr&, const auto& graph) -> CUresult {
    if (count == nullptr || (from == nullptr) != (to == nullptr)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto lock = Scheduler::instance().lock();
    size_t found = 0;
    for (const NodePtr& node : graph->nodes) {
      for (const GraphEdge& edge : node->dependencies) {
        if (from != nullptr && found < *count) {
          from[found] = edge.from->handle;
          to[found] = node->handle;
          if (data != nullptr) {
            data[found] = edge.data;
          }
        }
        ++found;
      }
    }
    *count = from == nullptr ? found : std::min(found, *count);
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphDebugDotPrint(CUgraph handle, const char* path, unsigned int) {
  return on_graph(handle, [&](const ContextPtr&, const auto& graph) -> CUresult {
    FILE* file = path == nullptr ? nullptr : std::fopen(path, "w");
    if (file == nullptr) {
      return CUDA_ERROR_OPERATING_SYSTEM;
    }
    const auto lock = Scheduler::instance().lock();
    std::unordered_map<const GraphNode*, size_t> numbers;
    std::fprintf(file, "digraph dot {\n");
    for (const NodePtr& node : graph->nodes) {
      const size_t number = numbers.size();
      numbers[node.get()] = number;
      std::fprintf(file, "\"node_%zu\" [label=\"%zu\\n%s\"];\n", number, number,
                   type_name(node->work->type));
    }
    for (const NodePtr& node : graph->nodes) {
      for (const GraphEdge& edge : node->dependencies) {
        std::fprintf(file, "\"node_%zu\" -> \"node_%zu\";\n", numbers[edge.from.get()],
                     numbers[node.get()]);
      }
    }
    std::fprintf(file, "}\n");
    std::fclose(file);
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphInstantiateWithParams(CUgraphExec* exec, CUgraph handle,
                                      CUDA_GRAPH_INSTANTIATE_PARAMS* params) {
  return on_graph(handle, [&](const ContextPtr& context, const auto& graph) -> CUresult {
    constexpr cuuint64_t kKnown = CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH |
                                  CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD |
                                  CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY;
    if (exec == nullptr || params == nullptr || (params->flags & ~kKnown) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    params->hErrNode_out = nullptr;
    const CUresult result = make_exec(context, graph, params->flags, exec);
    params->result_out =
        result == CUDA_SUCCESS ? CUDA_GRAPH_INSTANTIATE_SUCCESS : CUDA_GRAPH_INSTANTIATE_ERROR;
    return result;
  });
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec* exec, CUgraph handle, unsigned long long flags) {
  CUDA_GRAPH_INSTANTIATE_PARAMS params{};
  params.flags = flags;
  return cuGraphInstantiateWithParams(exec, handle, &params);
}

CUresult cuGraphExecDestroy(CUgraphExec handle) {
  return in_context([&](const ContextPtr&) -> CUresult {
    return Driver::instance().graph_execs.take(handle) == nullptr ? CUDA_ERROR_INVALID_VALUE
                                                                  : CUDA_SUCCESS;
  });
}

CUresult cuGraphLaunch(CUgraphExec handle, CUstream stream_handle) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    const auto exec = Driver::instance().graph_execs.find(handle);
    const auto stream = find_stream(context, stream_handle);
    if (exec == nullptr || stream == nullptr) {
      return exec == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_HANDLE;
    }
    if (const auto refused = refuse_captured(context, *stream)) {
      return *refused;
    }
    auto lock = Scheduler::instance().lock();
    launch_exec(lock, *exec, *stream);
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphUpload(CUgraphExec handle, CUstream stream_handle) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    if (Driver::instance().graph_execs.find(handle) == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return find_stream(context, stream_handle) == nullptr ? CUDA_ERROR_INVALID_HANDLE
                                                          : CUDA_SUCCESS;
  });
}

CUresult cuGraphExecUpdate_v2(CUgraphExec handle, CUgraph graph_handle,
                              CUgraphExecUpdateResultInfo* info) {
  return on_graph(graph_handle, [&](const ContextPtr&, const auto& graph) -> CUresult {
    const auto exec = Driver::instance().graph_execs.find(handle);
    if (exec == nullptr || info == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *info = {};
    const auto lock = Scheduler::instance().lock();
    auto update = instantiate(*graph);
    info->result =
        !update ? CU_GRAPH_EXEC_UPDATE_ERROR : take_over(exec->nodes, *update, &info->errorNode);
    if (info->result != CU_GRAPH_EXEC_UPDATE_SUCCESS) {
      return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
    }
    return CUDA_SUCCESS;
  });
}

}  // extern "C"
