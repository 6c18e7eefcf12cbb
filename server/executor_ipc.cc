// Memory and events that several sessions of one server use. The driver shares memory between
// processes as a descriptor and events as 64 bytes; the supervisor keeps both by names of clients.
#include <fmt/format.h>

#include <cstring>

#include "server/executor.h"

namespace farlane::server {
namespace {

constexpr char kMemory = 'm';
constexpr char kEvent = 'e';

using Name = std::array<std::byte, kIpcNameBytes>;

std::string text_of(const Name& name) {
  return {reinterpret_cast<const char*>(name.data()), name.size()};
}

}  // namespace

bool Executor::on(const RecordHeader& header, const message::MemoryShare& share) {
  IpcAsk ask{.op = protocol::Op::kMemoryShare, .name = text_of(share.name)};
  CUresult result = CUDA_ERROR_INVALID_VALUE;
  if (share.memory != 0) {
    const auto found = memories_.find(share.memory);
    if (found == memories_.end()) {
      return fault(header, fmt::format("memory {} does not exist", share.memory));
    }
    ask.memory = found->second.physical;
  } else {
    for (uint32_t i = 0; i < device_count_ && ask.memory == nullptr; ++i) {
      uint64_t begin = 0;
      ask.memory = host_.devices[i]->space.backing(share.address, &begin);
      ask.offset = share.address - begin;
    }
  }
  transport::Fd fd;
  if (ipc_ == nullptr) {
    result = CUDA_ERROR_NOT_SUPPORTED;
  } else if (ask.memory != nullptr && !ask.memory->shared_as().empty()) {
    finish_share(ask, header.sequence, {.question = header.sequence, .done = true});
    return end_ == SessionEnd::kNotYet;
  } else if (ask.memory != nullptr) {
    result = ask.memory->share(&fd);
  }
  if (result != CUDA_SUCCESS) {
    return answer(header.sequence, message::MemoryShareReply{}, result);
  }
  std::string data(1 + sizeof(uint64_t), kMemory);
  const uint64_t bytes = ask.memory->bytes();
  std::memcpy(data.data() + 1, &bytes, sizeof bytes);
  ipc_->share(header.sequence, ask.name, data, fd);
  ipc_asks_.emplace(header.sequence, std::move(ask));
  return true;
}

bool Executor::on(const RecordHeader& header, const message::MemoryOpen& open) {
  CUresult result = CUDA_SUCCESS;
  Device* device = find_device(header, open.device, &result);
  if (device == nullptr) return answer(header.sequence, message::MemoryOpenReply{}, result);
  if (ipc_ == nullptr) {
    return answer(header.sequence, message::MemoryOpenReply{}, CUDA_ERROR_NOT_SUPPORTED);
  }
  const auto [found, fresh] = memories_.try_emplace(open.memory);
  if (!fresh) return fault(header, fmt::format("memory {} exists", open.memory));
  found->second.device = device;
  IpcAsk ask{.op = protocol::Op::kMemoryOpen, .name = text_of(open.name)};
  ask.memory_name = open.memory;
  ask.device = device;
  return open_shared(header, std::move(ask));
}

bool Executor::on(const RecordHeader& header, const message::EventShare& share) {
  CUresult result = CUDA_SUCCESS;
  Event* event = find_event(header, share.event, &result);
  CUipcEventHandle handle{};
  if (event != nullptr) {
    if (ipc_ == nullptr || driver_.cuIpcGetEventHandle == nullptr) {
      result = CUDA_ERROR_NOT_SUPPORTED;
    } else if ((event->flags & CU_EVENT_INTERPROCESS) == 0) {
      result = CUDA_ERROR_INVALID_HANDLE;
    } else {
      result = make_current(*event->device);
      if (result == CUDA_SUCCESS) {
        result = driver_.cuIpcGetEventHandle(&handle, event->driver.handle());
      }
    }
  }
  if (result != CUDA_SUCCESS) return answer(header.sequence, message::EventShareReply{}, result);
  IpcAsk ask{.op = protocol::Op::kEventShare, .name = text_of(share.name)};
  ask.event = share.event;
  std::string data(1, kEvent);
  data.append(handle.reserved, sizeof handle.reserved);
  ipc_->share(header.sequence, ask.name, data, transport::Fd());
  event->shared_as = ask.name;
  ipc_asks_.emplace(header.sequence, std::move(ask));
  return true;
}

bool Executor::on(const RecordHeader& header, const message::EventOpen& open) {
  if (!events_.can_create(open.event)) {
    return fault(header, describe(open.event) + " cannot be created");
  }
  CUresult result = CUDA_SUCCESS;
  Device* device = find_device(header, open.device, &result);
  if (device != nullptr && (ipc_ == nullptr || driver_.cuIpcOpenEventHandle == nullptr)) {
    result = CUDA_ERROR_NOT_SUPPORTED;
  }
  // It is one as soon as the other session's is found; until then whoever uses it is told "no".
  events_.create_failed(open.event);
  if (result != CUDA_SUCCESS) return answer(header.sequence, message::EventOpenReply{}, result);
  IpcAsk ask{.op = protocol::Op::kEventOpen, .name = text_of(open.name)};
  ask.event = open.event;
  ask.device = device;
  return open_shared(header, std::move(ask));
}

bool Executor::open_shared(const RecordHeader& header, IpcAsk ask) {
  ipc_->open(header.sequence, ask.name);
  ipc_asks_.emplace(header.sequence, std::move(ask));
  return true;
}

bool Executor::progress_ipc() {
  bool any = false;
  IpcAnswer answer;
  while (end_ == SessionEnd::kNotYet && ipc_->take(&answer)) {
    auto found = ipc_asks_.find(answer.question);
    if (found == ipc_asks_.end()) continue;
    const IpcAsk ask = std::move(found->second);
    ipc_asks_.erase(found);
    any = true;
    if (ask.op == protocol::Op::kMemoryOpen) {
      finish_memory_open(ask, answer.question, answer);
    } else if (ask.op == protocol::Op::kEventOpen) {
      finish_event_open(ask, answer.question, answer);
    } else {
      finish_share(ask, answer.question, answer);
    }
  }
  return any;
}

void Executor::finish_share(const IpcAsk& ask, uint64_t sequence, const IpcAnswer& known) {
  const CUresult result = known.done ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;  // too many names
  if (ask.op == protocol::Op::kEventShare) {
    answer(sequence, message::EventShareReply{}, result);
    return;
  }
  if (result == CUDA_SUCCESS && ask.memory->shared_as().empty()) {
    ask.memory->set_shared(ask.name, [this](const std::string& name) { ipc_->forget(name); });
  }
  message::MemoryShareReply reply;
  if (result == CUDA_SUCCESS) {
    std::memcpy(reply.name.data(), ask.memory->shared_as().data(), reply.name.size());
    reply.offset = ask.offset;
    reply.bytes = ask.memory->bytes();
  }
  answer(sequence, reply, result);
}

void Executor::finish_memory_open(const IpcAsk& ask, uint64_t sequence, const IpcAnswer& shared) {
  message::MemoryOpenReply reply;
  CUresult result = CUDA_ERROR_INVALID_HANDLE;  // nobody shares it, or no more
  uint64_t bytes = 0;
  if (shared.done && shared.fd && shared.data.size() == 1 + sizeof bytes &&
      shared.data[0] == kMemory) {
    std::memcpy(&bytes, shared.data.data() + 1, sizeof bytes);
    result = make_current(*ask.device);
    std::shared_ptr<PhysicalMemory> opened;
    if (result == CUDA_SUCCESS) {
      result = PhysicalMemory::open(driver_, shared.fd, bytes, &opened);
    }
    CUmemAllocationProp properties{};
    if (result == CUDA_SUCCESS && driver_.cuMemGetAllocationPropertiesFromHandle != nullptr) {
      result = driver_.cuMemGetAllocationPropertiesFromHandle(&properties, opened->handle());
    }
    reply.owner = UINT32_MAX;
    for (uint32_t i = 0; i < device_count_; ++i) {
      if (host_.devices[i]->handle() == properties.location.id) reply.owner = i;
    }
    int can = 1;
    if (result == CUDA_SUCCESS && properties.location.id != ask.device->handle()) {
      result = driver_.cuDeviceCanAccessPeer(&can, ask.device->handle(), properties.location.id);
    }
    if (result == CUDA_SUCCESS && can == 0) result = CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
    // Whoever has released it meanwhile does not get it.
    const auto name = memories_.find(ask.memory_name);
    if (result == CUDA_SUCCESS && name != memories_.end()) {
      name->second.physical = std::move(opened);
    }
  }
  if (result != CUDA_SUCCESS) memories_.erase(ask.memory_name);  // nobody releases it
  reply.bytes = bytes;
  answer(sequence, reply, result);
}

void Executor::finish_event_open(const IpcAsk& ask, uint64_t sequence, const IpcAnswer& shared) {
  CUresult result = CUDA_ERROR_INVALID_HANDLE;
  CUipcEventHandle handle{};
  if (shared.done && shared.data.size() == 1 + sizeof handle.reserved && shared.data[0] == kEvent) {
    std::memcpy(handle.reserved, shared.data.data() + 1, sizeof handle.reserved);
    CUevent opened = nullptr;
    result = make_current(*ask.device);
    if (result == CUDA_SUCCESS) result = driver_.cuIpcOpenEventHandle(&opened, handle);
    if (result == CUDA_SUCCESS) {
      Event event;
      event.device = ask.device;
      event.flags = CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING;
      event.driver = EventRef::adopt(driver_, opened);
      Event* name = nullptr;
      if (events_.find(ask.event, &name) == Lookup::kFailed) {
        events_.create(ask.event, std::move(event));
      }
    }
  }
  answer(sequence, message::EventOpenReply{}, result);
}

}  // namespace farlane::server
