#include "server/softcuda/driver_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <mutex>

#include "server/softcuda/driver_scheduler.h"

namespace farlane::softcuda {
namespace {

constexpr uint64_t kTotalMibDefault = 2048;
constexpr uint64_t kTotalMibMax = uint64_t{1} << 20;
// A device keeps some of its memory for itself (context, printf buffer, stacks), so that a program
// which fills it in large pieces leaves a little. Not a multiple of the usual pieces.
constexpr uint64_t kDeviceOwnBytes = uint64_t{10} << 20;
constexpr uint64_t kArenaBytesWanted = uint64_t{256} << 30;

uint64_t round_up(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

uint64_t configured_total_bytes() {
  return number_setting("FARLANE_SOFTCUDA_MEMORY_MIB", kTotalMibDefault, kTotalMibMax) << 20;
}

}  // namespace

DeviceMemory& DeviceMemory::instance() {
  static DeviceMemory* memory = new DeviceMemory;
  return *memory;
}

DeviceMemory::DeviceMemory() : total_bytes_(configured_total_bytes()) {
  used_bytes_.fill(std::min(kDeviceOwnBytes, total_bytes_ / 8));
  // Address space only; halved until the system (or a sanitizer's layout) has room for it.
  const uint64_t needed_bytes = total_bytes_ * static_cast<uint64_t>(device_count());
  for (uint64_t bytes = std::max(kArenaBytesWanted, 4 * needed_bytes); bytes >= needed_bytes;
       bytes /= 2) {
    void* window = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (window != MAP_FAILED) {
      arena_begin_ = reinterpret_cast<uint64_t>(window);
      arena_end_ = arena_begin_ + bytes;
      arena_next_ = arena_begin_;
      break;
    }
  }
}

uint64_t DeviceMemory::used_bytes(CUdevice device) const {
  const std::shared_lock lock(mutex_);
  return used_bytes_[static_cast<size_t>(device)];
}

bool DeviceMemory::take(CUdevice device, uint64_t bytes) {
  uint64_t& used = used_bytes_[static_cast<size_t>(device)];
  if (bytes > total_bytes_ - used) {
    return false;
  }
  used += bytes;
  return true;
}

void DeviceMemory::give_back(CUdevice device, uint64_t bytes) {
  used_bytes_[static_cast<size_t>(device)] -= bytes;
}

// Under the lock: the range that holds `address`, or null.
const MemoryRange* DeviceMemory::at(uint64_t address) const {
  auto it = ranges_.upper_bound(address);
  if (it == ranges_.begin()) {
    return nullptr;
  }
  --it;
  return address - it->first < it->second.usable_bytes ? &it->second : nullptr;
}

bool DeviceMemory::covers(uint64_t address, uint64_t bytes, CUdevice device) const {
  const std::shared_lock lock(mutex_);
  for (;;) {
    const MemoryRange* range = at(address);
    if (range == nullptr || address - range->begin > range->bytes ||
        !(range->is_accessible_by(device) || range->is_accessible_by(range->device))) {
      return false;
    }
    const uint64_t here = range->bytes - (address - range->begin);
    if (bytes <= here) {
      return true;
    }
    if (range->kind != MemoryRange::Kind::kMapped) {
      return false;
    }
    address += here;
    bytes -= here;
  }
}

bool DeviceMemory::is_device_address(uint64_t address) const {
  const std::shared_lock lock(mutex_);
  if (address >= arena_begin_ && address < arena_end_) {
    return true;
  }
  auto it = reservations_.upper_bound(address);
  if (it != reservations_.begin() && address - std::prev(it)->first < std::prev(it)->second) {
    return true;
  }
  return at(address) != nullptr;
}

std::optional<MemoryRange> DeviceMemory::lookup(uint64_t address) const {
  const std::shared_lock lock(mutex_);
  const MemoryRange* range = at(address);
  return range == nullptr ? std::nullopt : std::optional(*range);
}

// Under the lock: an address for `span_bytes` bytes in the arena, or 0.
uint64_t DeviceMemory::place(uint64_t span_bytes) {
  if (arena_begin_ == 0 || span_bytes > arena_end_ - arena_begin_) {
    return 0;
  }
  if (span_bytes <= arena_end_ - arena_next_ &&
      arena_busy_.lower_bound(arena_next_) == arena_busy_.end()) {
    const uint64_t address = arena_next_;
    arena_next_ += span_bytes;
    return address;
  }
  // Once round: the first hole that is large enough.
  uint64_t hole = arena_begin_;
  for (const auto& [begin, end] : arena_busy_) {
    if (begin - hole >= span_bytes) {
      return hole;
    }
    hole = end;
  }
  return arena_end_ - hole >= span_bytes ? hole : 0;
}

CUresult DeviceMemory::allocate(CUdevice device, uint64_t bytes, MemoryRange::Kind kind,
                                uint64_t context_id, uint64_t pool_handle, uint64_t* address) {
  if (bytes == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const std::unique_lock lock(mutex_);
  if (bytes > total_bytes_ || !take(device, round_up(bytes, kPageBytes))) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  // One page more than needed lies between two allocations, so that running over is noticed.
  const uint64_t span_bytes = round_up(bytes, kPageBytes) + kPageBytes;
  const uint64_t begin = place(span_bytes);
  if (begin == 0) {
    give_back(device, round_up(bytes, kPageBytes));
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  arena_busy_.emplace(begin, begin + span_bytes);
  MemoryRange range;
  range.begin = begin;
  range.bytes = bytes;
  range.usable_bytes = round_up(bytes, kAllocationAlignBytes);
  range.kind = kind;
  range.device = device;
  range.context_id = context_id;
  range.buffer_id = next_buffer_id_++;
  range.pool_handle = pool_handle;
  ranges_.emplace(begin, range);
  *address = begin;
  return CUDA_SUCCESS;
}

// Without the lock. The pages go back to the system once no running operation can still hold them.
void DeviceMemory::retire_allocation(const MemoryRange& range) {
  const uint64_t begin = range.begin;
  const uint64_t bytes = round_up(range.bytes, kPageBytes);
  Scheduler::instance().retire([this, begin, bytes] {
    madvise(reinterpret_cast<void*>(begin), bytes, MADV_DONTNEED);
    const std::unique_lock lock(mutex_);
    arena_busy_.erase(begin);
  });
}

CUresult DeviceMemory::release(uint64_t address, MemoryRange::Kind kind) {
  MemoryRange range;
  {
    const std::unique_lock lock(mutex_);
    const auto it = ranges_.find(address);
    if (it == ranges_.end() || it->second.kind != kind) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    range = it->second;
    ranges_.erase(it);
    give_back(range.device, round_up(range.bytes, kPageBytes));
  }
  retire_allocation(range);
  return CUDA_SUCCESS;
}

CUresult DeviceMemory::begin_release(uint64_t address) {
  const std::unique_lock lock(mutex_);
  const auto it = ranges_.find(address);
  if (it == ranges_.end() || it->second.free_pending ||
      (it->second.kind != MemoryRange::Kind::kPool &&
       it->second.kind != MemoryRange::Kind::kAllocation)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  it->second.free_pending = true;
  return CUDA_SUCCESS;
}

void DeviceMemory::release_context(uint64_t context_id) {
  std::vector<MemoryRange> released;
  {
    const std::unique_lock lock(mutex_);
    for (auto it = ranges_.begin(); it != ranges_.end();) {
      const MemoryRange& range = it->second;
      if (range.context_id == context_id && (range.kind == MemoryRange::Kind::kAllocation ||
                                             range.kind == MemoryRange::Kind::kPool)) {
        give_back(range.device, round_up(range.bytes, kPageBytes));
        released.push_back(range);
        it = ranges_.erase(it);
      } else {
        ++it;
      }
    }
  }
  for (const MemoryRange& range : released) {
    retire_allocation(range);
  }
}

void DeviceMemory::add_variable(CUdevice device, uint64_t address, uint64_t bytes,
                                uint64_t context_id) {
  const std::unique_lock lock(mutex_);
  MemoryRange range;
  range.begin = address;
  range.bytes = bytes;
  range.usable_bytes = bytes;
  range.kind = MemoryRange::Kind::kVariable;
  range.device = device;
  range.context_id = context_id;
  range.buffer_id = next_buffer_id_++;
  ranges_.emplace(address, range);
}

void DeviceMemory::remove_variable(uint64_t address) {
  const std::unique_lock lock(mutex_);
  ranges_.erase(address);
}

}  // namespace farlane::softcuda
