#include "server/shared_host.h"

#include <spdlog/spdlog.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "server/driver_text.h"
#include "transport/shm_segment.h"

namespace farlane::server {

CUresult SharedHost::map(uint64_t region, uint64_t bytes, const transport::Fd& memory) {
  if (driver_.cuMemHostRegister == nullptr || driver_.cuMemHostUnregister == nullptr ||
      bytes_max_ == 0) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  if (bytes == 0 || bytes > bytes_max_ - bytes_) return CUDA_ERROR_OUT_OF_MEMORY;
  if (const std::string fault = transport::passed_memory_fault(memory, bytes); !fault.empty()) {
    spdlog::info("host memory of the client is not acceptable: {}", fault);
    return CUDA_ERROR_INVALID_VALUE;
  }
  void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (at == MAP_FAILED) {
    spdlog::info("host memory of the client cannot be mapped: {}", std::strerror(errno));
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  const CUresult result = driver_.cuMemHostRegister(at, bytes, CU_MEMHOSTREGISTER_PORTABLE);
  if (result != CUDA_SUCCESS) {
    spdlog::info("{} bytes of the client's host memory cannot be registered: {}", bytes,
                 result_name(driver_, result));
    ::munmap(at, bytes);
    return result;
  }
  bytes_ += bytes;
  regions_[region] = {at, bytes, false};
  return CUDA_SUCCESS;
}

std::byte* SharedHost::find(uint64_t region, uint64_t offset, uint64_t pitch, uint64_t width,
                            uint64_t height) const {
  const auto found = regions_.find(region);
  if (found == regions_.end() || found->second.retired || height == 0) return nullptr;
  const uint64_t bytes = found->second.bytes;
  if (offset > bytes || width > bytes - offset) return nullptr;
  // From the first row's start to the last row's end, without overflow.
  if (height > 1 && (pitch < width || pitch > (bytes - offset - width) / (height - 1))) {
    return nullptr;
  }
  return static_cast<std::byte*>(found->second.data) + offset;
}

bool SharedHost::retire(uint64_t region) {
  const auto found = regions_.find(region);
  if (found == regions_.end() || found->second.retired) return false;
  found->second.retired = true;
  return true;
}

void SharedHost::release(uint64_t region) {
  const auto found = regions_.find(region);
  if (found == regions_.end()) return;
  take_down(found->second);
  bytes_ -= found->second.bytes;
  regions_.erase(found);
}

void SharedHost::take_down(const Region& region) {
  // It fails when the context is gone, and with it whoever used the memory.
  driver_.cuMemHostUnregister(region.data);
  ::munmap(region.data, region.bytes);
}

void SharedHost::abandon() {
  for (const auto& [number, region] : regions_) take_down(region);
  regions_.clear();
  bytes_ = 0;
}

}  // namespace farlane::server
