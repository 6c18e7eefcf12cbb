// Device and host memory, and what a pointer is.
#include <limits>

#include "client/core/memory_pool.h"
#include "client/cudart/runtime.h"

using namespace farlane::cudart;

namespace {

// cudaMallocPitch's row alignment on every GPU of CUDA 13, which is also the allocator's alignment.
constexpr size_t kPitchBytes = 512;

CUdeviceptr address_of(const void* pointer) {
  return reinterpret_cast<CUdeviceptr>(pointer);
}

Error allocate(int device, size_t bytes, void** pointer) {
  *pointer = nullptr;
  if (bytes == 0) {
    return {};
  }
  CUdeviceptr address = 0;
  if (const CUresult result = core::memory_allocate(device, bytes, &address);
      result != CUDA_SUCCESS) {
    return result;
  }
  *pointer = reinterpret_cast<void*>(address);
  return {};
}

Error allocate_pitched(int device, size_t width, size_t height, size_t depth, void** pointer,
                       size_t* pitch) {
  if (width > std::numeric_limits<size_t>::max() - kPitchBytes) {
    return cudaErrorMemoryAllocation;
  }
  const size_t row = (width + kPitchBytes - 1) / kPitchBytes * kPitchBytes;
  size_t rows = 0;
  size_t bytes = 0;
  if (__builtin_mul_overflow(height, depth, &rows) || __builtin_mul_overflow(row, rows, &bytes)) {
    return cudaErrorMemoryAllocation;
  }
  if (Error error = allocate(device, bytes, pointer)) {
    return error;
  }
  *pitch = bytes == 0 ? 0 : row;
  return {};
}

Error host_allocate(size_t bytes, unsigned flags, void** pointer) {
  if (pointer == nullptr) {
    return cudaErrorInvalidValue;
  }
  *pointer = nullptr;
  if ((flags & ~(cudaHostAllocPortable | cudaHostAllocMapped | cudaHostAllocWriteCombined)) != 0) {
    return cudaErrorInvalidValue;
  }
  return bytes == 0 ? Error() : Error(core::host_allocate(bytes, flags, pointer));
}

}  // namespace

// The runtime's host memory flags are the driver's.
static_assert(cudaHostAllocPortable == CU_MEMHOSTALLOC_PORTABLE &&
              cudaHostAllocMapped == CU_MEMHOSTALLOC_DEVICEMAP &&
              cudaHostAllocWriteCombined == CU_MEMHOSTALLOC_WRITECOMBINED &&
              cudaHostRegisterPortable == CU_MEMHOSTREGISTER_PORTABLE &&
              cudaHostRegisterMapped == CU_MEMHOSTREGISTER_DEVICEMAP &&
              cudaHostRegisterIoMemory == CU_MEMHOSTREGISTER_IOMEMORY &&
              cudaHostRegisterReadOnly == CU_MEMHOSTREGISTER_READ_ONLY);

cudaError_t cudaMalloc(void** devPtr, size_t size) {
  return enter_context([&](int device) -> Error {
    return devPtr == nullptr ? Error(cudaErrorInvalidValue) : allocate(device, size, devPtr);
  });
}

cudaError_t cudaMallocPitch(void** devPtr, size_t* pitch, size_t width, size_t height) {
  return enter_context([&](int device) -> Error {
    if (devPtr == nullptr || pitch == nullptr) {
      return cudaErrorInvalidValue;
    }
    return allocate_pitched(device, width, height, 1, devPtr, pitch);
  });
}

cudaError_t cudaMalloc3D(cudaPitchedPtr* pitchedDevPtr, cudaExtent extent) {
  return enter_context([&](int device) -> Error {
    if (pitchedDevPtr == nullptr) {
      return cudaErrorInvalidValue;
    }
    cudaPitchedPtr made = {nullptr, 0, extent.width, extent.height};
    if (Error error = allocate_pitched(device, extent.width, extent.height, extent.depth, &made.ptr,
                                       &made.pitch)) {
      return error;
    }
    *pitchedDevPtr = made;
    return {};
  });
}

cudaError_t cudaFree(void* devPtr) {
  // cudaFree(nullptr) is a common way to ask for the context.
  return enter_release([&](int) -> Error {
    if (devPtr == nullptr) {
      return {};
    }
    return core::memory_pool::free(address_of(devPtr));
  });
}

cudaError_t cudaHostAlloc(void** pHost, size_t size, unsigned int flags) {
  return enter_context([&](int) { return host_allocate(size, flags, pHost); });
}

cudaError_t cudaMallocHost(void** ptr, size_t size) {
  return enter_context([&](int) { return host_allocate(size, 0, ptr); });
}

cudaError_t cudaFreeHost(void* ptr) {
  return enter_release(
      [&](int) -> Error { return ptr == nullptr ? Error() : Error(core::host_free(ptr)); });
}

cudaError_t cudaHostRegister(void* ptr, size_t size, unsigned int flags) {
  return enter_context([&](int) -> Error {
    if (ptr == nullptr || size == 0 ||
        (flags & ~(cudaHostRegisterPortable | cudaHostRegisterMapped | cudaHostRegisterIoMemory |
                   cudaHostRegisterReadOnly)) != 0) {
      return cudaErrorInvalidValue;
    }
    if ((flags & cudaHostRegisterIoMemory) != 0) {
      return not_supported("cudaHostRegister with cudaHostRegisterIoMemory");
    }
    return core::host_register(ptr, size, flags);
  });
}

cudaError_t cudaHostUnregister(void* ptr) {
  return enter_release([&](int) -> Error {
    return ptr == nullptr ? Error(cudaErrorInvalidValue) : Error(core::host_unregister(ptr));
  });
}

cudaError_t cudaHostGetFlags(unsigned int* pFlags, void* pHost) {
  return enter_context([&](int) -> Error {
    if (pFlags == nullptr) {
      return cudaErrorInvalidValue;
    }
    const core::PointerFacts facts = core::pointer_facts(address_of(pHost));
    if (facts.kind != core::PointerFacts::Kind::kPinnedHost) {
      return cudaErrorInvalidValue;
    }
    *pFlags = facts.host_flags | cudaHostAllocMapped;  // as CUDA with unified addressing
    return {};
  });
}

cudaError_t cudaHostGetDevicePointer(void** pDevice, void* pHost, unsigned int flags) {
  return enter_context([&](int) -> Error {
    if (pDevice == nullptr || pHost == nullptr || flags != 0) {
      return cudaErrorInvalidValue;
    }
    const core::PointerFacts facts = core::pointer_facts(address_of(pHost));
    if (facts.kind != core::PointerFacts::Kind::kPinnedHost) {
      return cudaErrorInvalidValue;
    }
    // A remote device cannot reach this host's memory.
    return not_supported("cudaHostGetDevicePointer");
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* ptr) {
  return enter([&]() -> Error {
    if (attributes == nullptr) {
      return cudaErrorInvalidValue;
    }
    const core::PointerFacts facts = core::pointer_facts(address_of(ptr));
    cudaPointerAttributes answer = {};
    switch (facts.kind) {
      case core::PointerFacts::Kind::kUnknown:
        answer.type = cudaMemoryTypeUnregistered;
        answer.device = cudaInvalidDeviceId;
        // With unified addressing, ordinary memory has its own address as the host's.
        answer.hostPointer = const_cast<void*>(ptr);
        break;
      case core::PointerFacts::Kind::kPinnedHost:
        answer.type = cudaMemoryTypeHost;
        answer.device = thread_device();
        answer.hostPointer = const_cast<void*>(ptr);
        // No devicePointer: a remote device cannot reach this host's memory.
        break;
      case core::PointerFacts::Kind::kDevice:
        answer.type = cudaMemoryTypeDevice;
        answer.device = facts.device;
        answer.devicePointer = const_cast<void*>(ptr);
        break;
    }
    *attributes = answer;
    return {};
  });
}
