#include "client/core/graph_memory.h"

#include <algorithm>
#include <utility>

#include "client/core/graph_detail.h"

namespace farlane::client {

GraphMemory::~GraphMemory() {
  Session* s = session_if_any();
  if (address == 0 || s == nullptr) {
    return;
  }
  s->graph_memories.forget(*this);
  const RelaxedCapture ours;
  memory_free(address);
}

bool GraphMemoryUse::has_freed(CUdeviceptr address) const {
  return std::any_of(freed.begin(), freed.end(),
                     [&](const GraphMemoryRef& one) { return one->address == address; });
}

void GraphMemoryUse::add_all(const GraphMemoryUse& other) {
  allocated.insert(allocated.end(), other.allocated.begin(), other.allocated.end());
  freed.insert(freed.end(), other.freed.begin(), other.freed.end());
}

CUresult GraphMemories::allocate(int device, size_t bytes, std::vector<CUmemAccessDesc> access,
                                 GraphMemoryRef* out) {
  auto made = std::make_shared<GraphMemory>();
  {
    const RelaxedCapture ours;
    const CUresult result = make_block(device, bytes, &made->address);
    if (result != CUDA_SUCCESS) {
      made->address = 0;
      return result;
    }
  }
  made->bytes = bytes;
  made->device = device;
  made->access = std::move(access);
  std::lock_guard lock(mutex_);
  known_[made->address] = made;
  Counts& counts = counts_[device];
  counts.reserved += bytes;
  counts.reserved_high = std::max(counts.reserved_high, counts.reserved);
  blocks_.fetch_add(1, std::memory_order_acq_rel);
  *out = std::move(made);
  return CUDA_SUCCESS;
}

void GraphMemories::forget(const GraphMemory& gone) {
  std::lock_guard lock(mutex_);
  known_.erase(gone.address);
  counts_[gone.device].reserved -= gone.bytes;
  blocks_.fetch_sub(1, std::memory_order_acq_rel);
}

GraphMemoryRef GraphMemories::find(CUdeviceptr address) {
  if (blocks_.load(std::memory_order_acquire) == 0) {
    return nullptr;
  }
  std::lock_guard lock(mutex_);
  const auto found = known_.find(address);
  return found == known_.end() ? nullptr : found->second.lock();
}

void GraphMemories::set_live(const GraphMemoryRef& memory, bool live) {
  if (memory->is_live == live) {
    return;
  }
  memory->is_live = live;
  Counts& counts = counts_[memory->device];
  if (live) {
    live_[memory->address] = memory;
    counts.used += memory->bytes;
    counts.used_high = std::max(counts.used_high, counts.used);
  } else {
    live_.erase(memory->address);
    counts.used -= memory->bytes;
  }
}

CUresult GraphMemories::launch(const GraphMemoryUse& use, bool frees_on_launch) {
  std::lock_guard lock(mutex_);
  for (const GraphMemoryRef& one : use.allocated) {
    if (one->is_live && !frees_on_launch) {
      return CUDA_ERROR_INVALID_VALUE;
    }
  }
  const auto allocates = [&](const GraphMemoryRef& memory) {
    return std::find(use.allocated.begin(), use.allocated.end(), memory) != use.allocated.end();
  };
  for (const GraphMemoryRef& one : use.freed) {
    if (!one->is_live && !allocates(one)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
  }
  // The graph holds all of them, so that none goes here, with the lock.
  for (const GraphMemoryRef& one : use.allocated) {
    set_live(one, true);
  }
  for (const GraphMemoryRef& one : use.freed) {
    set_live(one, false);
  }
  return CUDA_SUCCESS;
}

bool GraphMemories::free(CUdeviceptr address, CUresult* result) {
  const GraphMemoryRef memory = find(address);  // goes without the lock, if nobody else has it
  if (memory == nullptr) {
    return false;
  }
  std::lock_guard lock(mutex_);
  *result = memory->is_live ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  set_live(memory, false);
  return true;
}

CUresult GraphMemories::attribute(int device, CUgraphMem_attribute which, uint64_t* value) {
  std::lock_guard lock(mutex_);
  const Counts& counts = counts_[device];
  switch (static_cast<int>(which)) {
    case CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT:
      *value = counts.used;
      return CUDA_SUCCESS;
    case CU_GRAPH_MEM_ATTR_USED_MEM_HIGH:
      *value = counts.used_high;
      return CUDA_SUCCESS;
    case CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT:
      *value = counts.reserved;
      return CUDA_SUCCESS;
    case CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH:
      *value = counts.reserved_high;
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult GraphMemories::reset_attribute(int device, CUgraphMem_attribute which) {
  std::lock_guard lock(mutex_);
  Counts& counts = counts_[device];
  switch (static_cast<int>(which)) {
    case CU_GRAPH_MEM_ATTR_USED_MEM_HIGH:
      counts.used_high = counts.used;
      return CUDA_SUCCESS;
    case CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH:
      counts.reserved_high = counts.reserved;
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult graph_memory_attribute(int device, CUgraphMem_attribute which, uint64_t* value) {
  Call call;
  return !call ? call.error : call->graph_memories.attribute(device, which, value);
}

CUresult graph_memory_reset(int device, CUgraphMem_attribute which) {
  Call call;
  return !call ? call.error : call->graph_memories.reset_attribute(device, which);
}

bool is_graph_memory(CUdeviceptr address) {
  Session* s = session_if_any();
  return s != nullptr && s->graph_memories.find(address) != nullptr;
}

// ---- captured

CUresult capture_allocation(Session* s, const Stream& stream, Capture& capture, int device,
                            size_t bytes, CUdeviceptr* address) {
  GraphMemoryRef made;
  if (const CUresult result = s->graph_memories.allocate(device, bytes, {}, &made);
      result != CUDA_SUCCESS) {
    return result;
  }
  *address = made->address;
  {
    std::lock_guard lock(s->captures.mutex());
    capture.memory.allocated.push_back(std::move(made));
  }
  return posted(
      s->post(message::MemoryCaptured{.stream = stream.id, .address = *address, .bytes = bytes}));
}

CUresult capture_free(Session* s, const Stream& stream, Capture& capture, CUdeviceptr address) {
  GraphMemoryRef found = s->graph_memories.find(address);
  if (found == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const size_t bytes = found->bytes;
  {
    std::lock_guard lock(s->captures.mutex());
    if (capture.memory.has_freed(address)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    capture.memory.freed.push_back(std::move(found));
  }
  return posted(s->post(message::MemoryCaptured{
      .stream = stream.id, .address = address, .bytes = bytes, .frees = 1}));
}

}  // namespace farlane::client
