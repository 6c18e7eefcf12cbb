// Stream-ordered memory and its pools.
#include "client/core/memory_pool.h"
#include "client/cudart/runtime.h"

using namespace farlane::cudart;
namespace pool = farlane::client::memory_pool;

namespace {

Error allocate(cudaMemPool_t from, void** pointer, size_t bytes, CUstream stream) {
  if (pointer == nullptr) {
    return cudaErrorInvalidValue;
  }
  *pointer = nullptr;
  if (bytes == 0) {
    return {};
  }
  CUdeviceptr address = 0;
  if (const CUresult result = pool::allocate(from, bytes, stream, &address);
      result != CUDA_SUCCESS) {
    return result;
  }
  *pointer = reinterpret_cast<void*>(address);
  return {};
}

cudaError_t malloc_async(void** pointer, size_t bytes, CUstream stream) {
  return enter_context([&](int) -> Error {
    int device = 0;
    if (const CUresult result = core::stream_device(stream, &device); result != CUDA_SUCCESS) {
      return result;
    }
    return allocate(pool::current_of(device), pointer, bytes, stream);
  });
}

cudaError_t malloc_from_pool(void** pointer, size_t bytes, cudaMemPool_t from, CUstream stream) {
  return enter_context([&](int) -> Error {
    return pool::device_of(from) < 0 ? Error(cudaErrorInvalidValue)
                                     : allocate(from, pointer, bytes, stream);
  });
}

cudaError_t free_async(void* pointer, CUstream stream) {
  return enter_release([&](int) -> Error {
    if (pointer == nullptr) {
      return {};
    }
    return pool::free_async(reinterpret_cast<CUdeviceptr>(pointer), stream);
  });
}

enum class Which { kDefault, kCurrent };

cudaError_t pool_of_device(cudaMemPool_t* out, int device, Which which) {
  return enter([&]() -> Error {
    if (out == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (Error error = check_device(device)) {
      return error;
    }
    *out = which == Which::kDefault ? pool::default_of(device) : pool::current_of(device);
    return {};
  });
}

cudaError_t pool_of_location(cudaMemPool_t* out, const cudaMemLocation* location,
                             cudaMemAllocationType type, Which which) {
  if (location == nullptr || location->type != cudaMemLocationTypeDevice ||
      type != cudaMemAllocationTypePinned) {
    return record(cudaErrorInvalidValue);
  }
  return pool_of_device(out, location->id, which);
}

// Runs `body` with the device of a live pool.
template <typename Body>
cudaError_t with_pool(cudaMemPool_t pool_handle, Body&& body) {
  return enter_context([&](int) -> Error {
    const int device = pool::device_of(pool_handle);
    return device < 0 ? Error(cudaErrorInvalidValue) : body(device);
  });
}

}  // namespace

FARLANE_TWINS(cudaMallocAsync, _ptsz, (void** devPtr, size_t size, cudaStream_t hStream),
              malloc_async(devPtr, size, stream_of(hStream, twin)))
FARLANE_TWINS(cudaMallocFromPoolAsync, _ptsz,
              (void** ptr, size_t size, cudaMemPool_t memPool, cudaStream_t stream),
              malloc_from_pool(ptr, size, memPool, stream_of(stream, twin)))
FARLANE_TWINS(cudaFreeAsync, _ptsz, (void* devPtr, cudaStream_t hStream),
              free_async(devPtr, stream_of(hStream, twin)))

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* memPool, int device) {
  return pool_of_device(memPool, device, Which::kDefault);
}

cudaError_t cudaDeviceGetMemPool(cudaMemPool_t* memPool, int device) {
  return pool_of_device(memPool, device, Which::kCurrent);
}

cudaError_t cudaDeviceSetMemPool(int device, cudaMemPool_t memPool) {
  return enter([&]() -> Error {
    if (Error error = check_device(device)) {
      return error;
    }
    return pool::set_current(device, memPool);
  });
}

cudaError_t cudaMemGetDefaultMemPool(cudaMemPool_t* memPool, cudaMemLocation* location,
                                     cudaMemAllocationType type) {
  return pool_of_location(memPool, location, type, Which::kDefault);
}

cudaError_t cudaMemGetMemPool(cudaMemPool_t* memPool, cudaMemLocation* location,
                              cudaMemAllocationType type) {
  return pool_of_location(memPool, location, type, Which::kCurrent);
}

cudaError_t cudaMemSetMemPool(cudaMemLocation* location, cudaMemAllocationType type,
                              cudaMemPool_t memPool) {
  return enter([&]() -> Error {
    if (location == nullptr || location->type != cudaMemLocationTypeDevice ||
        type != cudaMemAllocationTypePinned) {
      return cudaErrorInvalidValue;
    }
    if (Error error = check_device(location->id)) {
      return error;
    }
    return pool::set_current(location->id, memPool);
  });
}

cudaError_t cudaMemPoolCreate(cudaMemPool_t* memPool, const cudaMemPoolProps* poolProps) {
  return enter([&]() -> Error {
    if (memPool == nullptr || poolProps == nullptr ||
        poolProps->allocType != cudaMemAllocationTypePinned) {
      return cudaErrorInvalidValue;
    }
    if (poolProps->handleTypes != cudaMemHandleTypeNone ||
        poolProps->location.type != cudaMemLocationTypeDevice) {
      return not_supported("cudaMemPoolCreate for sharing or for the host's memory");
    }
    if (Error error = check_device(poolProps->location.id)) {
      return error;
    }
    return pool::create(poolProps->location.id, memPool);
  });
}

cudaError_t cudaMemPoolDestroy(cudaMemPool_t memPool) {
  return enter([&]() -> Error { return pool::destroy(memPool); });
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t memPool, cudaMemPoolAttr attr, void* value) {
  return enter_context([&](int) -> Error {
    return pool::get_attribute(memPool, static_cast<CUmemPool_attribute>(attr), value);
  });
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t memPool, cudaMemPoolAttr attr, void* value) {
  return enter_context([&](int) -> Error {
    return pool::set_attribute(memPool, static_cast<CUmemPool_attribute>(attr), value);
  });
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t memPool, size_t minBytesToKeep) {
  return with_pool(memPool, [&](int) -> Error { return pool::trim(memPool, minBytesToKeep); });
}

cudaError_t cudaMemPoolGetAccess(cudaMemAccessFlags* flags, cudaMemPool_t memPool,
                                 cudaMemLocation* location) {
  return with_pool(memPool, [&](int) -> Error {
    if (flags == nullptr || location == nullptr || location->type != cudaMemLocationTypeDevice) {
      return cudaErrorInvalidValue;
    }
    if (Error error = check_device(location->id)) {
      return error;
    }
    CUmemAccess_flags found = CU_MEM_ACCESS_FLAGS_PROT_NONE;
    const CUresult result = pool::get_access(memPool, location->id, &found);
    *flags = static_cast<cudaMemAccessFlags>(found);
    return result;
  });
}

cudaError_t cudaMemPoolSetAccess(cudaMemPool_t memPool, const cudaMemAccessDesc* descList,
                                 size_t count) {
  return with_pool(memPool, [&](int) -> Error {
    if (descList == nullptr && count > 0) {
      return cudaErrorInvalidValue;
    }
    for (size_t i = 0; i < count; i++) {
      if (descList[i].location.type != cudaMemLocationTypeDevice) {
        return not_supported("cudaMemPoolSetAccess for the host");
      }
      if (Error error = check_device(descList[i].location.id)) {
        return error;
      }
      const CUresult result = pool::set_access(memPool, descList[i].location.id,
                                               static_cast<CUmemAccess_flags>(descList[i].flags));
      if (result != CUDA_SUCCESS) {
        return result;
      }
    }
    return {};
  });
}
