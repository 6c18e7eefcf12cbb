// Nodes of graphs: adding, changing, and what they are made of.
#include <cstddef>

#include "client/cuda/copy.h"
#include "client/cuda/graph.h"

namespace farlane::cuda {
namespace {

using core::NodePlace;

// The older struct has the same first members and neither kernel handle nor context.
template <typename Params>
CUresult put_kernel(const NodePlace& place, const Params* params) {
  if (params == nullptr || (params->kernelParams != nullptr && params->extra != nullptr)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  CUfunction function = params->func;
  if constexpr (requires { params->kern; }) {
    if (function == nullptr) {
      function = reinterpret_cast<CUfunction>(params->kern);
    }
  }
  if (function == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  core::Launch launch;
  launch.grid[0] = params->gridDimX;
  launch.grid[1] = params->gridDimY;
  launch.grid[2] = params->gridDimZ;
  launch.block[0] = params->blockDimX;
  launch.block[1] = params->blockDimY;
  launch.block[2] = params->blockDimZ;
  launch.shared_bytes = params->sharedMemBytes;
  launch.params = params->kernelParams;
  const CUresult result = core::read_packed_params(params->extra, &launch);
  return result == CUDA_SUCCESS ? core::node_put_kernel(place, function, launch) : result;
}

CUresult put_copy(const NodePlace& place, const CUDA_MEMCPY3D* params) {
  core::Copy copy;
  const CUresult result = copy_3d_of(params, &copy);
  return result == CUDA_SUCCESS ? core::node_put_copy(place, copy) : result;
}

CUresult put_any(const NodePlace& place, CUgraphNodeParams* params) {
  return core::put_any(
      place, params, [](const NodePlace& at, const auto* kernel) { return put_kernel(at, kernel); },
      put_copy, "cuGraphAddNode of this type");
}

template <typename Params>
CUresult get_kernel(CUgraphNode node, Params* params) {
  return get(node, CU_GRAPH_NODE_TYPE_KERNEL, params, [&]() -> CUresult {
    core::Launch launch;
    CUfunction function = nullptr;
    const CUresult result = core::node_kernel(node, &function, &launch);
    if (result != CUDA_SUCCESS) {
      return result;
    }
    *params = {};
    params->func = function;
    params->gridDimX = launch.grid[0];
    params->gridDimY = launch.grid[1];
    params->gridDimZ = launch.grid[2];
    params->blockDimX = launch.block[0];
    params->blockDimY = launch.block[1];
    params->blockDimZ = launch.block[2];
    params->sharedMemBytes = static_cast<unsigned>(launch.shared_bytes);
    params->kernelParams = launch.params;
    return CUDA_SUCCESS;
  });
}

}  // namespace
}  // namespace farlane::cuda

using namespace farlane::cuda;
using farlane::client::NodePlace;

CUresult cuGraphNodeGetType(CUgraphNode hNode, CUgraphNodeType* type) {
  return enter_context([&](int) -> CUresult {
    return type == nullptr ? CUDA_ERROR_INVALID_VALUE : core::node_type(hNode, type);
  });
}
CUresult cuGraphDestroyNode(CUgraphNode hNode) {
  return enter_release([&]() { return core::node_destroy(hNode); });
}
CUresult cuGraphNodeFindInClone(CUgraphNode* phNode, CUgraphNode hOriginalNode,
                                CUgraph hClonedGraph) {
  return enter_context([&](int) -> CUresult {
    return phNode == nullptr ? CUDA_ERROR_INVALID_VALUE
                             : core::node_find_in_clone(hOriginalNode, hClonedGraph, phNode);
  });
}
CUresult cuGraphAddNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                        size_t numDependencies, CUgraphNodeParams* nodeParams) {
  return add(phGraphNode, hGraph, dependencies, nullptr, numDependencies,
             [&](const NodePlace& place) { return put_any(place, nodeParams); });
}
CUresult cuGraphAddNode_v2(CUgraphNode* phGraphNode, CUgraph hGraph,
                           const CUgraphNode* dependencies, const CUgraphEdgeData* dependencyData,
                           size_t numDependencies, CUgraphNodeParams* nodeParams) {
  return add(phGraphNode, hGraph, dependencies, dependencyData, numDependencies,
             [&](const NodePlace& place) { return put_any(place, nodeParams); });
}
CUresult cuGraphNodeSetParams(CUgraphNode hNode, CUgraphNodeParams* nodeParams) {
  return change(hNode, nullptr, false,
                [&](const NodePlace& place) { return put_any(place, nodeParams); });
}
CUresult cuGraphExecNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode,
                                  CUgraphNodeParams* nodeParams) {
  return change(hNode, hGraphExec, true,
                [&](const NodePlace& place) { return put_any(place, nodeParams); });
}

// ---- kernels, in both ABIs

// A function pair: NAME of the first ABI and NAME_v2, with the struct of each.
CUresult cuGraphAddKernelNode(CUgraphNode* phGraphNode, CUgraph hGraph,
                              const CUgraphNode* dependencies, size_t numDependencies,
                              const CUDA_KERNEL_NODE_PARAMS_v1* nodeParams) {
  return add(phGraphNode, hGraph, dependencies, nullptr, numDependencies,
             [&](const NodePlace& place) { return put_kernel(place, nodeParams); });
}
CUresult cuGraphAddKernelNode_v2(CUgraphNode* phGraphNode, CUgraph hGraph,
                                 const CUgraphNode* dependencies, size_t numDependencies,
                                 const CUDA_KERNEL_NODE_PARAMS* nodeParams) {
  return add(phGraphNode, hGraph, dependencies, nullptr, numDependencies,
             [&](const NodePlace& place) { return put_kernel(place, nodeParams); });
}
CUresult cuGraphKernelNodeSetParams(CUgraphNode hNode,
                                    const CUDA_KERNEL_NODE_PARAMS_v1* nodeParams) {
  return change(hNode, nullptr, false,
                [&](const NodePlace& place) { return put_kernel(place, nodeParams); });
}
CUresult cuGraphKernelNodeSetParams_v2(CUgraphNode hNode,
                                       const CUDA_KERNEL_NODE_PARAMS* nodeParams) {
  return change(hNode, nullptr, false,
                [&](const NodePlace& place) { return put_kernel(place, nodeParams); });
}
CUresult cuGraphExecKernelNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode,
                                        const CUDA_KERNEL_NODE_PARAMS_v1* nodeParams) {
  return change(hNode, hGraphExec, true,
                [&](const NodePlace& place) { return put_kernel(place, nodeParams); });
}
CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec hGraphExec, CUgraphNode hNode,
                                           const CUDA_KERNEL_NODE_PARAMS* nodeParams) {
  return change(hNode, hGraphExec, true,
                [&](const NodePlace& place) { return put_kernel(place, nodeParams); });
}
CUresult cuGraphKernelNodeGetParams(CUgraphNode hNode, CUDA_KERNEL_NODE_PARAMS_v1* nodeParams) {
  return get_kernel(hNode, nodeParams);
}
CUresult cuGraphKernelNodeGetParams_v2(CUgraphNode hNode, CUDA_KERNEL_NODE_PARAMS* nodeParams) {
  return get_kernel(hNode, nodeParams);
}
CUresult cuGraphKernelNodeGetAttribute(CUgraphNode hNode, CUkernelNodeAttrID attr,
                                       CUkernelNodeAttrValue* value_out) {
  return enter_context([&](int) -> CUresult {
    return value_out == nullptr ? CUDA_ERROR_INVALID_VALUE
                                : core::node_attribute(hNode, attr, value_out);
  });
}
CUresult cuGraphKernelNodeSetAttribute(CUgraphNode hNode, CUkernelNodeAttrID attr,
                                       const CUkernelNodeAttrValue* value) {
  return enter_context([&](int) -> CUresult {
    return value == nullptr ? CUDA_ERROR_INVALID_VALUE
                            : core::node_set_attribute(hNode, attr, *value);
  });
}
CUresult cuGraphKernelNodeCopyAttributes(CUgraphNode dst, CUgraphNode src) {
  return enter_context([&](int) { return core::node_copy_attributes(dst, src); });
}

// ---- copies

CUresult cuGraphAddMemcpyNode(CUgraphNode* phGraphNode, CUgraph hGraph,
                              const CUgraphNode* dependencies, size_t numDependencies,
                              const CUDA_MEMCPY3D* copyParams, CUcontext) {
  return add(phGraphNode, hGraph, dependencies, nullptr, numDependencies,
             [&](const NodePlace& place) { return put_copy(place, copyParams); });
}
CUresult cuGraphMemcpyNodeSetParams(CUgraphNode hNode, const CUDA_MEMCPY3D* nodeParams) {
  return change(hNode, nullptr, false,
                [&](const NodePlace& place) { return put_copy(place, nodeParams); });
}
CUresult cuGraphExecMemcpyNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode,
                                        const CUDA_MEMCPY3D* copyParams, CUcontext) {
  return change(hNode, hGraphExec, true,
                [&](const NodePlace& place) { return put_copy(place, copyParams); });
}
CUresult cuGraphMemcpyNodeGetParams(CUgraphNode hNode, CUDA_MEMCPY3D* nodeParams) {
  return get(hNode, CU_GRAPH_NODE_TYPE_MEMCPY, nodeParams, [&]() -> CUresult {
    core::Copy copy;
    const CUresult result = core::node_copy(hNode, &copy);
    if (result != CUDA_SUCCESS) {
      return result;
    }
    CUDA_MEMCPY3D& out = *nodeParams;
    out = {};
    out.WidthInBytes = copy.width;
    out.Height = copy.height;
    out.Depth = copy.depth;
    out.srcPitch = copy.from_pitch;
    out.srcHeight = copy.from_pitch == 0 ? 0 : copy.from_slice / copy.from_pitch;
    out.dstPitch = copy.to_pitch;
    out.dstHeight = copy.to_pitch == 0 ? 0 : copy.to_slice / copy.to_pitch;
    if (copy.from_place == core::Place::kHost) {
      out.srcMemoryType = CU_MEMORYTYPE_HOST;
      out.srcHost = reinterpret_cast<const void*>(copy.from);
    } else {
      out.srcMemoryType = CU_MEMORYTYPE_DEVICE;
      out.srcDevice = copy.from;
    }
    if (copy.to_place == core::Place::kHost) {
      out.dstMemoryType = CU_MEMORYTYPE_HOST;
      out.dstHost = reinterpret_cast<void*>(copy.to);
    } else {
      out.dstMemoryType = CU_MEMORYTYPE_DEVICE;
      out.dstDevice = copy.to;
    }
    return CUDA_SUCCESS;
  });
}

// ---- fills

CUresult cuGraphAddMemsetNode(CUgraphNode* phGraphNode, CUgraph hGraph,
                              const CUgraphNode* dependencies, size_t numDependencies,
                              const CUDA_MEMSET_NODE_PARAMS* memsetParams, CUcontext) {
  return add(phGraphNode, hGraph, dependencies, nullptr, numDependencies,
             [&](const NodePlace& place) { return core::put_fill(place, memsetParams); });
}
CUresult cuGraphMemsetNodeSetParams(CUgraphNode hNode, const CUDA_MEMSET_NODE_PARAMS* nodeParams) {
  return change(hNode, nullptr, false,
                [&](const NodePlace& place) { return core::put_fill(place, nodeParams); });
}
CUresult cuGraphExecMemsetNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode,
                                        const CUDA_MEMSET_NODE_PARAMS* memsetParams, CUcontext) {
  return change(hNode, hGraphExec, true,
                [&](const NodePlace& place) { return core::put_fill(place, memsetParams); });
}
CUresult cuGraphMemsetNodeGetParams(CUgraphNode hNode, CUDA_MEMSET_NODE_PARAMS* nodeParams) {
  return get(hNode, CU_GRAPH_NODE_TYPE_MEMSET, nodeParams,
             [&] { return core::node_fill(hNode, nodeParams); });
}

// ---- events, child graphs, nothing

CUresult cuGraphAddEventRecordNode(CUgraphNode* phGraphNode, CUgraph hGraph,
                                   const CUgraphNode* dependencies, size_t numDependencies,
                                   CUevent event) {
  return add(phGraphNode, hGraph, dependencies, nullptr, numDependencies,
             [&](const NodePlace& place) { return core::put_event(place, event, false); });
}
CUresult cuGraphAddEventWaitNode(CUgraphNode* phGraphNode, CUgraph hGraph,
                                 const CUgraphNode* dependencies, size_t numDependencies,
                                 CUevent event) {
  return add(phGraphNode, hGraph, dependencies, nullptr, numDependencies,
             [&](const NodePlace& place) { return core::put_event(place, event, true); });
}
CUresult cuGraphEventRecordNodeGetEvent(CUgraphNode hNode, CUevent* event_out) {
  return get(hNode, CU_GRAPH_NODE_TYPE_EVENT_RECORD, event_out,
             [&] { return core::node_event(hNode, event_out); });
}
CUresult cuGraphEventWaitNodeGetEvent(CUgraphNode hNode, CUevent* event_out) {
  return get(hNode, CU_GRAPH_NODE_TYPE_WAIT_EVENT, event_out,
             [&] { return core::node_event(hNode, event_out); });
}
CUresult cuGraphEventRecordNodeSetEvent(CUgraphNode hNode, CUevent event) {
  return change(hNode, nullptr, false,
                [&](const NodePlace& place) { return core::put_event(place, event, false); });
}
CUresult cuGraphEventWaitNodeSetEvent(CUgraphNode hNode, CUevent event) {
  return change(hNode, nullptr, false,
                [&](const NodePlace& place) { return core::put_event(place, event, true); });
}
CUresult cuGraphExecEventRecordNodeSetEvent(CUgraphExec hGraphExec, CUgraphNode hNode,
                                            CUevent event) {
  return change(hNode, hGraphExec, true,
                [&](const NodePlace& place) { return core::put_event(place, event, false); });
}
CUresult cuGraphExecEventWaitNodeSetEvent(CUgraphExec hGraphExec, CUgraphNode hNode,
                                          CUevent event) {
  return change(hNode, hGraphExec, true,
                [&](const NodePlace& place) { return core::put_event(place, event, true); });
}
CUresult cuGraphAddEmptyNode(CUgraphNode* phGraphNode, CUgraph hGraph,
                             const CUgraphNode* dependencies, size_t numDependencies) {
  return add(phGraphNode, hGraph, dependencies, nullptr, numDependencies,
             [&](const NodePlace& place) { return core::node_add_empty(place); });
}
CUresult cuGraphAddChildGraphNode(CUgraphNode* phGraphNode, CUgraph hGraph,
                                  const CUgraphNode* dependencies, size_t numDependencies,
                                  CUgraph childGraph) {
  return add(phGraphNode, hGraph, dependencies, nullptr, numDependencies,
             [&](const NodePlace& place) { return core::node_put_child(place, childGraph); });
}
CUresult cuGraphExecChildGraphNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode,
                                            CUgraph childGraph) {
  return change(hNode, hGraphExec, true,
                [&](const NodePlace& place) { return core::node_put_child(place, childGraph); });
}
CUresult cuGraphChildGraphNodeGetGraph(CUgraphNode hNode, CUgraph* phGraph) {
  return get(hNode, CU_GRAPH_NODE_TYPE_GRAPH, phGraph,
             [&] { return core::node_child(hNode, phGraph); });
}
