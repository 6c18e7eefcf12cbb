// Pinned host memory. The GPU is elsewhere, so pinning means no more than CUDA's promises about
// pointers and asynchronous copies; the memory itself is ordinary.
#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <mutex>

#include "client/core/session.h"

namespace farlane::client {
namespace {

struct Pinned {
  size_t bytes = 0;
  unsigned flags = 0;
  bool registered = false;
  uint64_t id = 0;
};

struct PinnedMemory {
  std::mutex mutex;
  std::map<uint64_t, Pinned> ranges;     // by start
  uint64_t next_id = uint64_t{1} << 40;  // apart from the ids of device blocks

  std::map<uint64_t, Pinned>::iterator find(uint64_t address) {
    auto after = ranges.upper_bound(address);
    if (after == ranges.begin()) {
      return ranges.end();
    }
    auto before = std::prev(after);
    return address - before->first < before->second.bytes ? before : ranges.end();
  }
};

PinnedMemory& pinned() {
  static PinnedMemory* const instance = new PinnedMemory;  // outlives the program's destructors
  return *instance;
}

size_t page_round_up(size_t bytes) {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

// Copies that are still under way read or write this memory: CUDA lets them finish first.
void finish_copies(uint64_t start, size_t bytes) {
  Session* s = session_if_any();
  if (s == nullptr) {
    return;
  }
  if (!s->lost() && (s->inbox().has_tickets() || s->lanes().reads(start, bytes) ||
                     s->host_calls().reads(start, bytes))) {
    s->log().flush();
    s->inbox().wait_until(
        [&] {
          return !s->inbox().tickets_into(start, bytes) && !s->lanes().reads(start, bytes) &&
                 !s->host_calls().reads(start, bytes);
        },
        "copies from or into host memory that is being freed");
  }
  if (s->lost()) {
    s->lanes().quit();
  }
}

}  // namespace

CUresult host_allocate(size_t bytes, unsigned flags, void** address) {
  if (const CUresult error = session_start(); error != CUDA_SUCCESS) {
    return error;
  }
  if (Session* s = session_if_any(); s != nullptr) {
    if (const CUresult refused = s->captures.check_unsafe(); refused != CUDA_SUCCESS) {
      return refused;
    }
  }
  if (bytes == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  void* at = bytes > page_round_up(bytes)
                 ? MAP_FAILED
                 : ::mmap(nullptr, page_round_up(bytes), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  PinnedMemory& memory = pinned();
  std::lock_guard lock(memory.mutex);
  memory.ranges[reinterpret_cast<uint64_t>(at)] = {bytes, flags, false, memory.next_id++};
  *address = at;
  return CUDA_SUCCESS;
}

CUresult host_free(void* address) {
  if (Session* s = session_if_any(); s != nullptr) {
    if (const CUresult refused = s->captures.check_unsafe(); refused != CUDA_SUCCESS) {
      return refused;
    }
  }
  PinnedMemory& memory = pinned();
  size_t bytes = 0;
  {
    std::lock_guard lock(memory.mutex);
    auto found = memory.ranges.find(reinterpret_cast<uint64_t>(address));
    if (found == memory.ranges.end() || found->second.registered) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    bytes = found->second.bytes;
    memory.ranges.erase(found);
  }
  finish_copies(reinterpret_cast<uint64_t>(address), bytes);
  ::munmap(address, page_round_up(bytes));
  return CUDA_SUCCESS;
}

CUresult host_register(void* address, size_t bytes, unsigned flags) {
  if (const CUresult error = session_start(); error != CUDA_SUCCESS) {
    return error;
  }
  if (Session* s = session_if_any(); s != nullptr) {
    if (const CUresult refused = s->captures.check_unsafe(); refused != CUDA_SUCCESS) {
      return refused;
    }
  }
  const auto start = reinterpret_cast<uint64_t>(address);
  if (start == 0 || bytes == 0 || start + bytes < start) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  PinnedMemory& memory = pinned();
  std::lock_guard lock(memory.mutex);
  auto next = memory.ranges.lower_bound(start);
  if (memory.find(start) != memory.ranges.end() ||
      (next != memory.ranges.end() && next->first < start + bytes)) {
    return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
  }
  memory.ranges[start] = {bytes, flags, true, memory.next_id++};
  return CUDA_SUCCESS;
}

CUresult host_unregister(void* address) {
  if (Session* s = session_if_any(); s != nullptr) {
    if (const CUresult refused = s->captures.check_unsafe(); refused != CUDA_SUCCESS) {
      return refused;
    }
  }
  if (address == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  PinnedMemory& memory = pinned();
  size_t bytes = 0;
  {
    std::lock_guard lock(memory.mutex);
    auto found = memory.ranges.find(reinterpret_cast<uint64_t>(address));
    if (found == memory.ranges.end() || !found->second.registered) {
      return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
    }
    bytes = found->second.bytes;
    memory.ranges.erase(found);
  }
  finish_copies(reinterpret_cast<uint64_t>(address), bytes);
  return CUDA_SUCCESS;
}

PointerFacts pointer_facts(uint64_t address) {
  PointerFacts facts;
  {
    PinnedMemory& memory = pinned();
    std::lock_guard lock(memory.mutex);
    auto found = memory.find(address);
    if (found != memory.ranges.end()) {
      facts.kind = PointerFacts::Kind::kPinnedHost;
      facts.base = found->first;
      facts.bytes = found->second.bytes;
      facts.id = found->second.id;
      facts.host_flags = found->second.flags;
      facts.registered = found->second.registered;
      const int current = current_device();
      facts.device = current < 0 ? 0 : current;
      return facts;
    }
  }
  Session* s = session_if_any();
  if (s == nullptr) {
    return facts;
  }
  VirtualMemory::Mapping mapping;
  if (s->virtual_memory.find(address, &mapping)) {
    facts.kind = PointerFacts::Kind::kDevice;
    facts.device = mapping.physical->device;
    facts.base = mapping.start;
    facts.bytes = mapping.bytes;
    facts.id = mapping.id;
    facts.mapped_by_program = true;
    return facts;
  }
  if (Device* owner = s->device_of(address); owner != nullptr) {
    std::lock_guard lock(owner->memory_mutex);
    uint64_t start = 0;
    const AddressSpace::Block* block = owner->memory.find(address, &start);
    if (block != nullptr) {
      facts.kind = PointerFacts::Kind::kDevice;
      facts.device = owner->ordinal;
      facts.base = start;
      facts.bytes = block->bytes;
      facts.id = block->id;
      facts.stream_ordered = block->stream_ordered;
    }
    return facts;
  }
  std::shared_lock lock(s->variables_mutex);
  auto after = s->variables.upper_bound(address);
  if (after != s->variables.begin()) {
    const auto& [start, variable] = *std::prev(after);
    if (address - start < variable.bytes) {
      facts.kind = PointerFacts::Kind::kDevice;
      facts.device = variable.device->ordinal;
      facts.base = start;
      facts.bytes = variable.bytes;
      facts.id = variable.id;
      facts.variable = true;
    }
  }
  return facts;
}

}  // namespace farlane::client
