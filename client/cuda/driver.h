// What every function of the driver façade is made of.
#pragma once

#include <cuda.h>

#include <exception>
#include <new>
#include <utility>

#include "client/core/api.h"

namespace farlane::cuda {

namespace core = farlane::client;

// False before cuInit, unless the runtime has made a context current.
bool is_initialized();

// CUDA_ERROR_INVALID_DEVICE unless it is a visible one.
CUresult check_device(CUdevice device);

// Runs `body` (returning a CUresult) for an entry point that works before cuInit. Nothing is thrown
// across the C ABI.
template <typename Body>
CUresult enter_any(Body&& body) noexcept {
  try {
    return std::forward<Body>(body)();
  } catch (const std::bad_alloc&) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  } catch (const std::exception&) {
    return CUDA_ERROR_UNKNOWN;
  }
}

// For the others.
template <typename Body>
CUresult enter(Body&& body) noexcept {
  return enter_any([&]() -> CUresult {
    if (core::in_host_function()) {
      return CUDA_ERROR_NOT_PERMITTED;
    }
    return is_initialized() ? std::forward<Body>(body)() : CUDA_ERROR_NOT_INITIALIZED;
  });
}

// For those that work in the thread's current context: `body` gets its device. Before cuInit there
// is none. An earlier asynchronous error comes first, as in CUDA, where no call into a dead context
// succeeds.
template <typename Body>
CUresult enter_context(Body&& body) noexcept {
  return enter_any([&]() -> CUresult {
    const int device = core::current_device();
    if (device < 0) {
      return core::in_host_function() ? CUDA_ERROR_NOT_PERMITTED : CUDA_ERROR_INVALID_CONTEXT;
    }
    const CUresult earlier = core::session_error();
    return earlier == CUDA_SUCCESS ? std::forward<Body>(body)(device) : earlier;
  });
}

// For those that give something back: they do so first, whatever there is to report.
template <typename Body>
CUresult enter_release(Body&& body) noexcept {
  return enter([&]() -> CUresult {
    const CUresult result = std::forward<Body>(body)();
    return result == CUDA_SUCCESS ? core::session_error() : result;
  });
}

// For those that take a device.
template <typename Body>
CUresult enter_device(CUdevice device, Body&& body) noexcept {
  return enter([&]() -> CUresult {
    const CUresult result = check_device(device);
    return result == CUDA_SUCCESS ? std::forward<Body>(body)() : result;
  });
}

// What stream 0 means: the legacy default stream in the plain entry points, the thread's own one in
// those that end in _ptsz and _ptds.
enum class DefaultStream { kLegacy, kPerThread };

inline CUstream stream_of(CUstream stream, DefaultStream meaning) {
  return stream == nullptr && meaning == DefaultStream::kPerThread ? CU_STREAM_PER_THREAD : stream;
}

// A function of the default stream and its twin for the per-thread default stream. `expression` is
// the body of both; it knows which one it is in by `twin`.
#define FARLANE_TWINS(name, suffix, parameters, expression) \
  CUresult name parameters {                                \
    constexpr auto twin = DefaultStream::kLegacy;           \
    return expression;                                      \
  }                                                         \
  CUresult name##suffix parameters {                        \
    constexpr auto twin = DefaultStream::kPerThread;        \
    return expression;                                      \
  }

// Says once in the log that the function is not there.
inline CUresult not_supported(const char* function_name) {
  core::unsupported(function_name);
  return CUDA_ERROR_NOT_SUPPORTED;
}

}  // namespace farlane::cuda
