// A libcusolver.so.12 for machines without a GPU, as soft_blas.cc: refactorization and
// singular values, as far as tests look at them, and what works on host memory alone.
#include <cusolverDn.h>
#include <cusolverRf.h>
#include <cusolverSp.h>

#include <cstddef>

// What it was told, as numbers that cusolverRfGetNumericProperties tells.
struct cusolverRfCommon {
  double sum = 0;
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

EXPORTED cusolverStatus_t cusolverRfGetNumericProperties(cusolverRfHandle_t handle, double* zero,
                                                         double* boost) {
  *zero = context(handle)->sum;
  *boost = 0;
  return CUSOLVER_STATUS_SUCCESS;
}

EXPORTED cusolverStatus_t cusolverRfRefactor(cusolverRfHandle_t handle) {
  return context(handle)->has_zero ? CUSOLVER_STATUS_ZERO_PIVOT : CUSOLVER_STATUS_SUCCESS;
}

EXPORTED cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t* handle) {
  static int any = 0;
  *handle = reinterpret_cast<cusolverDnHandle_t>(&any);
  return CUSOLVER_STATUS_SUCCESS;
}

EXPORTED cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t) {
  return CUSOLVER_STATUS_SUCCESS;
}

// Residuals that tell their places; without vectors there are none.
EXPORTED cusolverStatus_t cusolverDnSgesvdaStridedBatched(cusolverDnHandle_t,
                                                          cusolverEigMode_t jobz, int rank, int,
                                                          int, const float*, int, long long, float*,
                                                          long long, float*, int, long long, float*,
                                                          int, long long, float*, int, int*,
                                                          double* residuals, int batch) {
  if (rank < 0) return CUSOLVER_STATUS_INVALID_VALUE;
  for (int i = 0; jobz == CUSOLVER_EIG_MODE_VECTOR && i < batch; ++i) residuals[i] = 0.5 * i;
  return CUSOLVER_STATUS_SUCCESS;
}

EXPORTED cusolverStatus_t cusolverSpCreate(cusolverSpHandle_t* handle) {
  static int any = 0;
  *handle = reinterpret_cast<cusolverSpHandle_t>(&any);
  return CUSOLVER_STATUS_SUCCESS;
}

EXPORTED cusolverStatus_t cusolverSpDestroy(cusolverSpHandle_t) {
  return CUSOLVER_STATUS_SUCCESS;
}

// Of diagonal matrices.
EXPORTED cusolverStatus_t cusolverSpDcsrlsvluHost(cusolverSpHandle_t, int n, int nnz,
                                                  const cusparseMatDescr_t matrix,
                                                  const double* values, const int* rows,
                                                  const int* columns, const double* b,
                                                  double tolerance, int, double* x,
                                                  int* singularity) {
  if (matrix == nullptr || n != nnz || rows[n] != nnz) return CUSOLVER_STATUS_INVALID_VALUE;
  *singularity = -1;
  for (int i = 0; i < n && *singularity < 0; ++i) {
    if (values[i] <= tolerance) {
      *singularity = i;
    } else {
      x[columns[i]] = b[i] / values[i];
    }
  }
  return CUSOLVER_STATUS_SUCCESS;
}

// The rows the other way round, of a matrix with one element in each.
EXPORTED cusolverStatus_t cusolverSpXcsrperm_bufferSizeHost(cusolverSpHandle_t, int, int, int nnz,
                                                            const cusparseMatDescr_t, const int*,
                                                            const int*, const int*, const int*,
                                                            size_t* bytes) {
  *bytes = static_cast<size_t>(nnz) * sizeof(int);
  return CUSOLVER_STATUS_SUCCESS;
}

EXPORTED cusolverStatus_t cusolverSpXcsrpermHost(cusolverSpHandle_t, int m, int n, int nnz,
                                                 const cusparseMatDescr_t, int* rows, int* columns,
                                                 const int* p, const int* q, int* map,
                                                 void* buffer) {
  if (m != n || n != nnz || rows[m] != nnz) return CUSOLVER_STATUS_INVALID_VALUE;
  int* const kept = static_cast<int*>(buffer);
  for (int i = 0; i < nnz; ++i) kept[i] = map[i];
  for (int i = 0; i < m; ++i) {
    columns[i] = q[i];
    map[i] = kept[p[i]];
  }
  return CUSOLVER_STATUS_SUCCESS;
}
