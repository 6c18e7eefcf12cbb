// Pinned host memory. The GPU is elsewhere, so pinning means no more than CUDA's promises about
// pointers and asynchronous copies; the memory itself is ordinary.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <mutex>

#include "client/core/session.h"
#include "transport/shm_segment.h"

namespace farlane::client {
namespace {

struct Pinned {
  size_t bytes = 0;
  unsigned flags = 0;
  bool registered = false;
  uint64_t id = 0;
  bool shared = false;   // the server maps it too, as the region with this id
  bool written = false;  // the device was told to write to it, and nobody waited for that
};

struct PinnedMemory {
  std::mutex mutex;
  std::map<uint64_t, Pinned> ranges;  // by start
  // Apart from the ids of device blocks.
  std::atomic<uint64_t> next_id = uint64_t{1} << 40;

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

// Without a session there are no captures.
CUresult check_captures() {
  Session* s = session_if_any();
  return s == nullptr ? CUDA_SUCCESS : s->captures.check_unsafe();
}

CUresult check_making() {
  const CUresult started = session_start();
  return started == CUDA_SUCCESS ? check_captures() : started;
}

// Memory that the server maps too. Null: this connection or this server does not do that, and the
// memory is made here alone.
void* share(size_t bytes, uint64_t region) {
  Session* s = session_if_any();
  const auto bytes_min = static_cast<size_t>(s == nullptr ? 0 : s->settings().shared_bytes_min);
  if (bytes_min == 0 || bytes < bytes_min || !s->may_share.load(std::memory_order_relaxed)) {
    return nullptr;
  }
  std::string error;
  const transport::Fd memory = transport::make_passable_memory(bytes, &error);
  if (!memory) {
    return nullptr;
  }
  // Passed and asked for in the same order.
  std::lock_guard lock(s->share_mutex);
  if (!s->pass_memory(memory)) {
    s->may_share.store(false, std::memory_order_relaxed);
    return nullptr;
  }
  const CUresult result = s->ask(message::HostMap{.region = region, .bytes = bytes});
  if (result != CUDA_SUCCESS) {
    s->may_share.store(result != CUDA_ERROR_NOT_SUPPORTED, std::memory_order_relaxed);
    return nullptr;
  }
  void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (at == MAP_FAILED) {
    s->post(message::HostUnmap{.region = region});
    return nullptr;
  }
  s->shared_regions.fetch_add(1, std::memory_order_relaxed);
  return at;
}

}  // namespace

bool shared_range(uint64_t address, size_t bytes, SharedRange* range) {
  PinnedMemory& memory = pinned();
  std::lock_guard lock(memory.mutex);
  const auto found = memory.find(address);
  if (found == memory.ranges.end() || !found->second.shared ||
      bytes > found->second.bytes - (address - found->first)) {
    return false;
  }
  range->region = found->second.id;
  range->offset = address - found->first;
  range->written = found->second.written;
  return true;
}

void note_written(uint64_t address) {
  PinnedMemory& memory = pinned();
  std::lock_guard lock(memory.mutex);
  if (const auto found = memory.find(address); found != memory.ranges.end()) {
    found->second.written = true;
  }
}

CUresult host_allocate(size_t bytes, unsigned flags, void** address) {
  if (const CUresult refused = check_making(); refused != CUDA_SUCCESS) {
    return refused;
  }
  if (bytes == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const size_t rounded = page_round_up(bytes);
  if (bytes > rounded) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  PinnedMemory& memory = pinned();
  const uint64_t id = memory.next_id.fetch_add(1);
  void* at = share(rounded, id);
  const bool shared = at != nullptr;
  if (!shared) {
    at = ::mmap(nullptr, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  if (at == MAP_FAILED) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  std::lock_guard lock(memory.mutex);
  memory.ranges[reinterpret_cast<uint64_t>(at)] = {bytes, flags, false, id, shared};
  *address = at;
  if (Session* s = session_if_any(); s != nullptr) {
    note_made(s, reinterpret_cast<uint64_t>(at));
  }
  return CUDA_SUCCESS;
}

CUresult host_free(void* address) {
  if (const CUresult refused = check_captures(); refused != CUDA_SUCCESS) {
    return refused;
  }
  if (Session* s = session_if_any(); s != nullptr) {
    s->context_goods.remove(reinterpret_cast<uint64_t>(address));
  }
  PinnedMemory& memory = pinned();
  Pinned freed;
  {
    std::lock_guard lock(memory.mutex);
    auto found = memory.ranges.find(reinterpret_cast<uint64_t>(address));
    if (found == memory.ranges.end() || found->second.registered) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    freed = found->second;
    memory.ranges.erase(found);
  }
  const size_t bytes = freed.bytes;
  finish_copies(reinterpret_cast<uint64_t>(address), bytes);
  // What the device still reads or writes of it stays mapped in the server until then.
  if (Session* s = session_if_any(); freed.shared && s != nullptr) {
    s->post(message::HostUnmap{.region = freed.id});
    s->shared_regions.fetch_sub(1, std::memory_order_relaxed);
  }
  ::munmap(address, page_round_up(bytes));
  return CUDA_SUCCESS;
}

CUresult host_register(void* address, size_t bytes, unsigned flags) {
  if (const CUresult refused = check_making(); refused != CUDA_SUCCESS) {
    return refused;
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
  memory.ranges[start] = {bytes, flags, true, memory.next_id.fetch_add(1)};
  return CUDA_SUCCESS;
}

CUresult host_unregister(void* address) {
  if (const CUresult refused = check_captures(); refused != CUDA_SUCCESS) {
    return refused;
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
    if (const VirtualMemory::Physical& physical = *mapping.physical; physical.view_bytes != 0) {
      facts.base += physical.view_offset;
      facts.bytes = physical.view_bytes;
      facts.mapped_by_program = false;
    }
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
      // Each device counts its own; far below those of pinned memory.
      facts.id = (static_cast<uint64_t>(owner->ordinal) << 32) + block->id;
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
