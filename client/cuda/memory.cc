// Device and host memory.
#include <limits>

#include "client/core/memory_pool.h"
#include "client/cuda/driver.h"

using namespace farlane::cuda;

namespace {

// Row alignment of cuMemAllocPitch on every GPU of CUDA 13, and the allocator's own alignment.
constexpr size_t kPitchBytes = 512;

CUresult host_allocate(size_t bytes, unsigned flags, void** pointer) {
  constexpr unsigned kKnown =
      CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_WRITECOMBINED;
  if (pointer == nullptr || (flags & ~kKnown) != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *pointer = nullptr;
  return bytes == 0 ? CUDA_SUCCESS : core::host_allocate(bytes, flags, pointer);
}

CUresult host_register(void* pointer, size_t bytes, unsigned flags) {
  return enter_context([&](int) -> CUresult {
    constexpr unsigned kKnown = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP |
                                CU_MEMHOSTREGISTER_IOMEMORY | CU_MEMHOSTREGISTER_READ_ONLY;
    if (pointer == nullptr || bytes == 0 || (flags & ~kKnown) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if ((flags & CU_MEMHOSTREGISTER_IOMEMORY) != 0) {
      return not_supported("cuMemHostRegister with CU_MEMHOSTREGISTER_IOMEMORY");
    }
    return core::host_register(pointer, bytes, flags);
  });
}

}  // namespace

CUresult cuMemGetInfo_v2(size_t* free, size_t* total) {
  return enter_context([&](int device) -> CUresult {
    return free == nullptr || total == nullptr ? CUDA_ERROR_INVALID_VALUE
                                               : core::memory_info(device, free, total);
  });
}

CUresult cuMemAlloc_v2(CUdeviceptr* dptr, size_t bytesize) {
  return enter_context([&](int device) -> CUresult {
    return dptr == nullptr || bytesize == 0 ? CUDA_ERROR_INVALID_VALUE
                                            : core::memory_allocate(device, bytesize, dptr);
  });
}

CUresult cuMemAllocPitch_v2(CUdeviceptr* dptr, size_t* pPitch, size_t WidthInBytes, size_t Height,
                            unsigned int ElementSizeBytes) {
  return enter_context([&](int device) -> CUresult {
    if (dptr == nullptr || pPitch == nullptr || WidthInBytes == 0 || Height == 0 ||
        (ElementSizeBytes != 4 && ElementSizeBytes != 8 && ElementSizeBytes != 16)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (WidthInBytes > std::numeric_limits<size_t>::max() - kPitchBytes) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    const size_t pitch = (WidthInBytes + kPitchBytes - 1) / kPitchBytes * kPitchBytes;
    size_t bytes = 0;
    if (__builtin_mul_overflow(pitch, Height, &bytes)) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    const CUresult result = core::memory_allocate(device, bytes, dptr);
    if (result == CUDA_SUCCESS) {
      *pPitch = pitch;
    }
    return result;
  });
}

CUresult cuMemFree_v2(CUdeviceptr dptr) {
  return enter_release([&]() -> CUresult {
    if (dptr == 0) {
      return CUDA_SUCCESS;
    }
    return core::memory_pool::free(dptr);
  });
}

CUresult cuMemGetAddressRange_v2(CUdeviceptr* pbase, size_t* psize, CUdeviceptr dptr) {
  return enter_context([&](int) -> CUresult {
    const core::PointerFacts facts = core::pointer_facts(dptr);
    if (facts.kind == core::PointerFacts::Kind::kUnknown) {
      return CUDA_ERROR_NOT_FOUND;
    }
    if (pbase != nullptr) {
      *pbase = facts.base;
    }
    if (psize != nullptr) {
      *psize = facts.bytes;
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuMemAllocHost_v2(void** pp, size_t bytesize) {
  return enter_context([&](int) { return host_allocate(bytesize, 0, pp); });
}

CUresult cuMemHostAlloc(void** pp, size_t bytesize, unsigned int Flags) {
  return enter_context([&](int) { return host_allocate(bytesize, Flags, pp); });
}

CUresult cuMemFreeHost(void* p) {
  return enter_release([&]() { return p == nullptr ? CUDA_SUCCESS : core::host_free(p); });
}

CUresult cuMemHostRegister(void* p, size_t bytesize, unsigned int Flags) {
  return host_register(p, bytesize, Flags);
}

CUresult cuMemHostRegister_v2(void* p, size_t bytesize, unsigned int Flags) {
  return host_register(p, bytesize, Flags);
}

CUresult cuMemHostUnregister(void* p) {
  return enter_release(
      [&]() { return p == nullptr ? CUDA_ERROR_INVALID_VALUE : core::host_unregister(p); });
}

CUresult cuMemHostGetFlags(unsigned int* pFlags, void* p) {
  return enter_context([&](int) -> CUresult {
    const core::PointerFacts facts = core::pointer_facts(reinterpret_cast<uint64_t>(p));
    if (pFlags == nullptr || facts.kind != core::PointerFacts::Kind::kPinnedHost) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *pFlags = facts.host_flags | CU_MEMHOSTALLOC_DEVICEMAP;  // as CUDA with unified addressing
    return CUDA_SUCCESS;
  });
}

CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr* pdptr, void* p, unsigned int Flags) {
  return enter_context([&](int) -> CUresult {
    if (pdptr == nullptr || p == nullptr || Flags != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    // A remote device cannot reach this host's memory.
    return not_supported("cuMemHostGetDevicePointer");
  });
}
