// Memory and events of other processes.
#include "client/cuda/driver.h"

using namespace farlane::cuda;

namespace {

CUresult open(CUdeviceptr* pdptr, const CUipcMemHandle& handle, unsigned flags) {
  return enter_context([&](int device) -> CUresult {
    if (pdptr == nullptr || flags != CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return core::memory_open(std::span<const char, 64>(handle.reserved), device, pdptr);
  });
}

}  // namespace

CUresult cuIpcGetMemHandle(CUipcMemHandle* pHandle, CUdeviceptr dptr) {
  return enter_context([&](int) -> CUresult {
    return pHandle == nullptr ? CUDA_ERROR_INVALID_VALUE
                              : core::memory_share(dptr, std::span(pHandle->reserved));
  });
}

CUresult cuIpcOpenMemHandle_v2(CUdeviceptr* pdptr, CUipcMemHandle handle, unsigned int Flags) {
  return open(pdptr, handle, Flags);
}
CUresult cuIpcOpenMemHandle(CUdeviceptr* pdptr, CUipcMemHandle handle, unsigned int Flags) {
  return open(pdptr, handle, Flags);
}

CUresult cuIpcCloseMemHandle(CUdeviceptr dptr) {
  return enter_context([&](int) { return core::memory_close(dptr); });
}

CUresult cuIpcGetEventHandle(CUipcEventHandle* pHandle, CUevent event) {
  return enter_context([&](int) -> CUresult {
    return pHandle == nullptr ? CUDA_ERROR_INVALID_VALUE
                              : core::event_share(event, std::span(pHandle->reserved));
  });
}

CUresult cuIpcOpenEventHandle(CUevent* phEvent, CUipcEventHandle handle) {
  return enter_context([&](int device) -> CUresult {
    return phEvent == nullptr
               ? CUDA_ERROR_INVALID_VALUE
               : core::event_open(std::span<const char, 64>(handle.reserved), device, phEvent);
  });
}
