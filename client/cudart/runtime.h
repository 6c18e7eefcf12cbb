// What every function of the runtime façade is made of: one way in, which keeps exceptions inside,
// makes a context current when the function needs one, and remembers the error of the thread.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <exception>
#include <new>
#include <utility>

#include "client/core/api.h"

namespace farlane::cudart {

namespace core = farlane::client;

// The runtime's code for a driver's. They are the same numbers since CUDA 10.1, except for driver
// codes that the runtime has no name for.
cudaError_t from_driver(CUresult result);

// Either API's error code, on its way out of a runtime function.
class [[nodiscard]] Error {
 public:
  Error() = default;
  Error(cudaError_t code) : code_(code) {}                // NOLINT: both codes convert on purpose
  Error(CUresult result) : code_(from_driver(result)) {}  // NOLINT
  explicit operator bool() const { return code_ != cudaSuccess; }
  cudaError_t code() const { return code_; }

 private:
  cudaError_t code_ = cudaSuccess;
};

// Makes it the thread's last error, unless it is success, and returns it.
cudaError_t record(cudaError_t code);

// The device that the calling thread's next call goes to. No network.
int thread_device();
void set_thread_device(int device);

// Connects, and fails with the fitting code where there is no server or no device.
Error need_session();
// The same for what only names devices: a lost session has them still. PyTorch asks for the device
// and sets it in destructors, where an error ends the program.
Error need_devices();
// need_session(), and makes the primary context of the thread's device current where none is.
Error need_context_slowly(int* device);
inline Error need_context(int* device) {
  *device = core::current_device();
  return *device >= 0 ? Error() : need_context_slowly(device);
}

// cudaErrorInvalidDevice unless it is a visible one.
Error check_device(int device);

// Runs `body` (returning an Error) for an entry point: nothing is thrown across the C ABI.
template <typename Body>
cudaError_t enter(Body&& body) noexcept {
  try {
    return record(std::forward<Body>(body)().code());
  } catch (const std::bad_alloc&) {
    return record(cudaErrorMemoryAllocation);
  } catch (const std::exception&) {
    return record(cudaErrorUnknown);
  }
}

// The same for functions that work in a context: `body` gets the device. An earlier asynchronous
// error comes first, as in CUDA, where no call into a dead context succeeds.
template <typename Body>
cudaError_t enter_context(Body&& body) noexcept {
  return enter([&]() -> Error {
    int device = -1;
    if (Error error = need_context(&device)) {
      return error;
    }
    if (const CUresult earlier = core::session_error(); earlier != CUDA_SUCCESS) {
      return earlier;
    }
    return std::forward<Body>(body)(device);
  });
}

// The same for functions that give something back: they do so first, whatever there is to report.
template <typename Body>
cudaError_t enter_release(Body&& body) noexcept {
  return enter([&]() -> Error {
    int device = -1;
    if (Error error = need_context(&device)) {
      return error;
    }
    if (Error error = std::forward<Body>(body)(device)) {
      return error;
    }
    return core::session_error();
  });
}

// What stream 0 means depends on how the caller was compiled: the legacy default stream in the
// plain entry points, the thread's own one in those that end in _ptsz and _ptds.
enum class DefaultStream { kLegacy, kPerThread };

inline CUstream stream_of(cudaStream_t stream, DefaultStream meaning) {
  if (stream == nullptr && meaning == DefaultStream::kPerThread) {
    return CU_STREAM_PER_THREAD;
  }
  return stream;
}

// A function of the default stream and its twin for the per-thread default stream. `expression`
// is the body of both; it knows which one it is in by `twin`.
#define FARLANE_TWINS(name, suffix, parameters, expression) \
  cudaError_t name parameters {                             \
    constexpr auto twin = DefaultStream::kLegacy;           \
    return expression;                                      \
  }                                                         \
  cudaError_t name##suffix parameters {                     \
    constexpr auto twin = DefaultStream::kPerThread;        \
    return expression;                                      \
  }

// Says once in the log that the function is not there, and gives the runtime's code for it.
inline Error not_supported(const char* function_name) {
  core::unsupported(function_name);
  return cudaErrorNotSupported;
}

}  // namespace farlane::cudart
