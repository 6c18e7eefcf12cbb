// Nodes of graphs: adding, changing, and what they are made of.
#include <cstddef>
#include <cstring>

#include "client/cudart/copy.h"
#include "client/cudart/graph.h"
#include "client/cudart/registration.h"

namespace farlane::cudart {
namespace {

using core::NodePlace;

template <typename Params>
Error put_kernel(const NodePlace& place, const Params* params) {
  if (params == nullptr || (params->kernelParams != nullptr && params->extra != nullptr)) {
    return cudaErrorInvalidValue;
  }
  CUfunction function = nullptr;
  if (Error error = kernel_or_handle(params->func, &function)) {
    return error;
  }
  core::Launch launch;
  launch.grid[0] = params->gridDim.x;
  launch.grid[1] = params->gridDim.y;
  launch.grid[2] = params->gridDim.z;
  launch.block[0] = params->blockDim.x;
  launch.block[1] = params->blockDim.y;
  launch.block[2] = params->blockDim.z;
  launch.shared_bytes = params->sharedMemBytes;
  launch.params = params->kernelParams;
  if (const CUresult wrong = core::read_packed_params(params->extra, &launch);
      wrong != CUDA_SUCCESS) {
    return wrong;
  }
  const CUresult result = core::node_put_kernel(place, function, launch);
  return result == CUDA_ERROR_NOT_FOUND ? Error(cudaErrorInvalidDeviceFunction) : Error(result);
}

Error put_copy(const NodePlace& place, const cudaMemcpy3DParms* params) {
  core::Copy copy;
  if (Error error = copy_3d_of(params, &copy)) {
    return error;
  }
  return core::node_put_copy(place, copy);
}

Error put_copy_1d(const NodePlace& place, void* dst, const void* src, size_t count,
                  cudaMemcpyKind kind) {
  core::Copy copy;
  if (Error error = copy_1d_of(dst, src, count, kind, &copy)) {
    return error;
  }
  return core::node_put_copy(place, copy);
}

Error put_to_symbol(const NodePlace& place, const void* symbol, const void* src, size_t count,
                    size_t offset, cudaMemcpyKind kind) {
  uint64_t address = 0;
  if (Error error = part_of_variable(symbol, core::current_device(), offset, count, &address)) {
    return error;
  }
  return put_copy_1d(place, reinterpret_cast<void*>(address), src, count, kind);
}

Error put_from_symbol(const NodePlace& place, void* dst, const void* symbol, size_t count,
                      size_t offset, cudaMemcpyKind kind) {
  uint64_t address = 0;
  if (Error error = part_of_variable(symbol, core::current_device(), offset, count, &address)) {
    return error;
  }
  return put_copy_1d(place, dst, reinterpret_cast<void*>(address), count, kind);
}

Error put_any(const NodePlace& place, cudaGraphNodeParams* params) {
  return core::put_any(
      place, params, [](const NodePlace& at, const auto* kernel) { return put_kernel(at, kernel); },
      put_copy, "cudaGraphAddNode of this type");
}

cudaPitchedPtr pitched(uint64_t address, size_t pitch, size_t slice, const core::Copy& copy) {
  // As CUDA has it: what does not matter to the copy is 0.
  const bool flat = copy.height == 1 && copy.depth == 1;
  cudaPitchedPtr out{};
  out.ptr = reinterpret_cast<void*>(address);
  out.pitch = flat ? 0 : pitch;
  out.ysize = copy.depth == 1 || pitch == 0 ? 0 : slice / pitch;
  return out;
}

}  // namespace
}  // namespace farlane::cudart

using namespace farlane::cudart;

cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* pType) {
  return enter_context([&](int) -> Error {
    CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
    if (pType == nullptr) {
      return cudaErrorInvalidValue;
    }
    const CUresult result = core::node_type(node, &type);
    if (result != CUDA_SUCCESS) {
      return result;
    }
    // The two enumerations differ in their first values only by name.
    static_assert(static_cast<int>(cudaGraphNodeTypeKernel) == CU_GRAPH_NODE_TYPE_KERNEL);
    static_assert(static_cast<int>(cudaGraphNodeTypeMemFree) == CU_GRAPH_NODE_TYPE_MEM_FREE);
    *pType = static_cast<cudaGraphNodeType>(type);
    return {};
  });
}

cudaError_t cudaGraphDestroyNode(cudaGraphNode_t node) {
  return enter_release([&](int) -> Error { return core::node_destroy(node); });
}

cudaError_t cudaGraphNodeFindInClone(cudaGraphNode_t* pNode, cudaGraphNode_t originalNode,
                                     cudaGraph_t clonedGraph) {
  return enter_context([&](int) -> Error {
    return pNode == nullptr ? CUDA_ERROR_INVALID_VALUE
                            : core::node_find_in_clone(originalNode, clonedGraph, pNode);
  });
}

cudaError_t cudaGraphAddNode(cudaGraphNode_t* pGraphNode, cudaGraph_t graph,
                             const cudaGraphNode_t* pDependencies,
                             const cudaGraphEdgeData* dependencyData, size_t numDependencies,
                             cudaGraphNodeParams* nodeParams) {
  return add(pGraphNode, graph, pDependencies, dependencyData, numDependencies,
             [&](const core::NodePlace& place) { return put_any(place, nodeParams); });
}

cudaError_t cudaGraphNodeSetParams(cudaGraphNode_t node, cudaGraphNodeParams* nodeParams) {
  return change(node, nullptr, false,
                [&](const core::NodePlace& place) { return put_any(place, nodeParams); });
}

cudaError_t cudaGraphExecNodeSetParams(cudaGraphExec_t graphExec, cudaGraphNode_t node,
                                       cudaGraphNodeParams* nodeParams) {
  return change(node, graphExec, true,
                [&](const core::NodePlace& place) { return put_any(place, nodeParams); });
}

// ---- kernels

cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t* pGraphNode, cudaGraph_t graph,
                                   const cudaGraphNode_t* pDependencies, size_t numDependencies,
                                   const cudaKernelNodeParams* pNodeParams) {
  return add(pGraphNode, graph, pDependencies, nullptr, numDependencies,
             [&](const core::NodePlace& place) { return put_kernel(place, pNodeParams); });
}

cudaError_t cudaGraphKernelNodeSetParams(cudaGraphNode_t node,
                                         const cudaKernelNodeParams* pNodeParams) {
  return change(node, nullptr, false,
                [&](const core::NodePlace& place) { return put_kernel(place, pNodeParams); });
}

cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t hGraphExec, cudaGraphNode_t node,
                                             const cudaKernelNodeParams* pNodeParams) {
  return change(node, hGraphExec, true,
                [&](const core::NodePlace& place) { return put_kernel(place, pNodeParams); });
}

cudaError_t cudaGraphKernelNodeGetParams(cudaGraphNode_t node, cudaKernelNodeParams* pNodeParams) {
  return get(node, CU_GRAPH_NODE_TYPE_KERNEL, pNodeParams, [&]() -> Error {
    CUfunction function = nullptr;
    core::Launch launch;
    if (const CUresult result = core::node_kernel(node, &function, &launch);
        result != CUDA_SUCCESS) {
      return result;
    }
    const void* host = host_function_of(function);
    pNodeParams->func = host != nullptr ? const_cast<void*>(host) : function;
    pNodeParams->gridDim = {launch.grid[0], launch.grid[1], launch.grid[2]};
    pNodeParams->blockDim = {launch.block[0], launch.block[1], launch.block[2]};
    pNodeParams->sharedMemBytes = static_cast<unsigned>(launch.shared_bytes);
    pNodeParams->kernelParams = launch.params;
    pNodeParams->extra = nullptr;
    return {};
  });
}

cudaError_t cudaGraphKernelNodeGetAttribute(cudaGraphNode_t hNode, cudaLaunchAttributeID attr,
                                            cudaLaunchAttributeValue* value_out) {
  return enter_context([&](int) -> Error {
    CUkernelNodeAttrValue value{};
    static_assert(sizeof value == sizeof *value_out);
    if (value_out == nullptr) {
      return cudaErrorInvalidValue;
    }
    const CUresult result =
        core::node_attribute(hNode, static_cast<CUkernelNodeAttrID>(attr), &value);
    std::memcpy(value_out, &value, sizeof value);
    return result;
  });
}

cudaError_t cudaGraphKernelNodeSetAttribute(cudaGraphNode_t hNode, cudaLaunchAttributeID attr,
                                            const cudaLaunchAttributeValue* value) {
  return enter_context([&](int) -> Error {
    CUkernelNodeAttrValue as_driver{};
    if (value == nullptr) {
      return cudaErrorInvalidValue;
    }
    std::memcpy(&as_driver, value, sizeof as_driver);
    return core::node_set_attribute(hNode, static_cast<CUkernelNodeAttrID>(attr), as_driver);
  });
}

cudaError_t cudaGraphKernelNodeCopyAttributes(cudaGraphNode_t hDst, cudaGraphNode_t hSrc) {
  return enter_context([&](int) -> Error { return core::node_copy_attributes(hDst, hSrc); });
}

// ---- copies

cudaError_t cudaGraphAddMemcpyNode(cudaGraphNode_t* pGraphNode, cudaGraph_t graph,
                                   const cudaGraphNode_t* pDependencies, size_t numDependencies,
                                   const cudaMemcpy3DParms* pCopyParams) {
  return add(pGraphNode, graph, pDependencies, nullptr, numDependencies,
             [&](const core::NodePlace& place) { return put_copy(place, pCopyParams); });
}

cudaError_t cudaGraphAddMemcpyNode1D(cudaGraphNode_t* pGraphNode, cudaGraph_t graph,
                                     const cudaGraphNode_t* pDependencies, size_t numDependencies,
                                     void* dst, const void* src, size_t count,
                                     cudaMemcpyKind kind) {
  return add(
      pGraphNode, graph, pDependencies, nullptr, numDependencies,
      [&](const core::NodePlace& place) { return put_copy_1d(place, dst, src, count, kind); });
}

cudaError_t cudaGraphAddMemcpyNodeToSymbol(cudaGraphNode_t* pGraphNode, cudaGraph_t graph,
                                           const cudaGraphNode_t* pDependencies,
                                           size_t numDependencies, const void* symbol,
                                           const void* src, size_t count, size_t offset,
                                           cudaMemcpyKind kind) {
  return add(pGraphNode, graph, pDependencies, nullptr, numDependencies,
             [&](const core::NodePlace& place) {
               return put_to_symbol(place, symbol, src, count, offset, kind);
             });
}

cudaError_t cudaGraphAddMemcpyNodeFromSymbol(cudaGraphNode_t* pGraphNode, cudaGraph_t graph,
                                             const cudaGraphNode_t* pDependencies,
                                             size_t numDependencies, void* dst, const void* symbol,
                                             size_t count, size_t offset, cudaMemcpyKind kind) {
  return add(pGraphNode, graph, pDependencies, nullptr, numDependencies,
             [&](const core::NodePlace& place) {
               return put_from_symbol(place, dst, symbol, count, offset, kind);
             });
}

cudaError_t cudaGraphMemcpyNodeSetParams(cudaGraphNode_t node,
                                         const cudaMemcpy3DParms* pNodeParams) {
  return change(node, nullptr, false,
                [&](const core::NodePlace& place) { return put_copy(place, pNodeParams); });
}

cudaError_t cudaGraphMemcpyNodeSetParams1D(cudaGraphNode_t node, void* dst, const void* src,
                                           size_t count, cudaMemcpyKind kind) {
  return change(node, nullptr, false, [&](const core::NodePlace& place) {
    return put_copy_1d(place, dst, src, count, kind);
  });
}

cudaError_t cudaGraphMemcpyNodeSetParamsToSymbol(cudaGraphNode_t node, const void* symbol,
                                                 const void* src, size_t count, size_t offset,
                                                 cudaMemcpyKind kind) {
  return change(node, nullptr, false, [&](const core::NodePlace& place) {
    return put_to_symbol(place, symbol, src, count, offset, kind);
  });
}

cudaError_t cudaGraphMemcpyNodeSetParamsFromSymbol(cudaGraphNode_t node, void* dst,
                                                   const void* symbol, size_t count, size_t offset,
                                                   cudaMemcpyKind kind) {
  return change(node, nullptr, false, [&](const core::NodePlace& place) {
    return put_from_symbol(place, dst, symbol, count, offset, kind);
  });
}

cudaError_t cudaGraphExecMemcpyNodeSetParams(cudaGraphExec_t hGraphExec, cudaGraphNode_t node,
                                             const cudaMemcpy3DParms* pNodeParams) {
  return change(node, hGraphExec, true,
                [&](const core::NodePlace& place) { return put_copy(place, pNodeParams); });
}

cudaError_t cudaGraphExecMemcpyNodeSetParams1D(cudaGraphExec_t hGraphExec, cudaGraphNode_t node,
                                               void* dst, const void* src, size_t count,
                                               cudaMemcpyKind kind) {
  return change(node, hGraphExec, true, [&](const core::NodePlace& place) {
    return put_copy_1d(place, dst, src, count, kind);
  });
}

cudaError_t cudaGraphExecMemcpyNodeSetParamsToSymbol(cudaGraphExec_t hGraphExec,
                                                     cudaGraphNode_t node, const void* symbol,
                                                     const void* src, size_t count, size_t offset,
                                                     cudaMemcpyKind kind) {
  return change(node, hGraphExec, true, [&](const core::NodePlace& place) {
    return put_to_symbol(place, symbol, src, count, offset, kind);
  });
}

cudaError_t cudaGraphExecMemcpyNodeSetParamsFromSymbol(cudaGraphExec_t hGraphExec,
                                                       cudaGraphNode_t node, void* dst,
                                                       const void* symbol, size_t count,
                                                       size_t offset, cudaMemcpyKind kind) {
  return change(node, hGraphExec, true, [&](const core::NodePlace& place) {
    return put_from_symbol(place, dst, symbol, count, offset, kind);
  });
}

cudaError_t cudaGraphMemcpyNodeGetParams(cudaGraphNode_t node, cudaMemcpy3DParms* pNodeParams) {
  return get(node, CU_GRAPH_NODE_TYPE_MEMCPY, pNodeParams, [&]() -> Error {
    core::Copy copy;
    if (const CUresult result = core::node_copy(node, &copy); result != CUDA_SUCCESS) {
      return result;
    }
    *pNodeParams = {};
    pNodeParams->srcPtr = pitched(copy.from, copy.from_pitch, copy.from_slice, copy);
    pNodeParams->dstPtr = pitched(copy.to, copy.to_pitch, copy.to_slice, copy);
    pNodeParams->extent = {copy.width, copy.height, copy.depth};
    const bool to_host = copy.to_place == core::Place::kHost;
    const bool from_host = copy.from_place == core::Place::kHost;
    pNodeParams->kind = from_host ? (to_host ? cudaMemcpyHostToHost : cudaMemcpyHostToDevice)
                                  : (to_host ? cudaMemcpyDeviceToHost : cudaMemcpyDeviceToDevice);
    return {};
  });
}

// ---- fills

cudaError_t cudaGraphAddMemsetNode(cudaGraphNode_t* pGraphNode, cudaGraph_t graph,
                                   const cudaGraphNode_t* pDependencies, size_t numDependencies,
                                   const cudaMemsetParams* pMemsetParams) {
  return add(pGraphNode, graph, pDependencies, nullptr, numDependencies,
             [&](const core::NodePlace& place) { return core::put_fill(place, pMemsetParams); });
}

cudaError_t cudaGraphMemsetNodeSetParams(cudaGraphNode_t node,
                                         const cudaMemsetParams* pNodeParams) {
  return change(node, nullptr, false,
                [&](const core::NodePlace& place) { return core::put_fill(place, pNodeParams); });
}

cudaError_t cudaGraphExecMemsetNodeSetParams(cudaGraphExec_t hGraphExec, cudaGraphNode_t node,
                                             const cudaMemsetParams* pNodeParams) {
  return change(node, hGraphExec, true,
                [&](const core::NodePlace& place) { return core::put_fill(place, pNodeParams); });
}

cudaError_t cudaGraphMemsetNodeGetParams(cudaGraphNode_t node, cudaMemsetParams* pNodeParams) {
  return get(node, CU_GRAPH_NODE_TYPE_MEMSET, pNodeParams, [&]() -> Error {
    CUDA_MEMSET_NODE_PARAMS params{};
    const CUresult result = core::node_fill(node, &params);
    pNodeParams->dst = reinterpret_cast<void*>(params.dst);
    pNodeParams->pitch = params.pitch;
    pNodeParams->value = params.value;
    pNodeParams->elementSize = params.elementSize;
    pNodeParams->width = params.width;
    pNodeParams->height = params.height;
    return result;
  });
}

// ---- events, child graphs, nothing

cudaError_t cudaGraphAddEventRecordNode(cudaGraphNode_t* pGraphNode, cudaGraph_t graph,
                                        const cudaGraphNode_t* pDependencies,
                                        size_t numDependencies, cudaEvent_t event) {
  return add(pGraphNode, graph, pDependencies, nullptr, numDependencies,
             [&](const core::NodePlace& place) { return core::put_event(place, event, false); });
}
cudaError_t cudaGraphAddEventWaitNode(cudaGraphNode_t* pGraphNode, cudaGraph_t graph,
                                      const cudaGraphNode_t* pDependencies, size_t numDependencies,
                                      cudaEvent_t event) {
  return add(pGraphNode, graph, pDependencies, nullptr, numDependencies,
             [&](const core::NodePlace& place) { return core::put_event(place, event, true); });
}
cudaError_t cudaGraphEventRecordNodeGetEvent(cudaGraphNode_t node, cudaEvent_t* event_out) {
  return get(node, CU_GRAPH_NODE_TYPE_EVENT_RECORD, event_out,
             [&] { return core::node_event(node, event_out); });
}
cudaError_t cudaGraphEventWaitNodeGetEvent(cudaGraphNode_t node, cudaEvent_t* event_out) {
  return get(node, CU_GRAPH_NODE_TYPE_WAIT_EVENT, event_out,
             [&] { return core::node_event(node, event_out); });
}
cudaError_t cudaGraphEventRecordNodeSetEvent(cudaGraphNode_t node, cudaEvent_t event) {
  return change(node, nullptr, false,
                [&](const core::NodePlace& place) { return core::put_event(place, event, false); });
}
cudaError_t cudaGraphEventWaitNodeSetEvent(cudaGraphNode_t node, cudaEvent_t event) {
  return change(node, nullptr, false,
                [&](const core::NodePlace& place) { return core::put_event(place, event, true); });
}
cudaError_t cudaGraphExecEventRecordNodeSetEvent(cudaGraphExec_t hGraphExec, cudaGraphNode_t hNode,
                                                 cudaEvent_t event) {
  return change(hNode, hGraphExec, true,
                [&](const core::NodePlace& place) { return core::put_event(place, event, false); });
}
cudaError_t cudaGraphExecEventWaitNodeSetEvent(cudaGraphExec_t hGraphExec, cudaGraphNode_t hNode,
                                               cudaEvent_t event) {
  return change(hNode, hGraphExec, true,
                [&](const core::NodePlace& place) { return core::put_event(place, event, true); });
}

cudaError_t cudaGraphAddEmptyNode(cudaGraphNode_t* pGraphNode, cudaGraph_t graph,
                                  const cudaGraphNode_t* pDependencies, size_t numDependencies) {
  return add(pGraphNode, graph, pDependencies, nullptr, numDependencies,
             [&](const core::NodePlace& place) -> Error { return core::node_add_empty(place); });
}

cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t* pGraphNode, cudaGraph_t graph,
                                       const cudaGraphNode_t* pDependencies, size_t numDependencies,
                                       cudaGraph_t childGraph) {
  return add(pGraphNode, graph, pDependencies, nullptr, numDependencies,
             [&](const core::NodePlace& place) -> Error {
               return core::node_put_child(place, childGraph);
             });
}
cudaError_t cudaGraphExecChildGraphNodeSetParams(cudaGraphExec_t hGraphExec, cudaGraphNode_t node,
                                                 cudaGraph_t childGraph) {
  return change(node, hGraphExec, true, [&](const core::NodePlace& place) -> Error {
    return core::node_put_child(place, childGraph);
  });
}
cudaError_t cudaGraphChildGraphNodeGetGraph(cudaGraphNode_t node, cudaGraph_t* pGraph) {
  return get(node, CU_GRAPH_NODE_TYPE_GRAPH, pGraph,
             [&]() -> Error { return core::node_child(node, pGraph); });
}
