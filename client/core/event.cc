// Events. A record is posted; what is already known about its stream answers queries here.
#include "client/core/call.h"
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

// One that no capture has, where captures let this thread wait or ask. Null with the call's error.
Event* answerable(Call* call, CUevent event) {
  Event* found = call->event(event);
  if (found != nullptr) {
    call->error = (*call)->captures.check_event(*found);
    call->check_unsafe();
  }
  return *call ? found : nullptr;
}

}  // namespace

CUresult event_create(int device, unsigned flags, CUevent* event) {
  const CUresult result = make_event(device, flags, event);
  if (result == CUDA_SUCCESS) {
    note_made(session_if_any(), bits_of(*event));
  }
  return result;
}

CUresult make_event(int device, unsigned flags, CUevent* event) {
  Call call;
  Device* found = call.device(device);
  if (found == nullptr) {
    return call.error;
  }
  constexpr unsigned kKnown =
      CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;
  if ((flags & ~kKnown) != 0 ||
      ((flags & CU_EVENT_INTERPROCESS) != 0 && (flags & CU_EVENT_DISABLE_TIMING) == 0)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  Event* made = call.make(call->events, found);
  if (made == nullptr) {
    return call.error;
  }
  made->flags = flags;
  // A blocking wait happens on the client; the server has no use for that flag.
  call->post(message::EventCreate{.event = made->id,
                                  .device = found->server_ordinal,
                                  .flags = flags & ~static_cast<unsigned>(CU_EVENT_BLOCKING_SYNC)});
  *event = handle_of<CUevent>(made->id.bits());
  return CUDA_SUCCESS;
}

CUresult event_destroy(CUevent event) {
  Call call;
  const Event* found = call.event(event);
  if (found == nullptr) {
    return call.error;
  }
  const protocol::EventId id = found->id;
  if (found->is_shared()) {
    std::lock_guard lock(call->shared_memory.mutex);
    call->shared_memory.shared.erase(bits_of(event));
  }
  call->context_goods.remove(id.bits());
  // Another thread may have been quicker.
  return call->end(call->events, id.bits(), message::EventDestroy{.event = id})
             ? CUDA_SUCCESS
             : CUDA_ERROR_INVALID_HANDLE;
}

CUresult event_record(CUevent event, CUstream stream, unsigned flags) {
  Call call;
  Event* found = call.event(event);
  Stream* recorded = call.stream(stream);
  if (recorded == nullptr) {
    return call.error;
  }
  if (recorded->device != found->device) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  const CaptureRef capture = call.admit(recorded);
  if (!call) {
    return call.error;
  }
  const bool is_node = capture != nullptr && (flags & CU_EVENT_RECORD_EXTERNAL) != 0;
  const uint64_t sequence =
      call->post(message::EventRecord{.event = found->id, .stream = recorded->id, .flags = flags});
  if (sequence == 0) {
    return kServerLost;
  }
  if (is_node) {
    std::lock_guard lock(call->captures.mutex());
    capture->contents.events.add(bits_of(event));
    return CUDA_SUCCESS;
  }
  call->captures.recorded(found, capture);
  if (capture != nullptr) {
    return CUDA_SUCCESS;
  }
  call->touch(recorded, sequence);
  found->recorded_stream.store(recorded->id.bits(), std::memory_order_release);
  found->recorded_sequence.store(sequence, std::memory_order_release);
  return found->is_shared() ? settle_record(call.session, stream, sequence) : CUDA_SUCCESS;
}

CUresult event_synchronize(CUevent event) {
  Call call;
  Event* found = answerable(&call, event);
  if (found == nullptr) {
    return call.error;
  }
  const uint64_t recorded = found->recorded_sequence.load(std::memory_order_acquire);
  if (call->answers_here(is_over(call.session, *found, recorded),
                         message::EventSynchronize::kName)) {
    return call->errors.take();
  }
  const uint64_t stream = found->recorded_stream.load(std::memory_order_acquire);
  const CUresult result = call->ask(message::EventSynchronize{.event = found->id});
  if (result != CUDA_SUCCESS) {
    return result;
  }
  if (!call->inbox().wait_until(
          [&] {
            return !call->inbox().tickets_pending(recorded,
                                                  [&](uint64_t bits) { return bits == stream; });
          },
          "data of copies to the host")) {
    return kServerLost;
  }
  raise_to(found->finished_sequence, recorded);
  return call->errors.take();
}

CUresult event_query(CUevent event) {
  Call call;
  Event* found = answerable(&call, event);
  if (found == nullptr) {
    return call.error;
  }
  const uint64_t recorded = found->recorded_sequence.load(std::memory_order_acquire);
  if (call->answers_here(is_over(call.session, *found, recorded), message::EventQuery::kName)) {
    return call->errors.take();
  }
  const uint64_t stream = found->recorded_stream.load(std::memory_order_acquire);
  const CUresult result = call->ask(message::EventQuery{.event = found->id});
  if (result != CUDA_SUCCESS) {
    return result;
  }
  if (call->inbox().tickets_pending(recorded, [&](uint64_t bits) { return bits == stream; })) {
    return CUDA_ERROR_NOT_READY;
  }
  raise_to(found->finished_sequence, recorded);
  return call->errors.take();
}

CUresult event_elapsed(CUevent start, CUevent end, float* milliseconds) {
  Call call;
  const Event* from = call.event(start);
  const Event* to = call.event(end);
  if (to == nullptr) {
    return call.error;
  }
  for (const Event* one : {from, to}) {
    if (one->capture.load(std::memory_order_acquire) != 0) {
      return call->captures.none() ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_CAPTURED_EVENT;
    }
  }
  if (((from->flags | to->flags) & CU_EVENT_DISABLE_TIMING) != 0 ||
      from->recorded_sequence.load() == 0 || to->recorded_sequence.load() == 0) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  Answer<message::EventElapsed> answer;
  const CUresult result =
      call->ask(message::EventElapsed{.start = from->id, .end = to->id}, &answer);
  if (result == CUDA_SUCCESS) {
    *milliseconds = answer.reply.milliseconds;
  }
  return result;
}

}  // namespace farlane::client
