#include "server/device.h"

#include <algorithm>

#include "protocol/check.h"

namespace farlane::server {

Device::~Device() {
  if (context_ == nullptr) return;
  driver_.cuCtxSetCurrent(context_);
  destroy_streams();
  space.release_all();
  space.reserve(0, 0);
  fence_event_.reset();
  if (internal_ != nullptr) driver_.cuStreamDestroy(internal_);
  if (fence_carrier_ != nullptr) driver_.cuStreamDestroy(fence_carrier_);
  events.clear();
  driver_.cuDevicePrimaryCtxRelease(handle_);
}

CUresult Device::activate() {
  if (context_ != nullptr) return CUDA_SUCCESS;
  CUresult result = driver_.cuDevicePrimaryCtxRetain(&context_, handle_);
  if (result == CUDA_SUCCESS) result = driver_.cuCtxSetCurrent(context_);
  if (result == CUDA_SUCCESS) {
    result = driver_.cuStreamCreate(&internal_, CU_STREAM_NON_BLOCKING);
  }
  if (result == CUDA_SUCCESS) {
    result = driver_.cuStreamCreate(&fence_carrier_, CU_STREAM_NON_BLOCKING);
  }
  if (result == CUDA_SUCCESS) result = events.acquire(&fence_event_);
  if (result != CUDA_SUCCESS) {
    // Half a device is none; the next call tries again.
    if (context_ != nullptr) driver_.cuDevicePrimaryCtxRelease(handle_);
    context_ = nullptr;
    return result;
  }
  legacy_ = std::make_shared<Stream>();
  legacy_->device = this;
  return CUDA_SUCCESS;
}

CUresult Device::create_stream(unsigned flags, int priority, StreamRef* out) {
  auto stream = std::make_shared<Stream>();
  stream->device = this;
  stream->blocking = (flags & CU_STREAM_NON_BLOCKING) == 0;
  const CUresult result = driver_.cuStreamCreateWithPriority(&stream->handle, flags, priority);
  if (result != CUDA_SUCCESS) return result;
  // It has no work yet, so that a fence holds for it from its first command on.
  streams_.push_back(stream);
  *out = std::move(stream);
  return CUDA_SUCCESS;
}

CUresult Device::before_capture(const StreamRef& stream) {
  const auto keep = [&](Stream& one) {
    if (!one.is_busy() || one.before_capture) return CUDA_SUCCESS;
    CUresult result = events.acquire(&one.before_capture);
    if (result != CUDA_SUCCESS) return result;
    result = driver_.cuEventRecord(one.before_capture.handle(), one.handle);
    if (result != CUDA_SUCCESS) one.before_capture.reset();
    return result;
  };
  CUresult result = keep(*stream);
  if (result == CUDA_SUCCESS && stream->blocking && blocking_captures_ == 0) {
    result = keep(*legacy_);
  }
  if (result == CUDA_SUCCESS && stream->blocking) ++blocking_captures_;
  return result;
}

void Device::after_capture(const StreamRef& stream) {
  stream->before_capture.reset();
  if (stream->blocking && --blocking_captures_ == 0) legacy_->before_capture.reset();
}

CUresult Device::destroy_stream(const StreamRef& stream) {
  drop_finished_orphans();
  CUresult recorded = CUDA_SUCCESS;
  if (stream->is_busy() && is_captured(*stream)) {
    if (stream->before_capture) orphans_.push_back(stream->before_capture);
  } else if (stream->is_busy()) {
    EventRef end;
    recorded = events.acquire(&end);
    if (recorded == CUDA_SUCCESS) recorded = driver_.cuEventRecord(end.handle(), stream->handle);
    if (recorded == CUDA_SUCCESS) orphans_.push_back(std::move(end));
  }
  const CUresult destroyed = driver_.cuStreamDestroy(stream->handle);
  std::erase(streams_, stream);
  return recorded != CUDA_SUCCESS ? recorded : destroyed;
}

void Device::drop_finished_orphans() {
  std::erase_if(orphans_, [&](const EventRef& end) {
    return driver_.cuEventQuery(end.handle()) != CUDA_ERROR_NOT_READY;
  });
}

CUresult Device::wait_for_fence(Stream& stream) {
  stream.fence_seen = fences_;
  return driver_.cuStreamWaitEvent(stream.handle, fence_event_.handle(), 0);
}

CUresult Device::mark(const StreamRef& stream, Mark* out) {
  CUresult result = events.acquire(&out->event);
  if (result != CUDA_SUCCESS) return result;
  result = driver_.cuEventRecord(out->event.handle(), stream->handle);
  if (result != CUDA_SUCCESS) return result;
  out->stream = stream;
  out->posted = stream->posted;
  return CUDA_SUCCESS;
}

bool Device::is_idle(const Stream& stream) const {
  if (stream.is_busy()) return false;
  // The legacy stream waits for the others.
  return &stream != legacy_.get() ||
         (orphans_.empty() &&
          std::none_of(streams_.begin(), streams_.end(),
                       [](const StreamRef& other) { return other->is_busy(); }));
}

CUresult Device::mark_all(std::vector<Mark>* marks) {
  drop_finished_orphans();
  const auto add = [&](const StreamRef& stream) {
    if (!stream->is_busy()) return CUDA_SUCCESS;
    if (is_captured(*stream)) [[unlikely]] {
      if (stream->before_capture) marks->push_back({stream->before_capture, nullptr, 0});
      return CUDA_SUCCESS;
    }
    Mark one;
    const CUresult result = mark(stream, &one);
    if (result == CUDA_SUCCESS) marks->push_back(std::move(one));
    return result;
  };
  CUresult result = add(legacy_);
  for (const StreamRef& stream : streams_) {
    if (result != CUDA_SUCCESS) return result;
    result = add(stream);
  }
  for (const EventRef& end : orphans_) marks->push_back({end, nullptr, 0});
  return result;
}

// Streams wait for a fence only when they are used again. That is enough, and a fence then costs
// one record however many streams there are. A fence includes all earlier ones, so that waiting for
// the newest will do: whoever carries it waits for the one before.
CUresult Device::fence(const std::vector<Mark>& others) {
  std::vector<Mark> marks = others;
  CUresult result = CUDA_SUCCESS;
  drop_finished_orphans();
  Stream* only = legacy_->is_busy() ? legacy_.get() : nullptr;
  size_t busy = only != nullptr ? 1 : 0;
  for (const StreamRef& stream : streams_) {
    if (!stream->is_busy()) continue;
    only = stream.get();
    ++busy;
  }
  if (busy == 0 && orphans_.empty() && others.empty()) return CUDA_SUCCESS;

  const uint64_t next = fences_ + 1;
  if (busy == 1 && orphans_.empty() && others.empty() && !is_captured(*only)) {
    if (only->fence_seen != fences_) result = wait_for_fence(*only);
    if (result == CUDA_SUCCESS) {
      result = driver_.cuEventRecord(fence_event_.handle(), only->handle);
    }
    if (result != CUDA_SUCCESS) return result;
    only->fence_seen = next;
  } else {
    if (carrier_seen_ != fences_) {
      result = driver_.cuStreamWaitEvent(fence_carrier_, fence_event_.handle(), 0);
    }
    if (result == CUDA_SUCCESS) result = mark_all(&marks);
    for (const Mark& one : marks) {
      if (result != CUDA_SUCCESS) break;
      result = driver_.cuStreamWaitEvent(fence_carrier_, one.event.handle(), 0);
    }
    if (result == CUDA_SUCCESS) {
      result = driver_.cuEventRecord(fence_event_.handle(), fence_carrier_);
    }
    if (result != CUDA_SUCCESS) return result;
    carrier_seen_ = next;
  }
  fences_ = next;
  return CUDA_SUCCESS;
}

CUresult Device::destroy_streams() {
  const CUresult idle = driver_.cuCtxSynchronize();
  for (const StreamRef& stream : streams_) driver_.cuStreamDestroy(stream->handle);
  streams_.clear();
  orphans_.clear();
  if (legacy_ != nullptr) {
    legacy_->finished = legacy_->posted;
    legacy_->far_marks.clear();  // the pool of their events goes before it
    legacy_->far_since.reset();
  }
  return idle;
}

}  // namespace farlane::server
