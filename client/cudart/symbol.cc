// Device variables by the address of their host-side twin.
#include "client/cudart/copy.h"
#include "client/cudart/registration.h"

namespace farlane::cudart {

Error part_of_variable(const void* symbol, int device, size_t offset, size_t count,
                       uint64_t* address) {
  Variable variable;
  if (Error error = registered_variable(symbol, device, &variable)) {
    return error;
  }
  if (offset > variable.bytes || count > variable.bytes - offset) {
    return cudaErrorInvalidValue;
  }
  *address = variable.address + offset;
  return {};
}

}  // namespace farlane::cudart

using namespace farlane::cudart;

namespace {

// Into the variable, or out of it, from or to memory at `other`.
cudaError_t copy_symbol(bool into, const void* symbol, const void* other, size_t count,
                        size_t offset, cudaMemcpyKind kind, CUstream stream, bool async) {
  return enter_context([&](int device) -> Error {
    if (kind != (into ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost) &&
        kind != cudaMemcpyDeviceToDevice && kind != cudaMemcpyDefault) {
      return cudaErrorInvalidMemcpyDirection;
    }
    Ends ends;
    if (Error error = ends_of(kind, &ends)) {
      return error;
    }
    core::Copy copy;
    if (Error error =
            part_of_variable(symbol, device, offset, count, into ? &copy.to : &copy.from)) {
      return error;
    }
    if (count == 0) {
      return {};
    }
    (into ? copy.from : copy.to) = reinterpret_cast<uint64_t>(other);
    copy.to_place = into ? core::Place::kDevice : ends.to;
    copy.from_place = into ? ends.from : core::Place::kDevice;
    copy.width = count;
    return core::copy(copy, stream, async);
  });
}

cudaError_t to_symbol(const void* symbol, const void* src, size_t count, size_t offset,
                      cudaMemcpyKind kind, CUstream stream, bool async) {
  return copy_symbol(true, symbol, src, count, offset, kind, stream, async);
}

cudaError_t from_symbol(const void* dst, const void* symbol, size_t count, size_t offset,
                        cudaMemcpyKind kind, CUstream stream, bool async) {
  return copy_symbol(false, symbol, dst, count, offset, kind, stream, async);
}

}  // namespace

FARLANE_TWINS(cudaMemcpyToSymbol, _ptds,
              (const void* symbol, const void* src, size_t count, size_t offset,
               cudaMemcpyKind kind),
              to_symbol(symbol, src, count, offset, kind, stream_of(nullptr, twin), kSync))
FARLANE_TWINS(cudaMemcpyToSymbolAsync, _ptsz,
              (const void* symbol, const void* src, size_t count, size_t offset,
               cudaMemcpyKind kind, cudaStream_t stream),
              to_symbol(symbol, src, count, offset, kind, stream_of(stream, twin), kAsync))
FARLANE_TWINS(cudaMemcpyFromSymbol, _ptds,
              (void* dst, const void* symbol, size_t count, size_t offset, cudaMemcpyKind kind),
              from_symbol(dst, symbol, count, offset, kind, stream_of(nullptr, twin), kSync))
FARLANE_TWINS(cudaMemcpyFromSymbolAsync, _ptsz,
              (void* dst, const void* symbol, size_t count, size_t offset, cudaMemcpyKind kind,
               cudaStream_t stream),
              from_symbol(dst, symbol, count, offset, kind, stream_of(stream, twin), kAsync))

cudaError_t cudaGetSymbolAddress(void** devPtr, const void* symbol) {
  return enter_context([&](int device) -> Error {
    if (devPtr == nullptr) {
      return cudaErrorInvalidValue;
    }
    Variable variable;
    if (Error error = registered_variable(symbol, device, &variable)) {
      return error;
    }
    *devPtr = reinterpret_cast<void*>(variable.address);
    return {};
  });
}

cudaError_t cudaGetSymbolSize(size_t* size, const void* symbol) {
  return enter_context([&](int device) -> Error {
    if (size == nullptr) {
      return cudaErrorInvalidValue;
    }
    Variable variable;
    if (Error error = registered_variable(symbol, device, &variable)) {
      return error;
    }
    *size = variable.bytes;
    return {};
  });
}
