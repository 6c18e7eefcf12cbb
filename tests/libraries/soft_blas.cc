// A libcublas.so.13 for machines without a GPU: the few functions that tests call, on the software
// device, whose memory the worker can read and write where the client's addresses say.
//
// It stands where the vendor's library would, in the folder that the server's setting
// libraries.path names. Products of matrices are in soft_blas_3.cc.
#include "tests/libraries/soft_blas.h"

#include <cuda.h>
#include <dlfcn.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <set>

using soft_blas::wait_for;

bool soft_blas::wait_for(cublasHandle_t handle) {
  static const auto synchronize = reinterpret_cast<CUresult (*)(CUstream)>(
      ::dlsym(::dlopen(SOFTCUDA_SONAME, RTLD_NOW | RTLD_NOLOAD), "cuStreamSynchronize"));
  return synchronize != nullptr && synchronize(handle->stream) == CUDA_SUCCESS;
}

namespace {

// Handles that exist: a wrong one from the worker is told apart.
std::mutex g_mutex;
std::set<cublasContext*> g_live;

bool is_live(cublasHandle_t handle) {
  const std::lock_guard lock(g_mutex);
  return g_live.contains(handle);
}

template <class T>
T element(const T* a, int ld, bool transposed, int row, int column) {
  return transposed ? a[static_cast<size_t>(row) * ld + column]
                    : a[static_cast<size_t>(column) * ld + row];
}

struct Shape {
  int m = 0, n = 0, k = 0;
};

// In floats, whatever the elements are.
template <class T>
cublasStatus_t multiply(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb,
                        Shape shape, const T* alpha, const T* a, int lda, const T* b, int ldb,
                        const T* beta, T* c, int ldc) {
  if (shape.m < 0 || shape.n < 0 || shape.k < 0) return CUBLAS_STATUS_INVALID_VALUE;
  if (!wait_for(handle)) return CUBLAS_STATUS_EXECUTION_FAILED;
  const auto al = static_cast<float>(*alpha), be = static_cast<float>(*beta);
  for (int j = 0; j < shape.n; ++j) {
    for (int i = 0; i < shape.m; ++i) {
      float sum = 0;
      for (int p = 0; p < shape.k; ++p) {
        sum += static_cast<float>(element(a, lda, transa != CUBLAS_OP_N, i, p)) *
               static_cast<float>(element(b, ldb, transb != CUBLAS_OP_N, p, j));
      }
      T& to = c[static_cast<size_t>(j) * ldc + i];
      to = static_cast<T>(al * sum + (be == 0 ? 0 : be * static_cast<float>(to)));
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

EXPORTED cublasStatus_t cublasGetProperty(libraryPropertyType type, int* value) {
  *value = type == MAJOR_VERSION ? SOFT_BLAS_MAJOR : 0;
  return CUBLAS_STATUS_SUCCESS;
}

EXPORTED cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int* version) {
  *version = SOFT_BLAS_MAJOR * 10'000;
  return CUBLAS_STATUS_SUCCESS;
}

EXPORTED cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  *handle = new cublasContext;
  const std::lock_guard lock(g_mutex);
  g_live.insert(*handle);
  return CUBLAS_STATUS_SUCCESS;
}

EXPORTED cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  if (!is_live(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  const std::lock_guard lock(g_mutex);
  g_live.erase(handle);
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

EXPORTED cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}

EXPORTED cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t mode) {
  handle->pointer_mode = mode;
  return CUBLAS_STATUS_SUCCESS;
}

EXPORTED cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  handle->math = mode;
  return CUBLAS_STATUS_SUCCESS;
}

EXPORTED cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t* mode) {
  *mode = handle->math;
  return CUBLAS_STATUS_SUCCESS;
}

// Says nothing: what is there stays.
EXPORTED cublasStatus_t cublasGetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t*) {
  ++handle->asked;
  return CUBLAS_STATUS_SUCCESS;
}

// How often it was asked that.
EXPORTED cublasStatus_t cublasIsamax_v2(cublasHandle_t handle, int, const float*, int,
                                        int* result) {
  *result = handle->asked;
  return CUBLAS_STATUS_SUCCESS;
}

EXPORTED cublasStatus_t cublasSgemmGroupedBatched(
    cublasHandle_t handle, const cublasOperation_t transa[], const cublasOperation_t transb[],
    const int m[], const int n[], const int k[], const float alpha[], const float* const a[],
    const int lda[], const float* const b[], const int ldb[], const float beta[], float* const c[],
    const int ldc[], int groups, const int sizes[]) {
  if (!wait_for(handle)) return CUBLAS_STATUS_EXECUTION_FAILED;
  size_t at = 0;
  for (int g = 0; g < groups; ++g) {
    for (int i = 0; i < sizes[g]; ++i, ++at) {
      const cublasStatus_t status =
          multiply(handle, transa[g], transb[g], {m[g], n[g], k[g]}, alpha + g, a[at], lda[g],
                   b[at], ldb[g], beta + g, c[at], ldc[g]);
      if (status != CUBLAS_STATUS_SUCCESS) return status;
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

EXPORTED cublasStatus_t cublasHgemm(cublasHandle_t handle, cublasOperation_t transa,
                                    cublasOperation_t transb, int m, int n, int k,
                                    const __half* alpha, const __half* a, int lda, const __half* b,
                                    int ldb, const __half* beta, __half* c, int ldc) {
  return multiply(handle, transa, transb, {m, n, k}, alpha, a, lda, b, ldb, beta, c, ldc);
}

EXPORTED cublasStatus_t cublasZscal_v2(cublasHandle_t handle, int n, const cuDoubleComplex* alpha,
                                       cuDoubleComplex* x, int incx) {
  // As a compiler may take them, in one piece.
  if (reinterpret_cast<uintptr_t>(alpha) % alignof(cuDoubleComplex) != 0) {
    return CUBLAS_STATUS_INTERNAL_ERROR;
  }
  if (!wait_for(handle)) return CUBLAS_STATUS_EXECUTION_FAILED;
  for (int i = 0; i < n; ++i) {
    x[static_cast<size_t>(i) * incx] = cuCmul(*alpha, x[static_cast<size_t>(i) * incx]);
  }
  return CUBLAS_STATUS_SUCCESS;
}

EXPORTED cublasStatus_t cublasSdot_v2(cublasHandle_t handle, int n, const float* x, int incx,
                                      const float* y, int incy, float* result) {
  if (n < 0) return CUBLAS_STATUS_INVALID_VALUE;
  if (!wait_for(handle)) return CUBLAS_STATUS_EXECUTION_FAILED;
  float sum = 0;
  for (int i = 0; i < n; ++i) {
    sum += x[static_cast<size_t>(i) * incx] * y[static_cast<size_t>(i) * incy];
  }
  *result = sum;
  return CUBLAS_STATUS_SUCCESS;
}

EXPORTED cublasStatus_t cublasSrotg_v2(cublasHandle_t, float* a, float* b, float* c, float* s) {
  // Of the test's numbers only: 3 and 4.
  if (*a != 3 || *b != 4) return CUBLAS_STATUS_INVALID_VALUE;
  *a = 5;
  *b = 1 / 0.6f;
  *c = 0.6f;
  *s = 0.8f;
  return CUBLAS_STATUS_SUCCESS;
}

// Tells flag 1, whose matrix has two elements that are stored, and two that are not.
EXPORTED cublasStatus_t cublasSrotmg_v2(cublasHandle_t, float* d1, float* d2, float* x1,
                                        const float* y1, float* param) {
  *d1 += *y1;
  *d2 += *y1;
  *x1 += *y1;
  param[0] = 1;
  param[1] = 0.25f;
  param[4] = 0.5f;
  return CUBLAS_STATUS_SUCCESS;
}

EXPORTED cublasStatus_t cublasSnrm2_v2(cublasHandle_t handle, int n, const float* x, int incx,
                                       float* result) {
  if (!wait_for(handle)) return CUBLAS_STATUS_EXECUTION_FAILED;
  double sum = 0;
  for (int i = 0; i < n; ++i) {
    const double element = x[static_cast<size_t>(i) * incx];
    sum += element * element;
  }
  *result = static_cast<float>(std::sqrt(sum));
  return CUBLAS_STATUS_SUCCESS;
}

EXPORTED cublasStatus_t cublasIdamax_v2(cublasHandle_t handle, int n, const double* x, int incx,
                                        int* result) {
  if (!wait_for(handle)) return CUBLAS_STATUS_EXECUTION_FAILED;
  *result = n > 0 ? 1 : 0;
  for (int i = 1; i < n; ++i) {
    const auto at = [&](int index) { return std::abs(x[static_cast<size_t>(index) * incx]); };
    if (at(i) > at(*result - 1)) *result = i + 1;
  }
  return CUBLAS_STATUS_SUCCESS;
}

EXPORTED cublasStatus_t cublasCdotc_v2(cublasHandle_t handle, int n, const cuComplex* x, int incx,
                                       const cuComplex* y, int incy, cuComplex* result) {
  if (!wait_for(handle)) return CUBLAS_STATUS_EXECUTION_FAILED;
  *result = make_cuComplex(0, 0);
  for (int i = 0; i < n; ++i) {
    *result = cuCaddf(*result, cuCmulf(cuConjf(x[static_cast<size_t>(i) * incx]),
                                       y[static_cast<size_t>(i) * incy]));
  }
  return CUBLAS_STATUS_SUCCESS;
}

EXPORTED cublasStatus_t cublasSaxpy_v2(cublasHandle_t handle, int n, const float* alpha,
                                       const float* x, int incx, float* y, int incy) {
  if (!wait_for(handle)) return CUBLAS_STATUS_EXECUTION_FAILED;
  for (int i = 0; i < n; ++i) {
    y[static_cast<size_t>(i) * incy] += *alpha * x[static_cast<size_t>(i) * incx];
  }
  return CUBLAS_STATUS_SUCCESS;
}

EXPORTED cublasStatus_t cublasCrot_v2(cublasHandle_t handle, int n, cuComplex* x, int incx,
                                      cuComplex* y, int incy, const float* c, const cuComplex* s) {
  if (!wait_for(handle)) return CUBLAS_STATUS_EXECUTION_FAILED;
  const cuComplex cosine = make_cuComplex(*c, 0);
  for (int i = 0; i < n; ++i) {
    cuComplex &a = x[static_cast<size_t>(i) * incx], &b = y[static_cast<size_t>(i) * incy];
    const cuComplex turned = cuCaddf(cuCmulf(cosine, a), cuCmulf(*s, b));
    b = cuCsubf(cuCmulf(cosine, b), cuCmulf(cuConjf(*s), a));
    a = turned;
  }
  return CUBLAS_STATUS_SUCCESS;
}

// Tells what it was given.
EXPORTED cublasStatus_t cublasCrotg_v2(cublasHandle_t, cuComplex* a, cuComplex* b, float* c,
                                       cuComplex* s) {
  *c = a->x + b->x;
  *s = *b;
  *a = cuCaddf(*a, *b);
  return CUBLAS_STATUS_SUCCESS;
}

EXPORTED cublasStatus_t cublasSgemv_v2(cublasHandle_t handle, cublasOperation_t trans, int m, int n,
                                       const float* alpha, const float* a, int lda, const float* x,
                                       int incx, const float* beta, float* y, int incy) {
  if (m < 0 || n < 0 || lda < m || incx == 0 || incy == 0) return CUBLAS_STATUS_INVALID_VALUE;
  if (!wait_for(handle)) return CUBLAS_STATUS_EXECUTION_FAILED;
  const bool is_turned = trans != CUBLAS_OP_N;
  for (int i = 0; i < (is_turned ? n : m); ++i) {
    float sum = 0;
    for (int j = 0; j < (is_turned ? m : n); ++j) {
      sum += element(a, lda, is_turned, i, j) * x[static_cast<size_t>(j) * incx];
    }
    float& to = y[static_cast<size_t>(i) * incy];
    to = *alpha * sum + (*beta == 0 ? 0 : *beta * to);
  }
  return CUBLAS_STATUS_SUCCESS;
}
