// The devices' memory: what is allocated where, and how much of each one's total is in use.
// Addresses are host addresses of this process. Thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <vector>

#include "server/softcuda/driver_cuda.h"
#include "server/softcuda/driver_device.h"

namespace farlane::softcuda {

constexpr uint64_t kGranularityBytes = uint64_t{2} << 20;  // of physical memory, as on an H100
constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kAllocationAlignBytes = 512;

// A piece of physical memory (cuMemCreate), or what stands behind a plain allocation.
class PhysicalMemory {
 public:
  ~PhysicalMemory();
  CUdevice device = 0;
  uint64_t bytes = 0;
  uint64_t file_offset = 0;
  int file = -1;             // a memory file of its own, to be shared; -1: part of the common one
  bool is_borrowed = false;  // another process made it
};

struct MemoryRange {
  enum class Kind : uint8_t { kAllocation, kPool, kMapped, kVariable };
  uint64_t begin = 0;
  uint64_t bytes = 0;         // as asked for
  uint64_t usable_bytes = 0;  // device code may touch so much (the allocator's rounding)
  Kind kind = Kind::kAllocation;
  CUdevice device = 0;  // whose memory it is
  uint64_t context_id = 0;
  uint64_t buffer_id = 0;
  uint64_t pool_handle = 0;                  // kPool
  uint32_t access = 0;                       // kMapped: a bit per device, from cuMemSetAccess
  bool free_pending = false;                 // kPool: cuMemFreeAsync is in a stream
  std::shared_ptr<PhysicalMemory> physical;  // kMapped

  // For copies: what is not mapped can be reached from everywhere.
  bool is_accessible_by(CUdevice who) const {
    return kind != Kind::kMapped || (access >> who & 1) != 0;
  }
};

// Of all devices: their addresses are of one space.
class DeviceMemory {
 public:
  // Never destroyed. Each device's total is FARLANE_SOFTCUDA_MEMORY_MIB (default 2048).
  static DeviceMemory& instance();

  uint64_t total_bytes() const { return total_bytes_; }
  uint64_t used_bytes(CUdevice device) const;

  // For copies that `device` makes: all of [address, address + bytes) is allocated, possibly in
  // neighbouring mappings, and it or the device whose memory it is has access.
  bool covers(uint64_t address, uint64_t bytes, CUdevice device) const;

  // Belongs to the devices' address space, allocated or not (any more).
  bool is_device_address(uint64_t address) const;

  std::optional<MemoryRange> lookup(uint64_t address) const;

  CUresult allocate(CUdevice device, uint64_t bytes, MemoryRange::Kind kind, uint64_t context_id,
                    uint64_t pool_handle, uint64_t* address);
  // `address` must be the start of an allocation of this kind.
  CUresult release(uint64_t address, MemoryRange::Kind kind);
  // Marks a pool allocation as being freed by a stream; fails the second time.
  CUresult begin_release(uint64_t address);
  void release_context(uint64_t context_id);

  void add_variable(CUdevice device, uint64_t address, uint64_t bytes, uint64_t context_id);
  void remove_variable(uint64_t address);

  // Virtual memory management.
  // `shareable`: in a memory file of its own, whose name says which device it is on.
  CUresult create_physical(CUdevice device, uint64_t bytes, bool shareable,
                           std::shared_ptr<PhysicalMemory>* physical);
  // Such a file of another process.
  CUresult borrow_physical(int file, std::shared_ptr<PhysicalMemory>* physical);
  CUresult reserve(uint64_t bytes, uint64_t alignment, uint64_t hint, uint64_t* address);
  CUresult unreserve(uint64_t address, uint64_t bytes);
  CUresult map(uint64_t address, uint64_t bytes, uint64_t offset,
               std::shared_ptr<PhysicalMemory> physical, uint64_t context_id);
  CUresult unmap(uint64_t address, uint64_t bytes);
  CUresult set_access(uint64_t address, uint64_t bytes, CUdevice device, bool accessible);
  // Whether `device` has access. Nothing: no mapping is there.
  std::optional<bool> access(uint64_t address, CUdevice device) const;

 private:
  friend class PhysicalMemory;
  using Ranges = std::map<uint64_t, MemoryRange>;

  DeviceMemory();
  bool take(CUdevice device, uint64_t bytes);
  void give_back(CUdevice device, uint64_t bytes);
  const MemoryRange* at(uint64_t address) const;
  uint64_t place(uint64_t span_bytes);
  void retire_allocation(const MemoryRange& range);
  bool whole_mappings(uint64_t address, uint64_t bytes) const;

  uint64_t total_bytes_ = 0;
  int physical_file_ = -1;

  mutable std::shared_mutex mutex_;
  Ranges ranges_;
  std::map<uint64_t, uint64_t> reservations_;  // begin -> bytes
  std::array<uint64_t, kDevicesMax> used_bytes_{};
  uint64_t next_file_offset_ = 0;
  uint64_t next_buffer_id_ = 1;

  // Plain allocations live in one big window of lazily committed memory. Addresses are handed out
  // upwards, so that a freed one stays unused for as long as possible and its use is noticed.
  uint64_t arena_begin_ = 0;
  uint64_t arena_end_ = 0;
  uint64_t arena_next_ = 0;
  std::map<uint64_t, uint64_t> arena_busy_;  // begin -> end, including what waits to be reclaimed
};

// Pinned host memory: what cuMemHostAlloc made and what cuMemHostRegister named. Thread-safe.
class HostMemory {
 public:
  struct Range {
    uint64_t begin = 0;
    uint64_t bytes = 0;
    unsigned flags = 0;
    bool registered = false;
    uint64_t context_id = 0;
    uint64_t buffer_id = 0;
  };

  static HostMemory& instance();
  CUresult allocate(uint64_t bytes, unsigned flags, uint64_t context_id, void** pointer);
  CUresult release(void* pointer);
  CUresult add_registered(void* pointer, uint64_t bytes, unsigned flags, uint64_t context_id);
  CUresult remove_registered(void* pointer);
  std::optional<Range> lookup(uint64_t address) const;
  bool covers(uint64_t address, uint64_t bytes) const;
  void release_context(uint64_t context_id);

 private:
  mutable std::shared_mutex mutex_;
  std::map<uint64_t, Range> ranges_;
  uint64_t next_buffer_id_ = uint64_t{1} << 40;
};

}  // namespace farlane::softcuda
