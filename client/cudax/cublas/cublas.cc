// The functions of cuBLAS that are answered here, and its copies, which are the runtime's.
#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include <cstdio>

#include "client/cudax/call.h"
#include "client/cudax/cublas/settle.h"
#include "client/cudax/cublas/status_text.h"
#include "generated/client/cublas_facts.h"

using farlane::client::cudax::Call;
using farlane::client::cudax::Object;
using namespace farlane::client::cudax::cublas;
namespace client = farlane::client;

namespace {

Object* find(cublasHandle_t handle) {
  return client::cudax::object_find(Call::bits(handle), kHandle);
}

// A column-major matrix, or a vector as a matrix of one row: elements of `bytes`, columns `ld_…`
// elements apart.
struct Matrix {
  int64_t rows = 0, columns = 0, bytes = 0;
  const void* from = nullptr;
  int64_t ld_from = 0;
  void* to = nullptr;
  int64_t ld_to = 0;
};

cublasStatus_t copy(const Matrix& m, client::Place from, client::Place to, cudaStream_t stream,
                    bool async) {
  if (m.rows < 0 || m.columns < 0 || m.bytes <= 0 || m.ld_from <= 0 || m.ld_to <= 0) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (m.rows == 0 || m.columns == 0) return CUBLAS_STATUS_SUCCESS;
  client::Copy copy;
  copy.from = reinterpret_cast<uint64_t>(m.from);
  copy.to = reinterpret_cast<uint64_t>(m.to);
  copy.from_place = from;
  copy.to_place = to;
  copy.width = static_cast<size_t>(m.rows) * static_cast<size_t>(m.bytes);
  copy.height = static_cast<size_t>(m.columns);
  copy.from_pitch = static_cast<size_t>(m.ld_from) * static_cast<size_t>(m.bytes);
  copy.to_pitch = static_cast<size_t>(m.ld_to) * static_cast<size_t>(m.bytes);
  return client::copy(copy, stream, async) == CUDA_SUCCESS ? CUBLAS_STATUS_SUCCESS
                                                           : CUBLAS_STATUS_MAPPING_ERROR;
}

constexpr client::Place kHost = client::Place::kHost;
constexpr client::Place kDevice = client::Place::kDevice;

}  // namespace

cublasStatus_t client::cudax::cublas::earlier_status() {
  const int status = client::cudax::take_status(kLibrary.number);
  // Less than 0: the server's version of the library lacks the function.
  return status < 0 ? CUBLAS_STATUS_NOT_SUPPORTED : static_cast<cublasStatus_t>(status);
}

cublasStatus_t client::cudax::cublas::settle(const char* asker) {
  // A question that is not answered here, behind the calls. What they came to stands before its
  // answer.
  int version = 0;
  Call call(kLibrary, k_cublasGetVersion_v2, asker);
  call.out(&version, sizeof version);
  const auto asked = static_cast<cublasStatus_t>(call.ask(false));
  const cublasStatus_t earlier = earlier_status();
  return earlier != CUBLAS_STATUS_SUCCESS ? earlier : asked;
}

extern "C" {

// The library does not look at the handle.
cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int* version) {
  if (version == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  Call call(kLibrary, k_cublasGetVersion_v2, "cublasGetVersion_v2");
  call.out(version, sizeof *version);
  return static_cast<cublasStatus_t>(call.ask(true));
}

cublasStatus_t cublasGetStream_v2(cublasHandle_t handle, cudaStream_t* streamId) {
  const Object* object = find(handle);
  if (object == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (streamId == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *streamId = object->stream;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t* mode) {
  const Object* object = find(handle);
  if (object == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (mode == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *mode = object->scalars_on_device ? CUBLAS_POINTER_MODE_DEVICE : CUBLAS_POINTER_MODE_HOST;
  return CUBLAS_STATUS_SUCCESS;
}

// The library's log is written where the library runs; nobody would read it there.
cublasStatus_t cublasLoggerConfigure(int, int, int, const char*) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetLoggerCallback(cublasLogCallback) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetLoggerCallback(cublasLogCallback* userCallback) {
  if (userCallback == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *userCallback = nullptr;
  return CUBLAS_STATUS_SUCCESS;
}
void cublasXerbla(const char* srName, int info) {
  std::fprintf(stderr, "On entry to %s, parameter number %d had an illegal value\n", srName, info);
}

size_t cublasGetCudartVersion(void) {
  return CUDART_VERSION;
}

const char* cublasGetStatusName(cublasStatus_t status) {
  return status_name(status);
}

const char* cublasGetStatusString(cublasStatus_t status) {
  return status_text(status);
}

// Vectors and matrices between host and device: `suffix` stands for the two widths of integers.
#define FARLANE_CUBLAS_COPIES(suffix, Int)                                                         \
  cublasStatus_t cublasSetVector##suffix(Int n, Int elemSize, const void* x, Int incx,             \
                                         void* devicePtr, Int incy) {                              \
    return copy({1, n, elemSize, x, incx, devicePtr, incy}, kHost, kDevice, nullptr, false);       \
  }                                                                                                \
  cublasStatus_t cublasGetVector##suffix(Int n, Int elemSize, const void* x, Int incx, void* y,    \
                                         Int incy) {                                               \
    return copy({1, n, elemSize, x, incx, y, incy}, kDevice, kHost, nullptr, false);               \
  }                                                                                                \
  cublasStatus_t cublasSetMatrix##suffix(Int rows, Int cols, Int elemSize, const void* A, Int lda, \
                                         void* B, Int ldb) {                                       \
    return copy({rows, cols, elemSize, A, lda, B, ldb}, kHost, kDevice, nullptr, false);           \
  }                                                                                                \
  cublasStatus_t cublasGetMatrix##suffix(Int rows, Int cols, Int elemSize, const void* A, Int lda, \
                                         void* B, Int ldb) {                                       \
    return copy({rows, cols, elemSize, A, lda, B, ldb}, kDevice, kHost, nullptr, false);           \
  }                                                                                                \
  cublasStatus_t cublasSetVectorAsync##suffix(Int n, Int elemSize, const void* hostPtr, Int incx,  \
                                              void* devicePtr, Int incy, cudaStream_t stream) {    \
    return copy({1, n, elemSize, hostPtr, incx, devicePtr, incy}, kHost, kDevice, stream, true);   \
  }                                                                                                \
  cublasStatus_t cublasGetVectorAsync##suffix(Int n, Int elemSize, const void* devicePtr,          \
                                              Int incx, void* hostPtr, Int incy,                   \
                                              cudaStream_t stream) {                               \
    return copy({1, n, elemSize, devicePtr, incx, hostPtr, incy}, kDevice, kHost, stream, true);   \
  }                                                                                                \
  cublasStatus_t cublasSetMatrixAsync##suffix(Int rows, Int cols, Int elemSize, const void* A,     \
                                              Int lda, void* B, Int ldb, cudaStream_t stream) {    \
    return copy({rows, cols, elemSize, A, lda, B, ldb}, kHost, kDevice, stream, true);             \
  }                                                                                                \
  cublasStatus_t cublasGetMatrixAsync##suffix(Int rows, Int cols, Int elemSize, const void* A,     \
                                              Int lda, void* B, Int ldb, cudaStream_t stream) {    \
    return copy({rows, cols, elemSize, A, lda, B, ldb}, kDevice, kHost, stream, true);             \
  }
FARLANE_CUBLAS_COPIES(, int)
FARLANE_CUBLAS_COPIES(_64, int64_t)
#undef FARLANE_CUBLAS_COPIES

}  // extern "C"
