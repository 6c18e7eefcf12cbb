// cuMemAddressReserve and the rest of virtual memory management.
#include <fcntl.h>

#include "server/softcuda/driver_call.h"

using namespace farlane::softcuda;

namespace {

bool is_plain_device_memory(const CUmemAllocationProp* prop) {
  return prop != nullptr && prop->type == CU_MEM_ALLOCATION_TYPE_PINNED &&
         prop->location.type == CU_MEM_LOCATION_TYPE_DEVICE;
}

}  // namespace

extern "C" {

CUresult cuMemAddressReserve(CUdeviceptr* pointer, size_t bytes, size_t alignment, CUdeviceptr hint,
                             unsigned long long flags) {
  return initialized([&]() -> CUresult {
    if (pointer == nullptr || flags != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    uint64_t address = 0;
    const CUresult result = DeviceMemory::instance().reserve(bytes, alignment, hint, &address);
    if (result == CUDA_SUCCESS) {
      *pointer = address;
    }
    return result;
  });
}

CUresult cuMemAddressFree(CUdeviceptr pointer, size_t bytes) {
  return initialized([&] { return DeviceMemory::instance().unreserve(pointer, bytes); });
}

CUresult cuMemGetAllocationGranularity(size_t* bytes, const CUmemAllocationProp* prop,
                                       CUmemAllocationGranularity_flags option) {
  return initialized([&]() -> CUresult {
    if (bytes == nullptr || !is_plain_device_memory(prop) ||
        (option != CU_MEM_ALLOC_GRANULARITY_MINIMUM &&
         option != CU_MEM_ALLOC_GRANULARITY_RECOMMENDED)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (!is_our_device(prop->location.id)) {
      return CUDA_ERROR_INVALID_DEVICE;
    }
    *bytes = kGranularityBytes;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemCreate(CUmemGenericAllocationHandle* handle, size_t bytes,
                     const CUmemAllocationProp* prop, unsigned long long flags) {
  return initialized([&]() -> CUresult {
    if (handle == nullptr || prop == nullptr || flags != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const bool shareable = prop->requestedHandleTypes == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    if ((prop->requestedHandleTypes != CU_MEM_HANDLE_TYPE_NONE && !shareable) ||
        !is_plain_device_memory(prop)) {
      return CUDA_ERROR_NOT_SUPPORTED;
    }
    if (!is_our_device(prop->location.id)) {
      return CUDA_ERROR_INVALID_DEVICE;
    }
    std::shared_ptr<PhysicalMemory> physical;
    const CUresult result =
        DeviceMemory::instance().create_physical(prop->location.id, bytes, shareable, &physical);
    if (result == CUDA_SUCCESS) {
      *handle = Driver::instance().physical.add(std::move(physical));
    }
    return result;
  });
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  return initialized([&]() -> CUresult {
    // Mappings keep the memory until they are gone.
    return Driver::instance().physical.take(handle) == nullptr ? CUDA_ERROR_INVALID_VALUE
                                                               : CUDA_SUCCESS;
  });
}

CUresult cuMemMap(CUdeviceptr pointer, size_t bytes, size_t offset,
                  CUmemGenericAllocationHandle handle, unsigned long long flags) {
  return initialized([&]() -> CUresult {
    std::shared_ptr<PhysicalMemory> physical = Driver::instance().physical.find(handle);
    if (physical == nullptr || flags != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const ContextPtr context = current_context();
    return DeviceMemory::instance().map(pointer, bytes, offset, std::move(physical),
                                        context == nullptr ? 0 : context->id);
  });
}

CUresult cuMemUnmap(CUdeviceptr pointer, size_t bytes) {
  return initialized([&] { return DeviceMemory::instance().unmap(pointer, bytes); });
}

CUresult cuMemSetAccess(CUdeviceptr pointer, size_t bytes, const CUmemAccessDesc* descriptions,
                        size_t count) {
  return initialized([&]() -> CUresult {
    if (descriptions == nullptr || count == 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    for (size_t i = 0; i < count; ++i) {
      const CUmemAccessDesc& description = descriptions[i];
      if (description.location.type != CU_MEM_LOCATION_TYPE_DEVICE) {
        return CUDA_ERROR_NOT_SUPPORTED;
      }
      if (!is_our_device(description.location.id)) {
        return CUDA_ERROR_INVALID_DEVICE;
      }
      if (description.flags == CU_MEM_ACCESS_FLAGS_PROT_READ) {
        return CUDA_ERROR_NOT_SUPPORTED;  // all or nothing here
      }
      const bool accessible = description.flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
      if (!accessible && description.flags != CU_MEM_ACCESS_FLAGS_PROT_NONE) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      const CUresult result =
          DeviceMemory::instance().set_access(pointer, bytes, description.location.id, accessible);
      if (result != CUDA_SUCCESS) {
        return result;
      }
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuMemGetAccess(unsigned long long* flags, const CUmemLocation* location,
                        CUdeviceptr pointer) {
  return initialized([&]() -> CUresult {
    if (flags == nullptr || location == nullptr || location->type != CU_MEM_LOCATION_TYPE_DEVICE) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (!is_our_device(location->id)) {
      return CUDA_ERROR_INVALID_DEVICE;
    }
    const std::optional<bool> accessible = DeviceMemory::instance().access(pointer, location->id);
    if (!accessible) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *flags = *accessible ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE : CU_MEM_ACCESS_FLAGS_PROT_NONE;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp* prop,
                                                CUmemGenericAllocationHandle handle) {
  return initialized([&]() -> CUresult {
    const auto physical = Driver::instance().physical.find(handle);
    if (prop == nullptr || physical == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *prop = {};
    prop->type = CU_MEM_ALLOCATION_TYPE_PINNED;
    prop->location = {CU_MEM_LOCATION_TYPE_DEVICE, physical->device};
    return CUDA_SUCCESS;
  });
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle* handle, void* address) {
  return initialized([&]() -> CUresult {
    const auto range = DeviceMemory::instance().lookup(reinterpret_cast<uint64_t>(address));
    if (handle == nullptr || !range || range->physical == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    // A second handle to the same memory: what is released once per retain is the handle.
    *handle = Driver::instance().physical.add(range->physical);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemExportToShareableHandle(void* shareable, CUmemGenericAllocationHandle handle,
                                      CUmemAllocationHandleType type, unsigned long long flags) {
  return initialized([&]() -> CUresult {
    const auto physical = Driver::instance().physical.find(handle);
    if (shareable == nullptr || physical == nullptr || flags != 0 || physical->file < 0 ||
        type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const int file = fcntl(physical->file, F_DUPFD_CLOEXEC, 0);
    if (file < 0) {
      return CUDA_ERROR_OPERATING_SYSTEM;
    }
    *static_cast<int*>(shareable) = file;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle* handle, void* shared,
                                        CUmemAllocationHandleType type) {
  return initialized([&]() -> CUresult {
    if (handle == nullptr || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::shared_ptr<PhysicalMemory> physical;
    const CUresult result = DeviceMemory::instance().borrow_physical(
        static_cast<int>(reinterpret_cast<intptr_t>(shared)), &physical);
    if (result == CUDA_SUCCESS) {
      *handle = Driver::instance().physical.add(std::move(physical));
    }
    return result;
  });
}

}  // extern "C"
