// Memory pools: names with attributes and books. Every stream-ordered allocation comes from the
// core's one allocator per device, which also decides what to keep and what to give back; a pool
// counts what was taken in its name. A pool is the same for all façades.
#pragma once

#include <cuda.h>

#include "client/core/api.h"

namespace farlane::client::memory_pool {

FARLANE_CORE_API CUmemoryPool default_of(int device);
// What cuMemAllocAsync uses: the default one, or what set_current chose.
FARLANE_CORE_API CUmemoryPool current_of(int device);
FARLANE_CORE_API CUresult set_current(int device, CUmemoryPool pool);

FARLANE_CORE_API CUresult create(int device, CUmemoryPool* pool);
FARLANE_CORE_API CUresult destroy(CUmemoryPool pool);

// The device of a live pool, or -1.
FARLANE_CORE_API int device_of(CUmemoryPool pool);

// Allocates in a pool's name; what is freed by any call leaves its books. For forget, any address
// will do.
FARLANE_CORE_API CUresult allocate(CUmemoryPool pool, size_t bytes, CUstream stream,
                                   CUdeviceptr* address);
FARLANE_CORE_API void forget(CUdeviceptr address);
// The pool that an address was taken from, or null.
FARLANE_CORE_API CUmemoryPool pool_of(CUdeviceptr address);

// Whether a device may use the pool's memory. The pool's own always may.
FARLANE_CORE_API CUresult get_access(CUmemoryPool pool, int device, CUmemAccess_flags* flags);
// CUDA_ERROR_INVALID_DEVICE for a device that cannot reach it, and for taking it from the own one.
FARLANE_CORE_API CUresult set_access(CUmemoryPool pool, int device, CUmemAccess_flags flags);
// Gives back what the pool's device holds for later.
FARLANE_CORE_API CUresult trim(CUmemoryPool pool);

FARLANE_CORE_API CUresult get_attribute(CUmemoryPool pool, CUmemPool_attribute attribute,
                                        void* value);
FARLANE_CORE_API CUresult set_attribute(CUmemoryPool pool, CUmemPool_attribute attribute,
                                        const void* value);

}  // namespace farlane::client::memory_pool
