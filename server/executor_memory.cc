// Commands about memory: windows, extents, copies, fills.
#include <fmt/format.h>

#include <algorithm>

#include "server/executor.h"

namespace farlane::server {

bool Executor::on(const RecordHeader& header, const message::WindowsReserve& reserve) {
  const CUresult result =
      reserve_windows(host_, device_count_, reserve.base, reserve.bytes_per_device);
  return answer(header.sequence, message::WindowsReserveReply{}, result);
}

bool Executor::on(const RecordHeader& header, const message::ExtentCreate& create) {
  CUresult result = CUDA_SUCCESS;
  Device* device = find_device(header, create.device, &result);
  if (device == nullptr) return answer(header.sequence, message::ExtentCreateReply{}, result);
  if (!device->space.is_placeable(create.address, create.bytes)) {
    return fault(header, fmt::format("{} bytes at {:#x} are not whole granules of the window "
                                     "({} bytes at {:#x})",
                                     create.bytes, create.address, device->space.bytes(),
                                     device->space.base()));
  }
  const WaitingAsk ask{protocol::Op::kExtentCreate, header.sequence, device, create.address,
                       create.bytes};
  if (device->space.overlaps(create.address, create.bytes) && !has_release_pending(*device)) {
    return fault(header,
                 fmt::format("{} bytes at {:#x} overlap an extent", create.bytes, create.address));
  }
  bool deferred = false;
  result = create_extent(ask, &deferred);
  if (deferred) {
    waiting_asks_.push_back(ask);
    return true;
  }
  if (result == CUDA_SUCCESS) return true;
  return answer(header.sequence, message::ExtentCreateReply{}, result);
}

// On success a Wait answers when the fresh memory has been zeroed.
CUresult Executor::create_extent(const WaitingAsk& ask, bool* deferred) {
  Device& device = *ask.device;
  CUresult result = make_current(device);
  if (result != CUDA_SUCCESS) return result;
  // Memory on its way out may be what is missing, or be in the way.
  const bool releasing = has_release_pending(device);
  if (device.space.overlaps(ask.address, ask.bytes)) {
    *deferred = releasing;
    return CUDA_ERROR_ILLEGAL_ADDRESS;
  }
  std::vector<CUdevice> peers;
  const auto is_device = [&](const auto& one) { return one.get() == &device; };
  const auto own = static_cast<uint32_t>(
      std::find_if(host_.devices.begin(), host_.devices.end(), is_device) - host_.devices.begin());
  for (uint32_t i = 0; i < device_count_; ++i) {
    if (host_.can_access_peer(i, own)) peers.push_back(host_.devices[i]->handle());
  }
  result = device.space.create(ask.address, ask.bytes, peers.data(), peers.size());
  if (result == CUDA_ERROR_OUT_OF_MEMORY && releasing) {
    *deferred = true;
    return result;
  }
  if (result != CUDA_SUCCESS) return result;

  Device::Mark zeroed;
  result = driver_.cuMemsetD8Async(ask.address, 0, ask.bytes, device.internal_stream());
  if (result == CUDA_SUCCESS) result = device.events.acquire(&zeroed.event);
  if (result == CUDA_SUCCESS) {
    result = driver_.cuEventRecord(zeroed.event.handle(), device.internal_stream());
  }
  if (result != CUDA_SUCCESS) {
    device.space.retire(ask.address, ask.bytes);
    device.space.release(ask.address);
    return result;
  }
  Wait& wait = new_wait(Then::kExtentReady, ask.sequence, &device);
  wait.marks.push_back(std::move(zeroed));
  return CUDA_SUCCESS;
}

bool Executor::retry_waiting_asks() {
  bool any = false;
  for (size_t i = 0; i < waiting_asks_.size() && end_ == SessionEnd::kNotYet;) {
    const WaitingAsk ask = waiting_asks_[i];
    bool deferred = has_release_pending(*ask.device);
    if (!deferred && ask.op == protocol::Op::kMemoryInfo) {
      answer_memory_info(ask);
    } else if (!deferred && ask.op == protocol::Op::kMemoryCreate) {
      const CUresult result = create_memory(ask, &deferred);
      if (!deferred) answer(ask.sequence, message::MemoryCreateReply{}, result);
    } else if (!deferred) {
      const CUresult result = create_extent(ask, &deferred);
      if (!deferred && result != CUDA_SUCCESS) {
        answer(ask.sequence, message::ExtentCreateReply{}, result);
      }
    }
    if (deferred) {
      ++i;
      continue;
    }
    waiting_asks_.erase(waiting_asks_.begin() + static_cast<std::ptrdiff_t>(i));
    any = true;
  }
  return any;
}

bool Executor::on(const RecordHeader& header, const message::ExtentRelease& release) {
  CUresult result = CUDA_SUCCESS;
  Device* device = find_device(header, release.device, &result);
  const auto subject = [&] { return fmt::format("an extent at {:#x}", release.address); };
  if (device == nullptr) return posted(header, result, subject);
  if (!device->space.retire(release.address, release.bytes)) {
    return fault(header, fmt::format("there is no extent of {} bytes at {:#x}", release.bytes,
                                     release.address));
  }
  Wait& wait = new_wait(Then::kExtentRelease, header.sequence, device);
  wait.address = release.address;
  // Other devices may use it as well.
  for (uint32_t i = 0; i < device_count_ && result == CUDA_SUCCESS; ++i) {
    Device& user = *host_.devices[i];
    if (!user.is_active()) continue;
    result = make_current(user);
    if (result == CUDA_SUCCESS) result = user.mark_all(&wait.marks);
  }
  return posted(header, result, subject);
}

// Any device may use another's memory, so with several in use a fence is one between all their
// work.
CUresult Executor::fence_devices() {
  std::vector<Device*> active;
  for (uint32_t i = 0; i < device_count_; ++i) {
    if (host_.devices[i]->is_active()) active.push_back(host_.devices[i].get());
  }
  if (active.size() == 1) return active.front()->fence();
  CUresult result = CUDA_SUCCESS;
  std::vector<Device::Mark> marks;
  for (Device* device : active) {
    if (result == CUDA_SUCCESS) result = make_current(*device);
    if (result == CUDA_SUCCESS) result = device->mark_all(&marks);
  }
  for (Device* device : active) {
    if (result == CUDA_SUCCESS) result = make_current(*device);
    if (result == CUDA_SUCCESS) result = device->fence(marks);
  }
  return result;
}

bool Executor::on(const RecordHeader& header, const message::PeerAccess& access) {
  CUresult result = CUDA_SUCCESS;
  Device* peer = find_device(header, access.peer, &result);
  Device* device = peer == nullptr ? nullptr : find_device(header, access.device, &result);
  if (device != nullptr && peer != device && driver_.cuCtxEnablePeerAccess != nullptr) {
    result = access.enable != 0 ? driver_.cuCtxEnablePeerAccess(peer->context(), 0)
                                : driver_.cuCtxDisablePeerAccess(peer->context());
  }
  return posted(header, result, [&] {
    return fmt::format("access of device {} to device {}", access.device, access.peer);
  });
}

bool Executor::on(const RecordHeader& header, const message::PeerAttribute& ask) {
  CUresult result = CUDA_SUCCESS;
  message::PeerAttributeReply reply;
  const Device* peer = find_device(header, ask.peer, &result);
  const Device* device = peer == nullptr ? nullptr : find_device(header, ask.device, &result);
  if (device != nullptr) {
    result = driver_.cuDeviceGetP2PAttribute == nullptr
                 ? CUDA_ERROR_NOT_SUPPORTED
                 : driver_.cuDeviceGetP2PAttribute(
                       &reply.value, static_cast<CUdevice_P2PAttribute>(ask.attribute),
                       device->handle(), peer->handle());
  }
  return answer(header.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::ReuseFence& fence) {
  CUresult result = CUDA_SUCCESS;
  Device* device = find_device(header, fence.device, &result);
  if (device != nullptr) result = fence_devices();
  return posted(header, result, [&] { return fmt::format("device {}", fence.device); });
}

bool Executor::on(const RecordHeader& header, const message::MemoryInfo& info) {
  CUresult result = CUDA_SUCCESS;
  Device* device = find_device(header, info.device, &result);
  if (device == nullptr) return answer(header.sequence, message::MemoryInfoReply{}, result);
  const WaitingAsk ask{protocol::Op::kMemoryInfo, header.sequence, device, 0, 0};
  // What was freed before counts as free.
  if (has_release_pending(*device)) {
    waiting_asks_.push_back(ask);
  } else {
    answer_memory_info(ask);
  }
  return true;
}

void Executor::answer_memory_info(const WaitingAsk& ask) {
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  CUresult result = make_current(*ask.device);
  if (result == CUDA_SUCCESS) result = driver_.cuMemGetInfo(&free_bytes, &total_bytes);
  message::MemoryInfoReply reply;
  reply.free_bytes = free_bytes;
  reply.total_bytes = total_bytes;
  answer(ask.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::CopyIn& copy,
                  std::span<std::byte> body) {
  if (!body.empty() && !copy.data.empty()) {
    return fault(header, "data both inline and in the body");
  }
  const uint64_t bytes = body.empty() ? copy.data.size() : body.size();
  if (copy.height != 0 && copy.width > UINT64_MAX / copy.height) {
    return fault(header, fmt::format("{} rows of {} bytes", copy.height, copy.width));
  }
  if (copy.width * copy.height != bytes) {
    return fault(header, fmt::format("{} rows of {} bytes with {} bytes of data", copy.height,
                                     copy.width, bytes));
  }
  CUresult result = CUDA_SUCCESS;
  const StreamRef* stream = find_stream(header, copy.stream, &result);
  if (stream != nullptr && !may_touch(copy.to, copy.to_pitch, copy.width, copy.height)) {
    result = CUDA_ERROR_INVALID_VALUE;
  } else if (stream != nullptr && (*stream)->capture != nullptr) {
    result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;  // a graph reads stand-ins on the device
  } else if (stream != nullptr) {
    result = (*stream)->device->use(**stream);
    if (result == CUDA_SUCCESS &&
        copies_.copy_in(*stream, copy, body, &result) == CopyStep::kStalled) {
      stall_ = true;
      return false;
    }
  }
  return posted(header, result, [&] {
    return fmt::format("{} rows of {} bytes to {:#x}", copy.height, copy.width, copy.to);
  });
}

template <class Copy>
const StreamRef* Executor::admit_out(const RecordHeader& header, const Copy& copy) {
  if (copy.height != 0 && copy.width > UINT64_MAX / copy.height) {
    fault(header, fmt::format("{} rows of {} bytes", copy.height, copy.width));
    return nullptr;
  }
  CUresult result = CUDA_SUCCESS;
  const StreamRef* stream = find_stream(header, copy.stream, &result);
  if (end_ != SessionEnd::kNotYet) return nullptr;
  if (stream != nullptr && !may_touch(copy.from, copy.from_pitch, copy.width, copy.height)) {
    result = CUDA_ERROR_INVALID_VALUE;
  } else if (stream != nullptr && (*stream)->capture != nullptr) {
    result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  } else if (stream != nullptr) {
    result = (*stream)->device->use(**stream);
  }
  if (result == CUDA_SUCCESS) return stream;
  copies_.refuse_out(copy.ticket, result);
  note_sticky(result);
  return nullptr;
}
template const StreamRef* Executor::admit_out(const RecordHeader&, const message::CopyOut&);
template const StreamRef* Executor::admit_out(const RecordHeader&, const message::CopyOutLanes&);

bool Executor::on(const RecordHeader& header, const message::CopyOut& copy) {
  const StreamRef* stream = admit_out(header, copy);
  if (stream == nullptr) return end_ == SessionEnd::kNotYet;
  if (copies_.copy_out(*stream, copy) == CopyStep::kStalled) {
    stall_ = true;
    return false;
  }
  return true;
}

bool Executor::on(const RecordHeader& header, const message::CopyWithin& copy) {
  CUresult result = CUDA_SUCCESS;
  const StreamRef* stream = find_stream(header, copy.stream, &result);
  if (stream != nullptr && (!may_touch(copy.to, copy.to_pitch, copy.width, copy.height) ||
                            !may_touch(copy.from, copy.from_pitch, copy.width, copy.height))) {
    result = CUDA_ERROR_INVALID_VALUE;
  } else if (stream != nullptr) {
    if (is_far_ahead(**stream)) return false;
    result = (*stream)->device->use(**stream);
    const bool linear =
        copy.height == 1 || (copy.to_pitch == copy.width && copy.from_pitch == copy.width);
    if (result == CUDA_SUCCESS && copy.width != 0 && copy.height != 0) {
      if (linear) {
        result = driver_.cuMemcpyDtoDAsync(copy.to, copy.from, copy.width * copy.height,
                                           (*stream)->handle);
      } else {
        CUDA_MEMCPY2D box{};
        box.srcMemoryType = box.dstMemoryType = CU_MEMORYTYPE_DEVICE;
        box.srcDevice = copy.from;
        box.srcPitch = copy.from_pitch;
        box.dstDevice = copy.to;
        box.dstPitch = copy.to_pitch;
        box.WidthInBytes = copy.width;
        box.Height = copy.height;
        result = driver_.cuMemcpy2DAsync(&box, (*stream)->handle);
      }
    }
  }
  return posted(header, result, [&] {
    return fmt::format("{} rows of {} bytes from {:#x} to {:#x}", copy.height, copy.width,
                       copy.from, copy.to);
  });
}

bool Executor::on(const RecordHeader& header, const message::Fill& fill) {
  if (fill.element_bytes != 1 && fill.element_bytes != 2 && fill.element_bytes != 4) {
    return fault(header, fmt::format("elements of {} bytes", fill.element_bytes));
  }
  CUresult result = CUDA_SUCCESS;
  const StreamRef* stream = find_stream(header, fill.stream, &result);
  const bool countable = fill.width <= UINT64_MAX / fill.element_bytes;
  if (stream != nullptr &&
      (!countable ||
       !may_touch(fill.to, fill.pitch, fill.width * fill.element_bytes, fill.height))) {
    result = CUDA_ERROR_INVALID_VALUE;
  } else if (stream != nullptr) {
    if (is_far_ahead(**stream)) return false;
    result = (*stream)->device->use(**stream);
    const CUstream on = (*stream)->handle;
    const uint64_t row_bytes = fill.width * fill.element_bytes;
    const bool linear = fill.height == 1 || fill.pitch == row_bytes;
    const uint64_t count = fill.width * fill.height;
    const auto byte = static_cast<unsigned char>(fill.value);
    const auto half = static_cast<unsigned short>(fill.value);
    if (result != CUDA_SUCCESS || count == 0) {
    } else if (fill.element_bytes == 1) {
      result = linear ? driver_.cuMemsetD8Async(fill.to, byte, count, on)
                      : driver_.cuMemsetD2D8Async(fill.to, fill.pitch, byte, fill.width,
                                                  fill.height, on);
    } else if (fill.element_bytes == 2) {
      result = linear ? driver_.cuMemsetD16Async(fill.to, half, count, on)
                      : driver_.cuMemsetD2D16Async(fill.to, fill.pitch, half, fill.width,
                                                   fill.height, on);
    } else {
      result = linear ? driver_.cuMemsetD32Async(fill.to, fill.value, count, on)
                      : driver_.cuMemsetD2D32Async(fill.to, fill.pitch, fill.value, fill.width,
                                                   fill.height, on);
    }
  }
  return posted(header, result, [&] {
    return fmt::format("{} rows of {} elements at {:#x}", fill.height, fill.width, fill.to);
  });
}

}  // namespace farlane::server
