// Memory and events of other processes.
#include "client/cudart/runtime.h"

using namespace farlane::cudart;

cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t* handle, void* devPtr) {
  return enter_context([&](int) -> Error {
    if (handle == nullptr || devPtr == nullptr) {
      return cudaErrorInvalidValue;
    }
    return core::memory_share(reinterpret_cast<CUdeviceptr>(devPtr), std::span(handle->reserved));
  });
}

cudaError_t cudaIpcOpenMemHandle(void** devPtr, cudaIpcMemHandle_t handle, unsigned int flags) {
  return enter_context([&](int device) -> Error {
    if (devPtr == nullptr || flags != cudaIpcMemLazyEnablePeerAccess) {
      return cudaErrorInvalidValue;
    }
    CUdeviceptr address = 0;
    const CUresult result =
        core::memory_open(std::span<const char, 64>(handle.reserved), device, &address);
    if (result == CUDA_SUCCESS) {
      *devPtr = reinterpret_cast<void*>(address);
    }
    return result;
  });
}

cudaError_t cudaIpcCloseMemHandle(void* devPtr) {
  return enter_context(
      [&](int) -> Error { return core::memory_close(reinterpret_cast<CUdeviceptr>(devPtr)); });
}

cudaError_t cudaIpcGetEventHandle(cudaIpcEventHandle_t* handle, cudaEvent_t event) {
  return enter_context([&](int) -> Error {
    if (handle == nullptr || event == nullptr) {
      return cudaErrorInvalidValue;
    }
    return core::event_share(event, std::span(handle->reserved));
  });
}

cudaError_t cudaIpcOpenEventHandle(cudaEvent_t* event, cudaIpcEventHandle_t handle) {
  return enter_context([&](int device) -> Error {
    if (event == nullptr) {
      return cudaErrorInvalidValue;
    }
    return core::event_open(std::span<const char, 64>(handle.reserved), device, event);
  });
}
