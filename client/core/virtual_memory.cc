#include "client/core/virtual_memory.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "client/core/shared_descriptor.h"

namespace farlane::client {
namespace {

// In the shape of a pointer, as the driver's own are; apart from every handle of another kind.
constexpr uint64_t kNamesFrom = uint64_t{0x6d} << 56;
constexpr uint64_t kNameStep = 16;
// Apart from the ids of device blocks and of pinned memory.
constexpr uint64_t kIdsFrom = uint64_t{1} << 41;

uint64_t round_down(uint64_t value, uint64_t unit) {
  return value / unit * unit;
}

bool granular(uint64_t value) {
  return value % VirtualMemory::kGranularityBytes == 0;
}

}  // namespace

void ReservedAddresses::open(uint64_t bottom, uint64_t end, uint64_t granularity) {
  bottom_ = bottom;
  top_ = round_down(end, granularity);
  granularity_ = granularity;
}

void ReservedAddresses::add_hole(uint64_t address, uint64_t bytes) {
  if (bytes == 0) {
    return;
  }
  auto next = holes_.lower_bound(address);
  if (next != holes_.begin()) {
    auto before = std::prev(next);
    if (before->first + before->second == address) {
      address = before->first;
      bytes += before->second;
      holes_.erase(before);
    }
  }
  if (next != holes_.end() && address + bytes == next->first) {
    bytes += next->second;
    holes_.erase(next);
  }
  holes_[address] = bytes;
}

bool ReservedAddresses::take_hole(uint64_t bytes, uint64_t alignment, uint64_t* address) {
  for (auto hole = holes_.begin(); hole != holes_.end(); ++hole) {
    const auto [start, size] = *hole;
    const uint64_t aligned = (start + alignment - 1) / alignment * alignment;
    if (aligned < start || aligned - start > size || size - (aligned - start) < bytes) {
      continue;
    }
    holes_.erase(hole);
    add_hole(start, aligned - start);
    add_hole(aligned + bytes, start + size - aligned - bytes);
    *address = aligned;
    return true;
  }
  return false;
}

bool ReservedAddresses::reserve(uint64_t bytes, uint64_t alignment, uint64_t hint,
                                uint64_t* address) {
  alignment = std::max(alignment, granularity_);
  const auto done = [&](uint64_t at) {
    reservations_.emplace(at, bytes);
    *address = at;
    return true;
  };
  if (hint != 0 && hint % alignment == 0) {
    // As asked for, where that is free.
    auto hole = holes_.upper_bound(hint);
    if (hole != holes_.begin() && (--hole)->first <= hint && hint - hole->first < hole->second &&
        hole->second - (hint - hole->first) >= bytes) {
      const auto [start, size] = *hole;
      holes_.erase(hole);
      add_hole(start, hint - start);
      add_hole(hint + bytes, start + size - hint - bytes);
      return done(hint);
    }
    if (hint >= bottom_ && hint < top_ && bytes <= top_ - hint) {
      add_hole(hint + bytes, top_ - hint - bytes);
      top_ = hint;
      return done(hint);
    }
  }
  uint64_t at = 0;
  if (take_hole(bytes, alignment, &at)) {
    return done(at);
  }
  if (top_ < bottom_ || bytes > top_ - bottom_) {
    return false;
  }
  at = round_down(top_ - bytes, alignment);
  if (at < bottom_) {
    return false;
  }
  add_hole(at + bytes, top_ - at - bytes);
  top_ = at;
  return done(at);
}

bool ReservedAddresses::free(uint64_t address, uint64_t bytes) {
  auto found = reservations_.find(address);
  if (found == reservations_.end() || found->second != bytes) {
    return false;
  }
  reservations_.erase(found);
  add_hole(address, bytes);
  // A hole at the lower end is no hole: it belongs to what was never reserved.
  if (const auto lowest = holes_.begin(); lowest->first == top_) {
    top_ += lowest->second;
    holes_.erase(lowest);
  }
  return true;
}

bool ReservedAddresses::holds(uint64_t address, uint64_t bytes) const {
  auto after = reservations_.upper_bound(address);
  if (after == reservations_.begin()) {
    return false;
  }
  const auto& [start, size] = *std::prev(after);
  return address - start < size && bytes <= size - (address - start);
}

void VirtualMemory::open(int device, uint64_t bottom, uint64_t end) {
  std::lock_guard lock(mutex_);
  windows_[device].open(bottom, end, kGranularityBytes);
}

CUresult VirtualMemory::reserve(int device, uint64_t bytes, uint64_t alignment, uint64_t hint,
                                uint64_t* address) {
  if (bytes == 0 || !granular(bytes) || (alignment & (alignment - 1)) != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::lock_guard lock(mutex_);
  return windows_[device].reserve(bytes, alignment, hint, address) ? CUDA_SUCCESS
                                                                   : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult VirtualMemory::free(uint64_t address, uint64_t bytes) {
  std::lock_guard lock(mutex_);
  auto inside = mappings_.lower_bound(address);
  if (inside != mappings_.end() && inside->first - address < bytes) {
    return CUDA_ERROR_INVALID_VALUE;  // still mapped
  }
  for (auto& [device, window] : windows_) {
    if (window.free(address, bytes)) {
      return CUDA_SUCCESS;
    }
  }
  return CUDA_ERROR_INVALID_VALUE;
}

uint64_t VirtualMemory::next_name() {
  std::lock_guard lock(mutex_);
  return kNamesFrom + ++names_ * kNameStep;
}

void VirtualMemory::keep(Physical physical) {
  std::lock_guard lock(mutex_);
  physical.handles = 1;
  const uint64_t name = physical.name;
  physicals_[name] = std::make_shared<Physical>(std::move(physical));
}

uint64_t VirtualMemory::created_bytes(int device) {
  std::lock_guard lock(mutex_);
  uint64_t bytes = 0;
  for (const auto& [name, physical] : physicals_) {
    if (physical->device == device) bytes += physical->bytes;
  }
  return bytes;
}

VirtualMemory::Physical* VirtualMemory::held(uint64_t name) {
  auto found = physicals_.find(name);
  return found == physicals_.end() || found->second->handles == 0 ? nullptr : found->second.get();
}

CUresult VirtualMemory::release(uint64_t name, bool* gone) {
  std::lock_guard lock(mutex_);
  Physical* physical = held(name);
  if (physical == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *gone = --physical->handles == 0 && physical->mappings == 0 && let_go(name);
  return CUDA_SUCCESS;
}

bool VirtualMemory::let_go(uint64_t name) {
  auto found = physicals_.find(name);
  if (const auto& descriptor = found->second->descriptor;
      descriptor != nullptr && descriptor->is_open()) {
    ++only_exported_;
    return false;
  }
  physicals_.erase(found);
  return true;
}

std::vector<uint64_t> VirtualMemory::take_closed() {
  std::vector<uint64_t> closed;
  if (only_exported_ == 0) {
    return closed;
  }
  std::lock_guard lock(mutex_);
  only_exported_ -= std::erase_if(physicals_, [&](const auto& entry) {
    const Physical& physical = *entry.second;
    if (physical.handles != 0 || physical.mappings != 0 || physical.descriptor->is_open()) {
      return false;
    }
    closed.push_back(physical.name);
    return true;
  });
  return closed;
}

CUresult VirtualMemory::hold(uint64_t name, Physical* out) {
  std::lock_guard lock(mutex_);
  Physical* physical = held(name);
  if (physical == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  ++physical->handles;
  *out = *physical;
  return CUDA_SUCCESS;
}

std::shared_ptr<SharedDescriptor> VirtualMemory::descriptor(uint64_t name) {
  std::lock_guard lock(mutex_);
  const Physical* physical = held(name);
  return physical == nullptr ? nullptr : physical->descriptor;
}

void VirtualMemory::set_descriptor(uint64_t name, std::shared_ptr<SharedDescriptor> descriptor) {
  std::lock_guard lock(mutex_);
  if (Physical* physical = held(name); physical != nullptr) {
    physical->descriptor = std::move(descriptor);
  }
}

CUresult VirtualMemory::retain(uint64_t address, uint64_t* name) {
  std::lock_guard lock(mutex_);
  auto mapping = at(address);
  if (mapping == mappings_.end()) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const std::shared_ptr<Physical>& physical = mapping->second.physical;
  ++physical->handles;
  *name = physical->name;
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::properties(uint64_t name, CUmemAllocationProp* out) {
  std::lock_guard lock(mutex_);
  const Physical* physical = held(name);
  if (physical == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *out = physical->properties;
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::map(uint64_t address, uint64_t bytes, uint64_t name) {
  std::lock_guard lock(mutex_);
  Physical* physical = held(name);
  if (physical == nullptr || bytes == 0 || !granular(bytes) || !granular(address)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (bytes > physical->bytes) {
    return CUDA_ERROR_NOT_SUPPORTED;  // as the driver says it
  }
  const bool reserved = std::any_of(windows_.begin(), windows_.end(), [&](const auto& window) {
    return window.second.holds(address, bytes);
  });
  auto next = mappings_.lower_bound(address);
  if (!reserved || (next != mappings_.end() && next->first - address < bytes) ||
      at(address) != mappings_.end()) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  ++physical->mappings;
  mappings_[address] = {address, bytes, physicals_[name], kIdsFrom + ++ids_, {}};
  return CUDA_SUCCESS;
}

VirtualMemory::Mappings::iterator VirtualMemory::at(uint64_t address) {
  auto after = mappings_.upper_bound(address);
  if (after == mappings_.begin()) {
    return mappings_.end();
  }
  --after;
  return address - after->first < after->second.bytes ? after : mappings_.end();
}

bool VirtualMemory::whole(uint64_t address, uint64_t bytes, Mappings::iterator* begin,
                          Mappings::iterator* end) {
  *begin = *end = mappings_.find(address);
  uint64_t left = bytes;
  uint64_t expected = address;
  while (left != 0 && *end != mappings_.end() && (*end)->first == expected &&
         (*end)->second.bytes <= left) {
    left -= (*end)->second.bytes;
    expected += (*end)->second.bytes;
    ++*end;
  }
  return bytes != 0 && left == 0;
}

CUresult VirtualMemory::unmap(uint64_t address, uint64_t bytes, std::vector<uint64_t>* gone) {
  std::lock_guard lock(mutex_);
  Mappings::iterator begin;
  Mappings::iterator end;
  if (!whole(address, bytes, &begin, &end)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  for (auto mapping = begin; mapping != end; ++mapping) {
    Physical& physical = *mapping->second.physical;
    if (--physical.mappings == 0 && physical.handles == 0 && let_go(physical.name)) {
      gone->push_back(physical.name);
    }
  }
  mappings_.erase(begin, end);
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::set_access(uint64_t address, uint64_t bytes, int device, unsigned flags) {
  std::lock_guard lock(mutex_);
  Mappings::iterator begin;
  Mappings::iterator end;
  if (!whole(address, bytes, &begin, &end)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  for (; begin != end; ++begin) {
    begin->second.access[device] = flags;
  }
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::get_access(uint64_t address, int device, unsigned* flags) {
  std::lock_guard lock(mutex_);
  auto mapping = at(address);
  if (mapping == mappings_.end()) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  auto found = mapping->second.access.find(device);
  *flags = found == mapping->second.access.end() ? 0 : found->second;
  return CUDA_SUCCESS;
}

bool VirtualMemory::find(uint64_t address, Mapping* out) {
  std::lock_guard lock(mutex_);
  auto mapping = at(address);
  if (mapping == mappings_.end()) {
    return false;
  }
  *out = mapping->second;
  return true;
}

bool VirtualMemory::is_accessible(uint64_t address, uint64_t bytes) {
  std::lock_guard lock(mutex_);
  auto mapping = at(address);
  while (mapping != mappings_.end() && mapping->first <= address) {
    const Mapping& here = mapping->second;
    const bool accessible = std::any_of(here.access.begin(), here.access.end(), [](const auto& a) {
      return a.second == CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    });
    if (!accessible) {
      return false;
    }
    const uint64_t part = here.bytes - (address - here.start);
    if (bytes <= part) {
      return true;
    }
    bytes -= part;
    address += part;
    ++mapping;
  }
  return false;
}

void VirtualMemory::forget(int device) {
  std::lock_guard lock(mutex_);
  // What another process shares is not this one's to lose with the device that it lies on.
  const auto is_gone = [&](const Physical& physical) {
    return physical.device == device && physical.view_bytes == 0;
  };
  std::erase_if(mappings_, [&](const auto& entry) { return is_gone(*entry.second.physical); });
  std::erase_if(physicals_, [&](const auto& entry) {
    const Physical& physical = *entry.second;
    if (!is_gone(physical)) {
      return false;
    }
    only_exported_ -= physical.handles == 0 && physical.mappings == 0 ? 1 : 0;
    return true;
  });
}

}  // namespace farlane::client
