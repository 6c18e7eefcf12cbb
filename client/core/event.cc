// Events. A record is posted; what is already known about its stream answers queries here.
#include "client/core/session.h"

namespace farlane::client {
namespace {

// The recorded work is known to have finished.
bool is_over(Session* s, const Event& event, uint64_t recorded) {
  if (event.is_shared()) {
    return false;
  }
  if (recorded <= event.finished_sequence.load(std::memory_order_acquire) ||
      recorded <= event.device->finished_sequence.load(std::memory_order_acquire)) {
    return true;
  }
  const Stream* stream = s->streams.find(event.recorded_stream.load(std::memory_order_acquire));
  return stream != nullptr && recorded <= stream->finished_sequence.load(std::memory_order_acquire);
}

Event* find(CUevent event, Session** s, CUresult* error) {
  *s = session(error);
  if (*s == nullptr) {
    return nullptr;
  }
  Event* found = (*s)->events.find(bits_of(event));
  if (found == nullptr) {
    *error = CUDA_ERROR_INVALID_HANDLE;
  }
  return found;
}

CUresult check_answerable(Session* s, const Event& event) {
  const CUresult captured = s->captures.check_event(event);
  return captured == CUDA_SUCCESS ? s->captures.check_unsafe() : captured;
}

}  // namespace

CUresult event_create(int device, unsigned flags, CUevent* event) {
  CUresult error = CUDA_SUCCESS;
  Session* s = session(&error);
  if (s == nullptr) {
    return error;
  }
  Device* found = s->device(device);
  if (found == nullptr) {
    return CUDA_ERROR_INVALID_DEVICE;
  }
  constexpr unsigned kKnown =
      CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;
  if ((flags & ~kKnown) != 0 ||
      ((flags & CU_EVENT_INTERPROCESS) != 0 && (flags & CU_EVENT_DISABLE_TIMING) == 0)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  uint64_t bits = 0;
  Event* made = s->events.create(&bits);
  if (made == nullptr) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  made->id = protocol::EventId::from_bits(bits);
  made->device = found;
  made->flags = flags;
  // A blocking wait happens on the client; the server has no use for that flag.
  s->post(message::EventCreate{.event = made->id,
                               .device = found->server_ordinal,
                               .flags = flags & ~static_cast<unsigned>(CU_EVENT_BLOCKING_SYNC)});
  *event = handle_of<CUevent>(bits);
  return CUDA_SUCCESS;
}

CUresult event_destroy(CUevent event) {
  CUresult error = CUDA_SUCCESS;
  Session* s = nullptr;
  const Event* found = find(event, &s, &error);
  if (found == nullptr) {
    return error;
  }
  const protocol::EventId id = found->id;
  s->events.destroy(bits_of(event));
  s->post(message::EventDestroy{.event = id});
  return CUDA_SUCCESS;
}

CUresult event_record(CUevent event, CUstream stream, unsigned flags) {
  CUresult error = CUDA_SUCCESS;
  Session* s = nullptr;
  Event* found = find(event, &s, &error);
  if (found == nullptr) {
    return error;
  }
  Stream* recorded = s->resolve(stream, &error);
  if (recorded == nullptr) {
    return error;
  }
  if (recorded->device != found->device) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  const CaptureRef capture = s->captures.admit(*recorded, &error);
  if (error != CUDA_SUCCESS) {
    return error;
  }
  const bool is_node = capture != nullptr && (flags & CU_EVENT_RECORD_EXTERNAL) != 0;
  const uint64_t sequence =
      s->post(message::EventRecord{.event = found->id, .stream = recorded->id, .flags = flags});
  if (sequence == 0) {
    return kServerLost;
  }
  if (is_node) {
    std::lock_guard lock(s->captures.mutex());
    capture->events.push_back(bits_of(event));
    return CUDA_SUCCESS;
  }
  s->captures.recorded(found, capture);
  if (capture != nullptr) {
    return CUDA_SUCCESS;
  }
  s->touch(recorded, sequence);
  found->recorded_stream.store(recorded->id.bits(), std::memory_order_release);
  found->recorded_sequence.store(sequence, std::memory_order_release);
  return found->is_shared() ? settle_record(s, stream, sequence) : CUDA_SUCCESS;
}

CUresult event_synchronize(CUevent event) {
  CUresult error = CUDA_SUCCESS;
  Session* s = nullptr;
  Event* found = find(event, &s, &error);
  if (found == nullptr) {
    return error;
  }
  if (const CUresult refused = check_answerable(s, *found); refused != CUDA_SUCCESS) {
    return refused;
  }
  const uint64_t recorded = found->recorded_sequence.load(std::memory_order_acquire);
  if (s->answers_here(is_over(s, *found, recorded), message::EventSynchronize::kName)) {
    return s->errors.take();
  }
  const uint64_t stream = found->recorded_stream.load(std::memory_order_acquire);
  const CUresult result = s->ask(message::EventSynchronize{.event = found->id});
  if (result != CUDA_SUCCESS) {
    return result;
  }
  if (!s->inbox().wait_until(
          [&] {
            return !s->inbox().tickets_pending(recorded,
                                               [&](uint64_t bits) { return bits == stream; });
          },
          "data of copies to the host")) {
    return kServerLost;
  }
  raise_to(found->finished_sequence, recorded);
  return s->errors.take();
}

CUresult event_query(CUevent event) {
  CUresult error = CUDA_SUCCESS;
  Session* s = nullptr;
  Event* found = find(event, &s, &error);
  if (found == nullptr) {
    return error;
  }
  if (const CUresult refused = check_answerable(s, *found); refused != CUDA_SUCCESS) {
    return refused;
  }
  const uint64_t recorded = found->recorded_sequence.load(std::memory_order_acquire);
  if (s->answers_here(is_over(s, *found, recorded), message::EventQuery::kName)) {
    return s->errors.take();
  }
  const uint64_t stream = found->recorded_stream.load(std::memory_order_acquire);
  const CUresult result = s->ask(message::EventQuery{.event = found->id});
  if (result != CUDA_SUCCESS) {
    return result;
  }
  if (s->inbox().tickets_pending(recorded, [&](uint64_t bits) { return bits == stream; })) {
    return CUDA_ERROR_NOT_READY;
  }
  raise_to(found->finished_sequence, recorded);
  return s->errors.take();
}

CUresult event_elapsed(CUevent start, CUevent end, float* milliseconds) {
  CUresult error = CUDA_SUCCESS;
  Session* s = nullptr;
  const Event* from = find(start, &s, &error);
  if (from == nullptr) {
    return error;
  }
  const Event* to = find(end, &s, &error);
  if (to == nullptr) {
    return error;
  }
  for (const Event* one : {from, to}) {
    if (one->capture.load(std::memory_order_acquire) != 0) {
      return s->captures.none() ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_CAPTURED_EVENT;
    }
  }
  if (((from->flags | to->flags) & CU_EVENT_DISABLE_TIMING) != 0 ||
      from->recorded_sequence.load() == 0 || to->recorded_sequence.load() == 0) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  Answer<message::EventElapsed> answer;
  const CUresult result = s->ask(message::EventElapsed{.start = from->id, .end = to->id}, &answer);
  if (result == CUDA_SUCCESS) {
    *milliseconds = answer.reply.milliseconds;
  }
  return result;
}

}  // namespace farlane::client
