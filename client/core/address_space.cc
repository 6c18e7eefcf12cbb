#include "client/core/address_space.h"

#include <algorithm>
#include <iterator>
#include <vector>

namespace farlane::client {
namespace {

uint64_t round_up(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace

void AddressSpace::open(const AddressSpaceOptions& options, Backing* backing) {
  options_ = options;
  held_bytes_max_ = options.cached_bytes_max;
  backing_ = backing;
  next_ = options.base;
}

bool AddressSpace::needs_fence(const FreeRange& range, uint64_t stream) const {
  return range.epoch == epoch_ && (range.stream == kAnyStream || range.stream != stream);
}

AddressSpace::FreeRanges::iterator AddressSpace::best_fit(uint64_t bytes, uint64_t stream) {
  // The smallest that fits; among the next few of about that size one without a fence is preferred.
  constexpr int kCandidates = 8;
  auto first = free_by_size_.lower_bound({bytes, 0});
  if (first == free_by_size_.end()) {
    return free_.end();
  }
  auto candidate = first;
  for (int i = 0; i < kCandidates && candidate != free_by_size_.end(); ++i, ++candidate) {
    if (candidate->first > 2 * bytes) {
      break;
    }
    auto range = free_.find(candidate->second);
    if (!needs_fence(range->second, stream)) {
      return range;
    }
  }
  return free_.find(first->second);
}

AddressSpace::FreeRanges::iterator AddressSpace::fit_without_fence(uint64_t bytes,
                                                                   uint64_t stream) {
  for (auto it = free_by_size_.lower_bound({bytes, 0}); it != free_by_size_.end(); ++it) {
    auto range = free_.find(it->second);
    if (!needs_fence(range->second, stream)) {
      return range;
    }
  }
  return free_.end();
}

CUresult AddressSpace::allocate(uint64_t bytes, uint64_t stream, bool stream_ordered,
                                uint64_t* address) {
  if (bytes == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (bytes > options_.bytes) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  const uint64_t occupied = round_up(bytes, kAlignmentBytes);
  auto range = best_fit(occupied, stream);
  if (range != free_.end() && needs_fence(range->second, stream) && backing_->avoid_fences()) {
    range = fit_without_fence(occupied, stream);
    if (range == free_.end() && add_extent(extent_bytes_for(occupied)) == CUDA_SUCCESS) {
      range = fit_without_fence(occupied, stream);
    }
    if (range == free_.end()) {
      range = best_fit(occupied, stream);  // after all
    }
  }
  // Again when another thread was quicker: the owner's lock is open while the server is asked.
  while (range == free_.end()) {
    const CUresult result = grow(occupied);
    if (result != CUDA_SUCCESS) {
      return result;
    }
    range = best_fit(occupied, stream);
  }
  if (needs_fence(range->second, stream)) {
    backing_->reuse_fence();
    ++counters_.fences;
    ++epoch_;
  }
  const uint64_t start = range->first;
  FreeRange rest = range->second;
  erase_free(range);
  Live live;
  live.block = {bytes, next_id_++, stream_ordered};
  live.occupied_bytes = occupied;
  live.extent = rest.extent;
  if (rest.bytes > occupied) {
    rest.bytes -= occupied;
    insert_free(start + occupied, rest);
  }
  live_.emplace(start, live);
  bytes_occupied_ += occupied;
  bytes_in_use_ += bytes;
  bytes_in_use_high_ = std::max(bytes_in_use_high_, bytes_in_use_);
  *address = start;
  return CUDA_SUCCESS;
}

bool AddressSpace::free(uint64_t address, uint64_t stream) {
  auto found = live_.find(address);
  if (found == live_.end()) {
    return false;
  }
  const Live live = found->second;
  live_.erase(found);
  bytes_occupied_ -= live.occupied_bytes;
  bytes_in_use_ -= live.block.bytes;
  if (!options_.reuse_freed) {
    return true;
  }
  FreeRange range{live.occupied_bytes, live.extent, epoch_, stream};
  // Join with the free neighbours of the same extent. The joined range is as unsafe as its worst
  // part.
  auto absorb = [&](FreeRanges::iterator neighbour) {
    const FreeRange& other = neighbour->second;
    range.bytes += other.bytes;
    if (other.epoch == epoch_ && other.stream != range.stream) {
      range.stream = kAnyStream;
    }
    erase_free(neighbour);
  };
  uint64_t start = address;
  auto next = free_.lower_bound(address);
  if (next != free_.begin()) {
    auto before = std::prev(next);
    if (before->second.extent == live.extent && before->first + before->second.bytes == address) {
      start = before->first;
      absorb(before);
    }
  }
  next = free_.find(address + live.occupied_bytes);
  if (next != free_.end() && next->second.extent == live.extent) {
    absorb(next);
  }
  insert_free(start, range);
  const uint64_t extent_bytes = extents_.find(live.extent)->second;
  if (range.bytes == extent_bytes && extent_bytes > options_.extent_bytes_min &&
      !live.block.stream_ordered) {
    // A block of its own extent: as natively, nobody can touch it any more.
    release_extent(free_.find(start));
  }
  release_free_extents(held_bytes_max_);
  return true;
}

void AddressSpace::hold(uint64_t bytes) {
  held_bytes_max_ = std::max(bytes, options_.cached_bytes_max);
  release_free_extents(held_bytes_max_);
}

void AddressSpace::fence_now() {
  const bool any = std::any_of(free_.begin(), free_.end(), [&](const auto& entry) {
    return needs_fence(entry.second, kAnyStream);
  });
  if (any) {
    backing_->reuse_fence();
    ++counters_.fences;
    ++epoch_;
  }
}

void AddressSpace::clear() {
  extents_.clear();
  holes_.clear();
  live_.clear();
  free_.clear();
  free_by_size_.clear();
  next_ = options_.base;
  bytes_physical_ = bytes_occupied_ = bytes_in_use_ = whole_free_bytes_ = 0;
}

const AddressSpace::Block* AddressSpace::find(uint64_t address, uint64_t* start) const {
  auto after = live_.upper_bound(address);
  if (after == live_.begin()) {
    return nullptr;
  }
  const auto& [block_start, live] = *std::prev(after);
  if (address - block_start >= live.block.bytes) {
    return nullptr;
  }
  *start = block_start;
  return &live.block;
}

bool AddressSpace::is_inside(uint64_t address, uint64_t bytes) const {
  uint64_t start = 0;
  const Block* block = find(address, &start);
  return block != nullptr && bytes <= block->bytes - (address - start);
}

CUresult AddressSpace::add_extent(uint64_t bytes) {
  uint64_t address = 0;
  if (!take_addresses(bytes, &address)) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  const CUresult result = backing_->extent_create(address, bytes);
  if (result != CUDA_SUCCESS) {
    holes_.emplace(address, bytes);
    return result;
  }
  ++counters_.extents_created;
  extents_.emplace(address, bytes);
  bytes_physical_ += bytes;
  insert_free(address, {bytes, address, 0, kAnyStream});
  return CUDA_SUCCESS;
}

uint64_t AddressSpace::extent_bytes_for(uint64_t bytes) const {
  return round_up(std::max(bytes, options_.extent_bytes_min), options_.granularity_bytes);
}

CUresult AddressSpace::grow(uint64_t bytes) {
  const uint64_t exact = round_up(bytes, options_.granularity_bytes);
  const CUresult result = add_extent(extent_bytes_for(bytes));
  if (result != CUDA_ERROR_OUT_OF_MEMORY) {
    return result;
  }
  // Out of memory is only true when nothing is held back here and no larger piece than needed was
  // asked for.
  release_free_extents(0);
  return add_extent(exact);
}

bool AddressSpace::take_addresses(uint64_t bytes, uint64_t* address) {
  for (auto hole = holes_.begin(); hole != holes_.end(); ++hole) {
    if (hole->second >= bytes) {
      *address = hole->first;
      const uint64_t rest = hole->second - bytes;
      holes_.erase(hole);
      if (rest != 0) {
        holes_.emplace(*address + bytes, rest);
      }
      return true;
    }
  }
  const uint64_t end =
      options_.extents_end != 0 ? options_.extents_end : options_.base + options_.bytes;
  if (bytes > end - next_) {
    return false;
  }
  *address = next_;
  next_ += bytes;
  return true;
}

void AddressSpace::release_extent(FreeRanges::iterator range) {
  const uint64_t address = range->first;
  const uint64_t bytes = range->second.bytes;
  erase_free(range);
  extents_.erase(address);
  bytes_physical_ -= bytes;
  ++counters_.extents_released;
  backing_->extent_release(address, bytes);
  // Join holes, so that a large extent fits again where several small ones were.
  auto next = holes_.emplace(address, bytes).first;
  if (auto after = std::next(next);
      after != holes_.end() && next->first + next->second == after->first) {
    next->second += after->second;
    holes_.erase(after);
  }
  if (next != holes_.begin()) {
    auto before = std::prev(next);
    if (before->first + before->second == next->first) {
      before->second += next->second;
      holes_.erase(next);
    }
  }
}

void AddressSpace::release_free_extents(uint64_t keep_bytes) {
  if (whole_free_bytes_ <= keep_bytes) {
    return;
  }
  std::vector<uint64_t> whole;
  // Largest first: fewer calls give back more.
  for (auto entry = free_by_size_.rbegin(); entry != free_by_size_.rend(); ++entry) {
    if (entry->first < options_.granularity_bytes) {
      break;
    }
    if (whole_extent_bytes(entry->second, free_.find(entry->second)->second) != 0) {
      whole.push_back(entry->second);
    }
  }
  for (uint64_t address : whole) {
    if (whole_free_bytes_ <= keep_bytes) {
      break;
    }
    release_extent(free_.find(address));
  }
}

// 0 unless the range is all of its extent.
uint64_t AddressSpace::whole_extent_bytes(uint64_t address, const FreeRange& range) const {
  return range.extent == address && extents_.find(address)->second == range.bytes ? range.bytes : 0;
}

void AddressSpace::insert_free(uint64_t address, FreeRange range) {
  whole_free_bytes_ += whole_extent_bytes(address, range);
  free_.emplace(address, range);
  free_by_size_.emplace(range.bytes, address);
}

void AddressSpace::erase_free(FreeRanges::iterator range) {
  whole_free_bytes_ -= whole_extent_bytes(range->first, range->second);
  free_by_size_.erase({range->second.bytes, range->first});
  free_.erase(range);
}

}  // namespace farlane::client
