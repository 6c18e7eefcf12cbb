// Virtual memory management: the program's own physical memory and its mappings.
#include <fmt/format.h>

#include <vector>

#include "server/executor.h"

namespace farlane::server {

bool Executor::on(const RecordHeader& header, const message::MemoryCreate& create) {
  CUresult result = CUDA_SUCCESS;
  Device* device = find_device(header, create.device, &result);
  if (device == nullptr) return answer(header.sequence, message::MemoryCreateReply{}, result);
  const auto [found, fresh] = memories_.try_emplace(create.memory);
  if (!fresh) return fault(header, fmt::format("memory {} exists", create.memory));
  found->second.device = device;
  const WaitingAsk ask{.op = protocol::Op::kMemoryCreate,
                       .sequence = header.sequence,
                       .device = device,
                       .bytes = create.bytes,
                       .memory = create.memory,
                       .compression = static_cast<uint8_t>(create.compression)};
  bool deferred = false;
  result = create_memory(ask, &deferred);
  if (deferred) {
    waiting_asks_.push_back(ask);
    return true;
  }
  return answer(header.sequence, message::MemoryCreateReply{}, result);
}

CUresult Executor::create_memory(const WaitingAsk& ask, bool* deferred) {
  *deferred = false;
  CUresult result = make_current(*ask.device);
  if (result != CUDA_SUCCESS) return result;
  const auto found = memories_.find(ask.memory);
  if (found == memories_.end()) return CUDA_ERROR_INVALID_VALUE;  // released before it was made
  result = PhysicalMemory::create(driver_, ask.device->handle(), ask.bytes, ask.compression,
                                  &found->second.physical);
  // Memory on its way out may be what is missing.
  *deferred = result == CUDA_ERROR_OUT_OF_MEMORY && has_release_pending(*ask.device);
  // Nobody releases what was never made.
  if (result != CUDA_SUCCESS && !*deferred) memories_.erase(found);
  return result;
}

bool Executor::on(const RecordHeader& header, const message::MemoryRelease& release) {
  if (memories_.erase(release.memory) == 0) {
    return fault(header, fmt::format("memory {} does not exist", release.memory));
  }
  return true;
}

Device* Executor::find_window(uint64_t address, uint64_t bytes) {
  for (uint32_t i = 0; i < device_count_; ++i) {
    Device& device = *host_.devices[i];
    if (device.space.is_placeable(address, bytes)) return &device;
  }
  return nullptr;
}

bool Executor::on(const RecordHeader& header, const message::MemoryMap& map) {
  const auto found = memories_.find(map.memory);
  if (found == memories_.end()) {
    return fault(header, fmt::format("memory {} does not exist", map.memory));
  }
  Device* window = find_window(map.address, map.bytes);
  if (window == nullptr || window->space.overlaps(map.address, map.bytes)) {
    return fault(header, fmt::format("{} bytes at {:#x} are not free granules of a window",
                                     map.bytes, map.address));
  }
  const std::shared_ptr<PhysicalMemory>& physical = found->second.physical;
  CUresult result = CUDA_ERROR_INVALID_HANDLE;
  if (physical != nullptr && map.bytes > physical->bytes()) {
    return fault(header, fmt::format("{} bytes of memory of {}", map.bytes, physical->bytes()));
  }
  if (physical != nullptr) result = make_current(*found->second.device);
  if (result == CUDA_SUCCESS) result = window->space.map(map.address, map.bytes, physical);
  return posted(header, result,
                [&] { return fmt::format("{} bytes at {:#x}", map.bytes, map.address); });
}

bool Executor::on(const RecordHeader& header, const message::MemoryUnmap& unmap) {
  Device* window = find_window(unmap.address, unmap.bytes);
  CUresult result = CUDA_ERROR_INVALID_VALUE;
  // A mapping that failed was told to the client when it did.
  if (window != nullptr && window->space.is_mapped(unmap.address, unmap.bytes)) {
    result = make_current(*window);
    if (result == CUDA_SUCCESS) result = window->space.unmap(unmap.address, unmap.bytes);
  }
  return posted(header, result,
                [&] { return fmt::format("{} bytes at {:#x}", unmap.bytes, unmap.address); });
}

bool Executor::on(const RecordHeader& header, const message::MemoryAccess& access) {
  Device* window = find_window(access.address, access.bytes);
  std::vector<CUmemAccessDesc> descriptions;
  CUresult result = CUDA_SUCCESS;
  for (const message::MemoryAccessOf& one : access.access) {
    Device* device = find_device(header, one.device, &result);
    if (device == nullptr) return posted(header, result, [] { return "access to memory"; });
    CUmemAccessDesc description{};
    description.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    description.location.id = device->handle();
    description.flags = static_cast<CUmemAccess_flags>(one.flags);
    descriptions.push_back(description);
  }
  if (window == nullptr || !window->space.is_mapped(access.address, access.bytes)) {
    result = CUDA_ERROR_INVALID_VALUE;
  } else {
    result = make_current(*window);
    if (result == CUDA_SUCCESS) {
      result = driver_.cuMemSetAccess(access.address, access.bytes, descriptions.data(),
                                      descriptions.size());
    }
  }
  return posted(header, result, [&] {
    return fmt::format("access to {} bytes at {:#x}", access.bytes, access.address);
  });
}

}  // namespace farlane::server
