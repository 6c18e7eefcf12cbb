// Virtual memory management as the façades call it: the books here, and what the server is told.
#include "client/core/session.h"

namespace farlane::client {

CUresult memory_granularity(size_t* bytes) {
  *bytes = VirtualMemory::kGranularityBytes;
  return session_start();
}

size_t memory_created(int device) {
  Session* s = session_if_any();
  return s == nullptr ? 0 : s->virtual_memory.created_bytes(device);
}

CUresult address_reserve(int device, size_t bytes, size_t alignment, CUdeviceptr hint,
                         CUdeviceptr* address) {
  CUresult error = CUDA_SUCCESS;
  Session* s = session(&error);
  if (s == nullptr) {
    return error;
  }
  if (s->device(device) == nullptr) {
    return CUDA_ERROR_INVALID_DEVICE;
  }
  uint64_t at = 0;
  const CUresult result = s->virtual_memory.reserve(device, bytes, alignment, hint, &at);
  if (result == CUDA_SUCCESS) {
    *address = at;
  }
  return result;
}

CUresult address_free(CUdeviceptr address, size_t bytes) {
  CUresult error = CUDA_SUCCESS;
  Session* s = session(&error);
  return s == nullptr ? error : s->virtual_memory.free(address, bytes);
}

CUresult memory_create(size_t bytes, const CUmemAllocationProp& properties,
                       CUmemGenericAllocationHandle* memory) {
  CUresult error = CUDA_SUCCESS;
  Session* s = session(&error);
  if (s == nullptr) {
    return error;
  }
  Device* owner = s->device(properties.location.id);
  if (owner == nullptr) {
    return CUDA_ERROR_INVALID_DEVICE;
  }
  if (bytes == 0 || bytes % VirtualMemory::kGranularityBytes != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const message::MemoryCreate question{.memory = s->virtual_memory.next_name(),
                                       .device = owner->server_ordinal,
                                       .compression = properties.allocFlags.compressionType,
                                       .bytes = bytes};
  CUresult result = s->ask(question);
  if (result == CUDA_ERROR_OUT_OF_MEMORY) {
    // Out of memory is only true when nothing is held back here.
    {
      std::lock_guard lock(owner->memory_mutex);
      owner->memory.trim();
    }
    message::MemoryCreate again = question;
    again.memory = s->virtual_memory.next_name();
    result = s->ask(again);
    if (result == CUDA_SUCCESS) {
      s->virtual_memory.keep({again.memory, owner->ordinal, bytes, properties});
      *memory = again.memory;
    }
  } else if (result == CUDA_SUCCESS) {
    s->virtual_memory.keep({question.memory, owner->ordinal, bytes, properties});
    *memory = question.memory;
  }
  owner->memory_changed();
  return result;
}

CUresult memory_release(CUmemGenericAllocationHandle memory) {
  CUresult error = CUDA_SUCCESS;
  Session* s = session(&error);
  if (s == nullptr) {
    return error;
  }
  bool gone = false;
  const CUresult result = s->virtual_memory.release(memory, &gone);
  if (gone) {
    s->post(message::MemoryRelease{.memory = memory});
    for (auto& device : s->devices) {
      device->memory_changed();
    }
  }
  return result;
}

CUresult memory_properties(CUmemGenericAllocationHandle memory, CUmemAllocationProp* properties) {
  CUresult error = CUDA_SUCCESS;
  Session* s = session(&error);
  return s == nullptr ? error : s->virtual_memory.properties(memory, properties);
}

CUresult memory_map(CUdeviceptr address, size_t bytes, CUmemGenericAllocationHandle memory) {
  CUresult error = CUDA_SUCCESS;
  Session* s = session(&error);
  if (s == nullptr) {
    return error;
  }
  const CUresult result = s->virtual_memory.map(address, bytes, memory);
  if (result == CUDA_SUCCESS) {
    s->post(message::MemoryMap{.address = address, .bytes = bytes, .memory = memory});
  }
  return result;
}

CUresult memory_unmap(CUdeviceptr address, size_t bytes) {
  CUresult error = CUDA_SUCCESS;
  Session* s = session(&error);
  if (s == nullptr) {
    return error;
  }
  std::vector<uint64_t> gone;
  const CUresult result = s->virtual_memory.unmap(address, bytes, &gone);
  if (result != CUDA_SUCCESS) {
    return result;
  }
  s->post(message::MemoryUnmap{.address = address, .bytes = bytes});
  for (uint64_t memory : gone) {
    s->post(message::MemoryRelease{.memory = memory});
  }
  for (auto& device : s->devices) {
    device->memory_changed();
  }
  return CUDA_SUCCESS;
}

CUresult memory_set_access(CUdeviceptr address, size_t bytes,
                           std::span<const CUmemAccessDesc> access) {
  CUresult error = CUDA_SUCCESS;
  Session* s = session(&error);
  if (s == nullptr) {
    return error;
  }
  std::vector<message::MemoryAccessOf> told;
  for (const CUmemAccessDesc& one : access) {
    Device* device = s->device(one.location.id);
    if (device == nullptr) {
      return CUDA_ERROR_INVALID_DEVICE;
    }
    told.push_back({device->server_ordinal, one.flags});
  }
  for (const CUmemAccessDesc& one : access) {
    const CUresult result =
        s->virtual_memory.set_access(address, bytes, one.location.id, one.flags);
    if (result != CUDA_SUCCESS) {
      return result;
    }
  }
  s->post(message::MemoryAccess{.address = address, .bytes = bytes, .access = told});
  return CUDA_SUCCESS;
}

CUresult memory_get_access(CUdeviceptr address, int device, unsigned* flags) {
  CUresult error = CUDA_SUCCESS;
  Session* s = session(&error);
  if (s == nullptr) {
    return error;
  }
  return s->device(device) == nullptr ? CUDA_ERROR_INVALID_DEVICE
                                      : s->virtual_memory.get_access(address, device, flags);
}

CUresult memory_retain(CUdeviceptr address, CUmemGenericAllocationHandle* memory) {
  CUresult error = CUDA_SUCCESS;
  Session* s = session(&error);
  if (s == nullptr) {
    return error;
  }
  uint64_t name = 0;
  const CUresult result = s->virtual_memory.retain(address, &name);
  if (result == CUDA_SUCCESS) {
    *memory = name;
  }
  return result;
}

}  // namespace farlane::client
