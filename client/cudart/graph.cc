// Graphs, their instances, and the objects of the program that they keep.
#include "client/cudart/graph.h"

#include <cstdio>
#include <cstring>

namespace farlane::cudart {
namespace {

Error instantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags,
                  cudaStream_t upload, cudaGraphInstantiateResult* outcome,
                  cudaGraphNode_t* error_node) {
  if (exec == nullptr || graph == nullptr) {
    return cudaErrorInvalidValue;
  }
  CUgraphInstantiateResult driver_outcome = CUDA_GRAPH_INSTANTIATE_SUCCESS;
  const CUresult result = core::graph_instantiate(graph, flags, exec, &driver_outcome, error_node);
  if (outcome != nullptr) {
    *outcome = static_cast<cudaGraphInstantiateResult>(driver_outcome);
  }
  if (result == CUDA_SUCCESS && (flags & cudaGraphInstantiateFlagUpload) != 0) {
    return core::exec_upload(*exec, upload);
  }
  return result;
}

cudaError_t instantiate_with_params(cudaGraphExec_t* exec, cudaGraph_t graph,
                                    cudaGraphInstantiateParams* params, DefaultStream twin) {
  return enter_context([&](int) -> Error {
    if (params == nullptr) {
      return cudaErrorInvalidValue;
    }
    return instantiate(exec, graph, params->flags, stream_of(params->uploadStream, twin),
                       &params->result_out, &params->errNode_out);
  });
}

cudaError_t launch(cudaGraphExec_t exec, CUstream stream) {
  return enter_context([&](int) -> Error { return core::exec_launch(exec, stream); });
}

cudaError_t upload(cudaGraphExec_t exec, CUstream stream) {
  return enter_context([&](int) -> Error { return core::exec_upload(exec, stream); });
}

// The graph's edges, or those at a node of which `other` picks one end.
template <typename Other>
Error give_edges(const std::vector<core::Edge>& edges, cudaGraphNode_t* nodes,
                 cudaGraphEdgeData* data, size_t* count, Other&& other) {
  if (nodes == nullptr) {
    *count = edges.size();
    return {};
  }
  bool has_data = false;
  for (size_t i = 0; i < *count; ++i) {
    nodes[i] = i < edges.size() ? other(edges[i]) : nullptr;
    if (i < edges.size()) {
      const CUgraphEdgeData none{};
      has_data |= std::memcmp(&edges[i].data, &none, sizeof none) != 0;
      if (data != nullptr) {
        data[i] = edge_data_of(edges[i].data);
      }
    }
  }
  *count = std::min(*count, edges.size());
  return has_data && data == nullptr ? Error(cudaErrorLossyQuery) : Error();
}

}  // namespace
}  // namespace farlane::cudart

using namespace farlane::cudart;

cudaError_t cudaGraphCreate(cudaGraph_t* pGraph, unsigned int flags) {
  return enter_context([&](int device) -> Error {
    return pGraph == nullptr || flags != 0 ? CUDA_ERROR_INVALID_VALUE
                                           : core::graph_create(device, pGraph);
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return enter_release([&](int) -> Error { return core::graph_destroy(graph); });
}

cudaError_t cudaGraphClone(cudaGraph_t* pGraphClone, cudaGraph_t originalGraph) {
  return enter_context([&](int) -> Error {
    return pGraphClone == nullptr ? CUDA_ERROR_INVALID_VALUE
                                  : core::graph_clone(originalGraph, pGraphClone);
  });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* numNodes) {
  return enter_context([&](int) -> Error {
    if (numNodes == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (nodes == nullptr) {
      return core::graph_node_count(graph, numNodes);
    }
    std::vector<CUgraphNode> found;
    if (const CUresult result = core::graph_nodes(graph, &found); result != CUDA_SUCCESS) {
      return result;
    }
    give_out(found, *numNodes, [&](size_t i, const CUgraphNode* node) {
      nodes[i] = node == nullptr ? nullptr : *node;
    });
    *numNodes = std::min(*numNodes, found.size());
    return {};
  });
}

cudaError_t cudaGraphGetRootNodes(cudaGraph_t graph, cudaGraphNode_t* pRootNodes,
                                  size_t* pNumRootNodes) {
  return enter_context([&](int) -> Error {
    std::vector<CUgraphNode> found;
    if (pNumRootNodes == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (const CUresult result = core::graph_root_nodes(graph, &found); result != CUDA_SUCCESS) {
      return result;
    }
    if (pRootNodes == nullptr) {
      *pNumRootNodes = found.size();
      return {};
    }
    give_out(found, *pNumRootNodes, [&](size_t i, const CUgraphNode* node) {
      pRootNodes[i] = node == nullptr ? nullptr : *node;
    });
    *pNumRootNodes = std::min(*pNumRootNodes, found.size());
    return {};
  });
}

cudaError_t cudaGraphGetEdges(cudaGraph_t graph, cudaGraphNode_t* from, cudaGraphNode_t* to,
                              cudaGraphEdgeData* edgeData, size_t* numEdges) {
  return enter_context([&](int) -> Error {
    if (numEdges == nullptr || (from == nullptr) != (to == nullptr)) {
      return cudaErrorInvalidValue;
    }
    std::vector<core::Edge> edges;
    if (const CUresult result = core::graph_edges(graph, &edges); result != CUDA_SUCCESS) {
      return result;
    }
    for (size_t i = 0; to != nullptr && i < *numEdges; ++i) {
      to[i] = i < edges.size() ? edges[i].to : nullptr;
    }
    return give_edges(edges, from, edgeData, numEdges,
                      [](const core::Edge& edge) { return edge.from; });
  });
}

cudaError_t cudaGraphNodeGetDependencies(cudaGraphNode_t node, cudaGraphNode_t* pDependencies,
                                         cudaGraphEdgeData* edgeData, size_t* pNumDependencies) {
  return enter_context([&](int) -> Error {
    std::vector<core::Edge> edges;
    if (pNumDependencies == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (const CUresult result = core::node_dependencies(node, &edges); result != CUDA_SUCCESS) {
      return result;
    }
    return give_edges(edges, pDependencies, edgeData, pNumDependencies,
                      [](const core::Edge& edge) { return edge.from; });
  });
}

cudaError_t cudaGraphNodeGetDependentNodes(cudaGraphNode_t node, cudaGraphNode_t* pDependentNodes,
                                           cudaGraphEdgeData* edgeData,
                                           size_t* pNumDependentNodes) {
  return enter_context([&](int) -> Error {
    std::vector<core::Edge> edges;
    if (pNumDependentNodes == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (const CUresult result = core::node_dependents(node, &edges); result != CUDA_SUCCESS) {
      return result;
    }
    return give_edges(edges, pDependentNodes, edgeData, pNumDependentNodes,
                      [](const core::Edge& edge) { return edge.to; });
  });
}

namespace {

cudaError_t change_edges(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to,
                         const cudaGraphEdgeData* data, size_t count, bool remove) {
  return enter_context([&](int) -> Error {
    if (count != 0 && (from == nullptr || to == nullptr)) {
      return cudaErrorInvalidValue;
    }
    std::vector<core::Edge> edges;
    for (size_t i = 0; i < count; ++i) {
      edges.push_back(
          {from[i], to[i], data == nullptr ? CUgraphEdgeData{} : edge_data_of(data[i])});
    }
    return remove ? core::graph_remove_edges(graph, edges) : core::graph_add_edges(graph, edges);
  });
}

}  // namespace

cudaError_t cudaGraphAddDependencies(cudaGraph_t graph, const cudaGraphNode_t* from,
                                     const cudaGraphNode_t* to, const cudaGraphEdgeData* edgeData,
                                     size_t numDependencies) {
  return change_edges(graph, from, to, edgeData, numDependencies, false);
}

cudaError_t cudaGraphRemoveDependencies(cudaGraph_t graph, const cudaGraphNode_t* from,
                                        const cudaGraphNode_t* to,
                                        const cudaGraphEdgeData* edgeData, size_t numDependencies) {
  return change_edges(graph, from, to, edgeData, numDependencies, true);
}

cudaError_t cudaGraphDebugDotPrint(cudaGraph_t graph, const char* path, unsigned int flags) {
  return enter_context([&](int) -> Error {
    std::string text;
    if (path == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (const CUresult result = core::graph_dot(graph, flags, &text); result != CUDA_SUCCESS) {
      return result;
    }
    FILE* file = std::fopen(path, "w");
    if (file == nullptr) {
      return cudaErrorOperatingSystem;
    }
    const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
    return std::fclose(file) == 0 && written ? Error() : Error(cudaErrorOperatingSystem);
  });
}

// ---- instances

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* pGraphExec, cudaGraph_t graph,
                                 unsigned long long flags) {
  return enter_context([&](int) -> Error {
    return instantiate(pGraphExec, graph, flags, nullptr, nullptr, nullptr);
  });
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* pGraphExec, cudaGraph_t graph,
                                          unsigned long long flags) {
  return cudaGraphInstantiate(pGraphExec, graph, flags);
}

FARLANE_TWINS(cudaGraphInstantiateWithParams, _ptsz,
              (cudaGraphExec_t * pGraphExec, cudaGraph_t graph,
               cudaGraphInstantiateParams* instantiateParams),
              instantiate_with_params(pGraphExec, graph, instantiateParams, twin))
FARLANE_TWINS(cudaGraphLaunch, _ptsz, (cudaGraphExec_t graphExec, cudaStream_t stream),
              launch(graphExec, stream_of(stream, twin)))
FARLANE_TWINS(cudaGraphUpload, _ptsz, (cudaGraphExec_t graphExec, cudaStream_t stream),
              upload(graphExec, stream_of(stream, twin)))

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graphExec) {
  return enter_release([&](int) -> Error { return core::exec_destroy(graphExec); });
}

cudaError_t cudaGraphExecGetFlags(cudaGraphExec_t graphExec, unsigned long long* flags) {
  return enter_context([&](int) -> Error {
    uint64_t found = 0;
    if (flags == nullptr) {
      return cudaErrorInvalidValue;
    }
    const CUresult result = core::exec_flags(graphExec, &found);
    *flags = found;
    return result;
  });
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t hGraphExec, cudaGraph_t hGraph,
                                cudaGraphExecUpdateResultInfo* resultInfo) {
  return enter_context([&](int) -> Error {
    CUgraphExecUpdateResultInfo info{};
    if (resultInfo == nullptr) {
      return cudaErrorInvalidValue;
    }
    const CUresult result = core::exec_update(hGraphExec, hGraph, &info);
    resultInfo->result = static_cast<cudaGraphExecUpdateResult>(info.result);
    resultInfo->errorNode = info.errorNode;
    resultInfo->errorFromNode = info.errorFromNode;
    return result;
  });
}

cudaError_t cudaGraphNodeSetEnabled(cudaGraphExec_t hGraphExec, cudaGraphNode_t hNode,
                                    unsigned int isEnabled) {
  return enter_context(
      [&](int) -> Error { return core::exec_enable_node(hGraphExec, hNode, isEnabled != 0); });
}

cudaError_t cudaGraphNodeGetEnabled(cudaGraphExec_t hGraphExec, cudaGraphNode_t hNode,
                                    unsigned int* isEnabled) {
  return enter_context([&](int) -> Error {
    bool enabled = false;
    if (isEnabled == nullptr) {
      return cudaErrorInvalidValue;
    }
    const CUresult result = core::exec_node_enabled(hGraphExec, hNode, &enabled);
    *isEnabled = enabled ? 1 : 0;
    return result;
  });
}

// ---- objects of the program

cudaError_t cudaUserObjectCreate(cudaUserObject_t* object_out, void* ptr, cudaHostFn_t destroy,
                                 unsigned int initialRefcount, unsigned int flags) {
  return enter_context([&](int) -> Error {
    return object_out == nullptr || flags != cudaUserObjectNoDestructorSync
               ? CUDA_ERROR_INVALID_VALUE
               : core::user_object_create(ptr, destroy, initialRefcount, object_out);
  });
}

cudaError_t cudaUserObjectRetain(cudaUserObject_t object, unsigned int count) {
  return enter_context([&](int) -> Error { return core::user_object_retain(object, count); });
}

cudaError_t cudaUserObjectRelease(cudaUserObject_t object, unsigned int count) {
  return enter_release([&](int) -> Error { return core::user_object_release(object, count); });
}

cudaError_t cudaGraphRetainUserObject(cudaGraph_t graph, cudaUserObject_t object,
                                      unsigned int count, unsigned int flags) {
  return enter_context([&](int) -> Error {
    return (flags & ~unsigned{cudaGraphUserObjectMove}) != 0
               ? CUDA_ERROR_INVALID_VALUE
               : core::graph_retain_object(graph, object, count, flags != 0);
  });
}

cudaError_t cudaGraphReleaseUserObject(cudaGraph_t graph, cudaUserObject_t object,
                                       unsigned int count) {
  return enter_release(
      [&](int) -> Error { return core::graph_release_object(graph, object, count); });
}
