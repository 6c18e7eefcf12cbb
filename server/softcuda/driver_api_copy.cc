// cuMemcpy* and cuMemset*, in all linear forms.
#include "server/softcuda/driver_call.h"
#include "server/softcuda/driver_copy.h"

using namespace farlane::softcuda;

namespace {

constexpr uint64_t kPitchBytesMax = 0x7fffffff;  // CU_DEVICE_ATTRIBUTE_MAX_PITCH

uint64_t address_of(const void* pointer) {
  return reinterpret_cast<uint64_t>(pointer);
}

CUresult copy_linear(uint64_t destination, Side destination_side, uint64_t source, Side source_side,
                     size_t bytes, CUstream stream, bool wait) {
  return in_context([&](const ContextPtr& context) {
    Copy copy;
    copy.destination = destination;
    copy.source = source;
    copy.destination_side = destination_side;
    copy.source_side = source_side;
    copy.width = bytes;
    return issue_copy(context, stream, copy, wait);
  });
}

// All devices are in one address space, so the contexts are checked and say nothing more.
CUresult copy_peer(CUdeviceptr dst, CUcontext to, CUdeviceptr src, CUcontext from, size_t bytes,
                   CUstream stream, bool wait) {
  const auto& contexts = Driver::instance().contexts;
  if (contexts.find(to) == nullptr || contexts.find(from) == nullptr) {
    return in_context([](const ContextPtr&) { return CUDA_ERROR_INVALID_CONTEXT; });
  }
  return copy_linear(dst, Side::kDevice, src, Side::kDevice, bytes, stream, wait);
}

// One side of a described 2-D or 3-D copy.
CUresult resolve_side(CUmemorytype type, const void* host, CUdeviceptr device, uint64_t x,
                      uint64_t y, uint64_t z, uint64_t pitch, uint64_t slice, uint64_t* address,
                      Side* side) {
  uint64_t base = 0;
  switch (type) {
    case CU_MEMORYTYPE_HOST:
      base = address_of(host);
      *side = Side::kHost;
      break;
    case CU_MEMORYTYPE_DEVICE:
      base = device;
      *side = Side::kDevice;
      break;
    case CU_MEMORYTYPE_UNIFIED:
      base = device;
      *side = side_of(device);
      break;
    case CU_MEMORYTYPE_ARRAY:
      return CUDA_ERROR_NOT_SUPPORTED;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
  using Wide = unsigned __int128;
  const Wide offset = Wide{x} + Wide{y} * pitch + Wide{z} * slice;
  if (offset >= (Wide{1} << 63)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *address = base + static_cast<uint64_t>(offset);
  return CUDA_SUCCESS;
}

// The pitch given must hold a row. It may be left 0 where there is only one.
bool valid_pitch(uint64_t pitch, uint64_t x, uint64_t width, bool single_row) {
  return (pitch == 0 && single_row) || (pitch >= width && pitch - width >= x);
}

CUresult copy_2d(const CUDA_MEMCPY2D* request, CUstream stream, bool wait, bool any_pitch) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    if (request == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const CUDA_MEMCPY2D& r = *request;
    const bool single_row = r.Height <= 1;
    if (!valid_pitch(r.srcPitch, r.srcXInBytes, r.WidthInBytes, single_row) ||
        !valid_pitch(r.dstPitch, r.dstXInBytes, r.WidthInBytes, single_row) ||
        (!any_pitch && (r.srcPitch > kPitchBytesMax || r.dstPitch > kPitchBytesMax))) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    Copy copy;
    copy.width = r.WidthInBytes;
    copy.height = r.Height;
    copy.source_pitch = r.srcPitch;
    copy.destination_pitch = r.dstPitch;
    CUresult result = resolve_side(r.srcMemoryType, r.srcHost, r.srcDevice, r.srcXInBytes, r.srcY,
                                   0, r.srcPitch, 0, &copy.source, &copy.source_side);
    if (result == CUDA_SUCCESS) {
      result = resolve_side(r.dstMemoryType, r.dstHost, r.dstDevice, r.dstXInBytes, r.dstY, 0,
                            r.dstPitch, 0, &copy.destination, &copy.destination_side);
    }
    return result == CUDA_SUCCESS ? issue_copy(context, stream, copy, wait) : result;
  });
}

// CUDA_MEMCPY3D and CUDA_MEMCPY3D_PEER name their members alike.
template <typename Request>
CUresult copy_3d(const Request* request, CUstream stream, bool wait) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    if (request == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const Request& r = *request;
    const bool single_row = r.Height <= 1 && r.Depth <= 1;
    if (r.srcLOD != 0 || r.dstLOD != 0 ||
        !valid_pitch(r.srcPitch, r.srcXInBytes, r.WidthInBytes, single_row) ||
        !valid_pitch(r.dstPitch, r.dstXInBytes, r.WidthInBytes, single_row) ||
        r.srcPitch > kPitchBytesMax || r.dstPitch > kPitchBytesMax ||
        !valid_pitch(r.srcHeight, r.srcY, r.Height, r.Depth <= 1) ||
        !valid_pitch(r.dstHeight, r.dstY, r.Height, r.Depth <= 1) ||
        r.srcHeight > UINT64_MAX / (r.srcPitch + 1) ||
        r.dstHeight > UINT64_MAX / (r.dstPitch + 1)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    Copy copy;
    copy.width = r.WidthInBytes;
    copy.height = r.Height;
    copy.depth = r.Depth;
    copy.source_pitch = r.srcPitch;
    copy.source_slice = r.srcPitch * r.srcHeight;
    copy.destination_pitch = r.dstPitch;
    copy.destination_slice = r.dstPitch * r.dstHeight;
    CUresult result =
        resolve_side(r.srcMemoryType, r.srcHost, r.srcDevice, r.srcXInBytes, r.srcY, r.srcZ,
                     r.srcPitch, copy.source_slice, &copy.source, &copy.source_side);
    if (result == CUDA_SUCCESS) {
      result = resolve_side(r.dstMemoryType, r.dstHost, r.dstDevice, r.dstXInBytes, r.dstY, r.dstZ,
                            r.dstPitch, copy.destination_slice, &copy.destination,
                            &copy.destination_side);
    }
    return result == CUDA_SUCCESS ? issue_copy(context, stream, copy, wait) : result;
  });
}

CUresult fill(CUdeviceptr destination, size_t pitch, uint32_t value, uint32_t element_bytes,
              size_t width, size_t height, CUstream stream, bool wait = false) {
  return in_context([&](const ContextPtr& context) {
    return issue_fill(context, stream,
                      Fill{.destination = destination,
                           .pitch = pitch,
                           .width = width,
                           .height = height,
                           .value = value,
                           .element_bytes = element_bytes},
                      wait);
  });
}

}  // namespace

extern "C" {

CUresult cuMemcpy(CUdeviceptr dst, CUdeviceptr src, size_t bytes) {
  return copy_linear(dst, side_of(dst), src, side_of(src), bytes, CU_STREAM_LEGACY, true);
}
CUresult cuMemcpyAsync(CUdeviceptr dst, CUdeviceptr src, size_t bytes, CUstream stream) {
  return copy_linear(dst, side_of(dst), src, side_of(src), bytes, stream, false);
}
CUresult cuMemcpyHtoD_v2(CUdeviceptr dst, const void* src, size_t bytes) {
  return copy_linear(dst, Side::kDevice, address_of(src), Side::kHost, bytes, CU_STREAM_LEGACY,
                     true);
}
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr dst, const void* src, size_t bytes, CUstream stream) {
  return copy_linear(dst, Side::kDevice, address_of(src), Side::kHost, bytes, stream, false);
}
CUresult cuMemcpyDtoH_v2(void* dst, CUdeviceptr src, size_t bytes) {
  return copy_linear(address_of(dst), Side::kHost, src, Side::kDevice, bytes, CU_STREAM_LEGACY,
                     true);
}
CUresult cuMemcpyDtoHAsync_v2(void* dst, CUdeviceptr src, size_t bytes, CUstream stream) {
  return copy_linear(address_of(dst), Side::kHost, src, Side::kDevice, bytes, stream, false);
}
CUresult cuMemcpyDtoD_v2(CUdeviceptr dst, CUdeviceptr src, size_t bytes) {
  return copy_linear(dst, Side::kDevice, src, Side::kDevice, bytes, CU_STREAM_LEGACY, true);
}
CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr dst, CUdeviceptr src, size_t bytes, CUstream stream) {
  return copy_linear(dst, Side::kDevice, src, Side::kDevice, bytes, stream, false);
}
CUresult cuMemcpyPeer(CUdeviceptr dst, CUcontext to, CUdeviceptr src, CUcontext from,
                      size_t bytes) {
  return copy_peer(dst, to, src, from, bytes, CU_STREAM_LEGACY, true);
}
CUresult cuMemcpyPeerAsync(CUdeviceptr dst, CUcontext to, CUdeviceptr src, CUcontext from,
                           size_t bytes, CUstream stream) {
  return copy_peer(dst, to, src, from, bytes, stream, false);
}

CUresult cuMemcpy2D_v2(const CUDA_MEMCPY2D* copy) {
  return copy_2d(copy, CU_STREAM_LEGACY, true, false);
}
CUresult cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D* copy) {
  return copy_2d(copy, CU_STREAM_LEGACY, true, true);
}
CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D* copy, CUstream stream) {
  return copy_2d(copy, stream, false, false);
}
CUresult cuMemcpy3D_v2(const CUDA_MEMCPY3D* copy) {
  return copy_3d(copy, CU_STREAM_LEGACY, true);
}
CUresult cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D* copy, CUstream stream) {
  return copy_3d(copy, stream, false);
}
CUresult cuMemcpy3DPeer(const CUDA_MEMCPY3D_PEER* copy) {
  return copy_3d(copy, CU_STREAM_LEGACY, true);
}
CUresult cuMemcpy3DPeerAsync(const CUDA_MEMCPY3D_PEER* copy, CUstream stream) {
  return copy_3d(copy, stream, false);
}

CUresult cuMemsetD8_v2(CUdeviceptr dst, unsigned char value, size_t count) {
  return fill(dst, 0, value, 1, count, 1, CU_STREAM_LEGACY, true);
}
CUresult cuMemsetD16_v2(CUdeviceptr dst, unsigned short value, size_t count) {
  return fill(dst, 0, value, 2, count, 1, CU_STREAM_LEGACY, true);
}
CUresult cuMemsetD32_v2(CUdeviceptr dst, unsigned int value, size_t count) {
  return fill(dst, 0, value, 4, count, 1, CU_STREAM_LEGACY, true);
}
CUresult cuMemsetD2D8_v2(CUdeviceptr dst, size_t pitch, unsigned char value, size_t width,
                         size_t height) {
  return fill(dst, pitch, value, 1, width, height, CU_STREAM_LEGACY, true);
}
CUresult cuMemsetD2D16_v2(CUdeviceptr dst, size_t pitch, unsigned short value, size_t width,
                          size_t height) {
  return fill(dst, pitch, value, 2, width, height, CU_STREAM_LEGACY, true);
}
CUresult cuMemsetD2D32_v2(CUdeviceptr dst, size_t pitch, unsigned int value, size_t width,
                          size_t height) {
  return fill(dst, pitch, value, 4, width, height, CU_STREAM_LEGACY, true);
}
CUresult cuMemsetD8Async(CUdeviceptr dst, unsigned char value, size_t count, CUstream stream) {
  return fill(dst, 0, value, 1, count, 1, stream);
}
CUresult cuMemsetD16Async(CUdeviceptr dst, unsigned short value, size_t count, CUstream stream) {
  return fill(dst, 0, value, 2, count, 1, stream);
}
CUresult cuMemsetD32Async(CUdeviceptr dst, unsigned int value, size_t count, CUstream stream) {
  return fill(dst, 0, value, 4, count, 1, stream);
}
CUresult cuMemsetD2D8Async(CUdeviceptr dst, size_t pitch, unsigned char value, size_t width,
                           size_t height, CUstream stream) {
  return fill(dst, pitch, value, 1, width, height, stream);
}
CUresult cuMemsetD2D16Async(CUdeviceptr dst, size_t pitch, unsigned short value, size_t width,
                            size_t height, CUstream stream) {
  return fill(dst, pitch, value, 2, width, height, stream);
}
CUresult cuMemsetD2D32Async(CUdeviceptr dst, size_t pitch, unsigned int value, size_t width,
                            size_t height, CUstream stream) {
  return fill(dst, pitch, value, 4, width, height, stream);
}

}  // extern "C"
