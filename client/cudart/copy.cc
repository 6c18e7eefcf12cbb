// cudaMemcpy in its 1-D, 2-D and 3-D forms over linear memory.
#include "client/cudart/copy.h"

namespace farlane::cudart {

// CUDA insists on the device's end of a copy only; with unified addressing, what is called the
// host's end may well be a device address.
Error ends_of(cudaMemcpyKind kind, Ends* ends) {
  using core::Place;
  switch (kind) {
    case cudaMemcpyHostToHost:
      *ends = {Place::kByAddress, Place::kByAddress};
      return {};
    case cudaMemcpyHostToDevice:
      *ends = {Place::kDevice, Place::kByAddress};
      return {};
    case cudaMemcpyDeviceToHost:
      *ends = {Place::kByAddress, Place::kDevice};
      return {};
    case cudaMemcpyDeviceToDevice:
      *ends = {Place::kDevice, Place::kDevice};
      return {};
    case cudaMemcpyDefault:
      *ends = {Place::kByAddress, Place::kByAddress};
      return {};
  }
  return cudaErrorInvalidMemcpyDirection;
}

namespace {

uint64_t address_of(const void* pointer) {
  return reinterpret_cast<uint64_t>(pointer);
}

// The device's end of a copy may be pinned host memory, which has one address everywhere.
void settle(core::Place* place, uint64_t address) {
  if (*place == core::Place::kDevice &&
      core::pointer_facts(address).kind == core::PointerFacts::Kind::kPinnedHost) {
    *place = core::Place::kHost;
  }
}

Error do_copy(core::Copy copy, CUstream stream, bool async) {
  if (copy.width == 0 || copy.height == 0 || copy.depth == 0) {
    return {};
  }
  settle(&copy.to_place, copy.to);
  settle(&copy.from_place, copy.from);
  return core::copy(copy, stream, async);
}

cudaError_t copy_1d(void* dst, const void* src, size_t count, cudaMemcpyKind kind, CUstream stream,
                    bool async) {
  return enter_context([&](int) -> Error {
    if (count == 0) {
      return {};  // whatever the pointers and the kind
    }
    Ends ends;
    if (Error error = ends_of(kind, &ends)) {
      return error;
    }
    core::Copy copy;
    copy.to = address_of(dst);
    copy.from = address_of(src);
    copy.to_place = ends.to;
    copy.from_place = ends.from;
    copy.width = count;
    return do_copy(copy, stream, async);
  });
}

cudaError_t copy_2d(void* dst, size_t dpitch, const void* src, size_t spitch, size_t width,
                    size_t height, cudaMemcpyKind kind, CUstream stream, bool async) {
  return enter_context([&](int) -> Error {
    if (width == 0 || height == 0) {
      return {};
    }
    Ends ends;
    if (Error error = ends_of(kind, &ends)) {
      return error;
    }
    if (width > dpitch || width > spitch) {
      return height > 1 ? cudaErrorInvalidPitchValue : cudaErrorInvalidValue;
    }
    core::Copy copy;
    copy.to = address_of(dst);
    copy.from = address_of(src);
    copy.to_place = ends.to;
    copy.from_place = ends.from;
    copy.width = width;
    copy.height = height;
    copy.to_pitch = dpitch;
    copy.from_pitch = spitch;
    return do_copy(copy, stream, async);
  });
}

// One end of a 3-D copy: a position inside a pitched box.
Error box_address(const cudaPitchedPtr& box, const cudaPos& at, uint64_t* address, size_t* slice) {
  if (box.ptr == nullptr) {
    return cudaErrorInvalidValue;
  }
  *slice = box.pitch * box.ysize;
  *address = address_of(box.ptr) + at.z * *slice + at.y * box.pitch + at.x;
  return {};
}

Error box_of(const cudaPitchedPtr& to, const cudaPos& to_at, const cudaPitchedPtr& from,
             const cudaPos& from_at, const cudaExtent& extent, const Ends& ends, core::Copy* out) {
  core::Copy& copy = *out;
  copy.width = extent.width;
  copy.height = extent.height;
  copy.depth = extent.depth;
  if (extent.width == 0 || extent.height == 0 || extent.depth == 0) {
    return {};
  }
  if (Error error = box_address(to, to_at, &copy.to, &copy.to_slice)) {
    return error;
  }
  if (Error error = box_address(from, from_at, &copy.from, &copy.from_slice)) {
    return error;
  }
  if (extent.width > to.pitch || extent.width > from.pitch) {
    return cudaErrorInvalidPitchValue;
  }
  if (extent.depth > 1 && (extent.height > to.ysize || extent.height > from.ysize)) {
    return cudaErrorInvalidValue;
  }
  copy.to_place = ends.to;
  copy.from_place = ends.from;
  copy.to_pitch = to.pitch;
  copy.from_pitch = from.pitch;
  settle(&copy.to_place, copy.to);
  settle(&copy.from_place, copy.from);
  return {};
}

Error copy_box(const cudaPitchedPtr& to, const cudaPos& to_at, const cudaPitchedPtr& from,
               const cudaPos& from_at, const cudaExtent& extent, const Ends& ends, CUstream stream,
               bool async) {
  core::Copy copy;
  if (Error error = box_of(to, to_at, from, from_at, extent, ends, &copy)) {
    return error;
  }
  return do_copy(copy, stream, async);
}

cudaError_t copy_3d(const cudaMemcpy3DParms* p, CUstream stream, bool async) {
  return enter_context([&](int) -> Error {
    core::Copy copy;
    if (Error error = copy_3d_of(p, &copy)) {
      return error;
    }
    return do_copy(copy, stream, async);
  });
}

cudaError_t copy_peer(void* dst, int dst_device, const void* src, int src_device, size_t count,
                      CUstream stream, bool async) {
  return enter_context([&](int) -> Error {
    if (Error error = check_device(dst_device)) {
      return error;
    }
    if (Error error = check_device(src_device)) {
      return error;
    }
    core::Copy copy;
    copy.to = address_of(dst);
    copy.from = address_of(src);
    copy.to_place = core::Place::kDevice;
    copy.from_place = core::Place::kDevice;
    copy.width = count;
    return do_copy(copy, stream, async);
  });
}

cudaError_t copy_3d_peer(const cudaMemcpy3DPeerParms* p, CUstream stream, bool async) {
  return enter_context([&](int) -> Error {
    if (p == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (p->srcArray != nullptr || p->dstArray != nullptr) {
      return not_supported("cudaMemcpy3DPeer with arrays");
    }
    if (Error error = check_device(p->dstDevice)) {
      return error;
    }
    if (Error error = check_device(p->srcDevice)) {
      return error;
    }
    return copy_box(p->dstPtr, p->dstPos, p->srcPtr, p->srcPos, p->extent,
                    {core::Place::kDevice, core::Place::kDevice}, stream, async);
  });
}

}  // namespace

Error copy_1d_of(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, core::Copy* copy) {
  Ends ends;
  if (Error error = ends_of(kind, &ends)) {
    return error;
  }
  copy->to = address_of(to);
  copy->from = address_of(from);
  copy->to_place = ends.to;
  copy->from_place = ends.from;
  copy->width = bytes;
  settle(&copy->to_place, copy->to);
  settle(&copy->from_place, copy->from);
  return {};
}

Error copy_3d_of(const cudaMemcpy3DParms* p, core::Copy* copy) {
  if (p == nullptr) {
    return cudaErrorInvalidValue;
  }
  if (p->srcArray != nullptr || p->dstArray != nullptr) {
    return not_supported("cudaMemcpy3D with arrays");
  }
  Ends ends;
  if (Error error = ends_of(p->kind, &ends)) {
    return error;
  }
  return box_of(p->dstPtr, p->dstPos, p->srcPtr, p->srcPos, p->extent, ends, copy);
}

}  // namespace farlane::cudart

using namespace farlane::cudart;

FARLANE_TWINS(cudaMemcpy, _ptds, (void* dst, const void* src, size_t count, cudaMemcpyKind kind),
              copy_1d(dst, src, count, kind, stream_of(nullptr, twin), kSync))

FARLANE_TWINS(cudaMemcpyAsync, _ptsz,
              (void* dst, const void* src, size_t count, cudaMemcpyKind kind, cudaStream_t stream),
              copy_1d(dst, src, count, kind, stream_of(stream, twin), kAsync))

FARLANE_TWINS(cudaMemcpy2D, _ptds,
              (void* dst, size_t dpitch, const void* src, size_t spitch, size_t width,
               size_t height, cudaMemcpyKind kind),
              copy_2d(dst, dpitch, src, spitch, width, height, kind, stream_of(nullptr, twin),
                      kSync))

FARLANE_TWINS(cudaMemcpy2DAsync, _ptsz,
              (void* dst, size_t dpitch, const void* src, size_t spitch, size_t width,
               size_t height, cudaMemcpyKind kind, cudaStream_t stream),
              copy_2d(dst, dpitch, src, spitch, width, height, kind, stream_of(stream, twin),
                      kAsync))

FARLANE_TWINS(cudaMemcpy3D, _ptds, (const cudaMemcpy3DParms* p),
              copy_3d(p, stream_of(nullptr, twin), kSync))

FARLANE_TWINS(cudaMemcpy3DAsync, _ptsz, (const cudaMemcpy3DParms* p, cudaStream_t stream),
              copy_3d(p, stream_of(stream, twin), kAsync))

FARLANE_TWINS(cudaMemcpy3DPeer, _ptds, (const cudaMemcpy3DPeerParms* p),
              copy_3d_peer(p, stream_of(nullptr, twin), kSync))

FARLANE_TWINS(cudaMemcpy3DPeerAsync, _ptsz, (const cudaMemcpy3DPeerParms* p, cudaStream_t stream),
              copy_3d_peer(p, stream_of(stream, twin), kAsync))

cudaError_t cudaMemcpyPeer(void* dst, int dstDevice, const void* src, int srcDevice, size_t count) {
  return copy_peer(dst, dstDevice, src, srcDevice, count, nullptr, kSync);
}

cudaError_t cudaMemcpyPeerAsync(void* dst, int dstDevice, const void* src, int srcDevice,
                                size_t count, cudaStream_t stream) {
  return copy_peer(dst, dstDevice, src, srcDevice, count, stream, kAsync);
}
