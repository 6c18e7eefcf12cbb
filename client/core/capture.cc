#include "client/core/capture.h"

#include <algorithm>
#include <utility>

#include "client/core/graph_api.h"
#include "client/core/session.h"

namespace farlane::client {
namespace {

constinit thread_local CUstreamCaptureMode t_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;

}  // namespace

CUstreamCaptureMode thread_capture_mode() {
  return t_mode;
}

CUresult capture_mode_exchange(CUstreamCaptureMode* mode) {
  if (mode == nullptr || *mode < CU_STREAM_CAPTURE_MODE_GLOBAL ||
      *mode > CU_STREAM_CAPTURE_MODE_RELAXED) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::swap(*mode, t_mode);
  return CUDA_SUCCESS;
}

RelaxedCapture::RelaxedCapture() : before_(t_mode) {
  t_mode = CU_STREAM_CAPTURE_MODE_RELAXED;
}
RelaxedCapture::~RelaxedCapture() {
  t_mode = before_;
}

CaptureRef Captures::find(uint64_t stream) const {
  const auto found = by_stream_.find(stream);
  return found == by_stream_.end() ? nullptr : found->second;
}

Capture* Captures::blocking_on(const Device* device) const {
  for (const auto& [id, capture] : by_id_) {
    if (capture->blocking && capture->device == device) {
      return capture.get();
    }
  }
  return nullptr;
}

CaptureRef Captures::admit_slow(const Stream& stream, CUresult* error) {
  std::lock_guard lock(mutex_);
  *error = CUDA_SUCCESS;
  if (stream.is_legacy()) {
    // It would have to follow work that is only captured.
    if (Capture* capture = blocking_on(stream.device)) {
      capture->broken = true;
      *error = CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    }
    return nullptr;
  }
  CaptureRef capture = find(stream.id.bits());
  if (capture != nullptr && capture->broken) {
    *error = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    return nullptr;
  }
  return capture;
}

CUresult Captures::check_legacy(const Stream& stream) {
  if (none()) {
    return CUDA_SUCCESS;
  }
  std::lock_guard lock(mutex_);
  return blocking_on(stream.device) == nullptr ? CUDA_SUCCESS : CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
}

CUresult Captures::wait_slow(const Stream& stream) {
  {
    std::lock_guard lock(mutex_);
    Capture* const blocking = stream.is_legacy() ? blocking_on(stream.device) : nullptr;
    if (blocking != nullptr) {
      blocking->broken = true;
      return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    }
    if (const CaptureRef capture = find(stream.id.bits()); capture != nullptr) {
      capture->broken = true;
      return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
  }
  return unsafe_slow();
}

CUresult Captures::unsafe_slow() {
  if (t_mode == CU_STREAM_CAPTURE_MODE_RELAXED) {
    return CUDA_SUCCESS;
  }
  std::lock_guard lock(mutex_);
  const auto self = std::this_thread::get_id();
  CUresult result = CUDA_SUCCESS;
  for (const auto& [id, capture] : by_id_) {
    const bool own = capture->thread == self && capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED;
    const bool global =
        capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL && t_mode == CU_STREAM_CAPTURE_MODE_GLOBAL;
    if (own || global) {
      capture->broken = true;
      result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
  }
  return result;
}

CUresult Captures::device_slow() {
  std::lock_guard lock(mutex_);
  for (const auto& [id, capture] : by_id_) {
    capture->broken = true;
  }
  return by_id_.empty() ? CUDA_SUCCESS : CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

CUresult Captures::check_event(const Event& event) {
  const uint64_t id = event.capture.load(std::memory_order_acquire);
  if (id == 0) {
    return CUDA_SUCCESS;
  }
  std::lock_guard lock(mutex_);
  if (const auto found = by_id_.find(id); found != by_id_.end()) {
    found->second->broken = true;
    return CUDA_ERROR_CAPTURED_EVENT;
  }
  return CUDA_ERROR_INVALID_VALUE;  // that capture has ended
}

CUresult Captures::begin(Stream* stream, CUstreamCaptureMode mode, uint64_t graph, bool into,
                         CaptureRef* out) {
  if (stream->is_legacy()) {
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
  std::lock_guard lock(mutex_);
  if (find(stream->id.bits()) != nullptr) {
    return CUDA_ERROR_ILLEGAL_STATE;
  }
  auto capture = std::make_shared<Capture>();
  capture->id = next_id_++;
  capture->graph = graph;
  capture->into = into;
  capture->origin = stream->id.bits();
  capture->device = stream->device;
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  capture->streams = {capture->origin};
  capture->blocking = stream->is_blocking();
  by_stream_[capture->origin] = capture;
  by_id_[capture->id] = capture;
  active_.fetch_add(1, std::memory_order_acq_rel);
  *out = std::move(capture);
  return CUDA_SUCCESS;
}

CUresult Captures::may_end(const Stream& stream, CaptureRef* out) {
  std::lock_guard lock(mutex_);
  CaptureRef capture = find(stream.id.bits());
  if (capture == nullptr) {
    return CUDA_ERROR_ILLEGAL_STATE;
  }
  const bool wrong_thread = capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED &&
                            capture->thread != std::this_thread::get_id();
  // Only its origin ends it, for the server too.
  if (capture->origin != stream.id.bits()) {
    capture->broken = true;
    return wrong_thread ? CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD
                        : CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
  }
  if (wrong_thread) {
    capture->broken = true;
    *out = std::move(capture);  // it ends all the same
    return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
  }
  *out = std::move(capture);
  return CUDA_SUCCESS;
}

void Captures::forget(const CaptureRef& capture) {
  std::lock_guard lock(mutex_);
  if (by_id_.erase(capture->id) == 0) {
    return;
  }
  for (const uint64_t stream : capture->streams) {
    if (const auto found = by_stream_.find(stream);
        found != by_stream_.end() && found->second == capture) {
      by_stream_.erase(found);
    }
  }
  active_.fetch_sub(1, std::memory_order_acq_rel);
}

CaptureRef Captures::of(const Stream& stream) {
  if (none()) {
    return nullptr;
  }
  std::lock_guard lock(mutex_);
  return find(stream.id.bits());
}

void Captures::recorded(Event* event, const CaptureRef& capture) {
  event->capture.store(capture == nullptr ? 0 : capture->id, std::memory_order_release);
}

CaptureRef Captures::joined(Stream* stream, const Event& event, CUresult* error) {
  *error = CUDA_SUCCESS;
  const uint64_t id = event.capture.load(std::memory_order_acquire);
  if (none() && id == 0) {
    return nullptr;
  }
  std::lock_guard lock(mutex_);
  const auto found = by_id_.find(id);
  const CaptureRef theirs = found == by_id_.end() ? nullptr : found->second;
  const CaptureRef ours = find(stream->id.bits());
  if (ours != nullptr && ours->broken) {
    *error = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    return nullptr;
  }
  if (theirs == nullptr) {
    if (ours != nullptr) {
      ours->broken = true;
      *error = CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
    } else if (id != 0) {
      *error = CUDA_ERROR_INVALID_VALUE;  // that capture has ended
    }
    return nullptr;
  }
  if (theirs->broken) {
    *error = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    return nullptr;
  }
  if (stream->is_legacy()) {
    theirs->broken = true;
    *error = CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    return nullptr;
  }
  if (ours != nullptr && ours != theirs) {
    ours->broken = theirs->broken = true;
    *error = CUDA_ERROR_STREAM_CAPTURE_MERGE;
    return nullptr;
  }
  if (ours == nullptr) {
    by_stream_[stream->id.bits()] = theirs;
    theirs->streams.push_back(stream->id.bits());
    theirs->blocking |= stream->is_blocking();
  }
  return theirs;
}

void Captures::destroyed(const Stream& stream) {
  const CaptureRef capture = of(stream);
  if (capture == nullptr) {
    return;
  }
  if (capture->origin == stream.id.bits()) {
    forget(capture);
    return;
  }
  std::lock_guard lock(mutex_);
  capture->broken = true;
  by_stream_.erase(stream.id.bits());
}

void Captures::break_all() {
  std::lock_guard lock(mutex_);
  by_stream_.clear();
  by_id_.clear();
  active_.store(0, std::memory_order_release);
}

}  // namespace farlane::client
