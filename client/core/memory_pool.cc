#include "client/core/memory_pool.h"

#include "client/core/graph_api.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace farlane::client::memory_pool {
namespace {

// Not an address that any process has: the upper half of the address space is the kernel's.
constexpr uint64_t kDefaultHandleBase = 0xfa51'0000'0000'1000;
constexpr uint64_t kDefaultHandleStep = 16;

struct Pool {
  int device = 0;
  CUmemoryPool handle = nullptr;
  uint64_t release_threshold_bytes = 0;
  int reuse_follow_event_dependencies = 1;
  int reuse_allow_opportunistic = 1;
  int reuse_allow_internal_dependencies = 1;
  uint64_t used_bytes = 0;
  uint64_t used_high_bytes = 0;
  std::map<int, CUmemAccess_flags> access;  // of other devices
};

// A live allocation. `id` tells it from a later one at the same address that the books do not know.
struct Taken {
  Pool* pool = nullptr;
  uint64_t bytes = 0;
  uint64_t id = 0;
};

class Books {
 public:
  // Null for what is no live pool. With the lock.
  Pool* find(CUmemoryPool handle) {
    const uint64_t offset = reinterpret_cast<uint64_t>(handle) - kDefaultHandleBase;
    const uint64_t device = offset / kDefaultHandleStep;
    if (offset % kDefaultHandleStep == 0 && device < static_cast<uint64_t>(device_count())) {
      return &default_of(static_cast<int>(device));
    }
    const auto found = std::find_if(created_.begin(), created_.end(),
                                    [handle](const auto& p) { return p->handle == handle; });
    return found == created_.end() ? nullptr : found->get();
  }

  Pool& default_of(int device) {
    std::unique_ptr<Pool>& pool = defaults_[device];
    if (pool == nullptr) {
      pool = std::make_unique<Pool>();
      pool->device = device;
      pool->handle = memory_pool::default_of(device);
    }
    return *pool;
  }

  Pool& create(int device) {
    created_.push_back(std::make_unique<Pool>());
    Pool& pool = *created_.back();
    pool.device = device;
    pool.handle = reinterpret_cast<CUmemoryPool>(&pool);
    return pool;
  }

  void destroy(Pool* pool) {
    std::erase_if(taken_, [pool](const auto& entry) { return entry.second.pool == pool; });
    std::erase_if(current_, [pool](const auto& entry) { return entry.second == pool; });
    std::erase_if(created_, [pool](const auto& held) { return held.get() == pool; });
    live = taken_.size();
  }

  Pool& current_of(int device) {
    const auto found = current_.find(device);
    return found == current_.end() ? default_of(device) : *found->second;
  }
  void set_current(Pool& pool) { current_[pool.device] = &pool; }

  void take(Pool& pool, CUdeviceptr address, uint64_t bytes) {
    leave(address);
    taken_[address] = {&pool, bytes, pointer_facts(address).id};
    pool.used_bytes += bytes;
    pool.used_high_bytes = std::max(pool.used_high_bytes, pool.used_bytes);
    live = taken_.size();
  }

  // What was taken there; nobody's if nothing was.
  Taken leave(CUdeviceptr address) {
    const auto found = taken_.find(address);
    if (found == taken_.end()) {
      return {};
    }
    const Taken left = found->second;
    left.pool->used_bytes -= left.bytes;
    taken_.erase(found);
    live = taken_.size();
    return left;
  }
  // It did not leave after all.
  void stay(CUdeviceptr address, const Taken& taken) {
    taken.pool->used_bytes += taken.bytes;
    taken_[address] = taken;
    live = taken_.size();
  }

  uint64_t release_threshold_bytes(int device) const {
    uint64_t bytes = 0;
    const auto add = [&](const Pool& pool) {
      if (pool.device == device &&
          __builtin_add_overflow(bytes, pool.release_threshold_bytes, &bytes)) {
        bytes = std::numeric_limits<uint64_t>::max();
      }
    };
    for (const auto& [of, pool] : defaults_) {
      add(*pool);
    }
    for (const auto& pool : created_) {
      add(*pool);
    }
    return bytes;
  }

  Pool* owner(CUdeviceptr address) {
    const auto found = taken_.find(address);
    return found == taken_.end() ? nullptr : found->second.pool;
  }

  // Drops what was freed without our knowing, by the other façade or a device reset.
  void check_all() {
    std::vector<CUdeviceptr> gone;
    for (const auto& [address, taken] : taken_) {
      const PointerFacts facts = pointer_facts(address);
      if (facts.base != address || facts.id != taken.id) {
        gone.push_back(address);
      }
    }
    for (const CUdeviceptr address : gone) {
      leave(address);
    }
  }

  std::mutex mutex;
  std::atomic<size_t> live = 0;  // read without the lock: most programs never take anything

 private:
  std::map<int, std::unique_ptr<Pool>> defaults_;
  std::vector<std::unique_ptr<Pool>> created_;
  std::map<int, Pool*> current_;
  std::map<CUdeviceptr, Taken> taken_;
};

// Never destroyed: programs free memory after this library's own destructors have run.
Books& books() {
  static auto* const the_books = new Books;
  return *the_books;
}

// Frees by `free`. The memory leaves the books first: as soon as it is free, another thread may be
// given it, and its entry must not be taken for this one.
template <class Free>
CUresult free_by(CUdeviceptr address, Free free) {
  if (books().live.load(std::memory_order_relaxed) == 0) {
    return free();
  }
  Taken taken;
  CUmemoryPool pool = nullptr;
  {
    const std::lock_guard lock(books().mutex);
    taken = books().leave(address);
    pool = taken.pool == nullptr ? nullptr : taken.pool->handle;
  }
  const CUresult result = free();
  if (result != CUDA_SUCCESS && pool != nullptr) {
    const std::lock_guard lock(books().mutex);
    if (books().find(pool) == taken.pool) {
      books().stay(address, taken);
    }
  }
  return result;
}

int* switch_of(Pool& pool, CUmemPool_attribute attribute) {
  switch (static_cast<int>(attribute)) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
      return &pool.reuse_follow_event_dependencies;
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
      return &pool.reuse_allow_opportunistic;
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
      return &pool.reuse_allow_internal_dependencies;
    default:
      return nullptr;
  }
}

}  // namespace

CUmemoryPool default_of(int device) {
  return reinterpret_cast<CUmemoryPool>(kDefaultHandleBase +
                                        static_cast<uint64_t>(device) * kDefaultHandleStep);
}

CUmemoryPool current_of(int device) {
  const std::lock_guard lock(books().mutex);
  return books().current_of(device).handle;
}

CUresult set_current(int device, CUmemoryPool pool) {
  const std::lock_guard lock(books().mutex);
  Pool* const found = books().find(pool);
  if (found == nullptr || found->device != device) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  books().set_current(*found);
  return CUDA_SUCCESS;
}

CUresult create(int device, CUmemoryPool* pool) {
  const std::lock_guard lock(books().mutex);
  *pool = books().create(device).handle;
  return CUDA_SUCCESS;
}

CUresult destroy(CUmemoryPool pool) {
  const std::lock_guard lock(books().mutex);
  Pool* const found = books().find(pool);
  if (found == nullptr || found->handle == default_of(found->device)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const int device = found->device;
  const bool held = found->release_threshold_bytes != 0;
  books().destroy(found);
  return held ? memory_hold(device, books().release_threshold_bytes(device)) : CUDA_SUCCESS;
}

int device_of(CUmemoryPool pool) {
  const std::lock_guard lock(books().mutex);
  const Pool* const found = books().find(pool);
  return found == nullptr ? -1 : found->device;
}

CUresult allocate(CUmemoryPool pool, size_t bytes, CUstream stream, CUdeviceptr* address) {
  const int device = device_of(pool);
  if (device < 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  CUdeviceptr made = 0;
  if (const CUresult result = memory_allocate_async(device, bytes, stream, &made);
      result != CUDA_SUCCESS) {
    return result;
  }
  *address = made;
  if (is_graph_memory(made)) {
    return CUDA_SUCCESS;  // captured: no pool has it
  }
  const std::lock_guard lock(books().mutex);
  if (Pool* const found = books().find(pool); found != nullptr) {
    books().take(*found, made, bytes);
  }
  return CUDA_SUCCESS;
}

CUresult free(CUdeviceptr address) {
  return free_by(address, [&] { return memory_free(address); });
}

CUresult free_async(CUdeviceptr address, CUstream stream) {
  return free_by(address, [&] { return memory_free_async(address, stream); });
}

CUmemoryPool pool_of(CUdeviceptr address) {
  const std::lock_guard lock(books().mutex);
  const Pool* const owner = books().owner(address);
  return owner == nullptr ? nullptr : owner->handle;
}

CUresult get_attribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value) {
  const std::lock_guard lock(books().mutex);
  Pool* const found = books().find(pool);
  if (found == nullptr || value == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (const int* on = switch_of(*found, attribute); on != nullptr) {
    *static_cast<int*>(value) = *on;
    return CUDA_SUCCESS;
  }
  books().check_all();
  auto* const bytes = static_cast<cuuint64_t*>(value);
  switch (static_cast<int>(attribute)) {
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
      *bytes = found->release_threshold_bytes;
      return CUDA_SUCCESS;
    // What is reserved beyond what is used belongs to the device's allocator, not to a pool.
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
      *bytes = found->used_bytes;
      return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
      *bytes = found->used_high_bytes;
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult set_attribute(CUmemoryPool pool, CUmemPool_attribute attribute, const void* value) {
  const std::lock_guard lock(books().mutex);
  Pool* const found = books().find(pool);
  if (found == nullptr || value == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (int* on = switch_of(*found, attribute); on != nullptr) {
    *on = *static_cast<const int*>(value);
    return CUDA_SUCCESS;
  }
  const cuuint64_t bytes = *static_cast<const cuuint64_t*>(value);
  switch (static_cast<int>(attribute)) {
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
      found->release_threshold_bytes = bytes;
      return memory_hold(found->device, books().release_threshold_bytes(found->device));
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
      if (bytes != 0) {
        return CUDA_ERROR_INVALID_VALUE;  // may only be reset
      }
      books().check_all();
      found->used_high_bytes = found->used_bytes;
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult get_access(CUmemoryPool pool, int device, CUmemAccess_flags* flags) {
  const std::lock_guard lock(books().mutex);
  const Pool* const found = books().find(pool);
  if (found == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const auto other = found->access.find(device);
  *flags = found->device == device        ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE
           : other == found->access.end() ? CU_MEM_ACCESS_FLAGS_PROT_NONE
                                          : other->second;
  return CUDA_SUCCESS;
}

CUresult set_access(CUmemoryPool pool, int device, CUmemAccess_flags flags) {
  const std::lock_guard lock(books().mutex);
  Pool* const found = books().find(pool);
  if (found == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (found->device == device) {
    return flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
  }
  // Devices that can reach each other's memory may use all of it from the start (extents).
  if (!can_access_peer(device, found->device)) {
    return CUDA_ERROR_INVALID_DEVICE;
  }
  found->access[device] = flags;
  return CUDA_SUCCESS;
}

CUresult trim(CUmemoryPool pool, size_t keep_bytes) {
  const std::lock_guard lock(books().mutex);
  const Pool* const found = books().find(pool);
  if (found == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  // What is used stays, however little is to be kept.
  return memory_trim(found->device, keep_bytes - std::min(keep_bytes, found->used_bytes));
}

}  // namespace farlane::client::memory_pool
