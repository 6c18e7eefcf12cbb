// How a driver function begins and ends: is the driver ready, is there a context, has it failed;
// and no exception leaves through the C ABI.
#pragma once

#include <new>
#include <utility>

#include "server/softcuda/driver_context.h"
#include "server/softcuda/driver_device.h"

namespace farlane::softcuda {

template <typename Body>
CUresult guarded(Body&& body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  } catch (...) {
    return CUDA_ERROR_UNKNOWN;
  }
}

// After cuInit; needs no context.
template <typename Body>
CUresult initialized(Body&& body) noexcept {
  return guarded([&]() -> CUresult {
    if (!Driver::instance().initialized.load()) {
      return CUDA_ERROR_NOT_INITIALIZED;
    }
    return body();
  });
}

inline bool is_our_device(CUdevice device) {
  return device >= 0 && device < device_count();
}

// After cuInit, for a device that exists.
template <typename Body>
CUresult on_device(CUdevice device, Body&& body) noexcept {
  return initialized(
      [&]() -> CUresult { return is_our_device(device) ? body() : CUDA_ERROR_INVALID_DEVICE; });
}

// With a current context that has not failed: body(const ContextPtr&).
template <typename Body>
CUresult in_context(Body&& body) noexcept {
  return initialized([&]() -> CUresult {
    const ContextPtr context = current_context();
    if (context == nullptr) {
      return CUDA_ERROR_INVALID_CONTEXT;
    }
    if (const CUresult failed = context->sticky.load(); failed != CUDA_SUCCESS) {
      return failed;
    }
    return body(context);
  });
}

}  // namespace farlane::softcuda
