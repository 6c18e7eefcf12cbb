// Stream-ordered memory and its pools.
#include "client/cudart/memory_pool.h"
#include "client/cudart/runtime.h"

using namespace farlane::cudart;
namespace pool = farlane::memory_pool;

namespace {

Error allocate(int device, void** pointer, size_t bytes, CUstream stream) {
  if (pointer == nullptr) {
    return cudaErrorInvalidValue;
  }
  *pointer = nullptr;
  if (bytes == 0) {
    return {};
  }
  CUdeviceptr address = 0;
  if (const CUresult result = core::memory_allocate_async(device, bytes, stream, &address);
      result != CUDA_SUCCESS) {
    return result;
  }
  *pointer = reinterpret_cast<void*>(address);
  return {};
}

cudaError_t malloc_async(void** pointer, size_t bytes, CUstream stream) {
  return enter_context([&](int current) -> Error {
    int device = current;
    if (const CUresult result = core::stream_device(stream, &device); result != CUDA_SUCCESS) {
      return result;
    }
    return allocate(device, pointer, bytes, stream);
  });
}

cudaError_t malloc_from_pool(void** pointer, size_t bytes, cudaMemPool_t from, CUstream stream) {
  return enter_context([&](int) -> Error {
    const int device = pool::device_of(from);
    return device < 0 ? Error(cudaErrorInvalidValue) : allocate(device, pointer, bytes, stream);
  });
}

cudaError_t free_async(void* pointer, CUstream stream) {
  return enter_release([&](int) -> Error {
    return pointer == nullptr
               ? Error()
               : Error(core::memory_free_async(reinterpret_cast<CUdeviceptr>(pointer), stream));
  });
}

cudaError_t pool_of_device(cudaMemPool_t* out, int device) {
  return enter([&]() -> Error {
    if (out == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (Error error = check_device(device)) {
      return error;
    }
    *out = pool::of_device(device);
    return {};
  });
}

cudaError_t pool_of_location(cudaMemPool_t* out, const cudaMemLocation* location,
                             cudaMemAllocationType type) {
  if (location == nullptr || location->type != cudaMemLocationTypeDevice ||
      type != cudaMemAllocationTypePinned) {
    return record(cudaErrorInvalidValue);
  }
  return pool_of_device(out, location->id);
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
  return pool_of_device(memPool, device);
}

cudaError_t cudaDeviceGetMemPool(cudaMemPool_t* memPool, int device) {
  return pool_of_device(memPool, device);
}

cudaError_t cudaDeviceSetMemPool(int device, cudaMemPool_t memPool) {
  return enter([&]() -> Error {
    if (Error error = check_device(device)) {
      return error;
    }
    return pool::device_of(memPool) == device ? cudaSuccess : cudaErrorInvalidValue;
  });
}

cudaError_t cudaMemGetDefaultMemPool(cudaMemPool_t* memPool, cudaMemLocation* location,
                                     cudaMemAllocationType type) {
  return pool_of_location(memPool, location, type);
}

cudaError_t cudaMemGetMemPool(cudaMemPool_t* memPool, cudaMemLocation* location,
                              cudaMemAllocationType type) {
  return pool_of_location(memPool, location, type);
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

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t memPool, size_t) {
  // The device's allocator gives memory back by itself.
  return with_pool(memPool, [](int) { return Error(); });
}

cudaError_t cudaMemPoolGetAccess(cudaMemAccessFlags* flags, cudaMemPool_t memPool,
                                 cudaMemLocation* location) {
  return with_pool(memPool, [&](int device) -> Error {
    if (flags == nullptr || location == nullptr || location->type != cudaMemLocationTypeDevice) {
      return cudaErrorInvalidValue;
    }
    if (Error error = check_device(location->id)) {
      return error;
    }
    *flags = location->id == device ? cudaMemAccessFlagsProtReadWrite : cudaMemAccessFlagsProtNone;
    return {};
  });
}

cudaError_t cudaMemPoolSetAccess(cudaMemPool_t memPool, const cudaMemAccessDesc* descList,
                                 size_t count) {
  return with_pool(memPool, [&](int device) -> Error {
    if (descList == nullptr && count > 0) {
      return cudaErrorInvalidValue;
    }
    for (size_t i = 0; i < count; i++) {
      // A pool's own device always has access, and another one cannot have it yet.
      if (descList[i].location.type != cudaMemLocationTypeDevice ||
          descList[i].location.id != device) {
        return not_supported("cudaMemPoolSetAccess for another device");
      }
      if (descList[i].flags != cudaMemAccessFlagsProtReadWrite) {
        return cudaErrorInvalidDevice;
      }
    }
    return {};
  });
}
