// Graphs, their instances, and the objects of the program that they keep.
#include "client/cuda/graph.h"

namespace farlane::cuda {
namespace {

CUresult instantiate(CUgraphExec* exec, CUgraph graph, unsigned long long flags, CUstream upload,
                     CUgraphInstantiateResult* outcome, CUgraphNode* error_node) {
  if (exec == nullptr || graph == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const CUresult result = core::graph_instantiate(graph, flags, exec, outcome, error_node);
  return result == CUDA_SUCCESS && (flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD) != 0
             ? core::exec_upload(*exec, upload)
             : result;
}

CUresult instantiate_with_params(CUgraphExec* exec, CUgraph graph,
                                 CUDA_GRAPH_INSTANTIATE_PARAMS* params, DefaultStream twin) {
  return enter_context([&](int) -> CUresult {
    if (params == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return instantiate(exec, graph, params->flags, stream_of(params->hUploadStream, twin),
                       &params->result_out, &params->hErrNode_out);
  });
}

CUresult get_edges(CUgraph graph, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData* data,
                   size_t* count) {
  return enter_context([&](int) { return core::list_edges(graph, from, to, data, count); });
}

CUresult get_neighbours(CUgraphNode node, bool before, CUgraphNode* nodes, CUgraphEdgeData* data,
                        size_t* count) {
  return enter_context(
      [&](int) { return core::list_neighbours(node, before, nodes, data, count); });
}

CUresult change_edges(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                      const CUgraphEdgeData* data, size_t count, bool remove) {
  return enter_context(
      [&](int) { return core::change_edges(graph, from, to, data, count, remove); });
}

CUresult launch(CUgraphExec exec, CUstream stream) {
  return enter_context([&](int) { return core::exec_launch(exec, stream); });
}

CUresult upload(CUgraphExec exec, CUstream stream) {
  return enter_context([&](int) { return core::exec_upload(exec, stream); });
}

CUresult update(CUgraphExec exec, CUgraph graph, CUgraphExecUpdateResultInfo* info) {
  return enter_context([&](int) -> CUresult {
    return info == nullptr ? CUDA_ERROR_INVALID_VALUE : core::exec_update(exec, graph, info);
  });
}

}  // namespace
}  // namespace farlane::cuda

using namespace farlane::cuda;

CUresult cuGraphCreate(CUgraph* phGraph, unsigned int flags) {
  return enter_context([&](int device) -> CUresult {
    return phGraph == nullptr || flags != 0 ? CUDA_ERROR_INVALID_VALUE
                                            : core::graph_create(device, phGraph);
  });
}
CUresult cuGraphDestroy(CUgraph hGraph) {
  return enter_release([&]() { return core::graph_destroy(hGraph); });
}
CUresult cuGraphClone(CUgraph* phGraphClone, CUgraph originalGraph) {
  return enter_context([&](int) -> CUresult {
    return phGraphClone == nullptr ? CUDA_ERROR_INVALID_VALUE
                                   : core::graph_clone(originalGraph, phGraphClone);
  });
}

CUresult cuGraphGetNodes(CUgraph hGraph, CUgraphNode* nodes, size_t* numNodes) {
  return enter_context([&](int) { return core::list_nodes(hGraph, nodes, numNodes); });
}
CUresult cuGraphGetRootNodes(CUgraph hGraph, CUgraphNode* rootNodes, size_t* numRootNodes) {
  return enter_context([&](int) { return core::list_root_nodes(hGraph, rootNodes, numRootNodes); });
}

CUresult cuGraphGetEdges(CUgraph hGraph, CUgraphNode* from, CUgraphNode* to, size_t* numEdges) {
  return get_edges(hGraph, from, to, nullptr, numEdges);
}
CUresult cuGraphGetEdges_v2(CUgraph hGraph, CUgraphNode* from, CUgraphNode* to,
                            CUgraphEdgeData* edgeData, size_t* numEdges) {
  return get_edges(hGraph, from, to, edgeData, numEdges);
}
CUresult cuGraphNodeGetDependencies(CUgraphNode hNode, CUgraphNode* dependencies,
                                    size_t* numDependencies) {
  return get_neighbours(hNode, true, dependencies, nullptr, numDependencies);
}
CUresult cuGraphNodeGetDependencies_v2(CUgraphNode hNode, CUgraphNode* dependencies,
                                       CUgraphEdgeData* edgeData, size_t* numDependencies) {
  return get_neighbours(hNode, true, dependencies, edgeData, numDependencies);
}
CUresult cuGraphNodeGetDependentNodes(CUgraphNode hNode, CUgraphNode* dependentNodes,
                                      size_t* numDependentNodes) {
  return get_neighbours(hNode, false, dependentNodes, nullptr, numDependentNodes);
}
CUresult cuGraphNodeGetDependentNodes_v2(CUgraphNode hNode, CUgraphNode* dependentNodes,
                                         CUgraphEdgeData* edgeData, size_t* numDependentNodes) {
  return get_neighbours(hNode, false, dependentNodes, edgeData, numDependentNodes);
}
CUresult cuGraphAddDependencies(CUgraph hGraph, const CUgraphNode* from, const CUgraphNode* to,
                                size_t numDependencies) {
  return change_edges(hGraph, from, to, nullptr, numDependencies, false);
}
CUresult cuGraphAddDependencies_v2(CUgraph hGraph, const CUgraphNode* from, const CUgraphNode* to,
                                   const CUgraphEdgeData* edgeData, size_t numDependencies) {
  return change_edges(hGraph, from, to, edgeData, numDependencies, false);
}
CUresult cuGraphRemoveDependencies(CUgraph hGraph, const CUgraphNode* from, const CUgraphNode* to,
                                   size_t numDependencies) {
  return change_edges(hGraph, from, to, nullptr, numDependencies, true);
}
CUresult cuGraphRemoveDependencies_v2(CUgraph hGraph, const CUgraphNode* from,
                                      const CUgraphNode* to, const CUgraphEdgeData* edgeData,
                                      size_t numDependencies) {
  return change_edges(hGraph, from, to, edgeData, numDependencies, true);
}

CUresult cuGraphDebugDotPrint(CUgraph hGraph, const char* path, unsigned int flags) {
  return enter_context([&](int) { return core::write_dot(hGraph, path, flags); });
}

// ---- instances

CUresult cuGraphInstantiateWithFlags(CUgraphExec* phGraphExec, CUgraph hGraph,
                                     unsigned long long flags) {
  return enter_context(
      [&](int) { return instantiate(phGraphExec, hGraph, flags, nullptr, nullptr, nullptr); });
}
CUresult cuGraphInstantiate_v2(CUgraphExec* phGraphExec, CUgraph hGraph, CUgraphNode* phErrorNode,
                               char* logBuffer, size_t bufferSize) {
  return enter_context([&](int) {
    if (logBuffer != nullptr && bufferSize != 0) {
      *logBuffer = '\0';
    }
    return instantiate(phGraphExec, hGraph, 0, nullptr, nullptr, phErrorNode);
  });
}
CUresult cuGraphInstantiate(CUgraphExec* phGraphExec, CUgraph hGraph, CUgraphNode* phErrorNode,
                            char* logBuffer, size_t bufferSize) {
  return cuGraphInstantiate_v2(phGraphExec, hGraph, phErrorNode, logBuffer, bufferSize);
}
FARLANE_TWINS(cuGraphInstantiateWithParams, _ptsz,
              (CUgraphExec * phGraphExec, CUgraph hGraph,
               CUDA_GRAPH_INSTANTIATE_PARAMS* instantiateParams),
              instantiate_with_params(phGraphExec, hGraph, instantiateParams, twin))
FARLANE_TWINS(cuGraphLaunch, _ptsz, (CUgraphExec hGraph, CUstream hStream),
              launch(hGraph, stream_of(hStream, twin)))
FARLANE_TWINS(cuGraphUpload, _ptsz, (CUgraphExec hGraph, CUstream hStream),
              upload(hGraph, stream_of(hStream, twin)))

CUresult cuGraphExecDestroy(CUgraphExec hGraphExec) {
  return enter_release([&]() { return core::exec_destroy(hGraphExec); });
}
CUresult cuGraphExecGetFlags(CUgraphExec hGraphExec, cuuint64_t* flags) {
  return enter_context([&](int) -> CUresult {
    return flags == nullptr ? CUDA_ERROR_INVALID_VALUE : core::exec_flags(hGraphExec, flags);
  });
}
CUresult cuGraphExecUpdate_v2(CUgraphExec hGraphExec, CUgraph hGraph,
                              CUgraphExecUpdateResultInfo* resultInfo) {
  return update(hGraphExec, hGraph, resultInfo);
}
CUresult cuGraphExecUpdate(CUgraphExec hGraphExec, CUgraph hGraph, CUgraphNode* hErrorNode_out,
                           CUgraphExecUpdateResult* updateResult_out) {
  CUgraphExecUpdateResultInfo info{};
  const CUresult result = update(hGraphExec, hGraph, &info);
  if (hErrorNode_out != nullptr) {
    *hErrorNode_out = info.errorNode;
  }
  if (updateResult_out != nullptr) {
    *updateResult_out = info.result;
  }
  return result;
}
CUresult cuGraphNodeSetEnabled(CUgraphExec hGraphExec, CUgraphNode hNode, unsigned int isEnabled) {
  return enter_context(
      [&](int) { return core::exec_enable_node(hGraphExec, hNode, isEnabled != 0); });
}
CUresult cuGraphNodeGetEnabled(CUgraphExec hGraphExec, CUgraphNode hNode, unsigned int* isEnabled) {
  return enter_context([&](int) { return core::is_node_enabled(hGraphExec, hNode, isEnabled); });
}

// ---- objects of the program

CUresult cuUserObjectCreate(CUuserObject* object_out, void* ptr, CUhostFn destroy,
                            unsigned int initialRefcount, unsigned int flags) {
  return enter_context([&](int) {
    return core::create_user_object(object_out, ptr, destroy, initialRefcount, flags);
  });
}
CUresult cuUserObjectRetain(CUuserObject object, unsigned int count) {
  return enter_context([&](int) { return core::user_object_retain(object, count); });
}
CUresult cuUserObjectRelease(CUuserObject object, unsigned int count) {
  return enter_release([&]() { return core::user_object_release(object, count); });
}
CUresult cuGraphRetainUserObject(CUgraph graph, CUuserObject object, unsigned int count,
                                 unsigned int flags) {
  return enter_context([&](int) { return core::retain_user_object(graph, object, count, flags); });
}
CUresult cuGraphReleaseUserObject(CUgraph graph, CUuserObject object, unsigned int count) {
  return enter_release([&]() { return core::graph_release_object(graph, object, count); });
}
