// Streams. Their capture is in capture.cc.
#include <algorithm>

#include "client/cudart/runtime.h"

using namespace farlane::cudart;

namespace {

Error create(int device, unsigned flags, int priority, cudaStream_t* stream) {
  if (stream == nullptr || (flags & ~static_cast<unsigned>(cudaStreamNonBlocking)) != 0) {
    return cudaErrorInvalidValue;
  }
  const core::DeviceFacts* facts = core::device_facts(device);
  if (facts != nullptr) {
    // CUDA clamps; greatest is the smaller number.
    priority = std::clamp(priority, facts->stream_priority_greatest, facts->stream_priority_least);
  }
  return core::stream_create(device, flags, priority, stream);
}

bool is_a_default_stream(cudaStream_t stream) {
  return stream == nullptr || stream == cudaStreamLegacy || stream == cudaStreamPerThread;
}

cudaError_t synchronize(CUstream stream) {
  return enter_context([&](int) -> Error { return core::stream_synchronize(stream); });
}

cudaError_t query(CUstream stream) {
  return enter_context([&](int) -> Error { return core::stream_query(stream); });
}

cudaError_t wait_event(CUstream stream, cudaEvent_t event, unsigned flags) {
  return enter_context([&](int) -> Error {
    if ((flags & ~static_cast<unsigned>(cudaEventWaitExternal)) != 0) {
      return cudaErrorInvalidValue;
    }
    return event == nullptr ? CUDA_ERROR_INVALID_HANDLE
                            : core::stream_wait_event(stream, event, flags);
  });
}

// Runs one of the core's questions about a stream.
template <typename Value>
cudaError_t ask(CUresult (*question)(CUstream, Value*), CUstream stream, Value* answer) {
  return enter_context(
      [&](int) { return answer == nullptr ? CUDA_ERROR_INVALID_VALUE : question(stream, answer); });
}

static_assert(sizeof(cudaStreamAttrValue) == sizeof(CUstreamAttrValue));

cudaError_t get_attribute(CUstream stream, cudaStreamAttrID attribute, cudaStreamAttrValue* value) {
  return enter_context([&](int) -> Error {
    return value == nullptr
               ? CUDA_ERROR_INVALID_VALUE
               : core::stream_get_attribute(stream, static_cast<CUstreamAttrID>(attribute),
                                            reinterpret_cast<CUstreamAttrValue*>(value));
  });
}

cudaError_t set_attribute(CUstream stream, cudaStreamAttrID attribute,
                          const cudaStreamAttrValue* value) {
  return enter_context([&](int) -> Error {
    return value == nullptr
               ? CUDA_ERROR_INVALID_VALUE
               : core::stream_set_attribute(stream, static_cast<CUstreamAttrID>(attribute),
                                            *reinterpret_cast<const CUstreamAttrValue*>(value));
  });
}

cudaError_t copy_attributes(CUstream to, CUstream from) {
  return enter_context([&](int) -> Error { return core::stream_copy_attributes(to, from); });
}

}  // namespace

cudaError_t cudaStreamCreate(cudaStream_t* pStream) {
  return enter_context([&](int device) { return create(device, cudaStreamDefault, 0, pStream); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* pStream, unsigned int flags) {
  return enter_context([&](int device) { return create(device, flags, 0, pStream); });
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* pStream, unsigned int flags, int priority) {
  return enter_context([&](int device) { return create(device, flags, priority, pStream); });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return enter_release([&](int) -> Error {
    return is_a_default_stream(stream) ? Error(cudaErrorInvalidResourceHandle)
                                       : Error(core::stream_destroy(stream));
  });
}

FARLANE_TWINS(cudaStreamSynchronize, _ptsz, (cudaStream_t stream),
              synchronize(stream_of(stream, twin)))
FARLANE_TWINS(cudaStreamQuery, _ptsz, (cudaStream_t stream), query(stream_of(stream, twin)))
FARLANE_TWINS(cudaStreamWaitEvent, _ptsz,
              (cudaStream_t stream, cudaEvent_t event, unsigned int flags),
              wait_event(stream_of(stream, twin), event, flags))
FARLANE_TWINS(cudaStreamGetFlags, _ptsz, (cudaStream_t hStream, unsigned int* flags),
              ask(core::stream_flags, stream_of(hStream, twin), flags))
FARLANE_TWINS(cudaStreamGetPriority, _ptsz, (cudaStream_t hStream, int* priority),
              ask(core::stream_priority, stream_of(hStream, twin), priority))
FARLANE_TWINS(cudaStreamGetId, _ptsz, (cudaStream_t hStream, unsigned long long* streamId),
              ask(core::stream_id, stream_of(hStream, twin), streamId))
FARLANE_TWINS(cudaStreamGetDevice, _ptsz, (cudaStream_t hStream, int* device),
              ask(core::stream_device, stream_of(hStream, twin), device))
FARLANE_TWINS(cudaStreamGetAttribute, _ptsz,
              (cudaStream_t hStream, cudaStreamAttrID attr, cudaStreamAttrValue* value_out),
              get_attribute(stream_of(hStream, twin), attr, value_out))
FARLANE_TWINS(cudaStreamSetAttribute, _ptsz,
              (cudaStream_t hStream, cudaStreamAttrID attr, const cudaStreamAttrValue* value),
              set_attribute(stream_of(hStream, twin), attr, value))
FARLANE_TWINS(cudaStreamCopyAttributes, _ptsz, (cudaStream_t dst, cudaStream_t src),
              copy_attributes(stream_of(dst, twin), stream_of(src, twin)))
