// Node parameters of both APIs: their structs have the same members under the same names, and their
// enumerations the same values, under different types.
#pragma once

#include <cuda.h>

#include <vector>

#include "client/core/graph_api.h"

namespace farlane::client {

// `extra`, name and value pairs that give all of a kernel's parameters packed. Null: there is none.
inline CUresult read_packed_params(void** extra, Launch* launch) {
  for (void** at = extra; at != nullptr && *at != CU_LAUNCH_PARAM_END; at += 2) {
    if (*at == CU_LAUNCH_PARAM_BUFFER_POINTER) {
      launch->packed_params = at[1];
    } else if (*at == CU_LAUNCH_PARAM_BUFFER_SIZE) {
      launch->packed_bytes = *static_cast<const size_t*>(at[1]);
    } else {
      return CUDA_ERROR_INVALID_VALUE;
    }
  }
  return CUDA_SUCCESS;
}

template <typename Params>
CUresult put_fill(const NodePlace& place, const Params* params) {
  return params == nullptr
             ? CUDA_ERROR_INVALID_VALUE
             : node_put_fill(place, (CUdeviceptr)params->dst, params->pitch, params->value,
                             params->elementSize, params->width, params->height);
}

inline CUresult put_event(const NodePlace& place, CUevent event, bool wait) {
  return event == nullptr ? CUDA_ERROR_INVALID_HANDLE : node_put_event(place, event, wait);
}

template <typename Params>
CUresult put_host(const NodePlace& place, const Params* params) {
  return params == nullptr ? CUDA_ERROR_INVALID_VALUE
                           : node_put_host(place, params->fn, params->userData);
}

// The address goes into params->dptr.
template <typename Params>
CUresult add_allocation(const NodePlace& place, Params* params) {
  if (params == nullptr || place.added == nullptr ||
      static_cast<int>(params->poolProps.allocType) != CU_MEM_ALLOCATION_TYPE_PINNED ||
      static_cast<int>(params->poolProps.handleTypes) != CU_MEM_HANDLE_TYPE_NONE ||
      static_cast<int>(params->poolProps.location.type) != CU_MEM_LOCATION_TYPE_DEVICE ||
      (params->accessDescCount != 0 && params->accessDescs == nullptr)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const int device = params->poolProps.location.id;
  std::vector<CUmemAccessDesc> access(params->accessDescCount);
  for (size_t i = 0; i < access.size(); ++i) {
    const auto& from = params->accessDescs[i];
    access[i].location.type = static_cast<CUmemLocationType>(from.location.type);
    access[i].location.id = from.location.id;
    access[i].flags = static_cast<CUmemAccess_flags>(from.flags);
    if (access[i].location.type != CU_MEM_LOCATION_TYPE_DEVICE ||
        (access[i].location.id != device && !can_access_peer(access[i].location.id, device))) {
      return CUDA_ERROR_INVALID_VALUE;
    }
  }
  CUdeviceptr address = 0;
  const CUresult result =
      node_add_allocation(place, device, params->bytesize, std::move(access), &address);
  if (result == CUDA_SUCCESS) {
    params->dptr = (decltype(params->dptr))address;  // a number, or a pointer
  }
  return result;
}

template <typename Params>
CUresult get_allocation(CUgraphNode node, Params* params) {
  CUDA_MEM_ALLOC_NODE_PARAMS known{};
  const CUresult result = node_memory(node, &known);
  if (result != CUDA_SUCCESS) {
    return result;
  }
  *params = {};
  params->poolProps.allocType =
      static_cast<decltype(params->poolProps.allocType)>(known.poolProps.allocType);
  params->poolProps.location.type =
      static_cast<decltype(params->poolProps.location.type)>(known.poolProps.location.type);
  params->poolProps.location.id = known.poolProps.location.id;
  static_assert(sizeof *params->accessDescs == sizeof *known.accessDescs);
  params->accessDescs = reinterpret_cast<decltype(params->accessDescs)>(known.accessDescs);
  params->accessDescCount = known.accessDescCount;
  params->bytesize = known.bytesize;
  params->dptr = (decltype(params->dptr))known.dptr;
  return CUDA_SUCCESS;
}

// A node of any type. Kernels and copies are described too differently: put_kernel(place, params)
// and put_copy(place, params) are the façade's, and may have its own kind of result.
template <typename Params, typename PutKernel, typename PutCopy>
auto put_any(const NodePlace& place, Params* params, PutKernel&& put_kernel, PutCopy&& put_copy,
             const char* name) -> decltype(put_kernel(place, &params->kernel)) {
  if (params == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  switch (static_cast<CUgraphNodeType>(params->type)) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
      return put_kernel(place, &params->kernel);
    case CU_GRAPH_NODE_TYPE_MEMCPY:
      return put_copy(place, &params->memcpy.copyParams);
    case CU_GRAPH_NODE_TYPE_MEMSET:
      return put_fill(place, &params->memset);
    case CU_GRAPH_NODE_TYPE_GRAPH:
      return node_put_child(place, params->graph.graph);
    case CU_GRAPH_NODE_TYPE_EMPTY:
      return place.node == nullptr ? node_add_empty(place) : CUDA_ERROR_INVALID_VALUE;
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
      return put_event(place, params->eventWait.event, true);
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
      return put_event(place, params->eventRecord.event, false);
    case CU_GRAPH_NODE_TYPE_HOST:
      return put_host(place, &params->host);
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
      return add_allocation(place, &params->alloc);
    case CU_GRAPH_NODE_TYPE_MEM_FREE:
      return place.added == nullptr ? CUDA_ERROR_INVALID_VALUE
                                    : node_add_free(place, (CUdeviceptr)params->free.dptr);
    default:
      unsupported(name);
      return CUDA_ERROR_NOT_SUPPORTED;
  }
}

template <typename Address>
CUresult get_freed(CUgraphNode node, Address* address) {
  CUDA_MEM_ALLOC_NODE_PARAMS known{};
  const CUresult result = node_memory(node, &known);
  *address = (Address)known.dptr;
  return result;
}

}  // namespace farlane::client
