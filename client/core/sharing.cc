#include "client/core/sharing.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>

#include "client/core/call.h"
#include "client/core/log_line.h"
#include "client/core/session.h"
#include "client/core/shared_descriptor.h"

namespace farlane::client {
namespace {

constexpr std::array<char, 4> kMagic = {'F', 'L', 'S', '1'};

uint64_t random_number() {
  std::random_device random;
  return uint64_t{random()} << 32 | random();
}

SharedHandle new_handle(SharedHandle::Kind kind) {
  static const uint64_t maker = random_number();
  SharedHandle handle;
  handle.magic = kMagic;
  handle.kind = kind;
  handle.maker = maker;
  const uint64_t words[2] = {random_number(), random_number()};
  static_assert(sizeof words == sizeof handle.name);
  std::memcpy(handle.name.data(), words, sizeof words);
  return handle;
}

CUresult read_handle(std::span<const char, 64> from, SharedHandle::Kind kind,
                     SharedHandle* handle) {
  std::memcpy(handle, from.data(), sizeof *handle);
  if (handle->magic != kMagic || handle->kind != kind) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  // CUDA refuses what this very process shares.
  return handle->maker == new_handle(kind).maker ? CUDA_ERROR_INVALID_CONTEXT : CUDA_SUCCESS;
}

// From now on others look at what this session does, so what a call promises to have done is done
// on the device when it returns, and not only on its way there.
CUresult become_visible(Session* s) {
  for (auto& device : s->devices) {
    device->several_streams.store(true, std::memory_order_release);
  }
  for (auto& device : s->devices) {
    if (const CUresult result = device_synchronize(device->ordinal); result != CUDA_SUCCESS) {
      return result;
    }
  }
  return CUDA_SUCCESS;
}

void say_unknown(CUresult result, const char* what) {
  if (result == CUDA_ERROR_INVALID_HANDLE) {
    log_line(LogLevel::kWarning, std::string("a shared ") + what +
                                     " is not known to this server: the process that shared it has "
                                     "ended, or has its session on another server");
  }
}

CUresult export_held(Session* s, const VirtualMemory::Physical& physical, int* descriptor) {
  if ((physical.properties.requestedHandleTypes & CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::lock_guard lock(s->shared_memory.mutex);
  std::shared_ptr<SharedDescriptor> shared = s->virtual_memory.descriptor(physical.name);
  if (shared == nullptr) {
    SharedHandle made = new_handle(SharedHandle::Kind::kPhysical);
    Answer<message::MemoryShare> answer;
    CUresult result =
        s->ask(message::MemoryShare{.name = made.name, .memory = physical.name}, &answer);
    if (result == CUDA_SUCCESS) {
      result = become_visible(s);
    }
    if (result != CUDA_SUCCESS) {
      return result;
    }
    made.name = answer.reply.name;
    made.bytes = physical.bytes;
    static_assert(sizeof made.device == sizeof(CUuuid));
    std::memcpy(made.device.data(), s->device(physical.device)->facts.uuid.bytes,
                made.device.size());
    shared = SharedDescriptor::make(made);
  }
  const int opened = shared == nullptr ? -1 : shared->open();
  if (opened < 0) {
    log_line(LogLevel::kWarning, std::string("memory cannot be exported: no descriptor for it: ") +
                                     std::strerror(errno));
    return CUDA_ERROR_OPERATING_SYSTEM;
  }
  s->virtual_memory.set_descriptor(physical.name, std::move(shared));
  *descriptor = opened;
  return CUDA_SUCCESS;
}

}  // namespace

CUresult memory_share(CUdeviceptr address, std::span<char, 64> handle) {
  Call call;
  if (!call) {
    return call.error;
  }
  const PointerFacts facts = pointer_facts(address);
  if (facts.kind != PointerFacts::Kind::kDevice || facts.stream_ordered || facts.variable ||
      facts.mapped_by_program) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::lock_guard lock(call->shared_memory.mutex);
  if (call->shared_memory.opened.contains(facts.base)) {
    return CUDA_ERROR_INVALID_VALUE;  // another process's is not ours to pass on
  }
  auto found = call->shared_memory.shared.find(facts.id);
  if (found == call->shared_memory.shared.end()) {
    SharedHandle made = new_handle(SharedHandle::Kind::kMemory);
    Answer<message::MemoryShare> answer;
    CUresult result =
        call->ask(message::MemoryShare{.name = made.name, .address = facts.base}, &answer);
    if (result == CUDA_SUCCESS) {
      result = become_visible(call.session);
    }
    if (result != CUDA_SUCCESS) {
      return result;
    }
    made.name = answer.reply.name;
    made.offset = answer.reply.offset;
    made.bytes = facts.bytes;
    found = call->shared_memory.shared.emplace(facts.id, made).first;
  }
  std::memcpy(handle.data(), &found->second, sizeof found->second);
  return CUDA_SUCCESS;
}

CUresult memory_open(std::span<const char, 64> from, int device, CUdeviceptr* address) {
  Call call;
  if (!call) {
    return call.error;
  }
  SharedHandle handle;
  if (const CUresult wrong = read_handle(from, SharedHandle::Kind::kMemory, &handle);
      wrong != CUDA_SUCCESS) {
    return wrong;
  }
  Device* user = call.device(device);
  if (user == nullptr) {
    return call.error;
  }
  std::lock_guard lock(call->shared_memory.mutex);
  for (auto& [at, one] : call->shared_memory.opened) {
    if (one.name == handle.name && one.offset == handle.offset && one.device == device) {
      ++one.uses;
      *address = at;
      return CUDA_SUCCESS;
    }
  }
  SharedMemory::Opened opened;
  opened.memory = call->virtual_memory.next_name();
  opened.name = handle.name;
  opened.offset = handle.offset;
  opened.device = device;
  opened.uses = 1;
  Answer<message::MemoryOpen> answer;
  CUresult result = call->ask(
      message::MemoryOpen{
          .name = handle.name, .memory = opened.memory, .device = user->server_ordinal},
      &answer);
  if (result != CUDA_SUCCESS) {
    say_unknown(result, "memory handle");
    return result;
  }
  opened.bytes = answer.reply.bytes;
  if (handle.offset >= opened.bytes || handle.bytes > opened.bytes - handle.offset) {
    call->post(message::MemoryRelease{.memory = opened.memory});
    return CUDA_ERROR_INVALID_HANDLE;
  }
  // On whose device it is; memory of a device that this session does not have counts as the user's.
  int owner = device;
  std::vector<CUmemAccessDesc> access;
  for (const auto& one : call->devices) {
    if (one->server_ordinal == answer.reply.owner) {
      owner = one->ordinal;
    }
  }
  for (const auto& one : call->devices) {
    if (one->ordinal == device || one->ordinal == owner || can_access_peer(one->ordinal, owner)) {
      CUmemAccessDesc desc{};
      desc.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
      desc.location.id = one->ordinal;
      desc.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
      access.push_back(desc);
    }
  }
  VirtualMemory::Physical physical;
  physical.name = opened.memory;
  physical.device = owner;
  physical.bytes = opened.bytes;
  physical.view_offset = handle.offset;
  physical.view_bytes = handle.bytes;
  call->virtual_memory.keep(physical);
  CUdeviceptr start = 0;
  result = address_reserve(device, opened.bytes, 0, 0, &start);
  if (result == CUDA_SUCCESS) {
    result = memory_map(start, opened.bytes, opened.memory);
  }
  if (result == CUDA_SUCCESS) {
    result = memory_set_access(start, opened.bytes, access);
  }
  if (result == CUDA_SUCCESS) {
    result = become_visible(call.session);  // also brings an error of the posted ones
  }
  if (result != CUDA_SUCCESS) {
    memory_unmap(start, opened.bytes);
    memory_release(opened.memory);
    address_free(start, opened.bytes);
    return result;
  }
  opened.start = start;
  *address = start + handle.offset;
  call->shared_memory.opened.emplace(*address, opened);
  return CUDA_SUCCESS;
}

CUresult memory_export(CUmemGenericAllocationHandle memory, int* descriptor) {
  Call call;
  if (!call) {
    return call.error;
  }
  VirtualMemory::Physical physical;
  // A reference, so that the server's memory outlives the question.
  if (const CUresult wrong = call->virtual_memory.hold(memory, &physical); wrong != CUDA_SUCCESS) {
    return wrong;
  }
  const CUresult result = export_held(call.session, physical, descriptor);
  const CUresult released = memory_release(memory);
  return result == CUDA_SUCCESS ? released : result;
}

CUresult memory_import(int descriptor, int device, CUmemGenericAllocationHandle* memory) {
  Call call;
  if (!call) {
    return call.error;
  }
  SharedHandle handle;
  if (!read_shared_descriptor(descriptor, &handle) || handle.magic != kMagic ||
      handle.kind != SharedHandle::Kind::kPhysical) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  // The device it is on, where this session has it: only that one reaches it for certain.
  Device* owner = call.device(device);
  for (const auto& one : call->devices) {
    if (std::memcmp(one->facts.uuid.bytes, handle.device.data(), handle.device.size()) == 0) {
      owner = one.get();
    }
  }
  if (owner == nullptr) {
    return call.error;
  }
  VirtualMemory::Physical physical;
  physical.name = call->virtual_memory.next_name();
  physical.device = owner->ordinal;
  physical.properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  physical.properties.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  physical.properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  physical.properties.location.id = owner->ordinal;
  Answer<message::MemoryOpen> answer;
  CUresult result = call->ask(
      message::MemoryOpen{
          .name = handle.name, .memory = physical.name, .device = owner->server_ordinal},
      &answer);
  if (result != CUDA_SUCCESS) {
    say_unknown(result, "memory descriptor");
    return result == CUDA_ERROR_INVALID_HANDLE ? CUDA_ERROR_INVALID_VALUE : result;
  }
  physical.bytes = answer.reply.bytes;
  result = handle.bytes == physical.bytes ? become_visible(call.session) : CUDA_ERROR_INVALID_VALUE;
  if (result != CUDA_SUCCESS) {
    call->post(message::MemoryRelease{.memory = physical.name});
    return result;
  }
  *memory = physical.name;
  call->virtual_memory.keep(std::move(physical));
  return CUDA_SUCCESS;
}

CUresult memory_close(CUdeviceptr address) {
  Call call;
  if (!call) {
    return call.error;
  }
  std::lock_guard lock(call->shared_memory.mutex);
  const auto found = call->shared_memory.opened.find(address);
  if (found == call->shared_memory.opened.end()) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (--found->second.uses != 0) {
    return CUDA_SUCCESS;
  }
  // Nothing may still use it when it goes.
  for (const auto& device : call->devices) {
    if (const CUresult result = device_synchronize(device->ordinal); result != CUDA_SUCCESS) {
      found->second.uses = 1;
      return result;
    }
  }
  const SharedMemory::Opened opened = found->second;
  call->shared_memory.opened.erase(found);
  CUresult result = memory_unmap(opened.start, opened.bytes);
  const CUresult released = memory_release(opened.memory);
  const CUresult freed = address_free(opened.start, opened.bytes);
  result = result == CUDA_SUCCESS ? released : result;
  return result == CUDA_SUCCESS ? freed : result;
}

CUresult event_share(CUevent event, std::span<char, 64> handle) {
  Call call;
  const Event* found = call.event(event);
  if (found == nullptr) {
    return call.error;
  }
  if (!found->is_shared()) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  // The server keeps one name of it, however often it is asked for.
  std::lock_guard lock(call->shared_memory.mutex);
  auto shared = call->shared_memory.shared.find(bits_of(event));
  if (shared == call->shared_memory.shared.end()) {
    const SharedHandle made = new_handle(SharedHandle::Kind::kEvent);
    const CUresult result = call->ask(message::EventShare{.event = found->id, .name = made.name});
    if (result != CUDA_SUCCESS) {
      return result;
    }
    shared = call->shared_memory.shared.emplace(bits_of(event), made).first;
  }
  std::memcpy(handle.data(), &shared->second, sizeof shared->second);
  return CUDA_SUCCESS;
}

CUresult event_open(std::span<const char, 64> from, int device, CUevent* event) {
  Call call;
  if (!call) {
    return call.error;
  }
  SharedHandle handle;
  if (const CUresult wrong = read_handle(from, SharedHandle::Kind::kEvent, &handle);
      wrong != CUDA_SUCCESS) {
    return wrong;
  }
  Device* owner = call.device(device);
  if (owner == nullptr) {
    return call.error;
  }
  Event* made = call.make(call->events, owner);
  if (made == nullptr) {
    return call.error;
  }
  made->flags = CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING;
  const CUresult result = call->ask(
      message::EventOpen{.event = made->id, .name = handle.name, .device = owner->server_ordinal});
  if (result != CUDA_SUCCESS) {
    say_unknown(result, "event handle");
    const protocol::EventId id = made->id;
    call->end(call->events, id.bits(), message::EventDestroy{.event = id});
    return result;
  }
  *event = handle_of<CUevent>(made->id.bits());
  return CUDA_SUCCESS;
}

// What the server has executed so far is known when it answers; what waits there for a copy's data
// is not among it, but the stream's work is once it has finished.
CUresult settle_record(Session* s, CUstream stream, uint64_t sequence) {
  Answer<message::Echo> answer;
  const CUresult result = s->ask(message::Echo{}, &answer);
  return result != CUDA_SUCCESS || answer.reply.executed >= sequence ? result
                                                                     : stream_synchronize(stream);
}

}  // namespace farlane::client
