// Streams. Their capture is in capture.cc.
#include <algorithm>

#include "client/cuda/driver.h"

using namespace farlane::cuda;

namespace {

CUresult create(CUstream* stream, unsigned flags, int priority) {
  return enter_context([&](int device) -> CUresult {
    if (stream == nullptr || (flags & ~static_cast<unsigned>(CU_STREAM_NON_BLOCKING)) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const core::DeviceFacts* facts = core::device_facts(device);
    if (facts != nullptr) {
      // CUDA clamps; greatest is the smaller number.
      priority =
          std::clamp(priority, facts->stream_priority_greatest, facts->stream_priority_least);
    }
    return core::stream_create(device, flags, priority, stream);
  });
}

CUresult destroy(CUstream stream) {
  return enter_release([&]() -> CUresult {
    const bool is_default =
        stream == nullptr || stream == CU_STREAM_LEGACY || stream == CU_STREAM_PER_THREAD;
    return is_default ? CUDA_ERROR_INVALID_HANDLE : core::stream_destroy(stream);
  });
}

CUresult synchronize(CUstream stream) {
  return enter_context([&](int) { return core::stream_synchronize(stream); });
}

CUresult query(CUstream stream) {
  return enter_context([&](int) { return core::stream_query(stream); });
}

CUresult wait_event(CUstream stream, CUevent event, unsigned flags) {
  return enter_context([&](int) -> CUresult {
    if ((flags & ~static_cast<unsigned>(CU_EVENT_WAIT_EXTERNAL)) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return event == nullptr ? CUDA_ERROR_INVALID_HANDLE
                            : core::stream_wait_event(stream, event, flags);
  });
}

// Runs one of the core's questions about a stream.
template <typename Value>
CUresult ask(CUresult (*question)(CUstream, Value*), CUstream stream, Value* answer) {
  return enter_context([&](int) -> CUresult {
    return answer == nullptr ? CUDA_ERROR_INVALID_VALUE : question(stream, answer);
  });
}

CUresult get_context(CUstream stream, CUcontext* context) {
  return enter_context([&](int current) -> CUresult {
    if (context == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    int device = 0;
    if (const CUresult result = core::stream_device(stream, &device); result != CUDA_SUCCESS) {
      return result;
    }
    if (device == current) {
      *context = core::context_current();
      return CUDA_SUCCESS;
    }
    return core::context_primary(device, context);
  });
}

// There are no green contexts, so no stream belongs to one.
CUresult get_contexts(CUstream stream, CUcontext* context, CUgreenCtx* green) {
  const CUresult result = get_context(stream, context);
  if (result == CUDA_SUCCESS && green != nullptr) {
    *green = nullptr;
  }
  return result;
}

CUresult get_attribute(CUstream stream, CUstreamAttrID attribute, CUstreamAttrValue* value) {
  return enter_context([&](int) -> CUresult {
    return value == nullptr ? CUDA_ERROR_INVALID_VALUE
                            : core::stream_get_attribute(stream, attribute, value);
  });
}

CUresult set_attribute(CUstream stream, CUstreamAttrID attribute, const CUstreamAttrValue* value) {
  return enter_context([&](int) -> CUresult {
    return value == nullptr ? CUDA_ERROR_INVALID_VALUE
                            : core::stream_set_attribute(stream, attribute, *value);
  });
}

CUresult copy_attributes(CUstream to, CUstream from) {
  return enter_context([&](int) { return core::stream_copy_attributes(to, from); });
}

}  // namespace

CUresult cuStreamCreate(CUstream* phStream, unsigned int Flags) {
  return create(phStream, Flags, 0);
}
CUresult cuStreamCreateWithPriority(CUstream* phStream, unsigned int flags, int priority) {
  return create(phStream, flags, priority);
}
CUresult cuStreamDestroy(CUstream hStream) {
  return destroy(hStream);
}
CUresult cuStreamDestroy_v2(CUstream hStream) {
  return destroy(hStream);
}

FARLANE_TWINS(cuStreamSynchronize, _ptsz, (CUstream hStream), synchronize(stream_of(hStream, twin)))
FARLANE_TWINS(cuStreamQuery, _ptsz, (CUstream hStream), query(stream_of(hStream, twin)))
FARLANE_TWINS(cuStreamWaitEvent, _ptsz, (CUstream hStream, CUevent hEvent, unsigned int Flags),
              wait_event(stream_of(hStream, twin), hEvent, Flags))
FARLANE_TWINS(cuStreamGetPriority, _ptsz, (CUstream hStream, int* priority),
              ask(core::stream_priority, stream_of(hStream, twin), priority))
FARLANE_TWINS(cuStreamGetFlags, _ptsz, (CUstream hStream, unsigned int* flags),
              ask(core::stream_flags, stream_of(hStream, twin), flags))
FARLANE_TWINS(cuStreamGetId, _ptsz, (CUstream hStream, unsigned long long* streamId),
              ask(core::stream_id, stream_of(hStream, twin), streamId))
FARLANE_TWINS(cuStreamGetDevice, _ptsz, (CUstream hStream, CUdevice* device),
              ask(core::stream_device, stream_of(hStream, twin), device))
FARLANE_TWINS(cuStreamGetCtx, _ptsz, (CUstream hStream, CUcontext* pctx),
              get_context(stream_of(hStream, twin), pctx))
FARLANE_TWINS(cuStreamGetCtx_v2, _ptsz, (CUstream hStream, CUcontext* pCtx, CUgreenCtx* pGreenCtx),
              get_contexts(stream_of(hStream, twin), pCtx, pGreenCtx))
FARLANE_TWINS(cuStreamGetAttribute, _ptsz,
              (CUstream hStream, CUstreamAttrID attr, CUstreamAttrValue* value_out),
              get_attribute(stream_of(hStream, twin), attr, value_out))
FARLANE_TWINS(cuStreamSetAttribute, _ptsz,
              (CUstream hStream, CUstreamAttrID attr, const CUstreamAttrValue* value),
              set_attribute(stream_of(hStream, twin), attr, value))
FARLANE_TWINS(cuStreamCopyAttributes, _ptsz, (CUstream dst, CUstream src),
              copy_attributes(stream_of(dst, twin), stream_of(src, twin)))
