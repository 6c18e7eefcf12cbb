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
  for (void** at = params->extra; at != nullptr && *at != CU_LAUNCH_PARAM_END; at += 2) {
    if (*at == CU_LAUNCH_PARAM_BUFFER_POINTER) {
      launch.packed_params = at[1];
    } else if (*at == CU_LAUNCH_PARAM_BUFFER_SIZE) {
      launch.packed_bytes = *static_cast<const size_t*>(at[1]);
    } else {
      return cudaErrorInvalidValue;
    }
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

// The place in a variable that a copy is about.
Error symbol_address(const void* symbol, size_t offset, size_t count, void** address) {
  int device = -1;
  if (Error error = need_context(&device)) {
    return error;
  }
  Variable variable;
  if (Error error = registered_variable(symbol, device, &variable)) {
    return error;
  }
  if (offset > variable.bytes || count > variable.bytes - offset) {
    return cudaErrorInvalidValue;
  }
  *address = reinterpret_cast<void*>(variable.address + offset);
  return {};
}

Error put_to_symbol(const NodePlace& place, const void* symbol, const void* src, size_t count,
                    size_t offset, cudaMemcpyKind kind) {
  void* address = nullptr;
  if (Error error = symbol_address(symbol, offset, count, &address)) {
    return error;
  }
  return put_copy_1d(place, address, src, count, kind);
}

Error put_from_symbol(const NodePlace& place, void* dst, const void* symbol, size_t count,
                      size_t offset, cudaMemcpyKind kind) {
  void* address = nullptr;
  if (Error error = symbol_address(symbol, offset, count, &address)) {
    return error;
  }
  return put_copy_1d(place, dst, address, count, kind);
}

template <typename Params>
Error put_fill(const NodePlace& place, const Params* params) {
  if (params == nullptr) {
    return cudaErrorInvalidValue;
  }
  return core::node_put_fill(place, reinterpret_cast<CUdeviceptr>(params->dst), params->pitch,
                             params->value, params->elementSize, params->width, params->height);
}

Error put_event(const NodePlace& place, cudaEvent_t event, bool wait) {
  return event == nullptr ? CUDA_ERROR_INVALID_HANDLE : core::node_put_event(place, event, wait);
}

Error put_any(const NodePlace& place, cudaGraphNodeParams* params) {
  if (params == nullptr) {
    return cudaErrorInvalidValue;
  }
  switch (params->type) {
    case cudaGraphNodeTypeKernel:
      return put_kernel(place, &params->kernel);
    case cudaGraphNodeTypeMemcpy:
      return put_copy(place, &params->memcpy.copyParams);
    case cudaGraphNodeTypeMemset:
      return put_fill(place, &params->memset);
    case cudaGraphNodeTypeGraph:
      return core::node_put_child(place, params->graph.graph);
    case cudaGraphNodeTypeEmpty:
      return place.node == nullptr ? Error(core::node_add_empty(place))
                                   : Error(cudaErrorInvalidValue);
    case cudaGraphNodeTypeWaitEvent:
      return put_event(place, params->eventWait.event, true);
    case cudaGraphNodeTypeEventRecord:
      return put_event(place, params->eventRecord.event, false);
    case cudaGraphNodeTypeHost:
      return core::put_host(place, &params->host);
    case cudaGraphNodeTypeMemAlloc:
      return core::add_allocation(place, &params->alloc);
    case cudaGraphNodeTypeMemFree:
      return place.added == nullptr
                 ? CUDA_ERROR_INVALID_VALUE
                 : core::node_add_free(place, reinterpret_cast<CUdeviceptr>(params->free.dptr));
    default:
      return not_supported("cudaGraphAddNode of this type");
  }
}

cudaError_t get_event(cudaGraphNode_t node, cudaEvent_t* event, CUgraphNodeType wanted) {
  return enter_context([&](int) -> Error {
    if (event == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (Error error = check_type(node, wanted)) {
      return error;
    }
    return core::node_event(node, event);
  });
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
  return enter_context([&](int) -> Error {
    if (pNodeParams == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (Error error = check_type(node, CU_GRAPH_NODE_TYPE_KERNEL)) {
      return error;
    }
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
  return enter_context([&](int) -> Error {
    if (pNodeParams == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (Error error = check_type(node, CU_GRAPH_NODE_TYPE_MEMCPY)) {
      return error;
    }
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
             [&](const core::NodePlace& place) { return put_fill(place, pMemsetParams); });
}

cudaError_t cudaGraphMemsetNodeSetParams(cudaGraphNode_t node,
                                         const cudaMemsetParams* pNodeParams) {
  return change(node, nullptr, false,
                [&](const core::NodePlace& place) { return put_fill(place, pNodeParams); });
}

cudaError_t cudaGraphExecMemsetNodeSetParams(cudaGraphExec_t hGraphExec, cudaGraphNode_t node,
                                             const cudaMemsetParams* pNodeParams) {
  return change(node, hGraphExec, true,
                [&](const core::NodePlace& place) { return put_fill(place, pNodeParams); });
}

cudaError_t cudaGraphMemsetNodeGetParams(cudaGraphNode_t node, cudaMemsetParams* pNodeParams) {
  return enter_context([&](int) -> Error {
    if (pNodeParams == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (Error error = check_type(node, CU_GRAPH_NODE_TYPE_MEMSET)) {
      return error;
    }
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
             [&](const core::NodePlace& place) { return put_event(place, event, false); });
}
cudaError_t cudaGraphAddEventWaitNode(cudaGraphNode_t* pGraphNode, cudaGraph_t graph,
                                      const cudaGraphNode_t* pDependencies, size_t numDependencies,
                                      cudaEvent_t event) {
  return add(pGraphNode, graph, pDependencies, nullptr, numDependencies,
             [&](const core::NodePlace& place) { return put_event(place, event, true); });
}
cudaError_t cudaGraphEventRecordNodeGetEvent(cudaGraphNode_t node, cudaEvent_t* event_out) {
  return get_event(node, event_out, CU_GRAPH_NODE_TYPE_EVENT_RECORD);
}
cudaError_t cudaGraphEventWaitNodeGetEvent(cudaGraphNode_t node, cudaEvent_t* event_out) {
  return get_event(node, event_out, CU_GRAPH_NODE_TYPE_WAIT_EVENT);
}
cudaError_t cudaGraphEventRecordNodeSetEvent(cudaGraphNode_t node, cudaEvent_t event) {
  return change(node, nullptr, false,
                [&](const core::NodePlace& place) { return put_event(place, event, false); });
}
cudaError_t cudaGraphEventWaitNodeSetEvent(cudaGraphNode_t node, cudaEvent_t event) {
  return change(node, nullptr, false,
                [&](const core::NodePlace& place) { return put_event(place, event, true); });
}
cudaError_t cudaGraphExecEventRecordNodeSetEvent(cudaGraphExec_t hGraphExec, cudaGraphNode_t hNode,
                                                 cudaEvent_t event) {
  return change(hNode, hGraphExec, true,
                [&](const core::NodePlace& place) { return put_event(place, event, false); });
}
cudaError_t cudaGraphExecEventWaitNodeSetEvent(cudaGraphExec_t hGraphExec, cudaGraphNode_t hNode,
                                               cudaEvent_t event) {
  return change(hNode, hGraphExec, true,
                [&](const core::NodePlace& place) { return put_event(place, event, true); });
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
  return enter_context([&](int) -> Error {
    if (pGraph == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (Error error = check_type(node, CU_GRAPH_NODE_TYPE_GRAPH)) {
      return error;
    }
    return core::node_child(node, pGraph);
  });
}
