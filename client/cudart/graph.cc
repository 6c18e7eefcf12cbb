// Graphs, their instances, and the objects of the program that they keep.
#include "client/cudart/graph.h"

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
  return enter_context([&](int) { return core::list_nodes(graph, nodes, numNodes); });
}

cudaError_t cudaGraphGetRootNodes(cudaGraph_t graph, cudaGraphNode_t* pRootNodes,
                                  size_t* pNumRootNodes) {
  return enter_context(
      [&](int) { return core::list_root_nodes(graph, pRootNodes, pNumRootNodes); });
}

cudaError_t cudaGraphGetEdges(cudaGraph_t graph, cudaGraphNode_t* from, cudaGraphNode_t* to,
                              cudaGraphEdgeData* edgeData, size_t* numEdges) {
  return enter_context([&](int) { return core::list_edges(graph, from, to, edgeData, numEdges); });
}

cudaError_t cudaGraphNodeGetDependencies(cudaGraphNode_t node, cudaGraphNode_t* pDependencies,
                                         cudaGraphEdgeData* edgeData, size_t* pNumDependencies) {
  return enter_context([&](int) {
    return core::list_neighbours(node, true, pDependencies, edgeData, pNumDependencies);
  });
}

cudaError_t cudaGraphNodeGetDependentNodes(cudaGraphNode_t node, cudaGraphNode_t* pDependentNodes,
                                           cudaGraphEdgeData* edgeData,
                                           size_t* pNumDependentNodes) {
  return enter_context([&](int) {
    return core::list_neighbours(node, false, pDependentNodes, edgeData, pNumDependentNodes);
  });
}

cudaError_t cudaGraphAddDependencies(cudaGraph_t graph, const cudaGraphNode_t* from,
                                     const cudaGraphNode_t* to, const cudaGraphEdgeData* edgeData,
                                     size_t numDependencies) {
  return enter_context(
      [&](int) { return core::change_edges(graph, from, to, edgeData, numDependencies, false); });
}

cudaError_t cudaGraphRemoveDependencies(cudaGraph_t graph, const cudaGraphNode_t* from,
                                        const cudaGraphNode_t* to,
                                        const cudaGraphEdgeData* edgeData, size_t numDependencies) {
  return enter_context(
      [&](int) { return core::change_edges(graph, from, to, edgeData, numDependencies, true); });
}

cudaError_t cudaGraphDebugDotPrint(cudaGraph_t graph, const char* path, unsigned int flags) {
  return enter_context([&](int) { return core::write_dot(graph, path, flags); });
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
  return enter_context([&](int) { return core::is_node_enabled(hGraphExec, hNode, isEnabled); });
}

// ---- objects of the program

cudaError_t cudaUserObjectCreate(cudaUserObject_t* object_out, void* ptr, cudaHostFn_t destroy,
                                 unsigned int initialRefcount, unsigned int flags) {
  return enter_context([&](int) {
    return core::create_user_object(object_out, ptr, destroy, initialRefcount, flags);
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
  return enter_context([&](int) { return core::retain_user_object(graph, object, count, flags); });
}

cudaError_t cudaGraphReleaseUserObject(cudaGraph_t graph, cudaUserObject_t object,
                                       unsigned int count) {
  return enter_release(
      [&](int) -> Error { return core::graph_release_object(graph, object, count); });
}
