// Device variables by the address of their host-side twin.
#include "client/cudart/copy.h"
#include "client/cudart/registration.h"

using namespace farlane::cudart;

namespace {

// A part of a variable, as the target or source of a copy.
Error part_of(const void* symbol, int device, size_t offset, size_t count, uint64_t* address) {
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

cudaError_t to_symbol(const void* symbol, const void* src, size_t count, size_t offset,
                      cudaMemcpyKind kind, CUstream stream, bool async) {
  return enter_context([&](int device) -> Error {
    if (kind != cudaMemcpyHostToDevice && kind != cudaMemcpyDeviceToDevice &&
        kind != cudaMemcpyDefault) {
      return cudaErrorInvalidMemcpyDirection;
    }
    Ends ends;
    if (Error error = ends_of(kind, &ends)) {
      return error;
    }
    core::Copy copy;
    if (Error error = part_of(symbol, device, offset, count, &copy.to)) {
      return error;
    }
    if (count == 0) {
      return {};
    }
    copy.from = reinterpret_cast<uint64_t>(src);
    copy.to_place = core::Place::kDevice;
    copy.from_place = ends.from;
    copy.width = count;
    return core::copy(copy, stream, async);
  });
}

cudaError_t from_symbol(void* dst, const void* symbol, size_t count, size_t offset,
                        cudaMemcpyKind kind, CUstream stream, bool async) {
  return enter_context([&](int device) -> Error {
    if (kind != cudaMemcpyDeviceToHost && kind != cudaMemcpyDeviceToDevice &&
        kind != cudaMemcpyDefault) {
      return cudaErrorInvalidMemcpyDirection;
    }
    Ends ends;
    if (Error error = ends_of(kind, &ends)) {
      return error;
    }
    core::Copy copy;
    if (Error error = part_of(symbol, device, offset, count, &copy.from)) {
      return error;
    }
    if (count == 0) {
      return {};
    }
    copy.to = reinterpret_cast<uint64_t>(dst);
    copy.to_place = ends.to;
    copy.from_place = core::Place::kDevice;
    copy.width = count;
    return core::copy(copy, stream, async);
  });
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
