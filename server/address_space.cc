#include "server/address_space.h"

#include <utility>
#include <vector>

#include "protocol/check.h"

namespace farlane::server {

CUresult AddressSpace::reserve(uint64_t base, uint64_t bytes) {
  if (base == base_ && bytes == bytes_) return CUDA_SUCCESS;
  if (!extents_.empty()) return CUDA_ERROR_ILLEGAL_STATE;
  CUdeviceptr got = 0;
  // The old window may overlap the new one, so it goes first; on failure there is none.
  if (bytes_ != 0) {
    driver_.cuMemAddressFree(base_, bytes_);
    base_ = bytes_ = 0;
  }
  if (bytes == 0) return CUDA_SUCCESS;
  const CUresult result = driver_.cuMemAddressReserve(&got, bytes, 0, base, 0);
  if (result != CUDA_SUCCESS) return result;
  if (got != base) {
    driver_.cuMemAddressFree(got, bytes);
    return CUDA_ERROR_INVALID_VALUE;
  }
  base_ = base;
  bytes_ = bytes;
  return CUDA_SUCCESS;
}

namespace {
CUmemAllocationProp properties(CUdevice device) {
  CUmemAllocationProp prop{};
  prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  prop.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  prop.location.id = device;
  return prop;
}
}  // namespace

CUresult PhysicalMemory::create(const DriverTable& driver, CUdevice device, uint64_t bytes,
                                uint8_t compression, std::shared_ptr<PhysicalMemory>* out) {
  CUmemAllocationProp prop = properties(device);
  prop.allocFlags.compressionType = compression;
  int shareable = 0;
  if (driver.cuMemExportToShareableHandle != nullptr &&
      driver.cuDeviceGetAttribute(&shareable,
                                  CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED,
                                  device) == CUDA_SUCCESS &&
      shareable != 0) {
    prop.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  }
  CUmemGenericAllocationHandle handle = 0;
  CUresult result = driver.cuMemCreate(&handle, bytes, &prop, 0);
  if (result != CUDA_SUCCESS && result != CUDA_ERROR_OUT_OF_MEMORY &&
      prop.requestedHandleTypes != CU_MEM_HANDLE_TYPE_NONE) {
    prop.requestedHandleTypes = CU_MEM_HANDLE_TYPE_NONE;  // some containers do not permit it
    result = driver.cuMemCreate(&handle, bytes, &prop, 0);
  }
  if (result == CUDA_SUCCESS) *out = std::make_shared<PhysicalMemory>(driver, handle, bytes);
  return result;
}

CUresult PhysicalMemory::open(const DriverTable& driver, const transport::Fd& shared,
                              uint64_t bytes, std::shared_ptr<PhysicalMemory>* out) {
  if (driver.cuMemImportFromShareableHandle == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  CUmemGenericAllocationHandle handle = 0;
  // The driver takes the number as if it were a pointer.
  void* const number = reinterpret_cast<void*>(static_cast<uintptr_t>(shared.get()));
  const CUresult result = driver.cuMemImportFromShareableHandle(
      &handle, number, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
  if (result == CUDA_SUCCESS) *out = std::make_shared<PhysicalMemory>(driver, handle, bytes);
  return result;
}

PhysicalMemory::~PhysicalMemory() {
  if (forget_) forget_(shared_as_);
  driver_.cuMemRelease(handle_);
}

CUresult PhysicalMemory::share(transport::Fd* out) const {
  if (driver_.cuMemExportToShareableHandle == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  int fd = -1;
  const CUresult result = driver_.cuMemExportToShareableHandle(
      &fd, handle_, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
  if (result == CUDA_SUCCESS) *out = transport::Fd(fd);
  return result;
}

void PhysicalMemory::set_shared(std::string name, std::function<void(const std::string&)> forget) {
  shared_as_ = std::move(name);
  forget_ = std::move(forget);
}

CUresult AddressSpace::granularity(uint64_t* bytes) {
  if (granularity_ == 0) {
    const CUmemAllocationProp prop = properties(device_);
    size_t found = 0;
    const CUresult result =
        driver_.cuMemGetAllocationGranularity(&found, &prop, CU_MEM_ALLOC_GRANULARITY_MINIMUM);
    if (result != CUDA_SUCCESS) return result;
    if (found == 0) return CUDA_ERROR_UNKNOWN;
    granularity_ = found;
  }
  *bytes = granularity_;
  return CUDA_SUCCESS;
}

bool AddressSpace::is_placeable(uint64_t address, uint64_t bytes) {
  uint64_t step = 0;
  if (granularity(&step) != CUDA_SUCCESS) return false;
  if (bytes == 0 || bytes % step != 0 || address % step != 0) return false;
  if (address < base_ || address - base_ > bytes_) return false;
  return bytes <= bytes_ - (address - base_);
}

bool AddressSpace::overlaps(uint64_t address, uint64_t bytes) const {
  auto after = extents_.lower_bound(address);
  if (after != extents_.end() && after->first - address < bytes) return true;
  if (after == extents_.begin()) return false;
  --after;
  return address - after->first < after->second.bytes;
}

CUresult AddressSpace::create(uint64_t address, uint64_t bytes, const CUdevice* peers,
                              size_t peer_count) {
  Extent extent{bytes, nullptr, false, false};
  CUresult result = PhysicalMemory::create(driver_, device_, bytes, 0, &extent.memory);
  if (result != CUDA_SUCCESS) return result;
  result = driver_.cuMemMap(address, bytes, 0, extent.memory->handle(), 0);
  if (result != CUDA_SUCCESS) return result;
  std::vector<CUmemAccessDesc> access(1 + peer_count);
  for (size_t i = 0; i < access.size(); ++i) {
    access[i].location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    access[i].location.id = i == 0 ? device_ : peers[i - 1];
    access[i].flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  }
  result = driver_.cuMemSetAccess(address, bytes, access.data(), access.size());
  if (result != CUDA_SUCCESS) {
    driver_.cuMemUnmap(address, bytes);
    return result;
  }
  extents_.emplace(address, std::move(extent));
  return CUDA_SUCCESS;
}

bool AddressSpace::retire(uint64_t address, uint64_t bytes) {
  const auto found = extents_.find(address);
  if (found == extents_.end() || found->second.bytes != bytes || found->second.retired ||
      found->second.is_program_owned) {
    return false;
  }
  found->second.retired = true;
  recent_begin_ = recent_end_ = 0;
  return true;
}

CUresult AddressSpace::release(uint64_t address) {
  const auto found = extents_.find(address);
  FARLANE_CHECK(found != extents_.end() && found->second.retired,
                "only a retired extent is released");
  const CUresult unmapped = driver_.cuMemUnmap(address, found->second.bytes);
  extents_.erase(found);
  return unmapped;
}

CUresult AddressSpace::map(uint64_t address, uint64_t bytes,
                           std::shared_ptr<PhysicalMemory> memory) {
  const CUresult result = driver_.cuMemMap(address, bytes, 0, memory->handle(), 0);
  if (result == CUDA_SUCCESS)
    extents_.emplace(address, Extent{bytes, std::move(memory), true, false});
  return result;
}

std::shared_ptr<PhysicalMemory> AddressSpace::backing(uint64_t address, uint64_t* begin) const {
  auto found = extents_.upper_bound(address);
  if (found == extents_.begin()) return nullptr;
  --found;
  if (address - found->first >= found->second.bytes || found->second.retired) return nullptr;
  *begin = found->first;
  return found->second.memory;
}

bool AddressSpace::is_mapped(uint64_t address, uint64_t bytes) const {
  uint64_t left = bytes;
  for (auto it = extents_.find(address); left != 0; ++it) {
    if (it == extents_.end() || it->first != address + (bytes - left) ||
        !it->second.is_program_owned || it->second.bytes > left) {
      return false;
    }
    left -= it->second.bytes;
  }
  return bytes != 0;
}

CUresult AddressSpace::unmap(uint64_t address, uint64_t bytes) {
  CUresult result = CUDA_SUCCESS;
  recent_begin_ = recent_end_ = 0;
  for (auto it = extents_.find(address); it != extents_.end() && it->first - address < bytes;) {
    const CUresult unmapped = driver_.cuMemUnmap(it->first, it->second.bytes);
    if (result == CUDA_SUCCESS) result = unmapped;
    it = extents_.erase(it);
  }
  return result;
}

void AddressSpace::release_all() {
  for (const auto& [address, extent] : extents_) {
    driver_.cuMemUnmap(address, extent.bytes);
  }
  extents_.clear();
  variables_.clear();
  recent_begin_ = recent_end_ = 0;
}

bool AddressSpace::covers(uint64_t address, uint64_t bytes) const {
  if (address >= recent_begin_ && address < recent_end_ && bytes <= recent_end_ - address) {
    return true;
  }
  // Extents side by side count as one: the client's blocks may span them.
  uint64_t at = address;
  uint64_t left = bytes;
  auto extent = extents_.upper_bound(at);
  if (extent != extents_.begin()) {
    for (--extent; extent != extents_.end() && !extent->second.retired; ++extent) {
      const uint64_t begin = extent->first;
      if (at < begin || at - begin >= extent->second.bytes) break;
      const uint64_t here = extent->second.bytes - (at - begin);
      if (left <= here) {
        recent_begin_ = begin;
        recent_end_ = begin + extent->second.bytes;
        return true;
      }
      at += here;
      left -= here;
    }
  }
  auto variable = variables_.upper_bound(address);
  if (variable == variables_.begin()) return false;
  --variable;
  const uint64_t offset = address - variable->first;
  return offset <= variable->second && bytes <= variable->second - offset;
}

}  // namespace farlane::server
