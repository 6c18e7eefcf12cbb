// A libcusolver.so.12 for machines without a GPU, as soft_blas.cc: refactorization, as far as
// tests look at it.
#include <cuda.h>
#include <cusolverDn.h>
#include <cusolverRf.h>
#include <dlfcn.h>

#include <cstddef>

// What it was told, as numbers that cusolverRfGetNumericProperties tells.
struct cusolverRfCommon {
  double sum = 0;
  double is_from_device = 0;
  bool has_zero = false;
};

namespace {

cusolverRfCommon* context(cusolverRfHandle_t handle) {
  return reinterpret_cast<cusolverRfCommon*>(handle);
}

template <class T>
double sum(const T* values, int count) {
  double all = 0;
  for (int i = 0; i < count; ++i) all += static_cast<double>(values[i]) * (i % 7 + 1);
  return all;
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED cusolverStatus_t cusolverGetProperty(libraryPropertyType type, int* value) {
  *value = type == MAJOR_VERSION ? CUSOLVER_VER_MAJOR : 0;
  return CUSOLVER_STATUS_SUCCESS;
}

EXPORTED cusolverStatus_t cusolverRfCreate(cusolverRfHandle_t* handle) {
  *handle = reinterpret_cast<cusolverRfHandle_t>(new cusolverRfCommon);
  return CUSOLVER_STATUS_SUCCESS;
}

EXPORTED cusolverStatus_t cusolverRfDestroy(cusolverRfHandle_t handle) {
  delete context(handle);
  return CUSOLVER_STATUS_SUCCESS;
}

EXPORTED cusolverStatus_t cusolverRfSetupHost(int n, int nnzA, int* rowsA, int* columnsA,
                                              double* valuesA, int nnzL, int* rowsL, int* columnsL,
                                              double* valuesL, int nnzU, int* rowsU, int* columnsU,
                                              double* valuesU, int* p, int* q,
                                              cusolverRfHandle_t handle) {
  cusolverRfCommon& told = *context(handle);
  told = {};
  for (const int* rows : {rowsA, rowsL, rowsU}) told.sum += sum(rows, n + 1);
  told.sum += sum(columnsA, nnzA) + 2 * sum(columnsL, nnzL) + 3 * sum(columnsU, nnzU);
  told.sum += sum(valuesA, nnzA) + 5 * sum(valuesL, nnzL) + 7 * sum(valuesU, nnzU);
  told.sum += sum(p, n) + 11 * sum(q, n);
  for (int i = 0; i < nnzA; ++i) told.has_zero |= valuesA[i] == 0;
  return CUSOLVER_STATUS_SUCCESS;
}

// The software device's memory is the worker's own. What is there counts when the stream has come
// so far.
EXPORTED cusolverStatus_t cusolverRfSetupDevice(int n, int nnzA, int* rowsA, int* columnsA,
                                                double* valuesA, int nnzL, int* rowsL,
                                                int* columnsL, double* valuesL, int nnzU,
                                                int* rowsU, int* columnsU, double* valuesU, int* p,
                                                int* q, cusolverRfHandle_t handle) {
  static const auto synchronize = reinterpret_cast<CUresult (*)(CUstream)>(
      ::dlsym(::dlopen(SOFTCUDA_SONAME, RTLD_NOW | RTLD_NOLOAD), "cuStreamSynchronize"));
  if (synchronize == nullptr || synchronize(nullptr) != CUDA_SUCCESS) {
    return CUSOLVER_STATUS_EXECUTION_FAILED;
  }
  cusolverRfSetupHost(n, nnzA, rowsA, columnsA, valuesA, nnzL, rowsL, columnsL, valuesL, nnzU,
                      rowsU, columnsU, valuesU, p, q, handle);
  context(handle)->is_from_device = 1;
  return CUSOLVER_STATUS_SUCCESS;
}

EXPORTED cusolverStatus_t cusolverRfGetNumericProperties(cusolverRfHandle_t handle, double* zero,
                                                         double* boost) {
  *zero = context(handle)->sum;
  *boost = context(handle)->is_from_device;
  return CUSOLVER_STATUS_SUCCESS;
}

EXPORTED cusolverStatus_t cusolverRfRefactor(cusolverRfHandle_t handle) {
  return context(handle)->has_zero ? CUSOLVER_STATUS_ZERO_PIVOT : CUSOLVER_STATUS_SUCCESS;
}
