// Page-locked host memory. Nothing is locked here: the list exists because CUDA's rules differ for
// pinned and pageable memory, and because programs ask what a pointer is.
#include <sys/mman.h>

#include <mutex>

#include "server/softcuda/driver_memory.h"

namespace farlane::softcuda {
namespace {

uint64_t mapped_bytes(uint64_t bytes) {
  return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
}

}  // namespace

HostMemory& HostMemory::instance() {
  static HostMemory* memory = new HostMemory;
  return *memory;
}

CUresult HostMemory::allocate(uint64_t bytes, unsigned flags, uint64_t context_id, void** pointer) {
  if (bytes == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (bytes > (uint64_t{1} << 46)) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  void* got = mmap(nullptr, mapped_bytes(bytes), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (got == MAP_FAILED) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  const std::unique_lock lock(mutex_);
  const auto begin = reinterpret_cast<uint64_t>(got);
  ranges_[begin] = {begin, bytes, flags, false, context_id, next_buffer_id_++};
  *pointer = got;
  return CUDA_SUCCESS;
}

CUresult HostMemory::release(void* pointer) {
  uint64_t bytes = 0;
  {
    const std::unique_lock lock(mutex_);
    const auto it = ranges_.find(reinterpret_cast<uint64_t>(pointer));
    if (it == ranges_.end() || it->second.registered) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    bytes = it->second.bytes;
    ranges_.erase(it);
  }
  munmap(pointer, mapped_bytes(bytes));
  return CUDA_SUCCESS;
}

CUresult HostMemory::add_registered(void* pointer, uint64_t bytes, unsigned flags,
                                    uint64_t context_id) {
  const auto begin = reinterpret_cast<uint64_t>(pointer);
  if (pointer == nullptr || bytes == 0 || begin + bytes < begin) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const std::unique_lock lock(mutex_);
  const auto next = ranges_.lower_bound(begin);
  const bool hits_next = next != ranges_.end() && next->first < begin + bytes;
  const bool hits_previous =
      next != ranges_.begin() && std::prev(next)->first + std::prev(next)->second.bytes > begin;
  if (hits_next || hits_previous) {
    return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
  }
  ranges_[begin] = {begin, bytes, flags, true, context_id, next_buffer_id_++};
  return CUDA_SUCCESS;
}

CUresult HostMemory::remove_registered(void* pointer) {
  const std::unique_lock lock(mutex_);
  const auto it = ranges_.find(reinterpret_cast<uint64_t>(pointer));
  if (it == ranges_.end() || !it->second.registered) {
    return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
  }
  ranges_.erase(it);
  return CUDA_SUCCESS;
}

std::optional<HostMemory::Range> HostMemory::lookup(uint64_t address) const {
  const std::shared_lock lock(mutex_);
  auto it = ranges_.upper_bound(address);
  if (it == ranges_.begin()) {
    return std::nullopt;
  }
  --it;
  return address - it->first < it->second.bytes ? std::optional(it->second) : std::nullopt;
}

bool HostMemory::covers(uint64_t address, uint64_t bytes) const {
  const std::optional<Range> range = lookup(address);
  return range && bytes <= range->bytes - (address - range->begin);
}

void HostMemory::release_context(uint64_t context_id) {
  std::vector<Range> released;
  {
    const std::unique_lock lock(mutex_);
    for (auto it = ranges_.begin(); it != ranges_.end();) {
      if (it->second.context_id == context_id) {
        released.push_back(it->second);
        it = ranges_.erase(it);
      } else {
        ++it;
      }
    }
  }
  for (const Range& range : released) {
    if (!range.registered) {
      munmap(reinterpret_cast<void*>(range.begin), mapped_bytes(range.bytes));
    }
  }
}

}  // namespace farlane::softcuda
