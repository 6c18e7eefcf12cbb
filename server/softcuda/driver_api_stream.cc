// cuStream*, cuEvent*, host functions.
#include <algorithm>
#include <chrono>

#include "server/softcuda/driver_call.h"
#include "server/softcuda/driver_device.h"
#include "server/softcuda/driver_graph.h"
#include "server/softcuda/driver_shared_event.h"
#include "server/softcuda/driver_stream.h"

using namespace farlane::softcuda;

namespace {

// body(context, stream)
template <typename Body>
CUresult on_stream(CUstream handle, Body&& body) noexcept {
  return in_context([&](ContextPtr context) -> CUresult {
    const auto stream = find_any_stream(&context, handle);
    return stream == nullptr ? CUDA_ERROR_INVALID_HANDLE : body(context, stream);
  });
}

// body(context, event); the context is the event's.
template <typename Body>
CUresult on_event(CUevent handle, Body&& body) noexcept {
  return in_context([&](const ContextPtr&) -> CUresult {
    const auto event = Driver::instance().events.find(handle);
    const ContextPtr owner = event == nullptr ? nullptr : event->context.lock();
    return owner == nullptr ? CUDA_ERROR_INVALID_HANDLE : body(owner, event);
  });
}

bool is_done(const std::shared_ptr<EventRecord>& record) {
  return record == nullptr || record->op->done;
}

void invalidate(CaptureState& capture) {
  capture.status = CU_STREAM_CAPTURE_STATUS_INVALIDATED;
}

// Whether an event has happened that was recorded in this capture.
CUresult ask_captured(CaptureState& capture) {
  if (capture.graph == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;  // it has ended
  }
  invalidate(capture);
  return CUDA_ERROR_CAPTURED_EVENT;
}

// A stream that waits for an event recorded in a capture takes part in it. Without a value nothing
// here is about a capture.
std::optional<CUresult> wait_captured(const ContextPtr&, Stream& stream,
                                      const std::shared_ptr<Stream>& self, Event& event) {
  const auto lock = Scheduler::instance().lock();
  const std::shared_ptr<CaptureState> theirs = event.captured_by;
  if (stream.capture == nullptr && theirs == nullptr) {
    return std::nullopt;
  }
  if (theirs == nullptr) {
    invalidate(*stream.capture);
    return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
  }
  if (theirs->graph == nullptr) {  // that capture has ended
    if (stream.capture != nullptr) {
      invalidate(*stream.capture);
    }
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (stream.legacy) {
    invalidate(*theirs);
    return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
  }
  if (stream.capture != nullptr && stream.capture != theirs) {
    invalidate(*theirs);
    invalidate(*stream.capture);
    return CUDA_ERROR_STREAM_CAPTURE_MERGE;
  }
  if (theirs->status != CU_STREAM_CAPTURE_STATUS_ACTIVE) {
    return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  }
  if (stream.capture == nullptr) {
    stream.capture = theirs;
    theirs->members.push_back(self);
  }
  for (const GraphEdge& edge : event.captured) {
    if (std::none_of(stream.capture_tail.begin(), stream.capture_tail.end(),
                     [&](const GraphEdge& there) { return there.from == edge.from; })) {
      stream.capture_tail.push_back(edge);
    }
  }
  return CUDA_SUCCESS;
}

std::optional<CUresult> record_captured(const ContextPtr& context, Stream& stream, Event& event) {
  const auto lock = Scheduler::instance().lock();
  if (stream.legacy) {
    for (const auto& other : context->streams) {
      if (other->capture != nullptr && other->blocking()) {
        invalidate(*other->capture);
        return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
      }
    }
  }
  event.captured_by = stream.capture;
  event.captured = stream.capture_tail;
  if (stream.capture == nullptr) {
    return std::nullopt;
  }
  return stream.capture->status == CU_STREAM_CAPTURE_STATUS_ACTIVE
             ? CUDA_SUCCESS
             : CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
}

}  // namespace

extern "C" {

CUresult cuStreamCreateWithPriority(CUstream* handle, unsigned int flags, int priority) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    if (handle == nullptr || (flags & ~unsigned{CU_STREAM_NON_BLOCKING}) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    // Out of range means the nearest one in range, as in CUDA.
    const int clamped = std::clamp(priority, kStreamPriorityGreatest, kStreamPriorityLeast);
    const auto stream = make_stream(context, flags, clamped);
    stream->handle = Driver::instance().streams.add(stream);
    *handle = stream->handle;
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamCreate(CUstream* handle, unsigned int flags) {
  return cuStreamCreateWithPriority(handle, flags, 0);
}

CUresult cuStreamDestroy_v2(CUstream handle) {
  return in_context([&](const ContextPtr&) -> CUresult {
    const auto stream = Driver::instance().streams.take(handle);
    if (stream == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    // Its work goes on; the context forgets it afterwards.
    const auto lock = Scheduler::instance().lock();
    stream->destroyed = true;
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamSynchronize(CUstream handle) {
  return on_stream(handle, [](const ContextPtr& context, const auto& stream) -> CUresult {
    if (const auto refused = refuse_captured(context, *stream)) {
      return *refused;
    }
    synchronize_stream(*context, *stream);
    return context->sticky.load();
  });
}

CUresult cuStreamQuery(CUstream handle) {
  return on_stream(handle, [](const ContextPtr& context, const auto& stream) -> CUresult {
    if (const auto refused = refuse_captured(context, *stream)) {
      return *refused;
    }
    if (!stream_is_idle(*context, *stream)) {
      return CUDA_ERROR_NOT_READY;
    }
    flush_device_output();
    return context->sticky.load();
  });
}

CUresult cuStreamGetPriority(CUstream handle, int* priority) {
  return on_stream(handle, [&](const ContextPtr&, const auto& stream) -> CUresult {
    if (priority == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *priority = stream->priority;
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamGetFlags(CUstream handle, unsigned int* flags) {
  return on_stream(handle, [&](const ContextPtr&, const auto& stream) -> CUresult {
    if (flags == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *flags = stream->flags;
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamGetId(CUstream handle, unsigned long long* id) {
  return on_stream(handle, [&](const ContextPtr&, const auto& stream) -> CUresult {
    if (id == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *id = stream->id;
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamGetCtx(CUstream handle, CUcontext* out) {
  return on_stream(handle, [&](const ContextPtr& context, const auto&) -> CUresult {
    if (out == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *out = context->handle;
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamGetDevice(CUstream handle, CUdevice* device) {
  return on_stream(handle, [&](const ContextPtr& context, const auto&) -> CUresult {
    if (device == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *device = context->device;
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamWaitEvent(CUstream handle, CUevent event_handle, unsigned int flags) {
  return on_stream(handle, [&](const ContextPtr& context, const auto& stream) -> CUresult {
    const auto event = Driver::instance().events.find(event_handle);
    if (event == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    if ((flags & ~unsigned{CU_EVENT_WAIT_EXTERNAL}) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (flags == CU_EVENT_WAIT_EXTERNAL) {
      if (const auto captured = capture_work(
              context, stream,
              Work{CU_GRAPH_NODE_TYPE_WAIT_EVENT, nullptr, EventUse{event, event_handle}})) {
        return *captured;
      }
    } else if (const auto captured = wait_captured(context, *stream, stream, *event)) {
      return *captured;
    }
    if (event->shared != nullptr) {
      const uint64_t newest = event->shared->newest();
      if (!event->shared->is_done(newest)) {
        enqueue(context, stream, Op::Kind::kHost,
                [shared = event->shared, newest] { shared->wait(newest); });
      }
      return CUDA_SUCCESS;
    }
    OpPtr recorded;
    {
      const auto lock = Scheduler::instance().lock();
      if (!is_done(event->record)) {
        recorded = event->record->op;
      }
    }
    if (recorded != nullptr) {
      enqueue(context, stream, Op::Kind::kMarker, nullptr, {recorded});
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuLaunchHostFunc(CUstream handle, CUhostFn function, void* data) {
  return on_stream(handle, [&](const ContextPtr& context, const auto& stream) -> CUresult {
    if (function == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto run = [function, data] { function(data); };
    if (const auto captured = capture_work(
            context, stream, Work{CU_GRAPH_NODE_TYPE_HOST, run, HostCall{function, data}})) {
      return *captured;
    }
    enqueue(context, stream, Op::Kind::kHost, run);
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamAddCallback(CUstream handle, CUstreamCallback callback, void* data,
                             unsigned int flags) {
  return on_stream(handle, [&](const ContextPtr& context, const auto& stream) -> CUresult {
    if (callback == nullptr || flags != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (const auto refused = refuse_captured(context, *stream)) {
      return *refused;
    }
    // Unlike a host function it is called after an error too, with the error.
    auto op = std::make_shared<Op>();
    op->kind = Op::Kind::kHost;
    op->run = [context, handle, callback, data] { callback(handle, context->sticky.load(), data); };
    auto lock = Scheduler::instance().lock();
    const auto before = predecessors_of(*context, *stream);
    stream->tail = op;
    Scheduler::instance().submit(lock, op, before);
    return CUDA_SUCCESS;
  });
}

// --- events

CUresult cuEventCreate(CUevent* handle, unsigned int flags) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    constexpr unsigned kKnown =
        CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;
    const bool interprocess = (flags & CU_EVENT_INTERPROCESS) != 0;
    if (handle == nullptr || (flags & ~kKnown) != 0 ||
        (interprocess && (flags & CU_EVENT_DISABLE_TIMING) == 0)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    auto event = std::make_shared<Event>();
    if (interprocess && (event->shared = SharedEvent::make()) == nullptr) {
      return CUDA_ERROR_OPERATING_SYSTEM;
    }
    event->context = context;
    event->context_id = context->id;
    event->flags = flags;
    *handle = Driver::instance().events.add(std::move(event));
    return CUDA_SUCCESS;
  });
}

CUresult cuEventDestroy_v2(CUevent handle) {
  return in_context([&](const ContextPtr&) -> CUresult {
    return Driver::instance().events.take(handle) == nullptr ? CUDA_ERROR_INVALID_HANDLE
                                                             : CUDA_SUCCESS;
  });
}

CUresult cuEventRecordWithFlags(CUevent handle, CUstream stream_handle, unsigned int flags) {
  return in_context([&](ContextPtr context) -> CUresult {
    const auto event = Driver::instance().events.find(handle);
    const auto stream = find_any_stream(&context, stream_handle);
    if (stream == nullptr || event == nullptr || event->context_id != context->id) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    if ((flags & ~unsigned{CU_EVENT_RECORD_EXTERNAL}) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (flags == CU_EVENT_RECORD_EXTERNAL) {
      if (const auto captured = capture_work(
              context, stream,
              Work{CU_GRAPH_NODE_TYPE_EVENT_RECORD, nullptr, EventUse{event, handle}})) {
        return *captured;
      }
    } else if (const auto captured = record_captured(context, *stream, *event)) {
      return *captured;
    }
    record_event(context, stream, event);
    return CUDA_SUCCESS;
  });
}

CUresult cuEventRecord(CUevent handle, CUstream stream) {
  return cuEventRecordWithFlags(handle, stream, 0);
}

CUresult cuEventQuery(CUevent handle) {
  return on_event(handle, [](const ContextPtr& context, const auto& event) -> CUresult {
    if (event->shared != nullptr) {
      return event->shared->is_done(event->shared->newest()) ? context->sticky.load()
                                                             : CUDA_ERROR_NOT_READY;
    }
    const auto lock = Scheduler::instance().lock();
    if (event->captured_by != nullptr) {
      return ask_captured(*event->captured_by);
    }
    return is_done(event->record) ? context->sticky.load() : CUDA_ERROR_NOT_READY;
  });
}

CUresult cuEventSynchronize(CUevent handle) {
  return on_event(handle, [](const ContextPtr& context, const auto& event) -> CUresult {
    if (event->shared != nullptr) {
      event->shared->wait(event->shared->newest());
    }
    {
      auto lock = Scheduler::instance().lock();
      if (event->captured_by != nullptr) {
        return ask_captured(*event->captured_by);
      }
      if (const auto record = event->record) {
        Scheduler::instance().wait(lock, std::vector<OpPtr>{record->op});
      }
    }
    flush_device_output();
    return context->sticky.load();
  });
}

CUresult cuEventElapsedTime_v2(float* milliseconds, CUevent start_handle, CUevent end_handle) {
  return on_event(start_handle, [&](const ContextPtr&, const auto& start) -> CUresult {
    const auto end = Driver::instance().events.find(end_handle);
    if (end == nullptr || start->context_id != end->context_id ||
        ((start->flags | end->flags) & CU_EVENT_DISABLE_TIMING) != 0) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    if (milliseconds == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto lock = Scheduler::instance().lock();
    if (start->captured_by != nullptr || end->captured_by != nullptr) {
      return CUDA_ERROR_CAPTURED_EVENT;
    }
    if (start->record == nullptr || end->record == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;  // never recorded
    }
    if (!is_done(start->record) || !is_done(end->record)) {
      return CUDA_ERROR_NOT_READY;
    }
    *milliseconds =
        std::chrono::duration<float, std::milli>(end->record->time - start->record->time).count();
    return CUDA_SUCCESS;
  });
}

CUresult cuIpcGetEventHandle(CUipcEventHandle* out, CUevent handle) {
  return on_event(handle, [&](const ContextPtr&, const auto& event) -> CUresult {
    if (out == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (event->shared == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    *out = event->shared->handle();
    return CUDA_SUCCESS;
  });
}

CUresult cuIpcOpenEventHandle(CUevent* handle, CUipcEventHandle from) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    if (handle == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    auto event = std::make_shared<Event>();
    event->shared = SharedEvent::open(from);
    if (event->shared == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    event->context = context;
    event->context_id = context->id;
    event->flags = CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING;
    *handle = Driver::instance().events.add(std::move(event));
    return CUDA_SUCCESS;
  });
}

#undef cuEventElapsedTime
CUresult cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
  return cuEventElapsedTime_v2(milliseconds, start, end);
}

}  // extern "C"
