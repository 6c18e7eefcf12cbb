// Events.
#include "client/cudart/runtime.h"

using namespace farlane::cudart;

namespace {

Error create(int device, unsigned flags, cudaEvent_t* event) {
  constexpr unsigned kKnown =
      cudaEventBlockingSync | cudaEventDisableTiming | cudaEventInterprocess;
  if (event == nullptr || (flags & ~kKnown) != 0) {
    return cudaErrorInvalidValue;
  }
  if ((flags & cudaEventInterprocess) != 0 && (flags & cudaEventDisableTiming) == 0) {
    return cudaErrorInvalidValue;
  }
  return core::event_create(device, flags, event);
}

cudaError_t record_event(cudaEvent_t event, CUstream stream, unsigned flags) {
  return enter_context([&](int) -> Error {
    if ((flags & ~static_cast<unsigned>(cudaEventRecordExternal)) != 0) {
      return cudaErrorInvalidValue;
    }
    if (event == nullptr) {
      return cudaErrorInvalidResourceHandle;
    }
    return core::event_record(event, stream, flags);
  });
}

}  // namespace

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return enter_context([&](int device) { return create(device, cudaEventDefault, event); });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int flags) {
  return enter_context([&](int device) { return create(device, flags, event); });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return enter_release([&](int) -> Error {
    return event == nullptr ? CUDA_ERROR_INVALID_HANDLE : core::event_destroy(event);
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return enter_context([&](int) -> Error {
    return event == nullptr ? CUDA_ERROR_INVALID_HANDLE : core::event_query(event);
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return enter_context([&](int) -> Error {
    return event == nullptr ? CUDA_ERROR_INVALID_HANDLE : core::event_synchronize(event);
  });
}

cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t start, cudaEvent_t end) {
  return enter_context([&](int) -> Error {
    if (ms == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (start == nullptr || end == nullptr) {
      return cudaErrorInvalidResourceHandle;
    }
    return core::event_elapsed(start, end, ms);
  });
}

FARLANE_TWINS(cudaEventRecord, _ptsz, (cudaEvent_t event, cudaStream_t stream),
              record_event(event, stream_of(stream, twin), cudaEventRecordDefault))
FARLANE_TWINS(cudaEventRecordWithFlags, _ptsz,
              (cudaEvent_t event, cudaStream_t stream, unsigned int flags),
              record_event(event, stream_of(stream, twin), flags))
