// Nodes whose work is not the device's: functions of the program, and memory.
#include "client/cuda/graph.h"

using namespace farlane::cuda;
using farlane::client::NodePlace;

CUresult cuGraphAddHostNode(CUgraphNode* phGraphNode, CUgraph hGraph,
                            const CUgraphNode* dependencies, size_t numDependencies,
                            const CUDA_HOST_NODE_PARAMS* nodeParams) {
  return add(phGraphNode, hGraph, dependencies, nullptr, numDependencies,
             [&](const NodePlace& place) { return core::put_host(place, nodeParams); });
}
CUresult cuGraphHostNodeSetParams(CUgraphNode hNode, const CUDA_HOST_NODE_PARAMS* nodeParams) {
  return change(hNode, nullptr, false,
                [&](const NodePlace& place) { return core::put_host(place, nodeParams); });
}
CUresult cuGraphExecHostNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode,
                                      const CUDA_HOST_NODE_PARAMS* nodeParams) {
  return change(hNode, hGraphExec, true,
                [&](const NodePlace& place) { return core::put_host(place, nodeParams); });
}
CUresult cuGraphHostNodeGetParams(CUgraphNode hNode, CUDA_HOST_NODE_PARAMS* nodeParams) {
  return get(hNode, CU_GRAPH_NODE_TYPE_HOST, nodeParams,
             [&] { return core::node_host(hNode, &nodeParams->fn, &nodeParams->userData); });
}

// ---- memory

CUresult cuGraphAddMemAllocNode(CUgraphNode* phGraphNode, CUgraph hGraph,
                                const CUgraphNode* dependencies, size_t numDependencies,
                                CUDA_MEM_ALLOC_NODE_PARAMS* nodeParams) {
  return add(phGraphNode, hGraph, dependencies, nullptr, numDependencies,
             [&](const NodePlace& place) { return core::add_allocation(place, nodeParams); });
}
CUresult cuGraphAddMemFreeNode(CUgraphNode* phGraphNode, CUgraph hGraph,
                               const CUgraphNode* dependencies, size_t numDependencies,
                               CUdeviceptr dptr) {
  return add(phGraphNode, hGraph, dependencies, nullptr, numDependencies,
             [&](const NodePlace& place) { return core::node_add_free(place, dptr); });
}
CUresult cuGraphMemAllocNodeGetParams(CUgraphNode hNode, CUDA_MEM_ALLOC_NODE_PARAMS* params_out) {
  return get(hNode, CU_GRAPH_NODE_TYPE_MEM_ALLOC, params_out,
             [&] { return core::get_allocation(hNode, params_out); });
}
CUresult cuGraphMemFreeNodeGetParams(CUgraphNode hNode, CUdeviceptr* dptr_out) {
  return get(hNode, CU_GRAPH_NODE_TYPE_MEM_FREE, dptr_out,
             [&] { return core::get_freed(hNode, dptr_out); });
}

CUresult cuDeviceGetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attr, void* value) {
  return enter_device(device, [&] { return core::get_graph_memory(device, attr, value); });
}
CUresult cuDeviceSetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attr, void* value) {
  return enter_device(device, [&] { return core::set_graph_memory(device, attr, value); });
}
CUresult cuDeviceGraphMemTrim(CUdevice device) {
  // What no graph has is given back at once.
  return enter_device(device, [] { return CUDA_SUCCESS; });
}
