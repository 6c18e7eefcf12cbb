// The functions of cublasXt that calculate nothing. What they return was seen on the library itself
// (13.1), as far as it can be seen without a device.
#include <cublasXt.h>

#include "client/cudax/cublas/xt_context.h"

#include <algorithm>
#include <map>

#include "client/core/api.h"

namespace client = farlane::client;

namespace farlane::client::cudax::cublas {
namespace {

// As the library has it.
constexpr int kBoardsMax = 1024;

struct Live {
  std::mutex mutex;
  std::map<cublasXtHandle_t, std::shared_ptr<cublasXtContext>> contexts;  // guarded by mutex
};
// Never destroyed: programs call libraries from their own destructors.
Live& live() {
  static Live* const made = new Live;
  return *made;
}

bool is_operation(cublasXtBlasOp_t operation, cublasXtOpType_t type) {
  return operation >= CUBLASXT_GEMM && operation < CUBLASXT_ROUTINE_MAX && type >= CUBLASXT_FLOAT &&
         type <= CUBLASXT_DOUBLECOMPLEX;
}

// Only matrix products can be shared with the CPU: so NVIDIA's documentation, and the library.
cublasStatus_t check_cpu(cublasXtHandle_t handle, cublasXtBlasOp_t operation,
                         cublasXtOpType_t type) {
  if (xt_find(handle) == nullptr || !is_operation(operation, type)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  return operation == CUBLASXT_GEMM ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

// Different devices that are there.
cublasStatus_t check_devices(int count, const int* devices) {
  if (client::session_start() != CUDA_SUCCESS) return CUBLAS_STATUS_INTERNAL_ERROR;
  for (int i = 0; i < count; ++i) {
    if (devices[i] < 0 || devices[i] >= client::device_count() ||
        std::find(devices, devices + i, devices[i]) != devices + i) {
      return CUBLAS_STATUS_INVALID_VALUE;
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

std::shared_ptr<cublasXtContext> xt_find(cublasXtHandle_t handle) {
  const std::lock_guard lock(live().mutex);
  const auto found = live().contexts.find(handle);
  return found == live().contexts.end() ? nullptr : found->second;
}

OnDevice::OnDevice(int device) {
  CUcontext context = nullptr;
  is_on_ = !in_host_function() && context_primary(device, &context) == CUDA_SUCCESS &&
           context_push(context) == CUDA_SUCCESS;
}

OnDevice::~OnDevice() {
  if (is_on_) context_pop(nullptr);
}

}  // namespace farlane::client::cudax::cublas

using namespace farlane::client::cudax::cublas;

cublasXtContext::~cublasXtContext() {
  if (blas != nullptr) cublasDestroy_v2(blas);
}

extern "C" {

cublasStatus_t cublasXtCreate(cublasXtHandle_t* handle) {
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  try {
    auto made = std::make_shared<cublasXtContext>();
    const std::lock_guard lock(live().mutex);
    *handle = made.get();
    live().contexts.emplace(made.get(), std::move(made));
  } catch (const std::bad_alloc&) {
    return CUBLAS_STATUS_ALLOC_FAILED;
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasXtDestroy(cublasXtHandle_t handle) {
  std::shared_ptr<cublasXtContext> ended;  // not under the lock
  const std::lock_guard lock(live().mutex);
  const auto found = live().contexts.find(handle);
  if (found == live().contexts.end()) return CUBLAS_STATUS_INVALID_VALUE;
  ended = std::move(found->second);
  live().contexts.erase(found);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasXtMaxBoards(int* nbGpuBoards) {
  if (nbGpuBoards == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *nbGpuBoards = kBoardsMax;
  return CUBLAS_STATUS_SUCCESS;
}

// Each device is a board of its own.
cublasStatus_t cublasXtGetNumBoards(int nbDevices, int deviceId[], int* nbBoards) {
  if (nbDevices == 0) return CUBLAS_STATUS_SUCCESS;
  if (nbDevices < 0 || deviceId == nullptr || nbBoards == nullptr) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (check_devices(nbDevices, deviceId) != CUBLAS_STATUS_SUCCESS) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  *nbBoards = nbDevices;
  return CUBLAS_STATUS_SUCCESS;
}

// The first of them does all the work.
cublasStatus_t cublasXtDeviceSelect(cublasXtHandle_t handle, int nbDevices, int deviceId[]) {
  const std::shared_ptr<cublasXtContext> context = xt_find(handle);
  if (context == nullptr || nbDevices <= 0 || nbDevices > kBoardsMax || deviceId == nullptr) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const cublasStatus_t checked = check_devices(nbDevices, deviceId);
  if (checked != CUBLAS_STATUS_SUCCESS) return checked;
  const OnDevice on(deviceId[0]);
  if (!on.is_on()) return CUBLAS_STATUS_INTERNAL_ERROR;
  cublasHandle_t blas = nullptr;
  const cublasStatus_t made = cublasCreate_v2(&blas);
  if (made != CUBLAS_STATUS_SUCCESS) return made;
  const std::lock_guard lock(context->mutex);
  if (context->blas != nullptr) cublasDestroy_v2(context->blas);
  context->blas = blas;
  try {
    context->devices.assign(deviceId, deviceId + nbDevices);
  } catch (const std::bad_alloc&) {
    context->devices.clear();
    return CUBLAS_STATUS_ALLOC_FAILED;
  }
  return CUBLAS_STATUS_SUCCESS;
}

// Rows and columns of a tile, at least, where matrices are larger than the device's memory.
cublasStatus_t cublasXtSetBlockDim(cublasXtHandle_t handle, int blockDim) {
  const std::shared_ptr<cublasXtContext> context = xt_find(handle);
  if (context == nullptr || blockDim <= 0) return CUBLAS_STATUS_INVALID_VALUE;
  const std::lock_guard lock(context->mutex);
  context->block_dim = blockDim;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasXtGetBlockDim(cublasXtHandle_t handle, int* blockDim) {
  const std::shared_ptr<cublasXtContext> context = xt_find(handle);
  if (context == nullptr || blockDim == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const std::lock_guard lock(context->mutex);
  *blockDim = context->block_dim;
  return CUBLAS_STATUS_SUCCESS;
}

// Kept and told. Nothing is pinned: the GPU is in another machine, and what travels there is read
// by its way through the network.
cublasStatus_t cublasXtSetPinningMemMode(cublasXtHandle_t handle, cublasXtPinnedMemMode_t mode) {
  const std::shared_ptr<cublasXtContext> context = xt_find(handle);
  if (context == nullptr ||
      (mode != CUBLASXT_PINNING_DISABLED && mode != CUBLASXT_PINNING_ENABLED)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const std::lock_guard lock(context->mutex);
  context->pinning = mode;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasXtGetPinningMemMode(cublasXtHandle_t handle, cublasXtPinnedMemMode_t* mode) {
  const std::shared_ptr<cublasXtContext> context = xt_find(handle);
  if (context == nullptr || mode == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const std::lock_guard lock(context->mutex);
  *mode = context->pinning;
  return CUBLAS_STATUS_SUCCESS;
}

// Taken and not used: the device does all the work.
cublasStatus_t cublasXtSetCpuRoutine(cublasXtHandle_t handle, cublasXtBlasOp_t blasOp,
                                     cublasXtOpType_t type, void*) {
  return check_cpu(handle, blasOp, type);
}
cublasStatus_t cublasXtSetCpuRatio(cublasXtHandle_t handle, cublasXtBlasOp_t blasOp,
                                   cublasXtOpType_t type, float) {
  return check_cpu(handle, blasOp, type);
}

}  // extern "C"
