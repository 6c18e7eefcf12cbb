// Nodes whose work is not the device's: functions of the program, and memory.
#include "client/cudart/graph.h"

using namespace farlane::cudart;

cudaError_t cudaGraphAddHostNode(cudaGraphNode_t* pGraphNode, cudaGraph_t graph,
                                 const cudaGraphNode_t* pDependencies, size_t numDependencies,
                                 const cudaHostNodeParams* pNodeParams) {
  return add(pGraphNode, graph, pDependencies, nullptr, numDependencies,
             [&](const core::NodePlace& place) { return core::put_host(place, pNodeParams); });
}
cudaError_t cudaGraphHostNodeSetParams(cudaGraphNode_t node,
                                       const cudaHostNodeParams* pNodeParams) {
  return change(node, nullptr, false,
                [&](const core::NodePlace& place) { return core::put_host(place, pNodeParams); });
}
cudaError_t cudaGraphExecHostNodeSetParams(cudaGraphExec_t hGraphExec, cudaGraphNode_t node,
                                           const cudaHostNodeParams* pNodeParams) {
  return change(node, hGraphExec, true,
                [&](const core::NodePlace& place) { return core::put_host(place, pNodeParams); });
}
cudaError_t cudaGraphHostNodeGetParams(cudaGraphNode_t node, cudaHostNodeParams* pNodeParams) {
  return get(node, CU_GRAPH_NODE_TYPE_HOST, pNodeParams,
             [&] { return core::node_host(node, &pNodeParams->fn, &pNodeParams->userData); });
}

// ---- memory

cudaError_t cudaGraphAddMemAllocNode(cudaGraphNode_t* pGraphNode, cudaGraph_t graph,
                                     const cudaGraphNode_t* pDependencies, size_t numDependencies,
                                     cudaMemAllocNodeParams* nodeParams) {
  return add(pGraphNode, graph, pDependencies, nullptr, numDependencies,
             [&](const core::NodePlace& place) { return core::add_allocation(place, nodeParams); });
}
cudaError_t cudaGraphAddMemFreeNode(cudaGraphNode_t* pGraphNode, cudaGraph_t graph,
                                    const cudaGraphNode_t* pDependencies, size_t numDependencies,
                                    void* dptr) {
  return add(pGraphNode, graph, pDependencies, nullptr, numDependencies,
             [&](const core::NodePlace& place) {
               return core::node_add_free(place, reinterpret_cast<CUdeviceptr>(dptr));
             });
}
cudaError_t cudaGraphMemAllocNodeGetParams(cudaGraphNode_t node,
                                           cudaMemAllocNodeParams* params_out) {
  return get(node, CU_GRAPH_NODE_TYPE_MEM_ALLOC, params_out,
             [&] { return core::get_allocation(node, params_out); });
}
cudaError_t cudaGraphMemFreeNodeGetParams(cudaGraphNode_t node, void* dptr_out) {
  return get(node, CU_GRAPH_NODE_TYPE_MEM_FREE, dptr_out,
             [&] { return core::get_freed(node, static_cast<void**>(dptr_out)); });
}

cudaError_t cudaDeviceGetGraphMemAttribute(int device, cudaGraphMemAttributeType attr,
                                           void* value) {
  return enter([&]() -> Error {
    if (Error error = check_device(device)) {
      return error;
    }
    return core::get_graph_memory(device, attr, value);
  });
}
cudaError_t cudaDeviceSetGraphMemAttribute(int device, cudaGraphMemAttributeType attr,
                                           void* value) {
  return enter([&]() -> Error {
    if (Error error = check_device(device)) {
      return error;
    }
    return core::set_graph_memory(device, attr, value);
  });
}
cudaError_t cudaDeviceGraphMemTrim(int device) {
  // What no graph has is given back at once.
  return enter([&]() -> Error { return check_device(device); });
}
