// The functions of cuDNN that are answered here, and what must be known of a handle's device.
#include <cuda_runtime_api.h>
#include <cudnn.h>

#include <atomic>
#include <mutex>

#include "client/core/api.h"
#include "client/cudax/call.h"
#include "generated/client/cudnn_facts.h"

using farlane::client::cudax::Call;
using farlane::client::cudax::Object;
using namespace farlane::client::cudax::cudnn;
namespace cudax = farlane::client::cudax;

namespace {

// What the program set; nobody calls it.
struct Callback {
  std::mutex mutex;
  unsigned mask = 0;
  void* data = nullptr;
  cudnnCallback_t function = nullptr;
};
Callback& callback() {
  static Callback* const made = new Callback;  // never destroyed: programs ask from destructors
  return *made;
}

}  // namespace

extern "C" {

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  Call call(kLibrary, k_cudnnCreate, "cudnnCreate");
  call.made(handle, kHandle);
  const auto status = static_cast<cudnnStatus_t>(call.ask(false));
  if (status == CUDNN_STATUS_SUCCESS) {
    // Devices differ in what the library answers.
    cudax::object_set(cudax::object_find(Call::bits(*handle), kHandle), k_cudnnCreate,
                      static_cast<uint64_t>(farlane::client::current_device()));
  }
  return status;
}

cudnnStatus_t cudnnGetStream(cudnnHandle_t handle, cudaStream_t* streamId) {
  const Object* object = cudax::object_find(Call::bits(handle), kHandle);
  if (object == nullptr || streamId == nullptr) return CUDNN_STATUS_BAD_PARAM;
  *streamId = object->stream;
  return CUDNN_STATUS_SUCCESS;
}

// The server's, as programs compare it with what they were built for; without one, that.
size_t cudnnGetVersion(void) {
  if (cudax::open(kLibrary.number, kLibrary.name, kLibrary.soname, kLibrary.major) !=
      CUDA_SUCCESS) {
    return CUDNN_VERSION;
  }
  unsigned numbers[3] = {};
  cudax::version(kLibrary.number, numbers);
  return numbers[0] * 10000 + numbers[1] * 100 + numbers[2];
}

size_t cudnnGetMaxDeviceVersion(void) {
  return CUDNN_MAX_DEVICE_VERSION;
}
size_t cudnnGetCudartVersion(void) {
  return CUDART_VERSION;
}

// The library's log is written where the library runs; nobody would read it there.
cudnnStatus_t cudnnSetCallback(unsigned mask, void* udata, cudnnCallback_t fptr) {
  const std::lock_guard lock(callback().mutex);
  callback().mask = mask;
  callback().data = udata;
  callback().function = fptr;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetCallback(unsigned* mask, void** udata, cudnnCallback_t* fptr) {
  const std::lock_guard lock(callback().mutex);
  if (mask != nullptr) *mask = callback().mask;
  if (udata != nullptr) *udata = callback().data;
  if (fptr != nullptr) *fptr = callback().function;
  return CUDNN_STATUS_SUCCESS;
}

namespace {
const char* name_of(cudnnStatus_t status) {
  switch (status) {
#define NAME(status) \
  case status:       \
    return #status
    NAME(CUDNN_STATUS_SUCCESS);
    NAME(CUDNN_STATUS_NOT_INITIALIZED);
    NAME(CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH);
    NAME(CUDNN_STATUS_SERIALIZATION_VERSION_MISMATCH);
    NAME(CUDNN_STATUS_DEPRECATED);
    NAME(CUDNN_STATUS_LICENSE_ERROR);
    NAME(CUDNN_STATUS_RUNTIME_IN_PROGRESS);
    NAME(CUDNN_STATUS_RUNTIME_FP_OVERFLOW);
    NAME(CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED);
    NAME(CUDNN_STATUS_BAD_PARAM);
    NAME(CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
    NAME(CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER);
    NAME(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED);
    NAME(CUDNN_STATUS_BAD_PARAM_OUT_OF_BOUND);
    NAME(CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT);
    NAME(CUDNN_STATUS_BAD_PARAM_STREAM_MISMATCH);
    NAME(CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH);
    NAME(CUDNN_STATUS_BAD_PARAM_DUPLICATED_ENTRIES);
    NAME(CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE);
    NAME(CUDNN_STATUS_BAD_PARAM_CUDA_GRAPH_MISMATCH);
    NAME(CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE);
    NAME(CUDNN_STATUS_NOT_SUPPORTED);
    NAME(CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN);
    NAME(CUDNN_STATUS_NOT_SUPPORTED_SHAPE);
    NAME(CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE);
    NAME(CUDNN_STATUS_NOT_SUPPORTED_LAYOUT);
    NAME(CUDNN_STATUS_NOT_SUPPORTED_INCOMPATIBLE_CUDA_DRIVER);
    NAME(CUDNN_STATUS_NOT_SUPPORTED_INCOMPATIBLE_CUDART);
    NAME(CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH);
    NAME(CUDNN_STATUS_NOT_SUPPORTED_RUNTIME_PREREQUISITE_MISSING);
    NAME(CUDNN_STATUS_NOT_SUPPORTED_SUBLIBRARY_UNAVAILABLE);
    NAME(CUDNN_STATUS_NOT_SUPPORTED_SHARED_MEMORY_INSUFFICIENT);
    NAME(CUDNN_STATUS_NOT_SUPPORTED_PADDING);
    NAME(CUDNN_STATUS_NOT_SUPPORTED_BAD_LAUNCH_PARAM);
    NAME(CUDNN_STATUS_NOT_SUPPORTED_CUDA_GRAPH_NATIVE_API);
    NAME(CUDNN_STATUS_NOT_SUPPORTED_INVALID_DYNAMIC_SHAPE);
    NAME(CUDNN_STATUS_INTERNAL_ERROR);
    NAME(CUDNN_STATUS_INTERNAL_ERROR_COMPILATION_FAILED);
    NAME(CUDNN_STATUS_INTERNAL_ERROR_UNEXPECTED_VALUE);
    NAME(CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED);
    NAME(CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED);
    NAME(CUDNN_STATUS_INTERNAL_ERROR_BAD_LAUNCH_PARAM);
    NAME(CUDNN_STATUS_INTERNAL_ERROR_TEXTURE_CREATION_FAILED);
    NAME(CUDNN_STATUS_EXECUTION_FAILED);
    NAME(CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER);
    NAME(CUDNN_STATUS_EXECUTION_FAILED_CUBLAS);
    NAME(CUDNN_STATUS_EXECUTION_FAILED_CUDART);
    NAME(CUDNN_STATUS_EXECUTION_FAILED_CURAND);
#undef NAME
    case CUDNN_STATUS_INVALID_VALUE:
      return "CUDNN_STATUS_INVALID_VALUE";
  }
  return "CUDNN_STATUS_UNKNOWN";
}
}  // namespace

// Where nothing of the library works at all, the text says why: programs make an exception of it.
const char* cudnnGetErrorString(cudnnStatus_t status) {
  const char* const name = name_of(status);
  const char* const why =
      status == CUDNN_STATUS_SUCCESS ? nullptr : cudax::why_not(kLibrary.number, name);
  return why != nullptr ? why : name;
}

}  // extern "C"
