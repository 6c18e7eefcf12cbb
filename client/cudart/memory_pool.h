// Memory pools as far as they exist: every stream-ordered allocation comes from the core's one
// allocator per device, and a pool is a name with attributes. Handles say which device they are for
// and are the same in both façades, since both compute them.
#pragma once

#include <cuda.h>

#include "client/core/api.h"

namespace farlane::memory_pool {

// The one pool of a device, which is its default and current one.
CUmemoryPool of_device(int device);
// The device of a pool, or -1 for something that is no pool of ours.
int device_of(CUmemoryPool pool);

CUresult get_attribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value);
CUresult set_attribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value);

}  // namespace farlane::memory_pool
