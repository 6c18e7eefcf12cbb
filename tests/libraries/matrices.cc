// Sparse matrices from end to end: what is known of one does not count for another whose contents
// the library has found out, and arrays in host memory may be large. Says what failed; exits with 0
// when all is well.
#include <cuda_runtime_api.h>
#include <cusolverDn.h>
#include <cusolverRf.h>
#include <cusolverSp.h>
#include <cusparse.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "tests/libraries/expect.h"

namespace {

constexpr int64_t kRows = 2, kColumns = 3;

struct Matrix {
  cusparseSpMatDescr_t sparse = nullptr;
  cusparseDnVecDescr_t x = nullptr, y = nullptr;
  float* values = nullptr;
};

size_t work_area(cusparseHandle_t handle, const Matrix& matrix) {
  const float one = 1, none = 0;
  size_t bytes = 0;
  OK(cusparseSpMV_bufferSize(handle, CUSPARSE_OPERATION_NON_TRANSPOSE, &one, matrix.sparse,
                             matrix.x, &none, matrix.y, CUDA_R_32F, CUSPARSE_SPMV_CSR_ALG2,
                             &bytes));
  return bytes;
}

void analyse(cusparseHandle_t handle, const Matrix& matrix, const std::vector<float>& values) {
  OK(cudaMemcpy(matrix.values, values.data(), values.size() * sizeof(float),
                cudaMemcpyHostToDevice));
  cusparseDnMatDescr_t dense = nullptr;
  OK(cusparseCreateDnMat(&dense, kRows, kColumns, kRows, matrix.values, CUDA_R_32F,
                         CUSPARSE_ORDER_COL));
  OK(cusparseDenseToSparse_analysis(handle, dense, matrix.sparse,
                                    CUSPARSE_DENSETOSPARSE_ALG_DEFAULT, nullptr));
  OK(cusparseDestroyDnMat(dense));
}

// All are described with the same words.
Matrix make() {
  Matrix made;
  OK(cudaMalloc(reinterpret_cast<void**>(&made.values), kRows * kColumns * sizeof(float)));
  OK(cusparseCreateCsr(&made.sparse, kRows, kColumns, 0, made.values, nullptr, nullptr,
                       CUSPARSE_INDEX_32I, CUSPARSE_INDEX_32I, CUSPARSE_INDEX_BASE_ZERO,
                       CUDA_R_32F));
  OK(cusparseCreateDnVec(&made.x, kColumns, made.values, CUDA_R_32F));
  OK(cusparseCreateDnVec(&made.y, kRows, made.values, CUDA_R_32F));
  return made;
}

void end(const Matrix& matrix) {
  OK(cusparseDestroySpMat(matrix.sparse));
  OK(cusparseDestroyDnVec(matrix.x));
  OK(cusparseDestroyDnVec(matrix.y));
  OK(cudaFree(matrix.values));
}

// Diagonal matrices: what the library is told of them.
struct Told {
  double sum = 0;
  cusolverStatus_t status = CUSOLVER_STATUS_SUCCESS;
};
Told refactor(cusolverRfHandle_t handle, int n, double first) {
  std::vector<int> rows, columns;
  std::vector<double> a, l, u;
  for (int i = 0; i < n; ++i) {
    rows.push_back(i);
    columns.push_back(i);
    a.push_back(i == 0 ? first : 2.0 * i);
    l.push_back(1);
    u.push_back(3.0 * i);
  }
  rows.push_back(n);
  OK(cusolverRfSetupHost(n, n, rows.data(), columns.data(), a.data(), n, rows.data(),
                         columns.data(), l.data(), n, rows.data(), columns.data(), u.data(),
                         columns.data(), columns.data(), handle));
  Told told;
  double boost = 0;
  OK(cusolverRfGetNumericProperties(handle, &told.sum, &boost));
  told.status = cusolverRfRefactor(handle);
  return told;
}

double expected_sum(int n, double first) {
  double sum = first;
  for (int i = 0; i <= n; ++i) sum += 3.0 * i * (i % 7 + 1);
  for (int i = 0; i < n; ++i) {
    sum += (i * (1 + 2 + 3) + (i == 0 ? 0 : 2.0 * i) + 5 + 7 * 3.0 * i + 12.0 * i) * (i % 7 + 1);
  }
  return sum;
}

void refactorizations() {
  cusolverRfHandle_t handle = nullptr;
  OK(cusolverRfCreate(&handle));
  Told told = refactor(handle, 10, 1);
  EXPECT(told.sum == expected_sum(10, 1));
  EXPECT(told.status == CUSOLVER_STATUS_SUCCESS);
  // A zero pivot is told by the call that finds it.
  told = refactor(handle, 10, 0);
  EXPECT(told.status == CUSOLVER_STATUS_ZERO_PIVOT);
  // More than fits one record.
  told = refactor(handle, 20'000, 1);
  EXPECT(told.sum == expected_sum(20'000, 1));
  EXPECT(told.status == CUSOLVER_STATUS_SUCCESS);
  OK(cusolverRfDestroy(handle));
}

cusolverStatus_t residuals(cusolverDnHandle_t handle, cusolverEigMode_t jobz, int rank,
                           std::vector<double>* to) {
  return cusolverDnSgesvdaStridedBatched(handle, jobz, rank, 1, 1, nullptr, 1, 1, nullptr, 1,
                                         nullptr, 1, 1, nullptr, 1, 1, nullptr, 0, nullptr,
                                         to->data(), static_cast<int>(to->size()));
}

// Results in host memory, of any length.
void singular_values() {
  cusolverDnHandle_t handle = nullptr;
  OK(cusolverDnCreate(&handle));
  for (const int batch : {1, 16 * 1024, 16 * 1024 + 1, 300'000}) {
    const auto count = static_cast<size_t>(batch);
    std::vector<double> got(count, -1), wanted(count);
    for (size_t i = 0; i < count; ++i) wanted[i] = 0.5 * static_cast<double>(i);
    OK(residuals(handle, CUSOLVER_EIG_MODE_VECTOR, 1, &got));
    EXPECT(got == wanted);
    // What the library leaves alone stays as it is, whether it succeeds or not.
    OK(residuals(handle, CUSOLVER_EIG_MODE_NOVECTOR, 1, &got));
    EXPECT(got == wanted);
    EXPECT(residuals(handle, CUSOLVER_EIG_MODE_VECTOR, -1, &got) == CUSOLVER_STATUS_INVALID_VALUE);
    EXPECT(got == wanted);
  }
  OK(cusolverDnDestroy(handle));
}

// Functions that work on host memory alone, of any size.
void on_the_host() {
  cusolverSpHandle_t handle = nullptr;
  cusparseMatDescr_t matrix = nullptr;
  OK(cusolverSpCreate(&handle));
  OK(cusparseCreateMatDescr(&matrix));
  for (const int n : {3, 100'000}) {
    const auto count = static_cast<size_t>(n);
    std::vector<int> rows(count + 1), columns(count), p(count), map(count);
    std::vector<double> values(count), b(count), x(count, -1);
    for (int i = 0; i < n; ++i) {
      const auto at = static_cast<size_t>(i);
      rows[at + 1] = i + 1;
      columns[at] = p[at] = n - 1 - i;
      values[at] = i + 1;
      b[at] = 3.0 * (i + 1);
      map[at] = i;
    }
    int singularity = 17;
    OK(cusolverSpDcsrlsvluHost(handle, n, n, matrix, values.data(), rows.data(), columns.data(),
                               b.data(), 0.5, 0, x.data(), &singularity));
    EXPECT(singularity == -1 && x == std::vector<double>(count, 3));
    values[1] = 0;
    x.assign(count, -1);
    OK(cusolverSpDcsrlsvluHost(handle, n, n, matrix, values.data(), rows.data(), columns.data(),
                               b.data(), 0.5, 0, x.data(), &singularity));
    EXPECT(singularity == 1 && x[count - 1] == 3 && x[0] == -1);

    std::vector<int> buffer(count);
    OK(cusolverSpXcsrpermHost(handle, n, n, n, matrix, rows.data(), columns.data(), p.data(),
                              p.data(), map.data(), buffer.data()));
    EXPECT(map == p && columns == p && rows[count] == n);
  }
  OK(cusparseDestroyMatDescr(matrix));
  OK(cusolverSpDestroy(handle));
}

}  // namespace

int main() {
  refactorizations();
  singular_values();
  on_the_host();
  cusparseHandle_t handle = nullptr;
  OK(cusparseCreate(&handle));
  const Matrix small = make(), large = make();
  EXPECT(work_area(handle, small) == 0);
  analyse(handle, small, {1, 0, 0, 0, 0, 2});
  EXPECT(work_area(handle, small) == 2 * 8);
  EXPECT(work_area(handle, large) == 0);
  analyse(handle, large, {1, 2, 3, 4, 5, 0});
  EXPECT(work_area(handle, large) == 5 * 8);
  EXPECT(work_area(handle, small) == 2 * 8);
  // The same matrix once more, with other contents.
  analyse(handle, small, {1, 2, 3, 0, 0, 0});
  EXPECT(work_area(handle, small) == 3 * 8);
  int64_t rows = 0, columns = 0, elements = 0;
  OK(cusparseSpMatGetSize(small.sparse, &rows, &columns, &elements));
  EXPECT(rows == kRows && columns == kColumns && elements == 3);
  // What could not be made says why to whoever asks for it, and not to the one after.
  Matrix broken = large;
  OK(cusparseCreateCsr(&broken.sparse, -1, kColumns, 0, large.values, nullptr, nullptr,
                       CUSPARSE_INDEX_32I, CUSPARSE_INDEX_32I, CUSPARSE_INDEX_BASE_ZERO,
                       CUDA_R_32F));
  EXPECT(cusparseSpMatGetSize(broken.sparse, &rows, &columns, &elements) ==
         CUSPARSE_STATUS_INVALID_VALUE);
  EXPECT(work_area(handle, large) == 5 * 8);
  // Nor does its end say anything.
  OK(cusparseDestroySpMat(broken.sparse));
  OK(cudaDeviceSynchronize());
  OK(cusparseSpMatGetSize(large.sparse, &rows, &columns, &elements));
  end(small);
  end(large);
  OK(cusparseDestroy(handle));
  return 0;
}
