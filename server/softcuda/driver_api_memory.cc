// Allocation of device and pinned host memory, and questions about pointers.
#include <algorithm>

#include "server/softcuda/driver_call.h"
#include "server/softcuda/driver_device.h"
#include "server/softcuda/driver_stream.h"

using namespace farlane::softcuda;

namespace {

constexpr uint64_t kPitchAlignBytes = 512;

CUcontext context_handle(uint64_t context_id) {
  const ContextPtr context = find_context(context_id);
  return context == nullptr ? nullptr : context->handle;
}

// Of pinned host memory: the device whose context it was made in.
CUdevice context_device(uint64_t context_id) {
  const ContextPtr context = find_context(context_id);
  return context == nullptr ? 0 : context->device;
}

struct PointerFacts {
  bool known = false;
  bool device = false;
  CUdevice ordinal = 0;
  uint64_t begin = 0;
  uint64_t bytes = 0;
  uint64_t context_id = 0;
  uint64_t buffer_id = 0;
  uint64_t pool_handle = 0;
  bool mapped = false;
  bool legacy_ipc = false;
};

PointerFacts facts_of(CUdeviceptr pointer) {
  PointerFacts facts;
  if (const auto range = DeviceMemory::instance().lookup(pointer)) {
    facts = {true,
             true,
             range->device,
             range->begin,
             range->bytes,
             range->context_id,
             range->buffer_id,
             range->pool_handle,
             range->kind != MemoryRange::Kind::kMapped || range->access != 0,
             false};
  } else if (const auto host = HostMemory::instance().lookup(pointer)) {
    facts = {true,
             false,
             context_device(host->context_id),
             host->begin,
             host->bytes,
             host->context_id,
             host->buffer_id,
             0,
             false,
             false};
  }
  return facts;
}

template <typename T>
CUresult put(void* data, T value) {
  *static_cast<T*>(data) = value;
  return CUDA_SUCCESS;
}

CUresult pointer_attribute(void* data, CUpointer_attribute attribute, CUdeviceptr pointer,
                           const PointerFacts& facts) {
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
      return put<CUcontext>(data, context_handle(facts.context_id));
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
      return put<unsigned>(data, facts.device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST);
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
      // Pinned host memory is not mapped into the device.
      return facts.device ? put<CUdeviceptr>(data, pointer) : CUDA_ERROR_INVALID_VALUE;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
      return facts.device ? CUDA_ERROR_INVALID_VALUE
                          : put<void*>(data, reinterpret_cast<void*>(pointer));
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE:
      return put<bool>(data, false);
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
      return put<unsigned long long>(data, facts.buffer_id);
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
      return put<int>(data, facts.ordinal);
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
      return put<CUdeviceptr>(data, facts.begin);
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
      return put<size_t>(data, facts.bytes);
    case CU_POINTER_ATTRIBUTE_MAPPED:
      return put<bool>(data, facts.mapped);
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
      return put<unsigned long long>(data, 0);
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
      return put<unsigned>(data, CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE);
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
      return put<CUmemoryPool>(data, reinterpret_cast<CUmemoryPool>(facts.pool_handle));
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
      return put<unsigned long long>(data, facts.buffer_id);
    case CU_POINTER_ATTRIBUTE_P2P_TOKENS:
      break;
  }
  return CUDA_ERROR_INVALID_VALUE;
}

// What cuPointerGetAttributes stores for a pointer it does not know.
void put_unknown(void* data, CUpointer_attribute attribute) {
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
      put<void*>(data, nullptr);
      break;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
      put<uint64_t>(data, 0);
      break;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
      put<unsigned>(data, 0);
      break;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
      put<int>(data, -2);  // as the driver says of ordinary host memory
      break;
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE:
    case CU_POINTER_ATTRIBUTE_MAPPED:
      put<bool>(data, false);
      break;
    case CU_POINTER_ATTRIBUTE_P2P_TOKENS:
      break;
  }
}

}  // namespace

extern "C" {

CUresult cuMemGetInfo_v2(size_t* free_bytes, size_t* total_bytes) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    const DeviceMemory& memory = DeviceMemory::instance();
    if (free_bytes != nullptr) {
      *free_bytes = memory.total_bytes() - memory.used_bytes(context->device);
    }
    if (total_bytes != nullptr) {
      *total_bytes = memory.total_bytes();
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuMemAlloc_v2(CUdeviceptr* pointer, size_t bytes) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    if (pointer == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    uint64_t address = 0;
    const CUresult result = DeviceMemory::instance().allocate(
        context->device, bytes, MemoryRange::Kind::kAllocation, context->id, 0, &address);
    if (result == CUDA_SUCCESS) {
      *pointer = address;
    }
    return result;
  });
}

CUresult cuMemAllocPitch_v2(CUdeviceptr* pointer, size_t* pitch, size_t width_bytes, size_t height,
                            unsigned int element_bytes) {
  if (pitch == nullptr || width_bytes == 0 || height == 0 ||
      (element_bytes != 4 && element_bytes != 8 && element_bytes != 16) ||
      width_bytes > SIZE_MAX - kPitchAlignBytes) {
    return in_context([](const ContextPtr&) { return CUDA_ERROR_INVALID_VALUE; });
  }
  const size_t row_bytes =
      (width_bytes + kPitchAlignBytes - 1) / kPitchAlignBytes * kPitchAlignBytes;
  if (row_bytes > SIZE_MAX / height) {
    return in_context([](const ContextPtr&) { return CUDA_ERROR_OUT_OF_MEMORY; });
  }
  const CUresult result = cuMemAlloc_v2(pointer, row_bytes * height);
  if (result == CUDA_SUCCESS) {
    *pitch = row_bytes;
  }
  return result;
}

CUresult cuMemFreeAsync(CUdeviceptr pointer, CUstream stream);

CUresult cuMemFree_v2(CUdeviceptr pointer) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    if (pointer == 0) {
      return CUDA_SUCCESS;
    }
    DeviceMemory& memory = DeviceMemory::instance();
    const auto range = memory.lookup(pointer);
    if (!range || range->begin != pointer || range->free_pending ||
        (range->kind != MemoryRange::Kind::kAllocation &&
         range->kind != MemoryRange::Kind::kPool)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    // cuMemFree waits for the device. What comes from a pool is given back to it.
    synchronize_context(*context);
    if (const ContextPtr owner = find_context(range->context_id);
        owner != nullptr && owner != context) {
      synchronize_context(*owner);
    }
    if (range->kind == MemoryRange::Kind::kPool) {
      const CUresult result = cuMemFreeAsync(pointer, CU_STREAM_LEGACY);
      synchronize_context(*context);
      return result;
    }
    return memory.release(pointer, MemoryRange::Kind::kAllocation);
  });
}

CUresult cuMemGetAddressRange_v2(CUdeviceptr* base, size_t* bytes, CUdeviceptr pointer) {
  return in_context([&](const ContextPtr&) -> CUresult {
    const auto range = DeviceMemory::instance().lookup(pointer);
    if (!range || pointer - range->begin >= range->bytes) {
      return CUDA_ERROR_NOT_FOUND;
    }
    if (base != nullptr) {
      *base = range->begin;
    }
    if (bytes != nullptr) {
      *bytes = range->bytes;
    }
    return CUDA_SUCCESS;
  });
}

// --- pinned host memory

CUresult cuMemHostAlloc(void** pointer, size_t bytes, unsigned int flags) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    constexpr unsigned kKnown =
        CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_WRITECOMBINED;
    if (pointer == nullptr || (flags & ~kKnown) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return HostMemory::instance().allocate(bytes, flags, context->id, pointer);
  });
}

CUresult cuMemAllocHost_v2(void** pointer, size_t bytes) {
  return cuMemHostAlloc(pointer, bytes, 0);
}

CUresult cuMemFreeHost(void* pointer) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    if (pointer == nullptr) {
      return CUDA_SUCCESS;
    }
    const auto range = HostMemory::instance().lookup(reinterpret_cast<uint64_t>(pointer));
    if (!range || range->begin != reinterpret_cast<uint64_t>(pointer) || range->registered) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    synchronize_context(*context);
    return HostMemory::instance().release(pointer);
  });
}

CUresult cuMemHostRegister_v2(void* pointer, size_t bytes, unsigned int flags) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    constexpr unsigned kKnown = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP;
    if ((flags & (CU_MEMHOSTREGISTER_IOMEMORY | CU_MEMHOSTREGISTER_READ_ONLY)) != 0) {
      return CUDA_ERROR_NOT_SUPPORTED;
    }
    if ((flags & ~kKnown) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return HostMemory::instance().add_registered(pointer, bytes, flags, context->id);
  });
}

CUresult cuMemHostUnregister(void* pointer) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    synchronize_context(*context);
    return HostMemory::instance().remove_registered(pointer);
  });
}

CUresult cuMemHostGetFlags(unsigned int* flags, void* pointer) {
  return in_context([&](const ContextPtr&) -> CUresult {
    const auto range = HostMemory::instance().lookup(reinterpret_cast<uint64_t>(pointer));
    if (flags == nullptr || !range) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *flags = range->flags;
    return CUDA_SUCCESS;
  });
}

// Device code cannot reach host memory here (CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY is 0).
CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr*, void*, unsigned int) {
  return in_context([](const ContextPtr&) { return CUDA_ERROR_NOT_SUPPORTED; });
}

CUresult cuMemAllocManaged(CUdeviceptr*, size_t, unsigned int) {
  return in_context([](const ContextPtr&) { return CUDA_ERROR_NOT_SUPPORTED; });
}

// --- questions about pointers

CUresult cuPointerGetAttribute(void* data, CUpointer_attribute attribute, CUdeviceptr pointer) {
  return initialized([&]() -> CUresult {
    const PointerFacts facts = facts_of(pointer);
    if (data == nullptr || !facts.known) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return pointer_attribute(data, attribute, pointer, facts);
  });
}

CUresult cuPointerGetAttributes(unsigned int count, CUpointer_attribute* attributes, void** data,
                                CUdeviceptr pointer) {
  return initialized([&]() -> CUresult {
    if (attributes == nullptr || data == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const PointerFacts facts = facts_of(pointer);
    for (unsigned i = 0; i < count; ++i) {
      if (attributes[i] < CU_POINTER_ATTRIBUTE_CONTEXT ||
          attributes[i] > CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE || data[i] == nullptr) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      if (!facts.known ||
          pointer_attribute(data[i], attributes[i], pointer, facts) != CUDA_SUCCESS) {
        put_unknown(data[i], attributes[i]);
      }
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuPointerSetAttribute(const void* value, CUpointer_attribute attribute,
                               CUdeviceptr pointer) {
  return initialized([&]() -> CUresult {
    // Copies that CUDA would make synchronous with this attribute are synchronous anyway or
    // ordered.
    return value != nullptr && attribute == CU_POINTER_ATTRIBUTE_SYNC_MEMOPS &&
                   facts_of(pointer).device
               ? CUDA_SUCCESS
               : CUDA_ERROR_INVALID_VALUE;
  });
}

}  // extern "C"
