// cuStream*, cuEvent*, host functions.
#include <algorithm>
#include <chrono>

#include "server/softcuda/driver_call.h"
#include "server/softcuda/driver_device.h"
#include "server/softcuda/driver_stream.h"

using namespace farlane::softcuda;

namespace {

// body(context, stream)
template <typename Body>
CUresult on_stream(CUstream handle, Body&& body) noexcept {
  return in_context([&](const ContextPtr& context) -> CUresult {
    const auto stream = find_stream(context, handle);
    return stream == nullptr ? CUDA_ERROR_INVALID_HANDLE : body(context, stream);
  });
}

// body(context, event)
template <typename Body>
CUresult on_event(CUevent handle, Body&& body) noexcept {
  return in_context([&](const ContextPtr& context) -> CUresult {
    const auto event = Driver::instance().events.find(handle);
    return event == nullptr ? CUDA_ERROR_INVALID_HANDLE : body(context, event);
  });
}

bool is_done(const std::shared_ptr<EventRecord>& record) {
  return record == nullptr || record->op->done;
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
    synchronize_stream(*context, *stream);
    return context->sticky.load();
  });
}

CUresult cuStreamQuery(CUstream handle) {
  return on_stream(handle, [](const ContextPtr& context, const auto& stream) -> CUresult {
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
  return on_stream(handle, [&](const ContextPtr&, const auto&) -> CUresult {
    if (device == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *device = 0;
    return CUDA_SUCCESS;
  });
}

// Streams are never captured here: graphs are not part of this device yet.
CUresult cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus* status) {
  return on_stream(handle, [&](const ContextPtr&, const auto&) -> CUresult {
    if (status == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *status = CU_STREAM_CAPTURE_STATUS_NONE;
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
    enqueue(context, stream, Op::Kind::kHost, [function, data] { function(data); });
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamAddCallback(CUstream handle, CUstreamCallback callback, void* data,
                             unsigned int flags) {
  return on_stream(handle, [&](const ContextPtr& context, const auto& stream) -> CUresult {
    if (callback == nullptr || flags != 0) {
      return CUDA_ERROR_INVALID_VALUE;
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
    if (interprocess) {
      return CUDA_ERROR_NOT_SUPPORTED;
    }
    auto event = std::make_shared<Event>();
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
  return on_event(handle, [&](const ContextPtr& context, const auto& event) -> CUresult {
    const auto stream = find_stream(context, stream_handle);
    if (stream == nullptr || event->context_id != context->id) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    if ((flags & ~unsigned{CU_EVENT_RECORD_EXTERNAL}) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
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
    const auto lock = Scheduler::instance().lock();
    return is_done(event->record) ? context->sticky.load() : CUDA_ERROR_NOT_READY;
  });
}

CUresult cuEventSynchronize(CUevent handle) {
  return on_event(handle, [](const ContextPtr& context, const auto& event) -> CUresult {
    {
      auto lock = Scheduler::instance().lock();
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
    if (end == nullptr || ((start->flags | end->flags) & CU_EVENT_DISABLE_TIMING) != 0) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    if (milliseconds == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto lock = Scheduler::instance().lock();
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

#undef cuEventElapsedTime
CUresult cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
  return cuEventElapsedTime_v2(milliseconds, start, end);
}

}  // extern "C"
