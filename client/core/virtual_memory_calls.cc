// Virtual memory management as the façades call it: the books here, and what the server is told.
#include "client/core/call.h"
#include "client/core/session.h"

namespace farlane::client {

void release_closed(Session* s) {
  for (uint64_t memory : s->virtual_memory.take_closed()) {
    s->post(message::MemoryRelease{.memory = memory});
    for (auto& device : s->devices) {
      device->memory_changed();
    }
  }
}

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
  Call call;
  if (call.device(device) == nullptr) {
    return call.error;
  }
  uint64_t at = 0;
  const CUresult result = call->virtual_memory.reserve(device, bytes, alignment, hint, &at);
  if (result == CUDA_SUCCESS) {
    *address = at;
  }
  return result;
}

CUresult address_free(CUdeviceptr address, size_t bytes) {
  Call call;
  return !call ? call.error : call->virtual_memory.free(address, bytes);
}

CUresult memory_create(size_t bytes, const CUmemAllocationProp& properties,
                       CUmemGenericAllocationHandle* memory) {
  Call call;
  Device* owner = call.device(properties.location.id);
  if (owner == nullptr) {
    return call.error;
  }
  if (bytes == 0 || bytes % VirtualMemory::kGranularityBytes != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  release_closed(call.session);
  message::MemoryCreate question{.memory = call->virtual_memory.next_name(),
                                 .device = owner->server_ordinal,
                                 .compression = properties.allocFlags.compressionType,
                                 .bytes = bytes};
  CUresult result = call->ask(question);
  if (result == CUDA_ERROR_OUT_OF_MEMORY) {
    // Out of memory is only true when nothing is held back here.
    {
      std::lock_guard lock(owner->memory_mutex);
      owner->memory.trim();
    }
    question.memory = call->virtual_memory.next_name();
    result = call->ask(question);
  }
  if (result == CUDA_SUCCESS) {
    call->virtual_memory.keep({question.memory, owner->ordinal, bytes, properties});
    *memory = question.memory;
  }
  owner->memory_changed();
  return result;
}

CUresult memory_release(CUmemGenericAllocationHandle memory) {
  Call call;
  if (!call) {
    return call.error;
  }
  release_closed(call.session);
  bool gone = false;
  const CUresult result = call->virtual_memory.release(memory, &gone);
  if (gone) {
    call->post(message::MemoryRelease{.memory = memory});
    for (auto& device : call->devices) {
      device->memory_changed();
    }
  }
  return result;
}

CUresult memory_properties(CUmemGenericAllocationHandle memory, CUmemAllocationProp* properties) {
  Call call;
  return !call ? call.error : call->virtual_memory.properties(memory, properties);
}

CUresult memory_map(CUdeviceptr address, size_t bytes, CUmemGenericAllocationHandle memory) {
  Call call;
  if (!call) {
    return call.error;
  }
  const CUresult result = call->virtual_memory.map(address, bytes, memory);
  if (result == CUDA_SUCCESS) {
    call->post(message::MemoryMap{.address = address, .bytes = bytes, .memory = memory});
  }
  return result;
}

CUresult memory_unmap(CUdeviceptr address, size_t bytes) {
  Call call;
  if (!call) {
    return call.error;
  }
  std::vector<uint64_t> gone;
  const CUresult result = call->virtual_memory.unmap(address, bytes, &gone);
  if (result != CUDA_SUCCESS) {
    return result;
  }
  call->post(message::MemoryUnmap{.address = address, .bytes = bytes});
  for (uint64_t memory : gone) {
    call->post(message::MemoryRelease{.memory = memory});
  }
  for (auto& device : call->devices) {
    device->memory_changed();
  }
  return CUDA_SUCCESS;
}

CUresult memory_set_access(CUdeviceptr address, size_t bytes,
                           std::span<const CUmemAccessDesc> access) {
  Call call;
  if (!call) {
    return call.error;
  }
  std::vector<message::MemoryAccessOf> told;
  for (const CUmemAccessDesc& one : access) {
    const Device* device = call.device(one.location.id);
    if (device == nullptr) {
      return call.error;
    }
    told.push_back({device->server_ordinal, one.flags});
  }
  for (const CUmemAccessDesc& one : access) {
    const CUresult result =
        call->virtual_memory.set_access(address, bytes, one.location.id, one.flags);
    if (result != CUDA_SUCCESS) {
      return result;
    }
  }
  call->post(message::MemoryAccess{.address = address, .bytes = bytes, .access = told});
  return CUDA_SUCCESS;
}

CUresult memory_get_access(CUdeviceptr address, int device, unsigned* flags) {
  Call call;
  return call.device(device) == nullptr ? call.error
                                        : call->virtual_memory.get_access(address, device, flags);
}

CUresult memory_retain(CUdeviceptr address, CUmemGenericAllocationHandle* memory) {
  Call call;
  if (!call) {
    return call.error;
  }
  uint64_t name = 0;
  const CUresult result = call->virtual_memory.retain(address, &name);
  if (result == CUDA_SUCCESS) {
    *memory = name;
  }
  return result;
}

}  // namespace farlane::client
