// cuMemset*: elements of 1, 2 or 4 bytes, in rows.
#include "client/cuda/driver.h"

using namespace farlane::cuda;

namespace {

constexpr bool kAsync = true;
constexpr bool kSync = false;

template <typename Element>
CUresult fill(CUdeviceptr to, size_t pitch, Element value, size_t width, size_t height,
              CUstream stream, bool async) {
  return enter_context([&](int) -> CUresult {
    if (width == 0 || height == 0) {
      return CUDA_SUCCESS;
    }
    if (to % sizeof(Element) != 0 || (height > 1 && pitch < width * sizeof(Element))) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return core::fill(to, pitch, value, sizeof(Element), width, height, stream, async);
  });
}

}  // namespace

FARLANE_TWINS(cuMemsetD8_v2, _ptds, (CUdeviceptr dstDevice, unsigned char uc, size_t N),
              fill(dstDevice, N, uc, N, 1, stream_of(nullptr, twin), kSync))
FARLANE_TWINS(cuMemsetD16_v2, _ptds, (CUdeviceptr dstDevice, unsigned short us, size_t N),
              fill(dstDevice, N * 2, us, N, 1, stream_of(nullptr, twin), kSync))
FARLANE_TWINS(cuMemsetD32_v2, _ptds, (CUdeviceptr dstDevice, unsigned int ui, size_t N),
              fill(dstDevice, N * 4, ui, N, 1, stream_of(nullptr, twin), kSync))
FARLANE_TWINS(cuMemsetD8Async, _ptsz,
              (CUdeviceptr dstDevice, unsigned char uc, size_t N, CUstream hStream),
              fill(dstDevice, N, uc, N, 1, stream_of(hStream, twin), kAsync))
FARLANE_TWINS(cuMemsetD16Async, _ptsz,
              (CUdeviceptr dstDevice, unsigned short us, size_t N, CUstream hStream),
              fill(dstDevice, N * 2, us, N, 1, stream_of(hStream, twin), kAsync))
FARLANE_TWINS(cuMemsetD32Async, _ptsz,
              (CUdeviceptr dstDevice, unsigned int ui, size_t N, CUstream hStream),
              fill(dstDevice, N * 4, ui, N, 1, stream_of(hStream, twin), kAsync))
FARLANE_TWINS(cuMemsetD2D8_v2, _ptds,
              (CUdeviceptr dstDevice, size_t dstPitch, unsigned char uc, size_t Width,
               size_t Height),
              fill(dstDevice, dstPitch, uc, Width, Height, stream_of(nullptr, twin), kSync))
FARLANE_TWINS(cuMemsetD2D16_v2, _ptds,
              (CUdeviceptr dstDevice, size_t dstPitch, unsigned short us, size_t Width,
               size_t Height),
              fill(dstDevice, dstPitch, us, Width, Height, stream_of(nullptr, twin), kSync))
FARLANE_TWINS(cuMemsetD2D32_v2, _ptds,
              (CUdeviceptr dstDevice, size_t dstPitch, unsigned int ui, size_t Width,
               size_t Height),
              fill(dstDevice, dstPitch, ui, Width, Height, stream_of(nullptr, twin), kSync))
FARLANE_TWINS(cuMemsetD2D8Async, _ptsz,
              (CUdeviceptr dstDevice, size_t dstPitch, unsigned char uc, size_t Width,
               size_t Height, CUstream hStream),
              fill(dstDevice, dstPitch, uc, Width, Height, stream_of(hStream, twin), kAsync))
FARLANE_TWINS(cuMemsetD2D16Async, _ptsz,
              (CUdeviceptr dstDevice, size_t dstPitch, unsigned short us, size_t Width,
               size_t Height, CUstream hStream),
              fill(dstDevice, dstPitch, us, Width, Height, stream_of(hStream, twin), kAsync))
FARLANE_TWINS(cuMemsetD2D32Async, _ptsz,
              (CUdeviceptr dstDevice, size_t dstPitch, unsigned int ui, size_t Width, size_t Height,
               CUstream hStream),
              fill(dstDevice, dstPitch, ui, Width, Height, stream_of(hStream, twin), kAsync))
