#include "client/cudart/runtime.h"

#include "client/cudart/error_table.h"
#include "client/cudart/registration.h"

namespace farlane::cudart {
namespace {

// Trivially destructible: a thread's last calls may come from other libraries' destructors.
struct ThreadState {
  cudaError_t last_error = cudaSuccess;
  int device = 0;
};
constinit thread_local ThreadState thread_state;

}  // namespace

cudaError_t from_driver(CUresult result) {
  if (result == CUDA_SUCCESS) [[likely]] {
    return cudaSuccess;
  }
  const error_table::Entry* entry = error_table::find(static_cast<int>(result));
  if (entry == nullptr || entry->runtime_name == nullptr) {
    return cudaErrorUnknown;
  }
  return static_cast<cudaError_t>(entry->code);
}

cudaError_t record(cudaError_t code) {
  // "Not ready" is an answer, not an error.
  if (code != cudaSuccess && code != cudaErrorNotReady) [[unlikely]] {
    thread_state.last_error = code;
  }
  return code;
}

int thread_device() {
  const int device = core::current_device();
  return device >= 0 ? device : thread_state.device;
}

void set_thread_device(int device) {
  thread_state.device = device;
}

Error need_session() {
  if (const CUresult result = core::session_start(); result != CUDA_SUCCESS) {
    return result;
  }
  return core::device_count() > 0 ? cudaSuccess : cudaErrorNoDevice;
}

Error need_devices() {
  return core::session_is_started() ? Error() : need_session();
}

Error need_context_slowly(int* device) {
  if (Error error = need_session()) {
    return error;
  }
  *device = thread_state.device;
  if (const CUresult result = core::make_device_current(*device); result != CUDA_SUCCESS) {
    return result;
  }
  load_registered_if_eager(*device);
  return {};
}

Error check_device(int device) {
  if (Error error = need_devices()) {
    return error;
  }
  return device >= 0 && device < core::device_count() ? cudaSuccess : cudaErrorInvalidDevice;
}

}  // namespace farlane::cudart

using namespace farlane::cudart;

cudaError_t cudaGetLastError() {
  // Also clears the error of a dead context: it is the next call into it that says so again.
  const cudaError_t code = thread_state.last_error;
  thread_state.last_error = cudaSuccess;
  return code;
}

cudaError_t cudaPeekAtLastError() {
  return thread_state.last_error;
}

const char* cudaGetErrorName(cudaError_t error) {
  const auto* entry = farlane::error_table::find(static_cast<int>(error));
  return entry != nullptr && entry->runtime_name != nullptr ? entry->runtime_name
                                                            : farlane::error_table::kUnrecognized;
}

const char* cudaGetErrorString(cudaError_t error) {
  const auto* entry = farlane::error_table::find(static_cast<int>(error));
  if (entry == nullptr || entry->runtime_name == nullptr) {
    return farlane::error_table::kUnrecognized;
  }
  // Programs make an exception of it: it says what became of the server, and which.
  const char* const lost =
      error == cudaErrorSystemNotReady ? core::session_loss(entry->text) : nullptr;
  return lost != nullptr ? lost : entry->text;
}

// What the generated stubs of unwritten functions do.
extern "C" int farlane_cudart_unsupported(const char* name) {
  return enter([&] { return not_supported(name); });
}
