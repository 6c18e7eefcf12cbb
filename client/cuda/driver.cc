#include "client/cuda/driver.h"

#include <atomic>

#include "client/cudart/error_table.h"

namespace farlane::cuda {
namespace {

std::atomic<bool> init_called = false;

}  // namespace

bool is_initialized() {
  if (init_called.load(std::memory_order_acquire)) {
    return !core::session_is_forked();
  }
  // The runtime initialises without cuInit, as soon as it is asked for devices: PyTorch calls the
  // driver after nothing but cudaGetDeviceCount. That stays true.
  if (!core::session_is_started()) {
    return false;
  }
  init_called.store(true, std::memory_order_release);
  return true;
}

CUresult check_device(CUdevice device) {
  return device >= 0 && device < core::device_count() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

}  // namespace farlane::cuda

using namespace farlane::cuda;

CUresult cuInit(unsigned int Flags) {
  return enter_any([&]() -> CUresult {
    if (Flags != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (const CUresult result = core::session_start(); result != CUDA_SUCCESS) {
      return result;
    }
    if (core::device_count() == 0) {
      return CUDA_ERROR_NO_DEVICE;
    }
    init_called.store(true, std::memory_order_release);
    return CUDA_SUCCESS;
  });
}

CUresult cuDriverGetVersion(int* driverVersion) {
  return enter_any([&]() -> CUresult {
    if (driverVersion == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *driverVersion = core::driver_version();
    return CUDA_SUCCESS;
  });
}

CUresult cuGetErrorName(CUresult error, const char** pStr) {
  return enter_any([&]() -> CUresult {
    if (pStr == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto* entry = farlane::error_table::find(static_cast<int>(error));
    const bool known = entry != nullptr && entry->driver_name != nullptr;
    *pStr = known ? entry->driver_name : nullptr;
    return known ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuGetErrorString(CUresult error, const char** pStr) {
  return enter_any([&]() -> CUresult {
    if (pStr == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto* entry = farlane::error_table::find(static_cast<int>(error));
    const bool known = entry != nullptr && entry->driver_name != nullptr;
    *pStr = known ? entry->text : nullptr;
    if (const char* const lost =
            error == CUDA_ERROR_SYSTEM_NOT_READY ? core::session_loss(entry->text) : nullptr) {
      *pStr = lost;
    }
    return known ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

// What the generated stubs of unwritten functions do.
extern "C" int farlane_cuda_unsupported(const char* name) {
  return enter_any([&] { return not_supported(name); });
}
