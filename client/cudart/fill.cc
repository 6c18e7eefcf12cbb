// cudaMemset in its 1-D, 2-D and 3-D forms.
#include "client/cudart/copy.h"

using namespace farlane::cudart;

namespace {

Error fill_rows(CUdeviceptr to, size_t pitch, int value, size_t width, size_t height,
                CUstream stream, bool async) {
  if (width == 0 || height == 0) {
    return {};
  }
  return core::fill(to, pitch, static_cast<unsigned char>(value), 1, width, height, stream, async);
}

cudaError_t fill_1d(void* pointer, int value, size_t count, CUstream stream, bool async) {
  return enter_context([&](int) -> Error {
    return fill_rows(reinterpret_cast<CUdeviceptr>(pointer), count, value, count, 1, stream, async);
  });
}

cudaError_t fill_2d(void* pointer, size_t pitch, int value, size_t width, size_t height,
                    CUstream stream, bool async) {
  return enter_context([&](int) -> Error {
    if (width > pitch && height > 1) {
      return cudaErrorInvalidValue;
    }
    return fill_rows(reinterpret_cast<CUdeviceptr>(pointer), pitch, value, width, height, stream,
                     async);
  });
}

cudaError_t fill_3d(const cudaPitchedPtr& box, int value, const cudaExtent& extent, CUstream stream,
                    bool async) {
  return enter_context([&](int) -> Error {
    if (extent.width == 0 || extent.height == 0 || extent.depth == 0) {
      return {};
    }
    if (extent.width > box.pitch || (extent.depth > 1 && extent.height > box.ysize)) {
      return cudaErrorInvalidValue;
    }
    const auto start = reinterpret_cast<CUdeviceptr>(box.ptr);
    if (extent.height == box.ysize || extent.depth == 1) {
      return fill_rows(start, box.pitch, value, extent.width, extent.height * extent.depth, stream,
                       async);
    }
    for (size_t slice = 0; slice < extent.depth; slice++) {
      if (Error error = fill_rows(start + slice * box.pitch * box.ysize, box.pitch, value,
                                  extent.width, extent.height, stream, async)) {
        return error;
      }
    }
    return {};
  });
}

}  // namespace

FARLANE_TWINS(cudaMemset, _ptds, (void* devPtr, int value, size_t count),
              fill_1d(devPtr, value, count, stream_of(nullptr, twin), kSync))

FARLANE_TWINS(cudaMemsetAsync, _ptsz, (void* devPtr, int value, size_t count, cudaStream_t stream),
              fill_1d(devPtr, value, count, stream_of(stream, twin), kAsync))

FARLANE_TWINS(cudaMemset2D, _ptds,
              (void* devPtr, size_t pitch, int value, size_t width, size_t height),
              fill_2d(devPtr, pitch, value, width, height, stream_of(nullptr, twin), kSync))

FARLANE_TWINS(cudaMemset2DAsync, _ptsz,
              (void* devPtr, size_t pitch, int value, size_t width, size_t height,
               cudaStream_t stream),
              fill_2d(devPtr, pitch, value, width, height, stream_of(stream, twin), kAsync))

FARLANE_TWINS(cudaMemset3D, _ptds, (cudaPitchedPtr pitchedDevPtr, int value, cudaExtent extent),
              fill_3d(pitchedDevPtr, value, extent, stream_of(nullptr, twin), kSync))

FARLANE_TWINS(cudaMemset3DAsync, _ptsz,
              (cudaPitchedPtr pitchedDevPtr, int value, cudaExtent extent, cudaStream_t stream),
              fill_3d(pitchedDevPtr, value, extent, stream_of(stream, twin), kAsync))
