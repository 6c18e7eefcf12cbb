// Stream-ordered memory and its pools.
#include "client/core/memory_pool.h"
#include "client/cuda/driver.h"

using namespace farlane::cuda;
namespace pool = farlane::client::memory_pool;

namespace {

CUresult allocate(CUmemoryPool from, CUdeviceptr* address, size_t bytes, CUstream stream) {
  return address == nullptr || bytes == 0 ? CUDA_ERROR_INVALID_VALUE
                                          : pool::allocate(from, bytes, stream, address);
}

CUresult alloc_async(CUdeviceptr* address, size_t bytes, CUstream stream) {
  return enter_context([&](int) -> CUresult {
    int device = 0;
    const CUresult result = core::stream_device(stream, &device);
    return result == CUDA_SUCCESS ? allocate(pool::current_of(device), address, bytes, stream)
                                  : result;
  });
}

CUresult alloc_from_pool(CUdeviceptr* address, size_t bytes, CUmemoryPool from, CUstream stream) {
  return enter_context([&](int) { return allocate(from, address, bytes, stream); });
}

CUresult free_async(CUdeviceptr address, CUstream stream) {
  return enter_release([&]() -> CUresult {
    if (address == 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return pool::free_async(address, stream);
  });
}

enum class Which { kDefault, kCurrent };

CUresult pool_of_device(CUmemoryPool* out, CUdevice device, Which which) {
  return enter_device(device, [&]() -> CUresult {
    if (out == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *out = which == Which::kDefault ? pool::default_of(device) : pool::current_of(device);
    return CUDA_SUCCESS;
  });
}

CUresult pool_of_location(CUmemoryPool* out, const CUmemLocation* location,
                          CUmemAllocationType type, Which which) {
  if (location == nullptr || location->type != CU_MEM_LOCATION_TYPE_DEVICE ||
      type != CU_MEM_ALLOCATION_TYPE_PINNED) {
    return is_initialized() ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_NOT_INITIALIZED;
  }
  return pool_of_device(out, location->id, which);
}

}  // namespace

FARLANE_TWINS(cuMemAllocAsync, _ptsz, (CUdeviceptr * dptr, size_t bytesize, CUstream hStream),
              alloc_async(dptr, bytesize, stream_of(hStream, twin)))
FARLANE_TWINS(cuMemAllocFromPoolAsync, _ptsz,
              (CUdeviceptr * dptr, size_t bytesize, CUmemoryPool pool, CUstream hStream),
              alloc_from_pool(dptr, bytesize, pool, stream_of(hStream, twin)))
FARLANE_TWINS(cuMemFreeAsync, _ptsz, (CUdeviceptr dptr, CUstream hStream),
              free_async(dptr, stream_of(hStream, twin)))

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool* pool_out, CUdevice dev) {
  return pool_of_device(pool_out, dev, Which::kDefault);
}
CUresult cuDeviceGetMemPool(CUmemoryPool* pool, CUdevice dev) {
  return pool_of_device(pool, dev, Which::kCurrent);
}

CUresult cuDeviceSetMemPool(CUdevice dev, CUmemoryPool pool) {
  return enter_device(dev, [&] { return pool::set_current(dev, pool); });
}

CUresult cuMemGetDefaultMemPool(CUmemoryPool* pool_out, CUmemLocation* location,
                                CUmemAllocationType type) {
  return pool_of_location(pool_out, location, type, Which::kDefault);
}
CUresult cuMemGetMemPool(CUmemoryPool* pool, CUmemLocation* location, CUmemAllocationType type) {
  return pool_of_location(pool, location, type, Which::kCurrent);
}

CUresult cuMemSetMemPool(CUmemLocation* location, CUmemAllocationType type, CUmemoryPool pool) {
  return enter([&]() -> CUresult {
    if (location == nullptr || location->type != CU_MEM_LOCATION_TYPE_DEVICE ||
        type != CU_MEM_ALLOCATION_TYPE_PINNED) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const CUresult result = check_device(location->id);
    return result == CUDA_SUCCESS ? pool::set_current(location->id, pool) : result;
  });
}

CUresult cuMemPoolCreate(CUmemoryPool* pool, const CUmemPoolProps* poolProps) {
  return enter([&]() -> CUresult {
    if (pool == nullptr || poolProps == nullptr ||
        poolProps->allocType != CU_MEM_ALLOCATION_TYPE_PINNED) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (poolProps->handleTypes != CU_MEM_HANDLE_TYPE_NONE ||
        poolProps->location.type != CU_MEM_LOCATION_TYPE_DEVICE) {
      return not_supported("cuMemPoolCreate for sharing or for the host's memory");
    }
    const CUresult result = check_device(poolProps->location.id);
    return result == CUDA_SUCCESS ? pool::create(poolProps->location.id, pool) : result;
  });
}

CUresult cuMemPoolDestroy(CUmemoryPool pool) {
  return enter([&] { return pool::destroy(pool); });
}

CUresult cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attr, void* value) {
  return enter([&] { return pool::get_attribute(pool, attr, value); });
}
CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attr, void* value) {
  return enter([&] { return pool::set_attribute(pool, attr, value); });
}

CUresult cuMemPoolTrimTo(CUmemoryPool hPool, size_t minBytesToKeep) {
  return enter([&] { return pool::trim(hPool, minBytesToKeep); });
}

CUresult cuMemPoolGetAccess(CUmemAccess_flags* flags, CUmemoryPool memPool,
                            CUmemLocation* location) {
  return enter([&]() -> CUresult {
    if (flags == nullptr || location == nullptr || location->type != CU_MEM_LOCATION_TYPE_DEVICE) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const CUresult result = check_device(location->id);
    return result == CUDA_SUCCESS ? pool::get_access(memPool, location->id, flags) : result;
  });
}

CUresult cuMemPoolSetAccess(CUmemoryPool pool, const CUmemAccessDesc* map, size_t count) {
  return enter([&]() -> CUresult {
    if ((map == nullptr && count > 0) || pool::device_of(pool) < 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    for (size_t i = 0; i < count; i++) {
      if (map[i].location.type != CU_MEM_LOCATION_TYPE_DEVICE) {
        return not_supported("cuMemPoolSetAccess for the host");
      }
      CUresult result = check_device(map[i].location.id);
      if (result == CUDA_SUCCESS) {
        result = pool::set_access(pool, map[i].location.id, map[i].flags);
      }
      if (result != CUDA_SUCCESS) {
        return result;
      }
    }
    return CUDA_SUCCESS;
  });
}
