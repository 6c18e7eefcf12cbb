// What the first API keeps between calls. What it does without a device was seen on the library
// itself (13.1): before cublasInit, and after cublasShutdown, calculations do nothing and return 0,
// and cublasGetError says CUBLAS_STATUS_NOT_INITIALIZED as often as it is asked; memory and version
// can be had. NVIDIA's documentation says that cublasGetError tells the last error since it was
// last asked. How it has these things with several devices and threads was not seen; here each
// device has a handle, and the error is the process's.
#include <cublas_v2.h>

#include "client/cudax/cublas/first_api.h"

#include <algorithm>
#include <array>
#include <atomic>

#include "client/core/api.h"
#include "client/cudax/cublas/settle.h"
#include "protocol/limits.h"

namespace client = farlane::client;

namespace farlane::client::cudax::cublas {
namespace {

// cublasInit was called. It makes a handle on the current device; another device gets its own at
// its first call.
std::atomic<bool> g_is_initialized = false;
std::array<std::atomic<cublasHandle_t>, protocol::limits::devices_max> g_handles;
// The last error since cublasGetError was called.
std::atomic<cublasStatus_t> g_status = CUBLAS_STATUS_SUCCESS;
// Calls were posted whose outcome only the server knows.
std::atomic<bool> g_is_open = false;

void keep(cublasStatus_t status) {
  if (status != CUBLAS_STATUS_SUCCESS) g_status = status;
}

cublasStatus_t find_handle(cublasHandle_t* handle) {
  // A thread without a context gets the first device's.
  const auto device = static_cast<size_t>(std::max(current_device(), 0));
  if (device >= g_handles.size()) return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = g_handles[device];
  if (*handle != nullptr) return CUBLAS_STATUS_SUCCESS;
  cublasHandle_t made = nullptr;
  const cublasStatus_t status = cublasCreate_v2(&made);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  if (g_handles[device].compare_exchange_strong(*handle, made)) {
    *handle = made;
    return CUBLAS_STATUS_SUCCESS;
  }
  return cublasDestroy_v2(made);  // another thread was quicker: *handle is its
}

}  // namespace

cublasHandle_t first_begin() {
  if (!g_is_initialized) return nullptr;
  // A call that would be told of an earlier one's failure would not be made.
  keep(earlier_status());
  cublasHandle_t handle = nullptr;
  const cublasStatus_t status = find_handle(&handle);
  keep(status);
  return status == CUBLAS_STATUS_SUCCESS ? handle : nullptr;
}

void first_posted_end(cublasStatus_t status) {
  g_is_open = true;
  keep(status);
}

// Before the answer stood what earlier calls came to.
void first_asked_end(cublasStatus_t status) {
  keep(earlier_status());
  keep(status);
}

}  // namespace farlane::client::cudax::cublas

using namespace farlane::client::cudax::cublas;

// The macros lead to the functions with a handle.
#undef cublasGetVersion

extern "C" {

// Success again when it was called before, until cublasShutdown.
cublasStatus_t cublasInit(void) {
  cublasHandle_t handle = nullptr;
  const cublasStatus_t status = find_handle(&handle);
  if (status == CUBLAS_STATUS_SUCCESS && !g_is_initialized.exchange(true)) {
    g_status = CUBLAS_STATUS_SUCCESS;
  }
  return status;
}

// Of all devices. Success also where there is nothing to end.
cublasStatus_t cublasShutdown(void) {
  // What failed and was not asked for is nobody else's.
  if (g_is_initialized.exchange(false) && g_is_open.exchange(false)) settle("cublasShutdown");
  for (std::atomic<cublasHandle_t>& handle : g_handles) {
    if (const cublasHandle_t ended = handle.exchange(nullptr); ended != nullptr) {
      cublasDestroy_v2(ended);
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

// The last error of any thread's calls since it was called before; of posted calls that failed one
// soon after the other, the first. Waits until the server has made the calls posted since then, not
// until the device has executed them.
cublasStatus_t cublasGetError(void) {
  if (!g_is_initialized) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (g_is_open.exchange(false)) {
    keep(settle("cublasGetError"));
  } else {
    keep(earlier_status());
  }
  return g_status.exchange(CUBLAS_STATUS_SUCCESS);
}

cublasStatus_t cublasGetVersion(int* version) {
  return cublasGetVersion_v2(nullptr, version);
}

// `n` elements of `elemSize` bytes on the current device. Null with an error.
cublasStatus_t cublasAlloc(int n, int elemSize, void** devicePtr) {
  if (devicePtr == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *devicePtr = nullptr;
  if (n <= 0 || elemSize <= 0) return CUBLAS_STATUS_INVALID_VALUE;
  if (client::current_device() < 0) client::make_device_current(0);
  CUdeviceptr address = 0;
  const CUresult result =
      client::memory_allocate(std::max(client::current_device(), 0),
                              static_cast<size_t>(n) * static_cast<size_t>(elemSize), &address);
  *devicePtr = reinterpret_cast<void*>(address);
  if (result == CUDA_SUCCESS) return CUBLAS_STATUS_SUCCESS;
  return result == CUDA_ERROR_OUT_OF_MEMORY ? CUBLAS_STATUS_ALLOC_FAILED
                                            : CUBLAS_STATUS_INTERNAL_ERROR;
}

cublasStatus_t cublasFree(void* devicePtr) {
  if (devicePtr == nullptr) return CUBLAS_STATUS_SUCCESS;
  return client::memory_free(reinterpret_cast<CUdeviceptr>(devicePtr)) == CUDA_SUCCESS
             ? CUBLAS_STATUS_SUCCESS
             : CUBLAS_STATUS_INTERNAL_ERROR;
}

// For the current device's calls from now on; null: its default stream.
cublasStatus_t cublasSetKernelStream(cudaStream_t stream) {
  const cublasHandle_t handle = first_begin();
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  return cublasSetStream_v2(handle, stream);
}

}  // extern "C"
