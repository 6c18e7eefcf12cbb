// Virtual memory management.
#include <climits>
#include <cstdint>

#include "client/cuda/driver.h"

using namespace farlane::cuda;

namespace {

constexpr unsigned kDescriptor = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
constexpr unsigned kFabric = CU_MEM_HANDLE_TYPE_FABRIC;

CUresult check_handle_types(unsigned types) {
  // As a driver without a fabric says. Nothing for the log: programs try this to find out, PyTorch
  // with its expandable segments for one.
  if ((types & kFabric) != 0) return CUDA_ERROR_NOT_PERMITTED;
  return (types & ~kDescriptor) == 0
             ? CUDA_SUCCESS
             : not_supported("cuMemCreate of memory for handles of another system");
}

// Memory of a device. Programs ask for its granularity whatever its handles are.
CUresult check_properties(const CUmemAllocationProp* properties) {
  if (properties == nullptr || properties->type != CU_MEM_ALLOCATION_TYPE_PINNED) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (properties->location.type != CU_MEM_LOCATION_TYPE_DEVICE) {
    return not_supported("cuMemCreate of the host's memory");
  }
  if (properties->allocFlags.usage != 0) {
    return not_supported("cuMemCreate for sparse arrays");
  }
  return check_device(properties->location.id);
}

}  // namespace

CUresult cuMemGetAllocationGranularity(size_t* granularity, const CUmemAllocationProp* prop,
                                       CUmemAllocationGranularity_flags option) {
  return enter([&]() -> CUresult {
    if (granularity == nullptr || (option != CU_MEM_ALLOC_GRANULARITY_MINIMUM &&
                                   option != CU_MEM_ALLOC_GRANULARITY_RECOMMENDED)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const CUresult result = check_properties(prop);
    return result == CUDA_SUCCESS ? core::memory_granularity(granularity) : result;
  });
}

CUresult cuMemAddressReserve(CUdeviceptr* ptr, size_t size, size_t alignment, CUdeviceptr addr,
                             unsigned long long flags) {
  return enter([&]() -> CUresult {
    if (ptr == nullptr || flags != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const int device = core::current_device();
    return core::address_reserve(device < 0 ? 0 : device, size, alignment, addr, ptr);
  });
}

CUresult cuMemAddressFree(CUdeviceptr ptr, size_t size) {
  return enter([&] { return core::address_free(ptr, size); });
}

CUresult cuMemCreate(CUmemGenericAllocationHandle* handle, size_t size,
                     const CUmemAllocationProp* prop, unsigned long long flags) {
  return enter([&]() -> CUresult {
    if (handle == nullptr || flags != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    CUresult result = check_properties(prop);
    if (result == CUDA_SUCCESS) {
      result = check_handle_types(static_cast<unsigned>(prop->requestedHandleTypes));
    }
    return result == CUDA_SUCCESS ? core::memory_create(size, *prop, handle) : result;
  });
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  return enter([&] { return core::memory_release(handle); });
}

CUresult cuMemMap(CUdeviceptr ptr, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags) {
  return enter([&]() -> CUresult {
    if (flags != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    // CUDA has no other offset yet.
    return offset != 0 ? CUDA_ERROR_NOT_SUPPORTED : core::memory_map(ptr, size, handle);
  });
}

CUresult cuMemUnmap(CUdeviceptr ptr, size_t size) {
  return enter([&] { return core::memory_unmap(ptr, size); });
}

CUresult cuMemSetAccess(CUdeviceptr ptr, size_t size, const CUmemAccessDesc* desc, size_t count) {
  return enter([&]() -> CUresult {
    if (desc == nullptr || count == 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    for (size_t i = 0; i < count; ++i) {
      if (desc[i].location.type != CU_MEM_LOCATION_TYPE_DEVICE) {
        return not_supported("cuMemSetAccess for the host");
      }
      if (desc[i].flags != CU_MEM_ACCESS_FLAGS_PROT_NONE &&
          desc[i].flags != CU_MEM_ACCESS_FLAGS_PROT_READ &&
          desc[i].flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE) {
        return CUDA_ERROR_INVALID_VALUE;
      }
    }
    return core::memory_set_access(ptr, size, {desc, count});
  });
}

CUresult cuMemGetAccess(unsigned long long* flags, const CUmemLocation* location, CUdeviceptr ptr) {
  return enter([&]() -> CUresult {
    if (flags == nullptr || location == nullptr || location->type != CU_MEM_LOCATION_TYPE_DEVICE) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    unsigned found = 0;
    const CUresult result = core::memory_get_access(ptr, location->id, &found);
    if (result == CUDA_SUCCESS) {
      *flags = found;
    }
    return result;
  });
}

CUresult cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp* prop,
                                                CUmemGenericAllocationHandle handle) {
  return enter([&]() -> CUresult {
    return prop == nullptr ? CUDA_ERROR_INVALID_VALUE : core::memory_properties(handle, prop);
  });
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle* handle, void* addr) {
  return enter([&]() -> CUresult {
    return handle == nullptr ? CUDA_ERROR_INVALID_VALUE
                             : core::memory_retain(reinterpret_cast<CUdeviceptr>(addr), handle);
  });
}

CUresult cuMemExportToShareableHandle(void* shareableHandle, CUmemGenericAllocationHandle handle,
                                      CUmemAllocationHandleType handleType,
                                      unsigned long long flags) {
  return enter([&]() -> CUresult {
    // No memory is made for another type.
    if (shareableHandle == nullptr || handleType != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR ||
        flags != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return core::memory_export(handle, static_cast<int*>(shareableHandle));
  });
}

CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle* handle, void* osHandle,
                                        CUmemAllocationHandleType shHandleType) {
  return enter([&]() -> CUresult {
    switch (static_cast<unsigned>(shHandleType)) {
      case CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR:
        break;
      case CU_MEM_HANDLE_TYPE_WIN32:
      case CU_MEM_HANDLE_TYPE_WIN32_KMT:
      case CU_MEM_HANDLE_TYPE_FABRIC:
        return not_supported("cuMemImportFromShareableHandle of what is no descriptor");
      default:
        return CUDA_ERROR_INVALID_VALUE;
    }
    // The number of the descriptor, as if it were an address.
    const auto number = reinterpret_cast<uintptr_t>(osHandle);
    if (handle == nullptr || number > INT_MAX) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const int device = core::current_device();
    return core::memory_import(static_cast<int>(number), device < 0 ? 0 : device, handle);
  });
}
