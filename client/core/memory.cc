// Device memory: the allocator of address_space.h, backed by the server.
#include <algorithm>
#include <chrono>
#include <mutex>
#include <optional>

#include "client/core/call.h"
#include "client/core/graph_detail.h"
#include "client/core/session.h"

namespace farlane::client {

CUresult Device::extent_create(uint64_t address, uint64_t bytes) {
  memory_mutex.unlock();
  release_closed(session);
  const CUresult result = session->ask(
      message::ExtentCreate{.device = server_ordinal, .address = address, .bytes = bytes});
  memory_mutex.lock();
  return result;
}

void Device::extent_release(uint64_t address, uint64_t bytes) {
  session->post(
      message::ExtentRelease{.device = server_ordinal, .address = address, .bytes = bytes});
}

void Device::reuse_fence() {
  // With one stream its order is fence enough, but a stream may be made while the work before is
  // still under way.
  const bool needed = several_streams.load(std::memory_order_acquire) || !work.is_idle();
  if (needed && !session->settings().reuse_without_fence) {
    session->post(message::ReuseFence{.device = server_ordinal});
    work.touch();
  }
}

bool Device::avoid_fences() {
  return session->host_calls().pending();
}

CUresult memory_allocate(int device, size_t bytes, CUdeviceptr* address) {
  const CUresult result = make_block(device, bytes, address);
  if (result == CUDA_SUCCESS) {
    note_made(session_if_any(), *address);
  }
  return result;
}

CUresult make_block(int device, size_t bytes, CUdeviceptr* address) {
  Call call;
  call.check_unsafe();
  Device* found = call.device(device);
  if (found == nullptr) {
    return call.error;
  }
  std::lock_guard lock(found->memory_mutex);
  uint64_t start = 0;
  const CUresult result = found->memory.allocate(bytes, AddressSpace::kAnyStream, false, &start);
  if (result == CUDA_SUCCESS) {
    *address = start;
  }
  return result;
}

CUresult memory_free(CUdeviceptr address) {
  Call call;
  call.check_unsafe();
  if (!call || call->graph_memories.free(address, &call.error)) {
    return call.error;
  }
  Device* owner = call->device_of(address);
  if (owner == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  call->context_goods.remove(address);
  std::lock_guard lock(owner->memory_mutex);
  return owner->memory.free(address, AddressSpace::kAnyStream) ? CUDA_SUCCESS
                                                               : CUDA_ERROR_INVALID_VALUE;
}

CUresult memory_allocate_async(int device, size_t bytes, CUstream stream, CUdeviceptr* address) {
  Call call;
  Device* found = call.device(device);
  const Stream* user = call.stream(stream);
  if (const CaptureRef capture = call.admit(user); capture != nullptr) {
    return capture_allocation(call.session, *user, *capture, device, bytes, address);
  }
  call.check_unsafe();
  if (!call) {
    return call.error;
  }
  std::lock_guard lock(found->memory_mutex);
  uint64_t start = 0;
  const CUresult result = found->memory.allocate(bytes, user->id.bits(), true, &start);
  if (result == CUDA_SUCCESS) {
    *address = start;
  }
  return result;
}

CUresult memory_free_async(CUdeviceptr address, CUstream stream) {
  Call call;
  const Stream* user = call.stream(stream);
  if (const CaptureRef capture = call.admit(user); capture != nullptr) {
    return capture_free(call.session, *user, *capture, address);
  }
  call.check_unsafe();
  if (!call || call->graph_memories.free(address, &call.error)) {
    return call.error;
  }
  Device* owner = call->device_of(address);
  if (owner == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  call->context_goods.remove(address);
  std::lock_guard lock(owner->memory_mutex);
  return owner->memory.free(address, user->id.bits()) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult memory_info(int device, size_t* free_bytes, size_t* total_bytes) {
  Call call;
  Device* found = call.device(device);
  if (found == nullptr) {
    return call.error;
  }
  release_closed(call.session);
  const uint64_t changes = found->memory_changes.load(std::memory_order_acquire);
  const auto max_age = std::chrono::milliseconds(call->settings().info_age_ms);
  std::unique_lock lock(found->memory_mutex);
  const auto now = transport::Clock::now();
  std::optional<Device::MemoryFacts>& facts = found->memory_facts;
  const bool known = facts && facts->changes == changes && now - facts->at < max_age;
  if (!call->answers_here(known, message::MemoryInfo::kName)) {
    const uint64_t physical = found->memory.bytes_physical();
    lock.unlock();
    Answer<message::MemoryInfo> answer;
    const CUresult result =
        call->ask(message::MemoryInfo{.device = found->server_ordinal}, &answer);
    if (result != CUDA_SUCCESS) {
      return result;
    }
    lock.lock();
    facts = {answer.reply.free_bytes, answer.reply.total_bytes, physical, changes, now};
    if (physical != found->memory.bytes_physical()) {
      // Another thread got or gave back an extent meanwhile; which came first is not known.
      facts->physical_bytes = found->memory.bytes_physical();
      facts->at = now - max_age;
    }
  }
  // What is held here for the next allocation is free to the program.
  const uint64_t available = facts->free_bytes + facts->physical_bytes;
  const uint64_t taken = std::min(found->memory.bytes_occupied(), available);
  *free_bytes = std::min(available - taken, facts->total_bytes);
  *total_bytes = facts->total_bytes;
  return CUDA_SUCCESS;
}

void memory_in_use(int device, size_t* now_bytes, size_t* high_bytes) {
  Session* s = session_if_any();
  Device* found = s == nullptr ? nullptr : s->device(device);
  *now_bytes = *high_bytes = 0;
  if (found != nullptr) {
    std::lock_guard lock(found->memory_mutex);
    *now_bytes = found->memory.bytes_in_use();
    *high_bytes = found->memory.bytes_in_use_high();
  }
}

CUresult memory_trim(int device, size_t keep_bytes) {
  Call call;
  Device* found = call.device(device);
  if (found == nullptr) {
    return call.error;
  }
  std::lock_guard lock(found->memory_mutex);
  found->memory.trim(keep_bytes);
  return CUDA_SUCCESS;
}

CUresult memory_hold(int device, size_t bytes) {
  Call call;
  Device* found = call.device(device);
  if (found == nullptr) {
    return call.error;
  }
  std::lock_guard lock(found->memory_mutex);
  found->memory.hold(bytes);
  return CUDA_SUCCESS;
}

}  // namespace farlane::client
