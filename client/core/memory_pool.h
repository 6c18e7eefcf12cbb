// Memory pools: names with attributes and books. Every stream-ordered allocation comes from the
// core's one allocator per device, which also decides what to keep and what to give back: as much
// as the release thresholds of the device's pools say together. A pool counts what was taken in its
// name. A pool is the same for all façades.
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

// Allocates in a pool's name.
FARLANE_CORE_API CUresult allocate(CUmemoryPool pool, size_t bytes, CUstream stream,
                                   CUdeviceptr* address);
// memory_free and memory_free_async, of any memory: if it is a pool's, it leaves the pool's books.
FARLANE_CORE_API CUresult free(CUdeviceptr address);
FARLANE_CORE_API CUresult free_async(CUdeviceptr address, CUstream stream);
// The pool that an address was taken from, or null.
FARLANE_CORE_API CUmemoryPool pool_of(CUdeviceptr address);

// Whether a device may use the pool's memory. The pool's own always may.
FARLANE_CORE_API CUresult get_access(CUmemoryPool pool, int device, CUmemAccess_flags* flags);
// CUDA_ERROR_INVALID_DEVICE for a device that cannot reach it, and for taking it from the own one.
FARLANE_CORE_API CUresult set_access(CUmemoryPool pool, int device, CUmemAccess_flags flags);
// Gives back what the pool's device holds for later, down to so much in the pool, used or held.
FARLANE_CORE_API CUresult trim(CUmemoryPool pool, size_t keep_bytes);

FARLANE_CORE_API CUresult get_attribute(CUmemoryPool pool, CUmemPool_attribute attribute,
                                        void* value);
FARLANE_CORE_API CUresult set_attribute(CUmemoryPool pool, CUmemPool_attribute attribute,
                                        const void* value);

}  // namespace farlane::client::memory_pool
