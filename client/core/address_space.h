// The client's allocator over one device's window of addresses.
//
// Physical memory comes from the server in extents; blocks are carved from extents here, without
// asking. Freed memory may still be in use by work posted before the free: handing it out again
// first posts a fence (see `reuse_fence` in protocol/api/wire.api), unless the new owner is the
// stream that freed it, or nothing was posted to another stream, or the device was synchronised
// since.
//
// Not thread-safe: its owner locks. It knows no network: what it needs done is asked of a Backing.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <map>
#include <set>

namespace farlane::client {

// What the allocator needs from the session. All called with the owner's lock held.
class Backing {
 public:
  virtual ~Backing() = default;
  // Physical memory behind [address, address + bytes); CUDA_ERROR_OUT_OF_MEMORY when there is none.
  // May open the owner's lock while it asks: the answer can take as long as a running kernel, and
  // other threads' copies must go on.
  virtual CUresult extent_create(uint64_t address, uint64_t bytes) = 0;
  virtual void extent_release(uint64_t address, uint64_t bytes) = 0;
  virtual void reuse_fence() = 0;
  // A fence now may hold up everybody for long: rather take more memory.
  virtual bool avoid_fences() { return false; }
};

struct AddressSpaceOptions {
  uint64_t base = 0;
  uint64_t bytes = 0;                    // of the window
  uint64_t extents_end = 0;              // behind the last address for extents; 0: the window's end
  uint64_t granularity_bytes = 2 << 20;  // of an extent (cuMemGetAllocationGranularity)
  uint64_t extent_bytes_min = 32 << 20;
  // Of wholly free extents kept for the next allocation. Larger ones than extent_bytes_min are kept
  // only when they were freed in stream order.
  uint64_t cached_bytes_max = 256 << 20;
  bool reuse_freed = true;  // off: freed addresses are never handed out again (a test switch)
};

struct AddressSpaceCounters {
  uint64_t extents_created = 0;
  uint64_t extents_released = 0;
  uint64_t fences = 0;
};

class AddressSpace {
 public:
  // cudaMalloc promises at least 256 bytes.
  static constexpr uint64_t kAlignmentBytes = 512;
  // No stream: the block may be used from any stream at once.
  static constexpr uint64_t kAnyStream = 0;

  struct Block {
    uint64_t bytes = 0;  // as asked for
    uint64_t id = 0;     // unique per allocation
    bool stream_ordered = false;
  };

  void open(const AddressSpaceOptions& options, Backing* backing);

  // `stream`: whose work alone will use the block at first, or kAnyStream.
  CUresult allocate(uint64_t bytes, uint64_t stream, bool stream_ordered, uint64_t* address);
  // False: not the start of a live block. `stream`: the free happens in its order, or kAnyStream.
  bool free(uint64_t address, uint64_t stream);
  // All work posted so far has finished: free blocks are safe for everybody.
  void all_work_finished() { ++epoch_; }
  // Gives back what is held for the next allocation, but for so much of it.
  void trim(uint64_t keep_bytes = 0) { release_free_extents(keep_bytes); }
  // From now on so much may be held, if that is more than the options say.
  void hold(uint64_t bytes);
  // Makes what is free safe for everybody, with a fence if it takes one.
  void fence_now();
  // Everything is gone (device reset); extents are not released one by one.
  void clear();

  bool contains(uint64_t address) const { return address - options_.base < options_.bytes; }
  // The live block that holds `address`; null if none.
  const Block* find(uint64_t address, uint64_t* start) const;
  // True when [address, address + bytes) lies inside one live block.
  bool is_inside(uint64_t address, uint64_t bytes) const;

  uint64_t bytes_in_use() const { return bytes_in_use_; }
  uint64_t bytes_in_use_high() const { return bytes_in_use_high_; }
  // Physical bytes held from the server, and how many of them live blocks occupy.
  uint64_t bytes_physical() const { return bytes_physical_; }
  uint64_t bytes_occupied() const { return bytes_occupied_; }
  uint64_t bytes_free() const { return bytes_physical_ - bytes_occupied_; }
  const AddressSpaceCounters& counters() const { return counters_; }

 private:
  struct FreeRange {
    uint64_t bytes = 0;
    uint64_t extent = 0;           // its start; ranges of different extents are never joined
    uint64_t epoch = 0;            // of the free; safe for all when older than epoch_
    uint64_t stream = kAnyStream;  // safe for this one in any case
  };
  struct Live {
    Block block;
    uint64_t occupied_bytes = 0;
    uint64_t extent = 0;
  };
  using FreeRanges = std::map<uint64_t, FreeRange>;

  bool needs_fence(const FreeRange& range, uint64_t stream) const;
  FreeRanges::iterator best_fit(uint64_t bytes, uint64_t stream);
  FreeRanges::iterator fit_without_fence(uint64_t bytes, uint64_t stream);
  uint64_t extent_bytes_for(uint64_t bytes) const;
  CUresult add_extent(uint64_t bytes);
  CUresult grow(uint64_t bytes);
  bool take_addresses(uint64_t bytes, uint64_t* address);
  void release_extent(FreeRanges::iterator range);
  uint64_t whole_extent_bytes(uint64_t address, const FreeRange& range) const;
  void release_free_extents(uint64_t keep_bytes);
  void insert_free(uint64_t address, FreeRange range);
  void erase_free(FreeRanges::iterator range);

  AddressSpaceOptions options_;
  Backing* backing_ = nullptr;
  uint64_t next_ = 0;                                     // first never-used address
  std::map<uint64_t, uint64_t> holes_;                    // released addresses: start, bytes
  std::map<uint64_t, uint64_t> extents_;                  // start, bytes
  std::map<uint64_t, Live> live_;                         // by start
  FreeRanges free_;                                       // by start
  std::set<std::pair<uint64_t, uint64_t>> free_by_size_;  // bytes, start
  uint64_t whole_free_bytes_ = 0;                         // of extents without a live block
  uint64_t held_bytes_max_ = 0;
  uint64_t epoch_ = 1;
  uint64_t next_id_ = 1;
  uint64_t bytes_physical_ = 0;
  uint64_t bytes_occupied_ = 0;  // live blocks, rounded to the alignment
  uint64_t bytes_in_use_ = 0;
  uint64_t bytes_in_use_high_ = 0;
  AddressSpaceCounters counters_;
};

}  // namespace farlane::client
