#include "client/cudart/memory_pool.h"

#include <array>
#include <atomic>
#include <cstdint>

namespace farlane::memory_pool {
namespace {

constexpr int kDevicesMax = 64;
// Not an address that any process has: the upper half of the address space is the kernel's.
constexpr uint64_t kHandleBase = 0xfa51'0000'0000'1000;

struct Attributes {
  std::atomic<uint64_t> release_threshold_bytes = 0;
  std::atomic<int> reuse_follow_event_dependencies = 1;
  std::atomic<int> reuse_allow_opportunistic = 1;
  std::atomic<int> reuse_allow_internal_dependencies = 1;
};
constinit std::array<Attributes, kDevicesMax> attributes_of_device;

std::atomic<int>* switch_of(Attributes& attributes, CUmemPool_attribute attribute) {
  switch (static_cast<int>(attribute)) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
      return &attributes.reuse_follow_event_dependencies;
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
      return &attributes.reuse_allow_opportunistic;
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
      return &attributes.reuse_allow_internal_dependencies;
    default:
      return nullptr;
  }
}

}  // namespace

CUmemoryPool of_device(int device) {
  return reinterpret_cast<CUmemoryPool>(kHandleBase + static_cast<uint64_t>(device) * 16);
}

int device_of(CUmemoryPool pool) {
  const uint64_t offset = reinterpret_cast<uint64_t>(pool) - kHandleBase;
  const uint64_t device = offset / 16;
  return offset % 16 == 0 && device < static_cast<uint64_t>(client::device_count()) &&
                 device < kDevicesMax
             ? static_cast<int>(device)
             : -1;
}

CUresult get_attribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value) {
  const int device = device_of(pool);
  if (device < 0 || value == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  Attributes& attributes = attributes_of_device[static_cast<size_t>(device)];
  if (const std::atomic<int>* on = switch_of(attributes, attribute); on != nullptr) {
    *static_cast<int*>(value) = *on;
    return CUDA_SUCCESS;
  }
  size_t now_bytes = 0;
  size_t high_bytes = 0;
  client::memory_in_use(device, &now_bytes, &high_bytes);
  auto* const bytes = static_cast<cuuint64_t*>(value);
  switch (static_cast<int>(attribute)) {
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
      *bytes = attributes.release_threshold_bytes;
      return CUDA_SUCCESS;
    // What is reserved beyond what is used belongs to the device's allocator, not to a pool.
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
      *bytes = now_bytes;
      return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
      *bytes = high_bytes;
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult set_attribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value) {
  const int device = device_of(pool);
  if (device < 0 || value == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  Attributes& attributes = attributes_of_device[static_cast<size_t>(device)];
  if (std::atomic<int>* on = switch_of(attributes, attribute); on != nullptr) {
    *on = *static_cast<const int*>(value);
    return CUDA_SUCCESS;
  }
  switch (static_cast<int>(attribute)) {
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
      attributes.release_threshold_bytes = *static_cast<const cuuint64_t*>(value);
      return CUDA_SUCCESS;
    // May only be set back to 0; the mark itself stays, it is the device's.
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
      return *static_cast<const cuuint64_t*>(value) == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

}  // namespace farlane::memory_pool
