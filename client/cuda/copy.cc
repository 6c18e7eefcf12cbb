// cuMemcpy* over linear memory. Arrays are not there yet.
#include <algorithm>

#include "client/cuda/copy.h"

using namespace farlane::cuda;
using farlane::client::Copy;
using farlane::client::Place;

namespace {

constexpr bool kAsync = true;
constexpr bool kSync = false;

uint64_t address_of(const void* pointer) {
  return reinterpret_cast<uint64_t>(pointer);
}

// The device's end of a copy may be pinned host memory, which has one address everywhere.
Place device_place(uint64_t address) {
  return core::pointer_facts(address).kind == core::PointerFacts::Kind::kPinnedHost
             ? Place::kHost
             : Place::kDevice;
}

CUresult copy_linear(uint64_t to, Place to_place, uint64_t from, Place from_place, size_t bytes,
                     CUstream stream, bool async) {
  return enter_context([&](int) -> CUresult {
    if (bytes == 0) {
      return CUDA_SUCCESS;
    }
    Copy copy;
    copy.to = to;
    copy.from = from;
    copy.to_place = to_place == Place::kDevice ? device_place(to) : to_place;
    copy.from_place = from_place == Place::kDevice ? device_place(from) : from_place;
    copy.width = bytes;
    return core::copy(copy, stream, async);
  });
}

// The contexts say nothing that the addresses do not, but they must be some.
CUresult copy_peer(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context,
                   size_t bytes, CUstream stream, bool async) {
  int device = 0;
  if (core::current_device() >= 0 &&
      (core::context_device(to_context, &device) != CUDA_SUCCESS ||
       core::context_device(from_context, &device) != CUDA_SUCCESS)) {
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  return copy_linear(to, Place::kDevice, from, Place::kDevice, bytes, stream, async);
}

// One end of a 2-D or 3-D copy, as both structs describe it.
struct End {
  CUmemorytype type;
  const void* host;
  CUdeviceptr device;
  size_t x_bytes;
  size_t y;
  size_t z;
  size_t pitch;
  size_t height;  // rows of a slice; 0 where there is one slice
};

CUresult locate(const End& end, size_t width, size_t height, size_t depth, uint64_t* address,
                Place* place, size_t* slice) {
  uint64_t base = 0;
  switch (static_cast<int>(end.type)) {
    case CU_MEMORYTYPE_HOST:
      base = address_of(end.host);
      *place = Place::kHost;
      break;
    case CU_MEMORYTYPE_DEVICE:
      base = end.device;
      *place = device_place(base);
      break;
    case CU_MEMORYTYPE_UNIFIED:
      base = end.device;
      *place = Place::kByAddress;
      break;
    case CU_MEMORYTYPE_ARRAY:
      return not_supported("cuMemcpy2D/3D with arrays");
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
  const bool has_rows = height > 1 || depth > 1 || end.y > 0 || end.z > 0;
  if (has_rows && end.pitch < width + end.x_bytes) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const bool has_slices = depth > 1 || end.z > 0;
  if (has_slices && end.height < height + end.y) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *slice = end.pitch * end.height;
  *address = base + end.z * *slice + end.y * end.pitch + end.x_bytes;
  return CUDA_SUCCESS;
}

CUresult box_of(const End& to, const End& from, size_t width, size_t height, size_t depth,
                Copy* copy) {
  copy->width = width;
  copy->height = height;
  copy->depth = depth;
  if (width == 0 || height == 0 || depth == 0) {
    return CUDA_SUCCESS;
  }
  if (const CUresult result =
          locate(to, width, height, depth, &copy->to, &copy->to_place, &copy->to_slice);
      result != CUDA_SUCCESS) {
    return result;
  }
  if (const CUresult result =
          locate(from, width, height, depth, &copy->from, &copy->from_place, &copy->from_slice);
      result != CUDA_SUCCESS) {
    return result;
  }
  // One row has no pitch that matters; the core wants a possible one.
  copy->to_pitch = std::max(to.pitch, width);
  copy->from_pitch = std::max(from.pitch, width);
  return CUDA_SUCCESS;
}

CUresult copy_box(const End& to, const End& from, size_t width, size_t height, size_t depth,
                  CUstream stream, bool async) {
  Copy copy;
  const CUresult result = box_of(to, from, width, height, depth, &copy);
  if (result != CUDA_SUCCESS || width == 0 || height == 0 || depth == 0) {
    return result;
  }
  return core::copy(copy, stream, async);
}

CUresult copy_2d(const CUDA_MEMCPY2D* p, CUstream stream, bool async) {
  return enter_context([&](int) -> CUresult {
    if (p == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return copy_box(
        {p->dstMemoryType, p->dstHost, p->dstDevice, p->dstXInBytes, p->dstY, 0, p->dstPitch, 0},
        {p->srcMemoryType, p->srcHost, p->srcDevice, p->srcXInBytes, p->srcY, 0, p->srcPitch, 0},
        p->WidthInBytes, p->Height, 1, stream, async);
  });
}

// The peer form has the same fields, and contexts that say nothing new: an address says it all.
template <typename Parameters>
CUresult copy_3d(const Parameters* p, CUstream stream, bool async) {
  return enter_context([&](int) -> CUresult {
    if (p == nullptr || p->srcLOD != 0 || p->dstLOD != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return copy_box({p->dstMemoryType, p->dstHost, p->dstDevice, p->dstXInBytes, p->dstY, p->dstZ,
                     p->dstPitch, p->dstHeight},
                    {p->srcMemoryType, p->srcHost, p->srcDevice, p->srcXInBytes, p->srcY, p->srcZ,
                     p->srcPitch, p->srcHeight},
                    p->WidthInBytes, p->Height, p->Depth, stream, async);
  });
}

}  // namespace

namespace farlane::cuda {

CUresult copy_3d_of(const CUDA_MEMCPY3D* p, Copy* copy) {
  if (p == nullptr || p->srcLOD != 0 || p->dstLOD != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return box_of({p->dstMemoryType, p->dstHost, p->dstDevice, p->dstXInBytes, p->dstY, p->dstZ,
                 p->dstPitch, p->dstHeight},
                {p->srcMemoryType, p->srcHost, p->srcDevice, p->srcXInBytes, p->srcY, p->srcZ,
                 p->srcPitch, p->srcHeight},
                p->WidthInBytes, p->Height, p->Depth, copy);
}

}  // namespace farlane::cuda

FARLANE_TWINS(cuMemcpy, _ptds, (CUdeviceptr dst, CUdeviceptr src, size_t ByteCount),
              copy_linear(dst, Place::kByAddress, src, Place::kByAddress, ByteCount,
                          stream_of(nullptr, twin), kSync))
FARLANE_TWINS(cuMemcpyAsync, _ptsz,
              (CUdeviceptr dst, CUdeviceptr src, size_t ByteCount, CUstream hStream),
              copy_linear(dst, Place::kByAddress, src, Place::kByAddress, ByteCount,
                          stream_of(hStream, twin), kAsync))
FARLANE_TWINS(cuMemcpyHtoD_v2, _ptds,
              (CUdeviceptr dstDevice, const void* srcHost, size_t ByteCount),
              copy_linear(dstDevice, Place::kDevice, address_of(srcHost), Place::kHost, ByteCount,
                          stream_of(nullptr, twin), kSync))
FARLANE_TWINS(cuMemcpyHtoDAsync_v2, _ptsz,
              (CUdeviceptr dstDevice, const void* srcHost, size_t ByteCount, CUstream hStream),
              copy_linear(dstDevice, Place::kDevice, address_of(srcHost), Place::kHost, ByteCount,
                          stream_of(hStream, twin), kAsync))
FARLANE_TWINS(cuMemcpyDtoH_v2, _ptds, (void* dstHost, CUdeviceptr srcDevice, size_t ByteCount),
              copy_linear(address_of(dstHost), Place::kHost, srcDevice, Place::kDevice, ByteCount,
                          stream_of(nullptr, twin), kSync))
FARLANE_TWINS(cuMemcpyDtoHAsync_v2, _ptsz,
              (void* dstHost, CUdeviceptr srcDevice, size_t ByteCount, CUstream hStream),
              copy_linear(address_of(dstHost), Place::kHost, srcDevice, Place::kDevice, ByteCount,
                          stream_of(hStream, twin), kAsync))
FARLANE_TWINS(cuMemcpyDtoD_v2, _ptds,
              (CUdeviceptr dstDevice, CUdeviceptr srcDevice, size_t ByteCount),
              copy_linear(dstDevice, Place::kDevice, srcDevice, Place::kDevice, ByteCount,
                          stream_of(nullptr, twin), kSync))
FARLANE_TWINS(cuMemcpyDtoDAsync_v2, _ptsz,
              (CUdeviceptr dstDevice, CUdeviceptr srcDevice, size_t ByteCount, CUstream hStream),
              copy_linear(dstDevice, Place::kDevice, srcDevice, Place::kDevice, ByteCount,
                          stream_of(hStream, twin), kAsync))
FARLANE_TWINS(cuMemcpyPeer, _ptds,
              (CUdeviceptr dstDevice, CUcontext dstContext, CUdeviceptr srcDevice,
               CUcontext srcContext, size_t ByteCount),
              copy_peer(dstDevice, dstContext, srcDevice, srcContext, ByteCount,
                        stream_of(nullptr, twin), kSync))
FARLANE_TWINS(cuMemcpyPeerAsync, _ptsz,
              (CUdeviceptr dstDevice, CUcontext dstContext, CUdeviceptr srcDevice,
               CUcontext srcContext, size_t ByteCount, CUstream hStream),
              copy_peer(dstDevice, dstContext, srcDevice, srcContext, ByteCount,
                        stream_of(hStream, twin), kAsync))
FARLANE_TWINS(cuMemcpy2D_v2, _ptds, (const CUDA_MEMCPY2D* pCopy),
              copy_2d(pCopy, stream_of(nullptr, twin), kSync))
FARLANE_TWINS(cuMemcpy2DUnaligned_v2, _ptds, (const CUDA_MEMCPY2D* pCopy),
              copy_2d(pCopy, stream_of(nullptr, twin), kSync))
FARLANE_TWINS(cuMemcpy2DAsync_v2, _ptsz, (const CUDA_MEMCPY2D* pCopy, CUstream hStream),
              copy_2d(pCopy, stream_of(hStream, twin), kAsync))
FARLANE_TWINS(cuMemcpy3D_v2, _ptds, (const CUDA_MEMCPY3D* pCopy),
              copy_3d(pCopy, stream_of(nullptr, twin), kSync))
FARLANE_TWINS(cuMemcpy3DAsync_v2, _ptsz, (const CUDA_MEMCPY3D* pCopy, CUstream hStream),
              copy_3d(pCopy, stream_of(hStream, twin), kAsync))
FARLANE_TWINS(cuMemcpy3DPeer, _ptds, (const CUDA_MEMCPY3D_PEER* pCopy),
              copy_3d(pCopy, stream_of(nullptr, twin), kSync))
FARLANE_TWINS(cuMemcpy3DPeerAsync, _ptsz, (const CUDA_MEMCPY3D_PEER* pCopy, CUstream hStream),
              copy_3d(pCopy, stream_of(hStream, twin), kAsync))
