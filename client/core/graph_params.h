// Node parameters of both APIs: their structs have the same members under the same names, and their
// enumerations the same values, under different types.
#pragma once

#include <cuda.h>

#include <vector>

#include "client/core/graph_api.h"

namespace farlane::client {

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

template <typename Address>
CUresult get_freed(CUgraphNode node, Address* address) {
  CUDA_MEM_ALLOC_NODE_PARAMS known{};
  const CUresult result = node_memory(node, &known);
  *address = (Address)known.dptr;
  return result;
}

}  // namespace farlane::client
