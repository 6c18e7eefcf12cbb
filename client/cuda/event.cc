// Events.
#include "client/cuda/driver.h"

using namespace farlane::cuda;

namespace {

CUresult destroy(CUevent event) {
  return enter_release([&]() -> CUresult {
    return event == nullptr ? CUDA_ERROR_INVALID_HANDLE : core::event_destroy(event);
  });
}

CUresult record(CUevent event, CUstream stream, unsigned flags) {
  return enter_context([&](int) -> CUresult {
    if ((flags & ~static_cast<unsigned>(CU_EVENT_RECORD_EXTERNAL)) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return event == nullptr ? CUDA_ERROR_INVALID_HANDLE : core::event_record(event, stream, flags);
  });
}

CUresult elapsed(float* milliseconds, CUevent start, CUevent end) {
  return enter_context([&](int) -> CUresult {
    if (milliseconds == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return start == nullptr || end == nullptr ? CUDA_ERROR_INVALID_HANDLE
                                              : core::event_elapsed(start, end, milliseconds);
  });
}

}  // namespace

CUresult cuEventCreate(CUevent* phEvent, unsigned int Flags) {
  return enter_context([&](int device) -> CUresult {
    constexpr unsigned kKnown =
        CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;
    if (phEvent == nullptr || (Flags & ~kKnown) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if ((Flags & CU_EVENT_INTERPROCESS) != 0 && (Flags & CU_EVENT_DISABLE_TIMING) == 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return core::event_create(device, Flags, phEvent);
  });
}

CUresult cuEventDestroy(CUevent hEvent) {
  return destroy(hEvent);
}
CUresult cuEventDestroy_v2(CUevent hEvent) {
  return destroy(hEvent);
}

CUresult cuEventQuery(CUevent hEvent) {
  return enter([&]() -> CUresult {
    return hEvent == nullptr ? CUDA_ERROR_INVALID_HANDLE : core::event_query(hEvent);
  });
}

CUresult cuEventSynchronize(CUevent hEvent) {
  return enter([&]() -> CUresult {
    return hEvent == nullptr ? CUDA_ERROR_INVALID_HANDLE : core::event_synchronize(hEvent);
  });
}

CUresult cuEventElapsedTime(float* pMilliseconds, CUevent hStart, CUevent hEnd) {
  return elapsed(pMilliseconds, hStart, hEnd);
}
CUresult cuEventElapsedTime_v2(float* pMilliseconds, CUevent hStart, CUevent hEnd) {
  return elapsed(pMilliseconds, hStart, hEnd);
}

FARLANE_TWINS(cuEventRecord, _ptsz, (CUevent hEvent, CUstream hStream),
              record(hEvent, stream_of(hStream, twin), CU_EVENT_RECORD_DEFAULT))
FARLANE_TWINS(cuEventRecordWithFlags, _ptsz, (CUevent hEvent, CUstream hStream, unsigned int flags),
              record(hEvent, stream_of(hStream, twin), flags))
