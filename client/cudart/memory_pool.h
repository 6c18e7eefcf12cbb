// Memory pools: names with attributes and books. Every stream-ordered allocation comes from the
// core's one allocator per device, which also decides what to keep and what to give back; a pool
// counts what was taken in its name. The default pools' handles are the same in both façades;
// created ones belong to the façade that made them.
#pragma once

#include <cuda.h>

#include "client/core/api.h"

namespace farlane::memory_pool {

CUmemoryPool default_of(int device);
// What cuMemAllocAsync uses: the default one, or what set_current chose.
CUmemoryPool current_of(int device);
CUresult set_current(int device, CUmemoryPool pool);

CUresult create(int device, CUmemoryPool* pool);
CUresult destroy(CUmemoryPool pool);

// The device of a live pool, or -1.
int device_of(CUmemoryPool pool);

// Allocates in a pool's name; what is freed by any call leaves its books. For forget, any address
// will do.
CUresult allocate(CUmemoryPool pool, size_t bytes, CUstream stream, CUdeviceptr* address);
void forget(CUdeviceptr address);
// The pool that an address was taken from, or null.
CUmemoryPool pool_of(CUdeviceptr address);

CUresult get_attribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value);
CUresult set_attribute(CUmemoryPool pool, CUmemPool_attribute attribute, const void* value);

}  // namespace farlane::memory_pool
