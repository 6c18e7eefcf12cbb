// cuSOLVER: factorizations, eigenvalues and singular values by the 32-bit and the 64-bit API,
// results in host memory, a sparse system. Prints checksums; the same natively and through Farlane.
#include <cusolverDn.h>
#include <cusolverSp.h>
#include <cusparse.h>

#include "common.h"

namespace {

constexpr int kN = 32;

// Symmetric and positive definite.
std::vector<double> matrix() {
  std::vector<double> a = numbers(kN * kN, 3);
  for (int i = 0; i < kN; ++i) {
    for (int j = 0; j < i; ++j) a[i * kN + j] = a[j * kN + i];
    a[i * kN + i] += kN;
  }
  return a;
}

// A times the vector of ones.
std::vector<double> sums(const std::vector<double>& a) {
  std::vector<double> b(kN, 0.0);
  for (int j = 0; j < kN; ++j) {
    for (int i = 0; i < kN; ++i) b[i] += a[j * kN + i];
  }
  return b;
}

void systems(cusolverDnHandle_t handle) {
  const std::vector<double> a = matrix(), b = sums(a), ones(kN, 1.0);
  int* info = room<int>(1);
  for (int round = 0; round < 3; ++round) {
    double *da = device(a), *db = device(b);
    int size = 0;
    CHECK(cusolverDnDgetrf_bufferSize(handle, kN, kN, da, kN, &size));
    int* pivots = room<int>(kN);
    CHECK(cusolverDnDgetrf(handle, kN, kN, da, kN, room<double>(size), pivots, info));
    CHECK(cusolverDnDgetrs(handle, CUBLAS_OP_N, kN, 1, da, kN, pivots, db, kN, info));
    expect("getrs", db, ones, 1e-9);
  }
  {
    double *da = device(a), *db = device(b);
    int size = 0;
    CHECK(cusolverDnDpotrf_bufferSize(handle, CUBLAS_FILL_MODE_LOWER, kN, da, kN, &size));
    CHECK(cusolverDnDpotrf(handle, CUBLAS_FILL_MODE_LOWER, kN, da, kN, room<double>(size), size,
                           info));
    CHECK(cusolverDnDpotrs(handle, CUBLAS_FILL_MODE_LOWER, kN, 1, da, kN, db, kN, info));
    expect("potrs", db, ones, 1e-9);
    print("info", info, 1);
  }
  // The 64-bit API: work areas on both sides.
  cusolverDnParams_t params = nullptr;
  CHECK(cusolverDnCreateParams(&params));
  double *da = device(a), *db = device(b);
  auto* pivots = room<int64_t>(kN);
  size_t on_device = 0, on_host = 0;
  CHECK(cusolverDnXgetrf_bufferSize(handle, params, kN, kN, CUDA_R_64F, da, kN, CUDA_R_64F,
                                    &on_device, &on_host));
  std::vector<char> mine(on_host + 1);
  CHECK(cusolverDnXgetrf(handle, params, kN, kN, CUDA_R_64F, da, kN, pivots, CUDA_R_64F,
                         room<char>(on_device), on_device, mine.data(), on_host, info));
  CHECK(cusolverDnXgetrs(handle, params, CUBLAS_OP_N, kN, 1, CUDA_R_64F, da, kN, pivots, CUDA_R_64F,
                         db, kN, info));
  expect("Xgetrs", db, ones, 1e-9);
  CHECK(cusolverDnDestroyParams(params));
  // Iterative refinement tells its rounds.
  da = device(a);
  db = device(b);
  double* x = room<double>(kN);
  size_t size = 0;
  CHECK(cusolverDnDSgesv_bufferSize(handle, kN, 1, da, kN, nullptr, db, kN, x, kN, nullptr, &size));
  int iterations = -100;
  CHECK(cusolverDnDSgesv(handle, kN, 1, da, kN, room<int>(kN), db, kN, x, kN, room<char>(size),
                         size, &iterations, info));
  expect("DSgesv", x, ones, 1e-9);
  std::printf("%-28s %d\n", "iterations", iterations);
}

void eigenvalues(cusolverDnHandle_t handle) {
  const std::vector<double> a = matrix();
  int *info = room<int>(1), size = 0;
  double *da = device(a), *w = room<double>(kN);
  const cusolverEigMode_t vectors = CUSOLVER_EIG_MODE_VECTOR;
  const cublasFillMode_t lower = CUBLAS_FILL_MODE_LOWER;
  CHECK(cusolverDnDsyevd_bufferSize(handle, vectors, lower, kN, da, kN, w, &size));
  CHECK(cusolverDnDsyevd(handle, vectors, lower, kN, da, kN, w, room<double>(size), size, info));
  print("syevd", w, kN);

  syevjInfo_t state = nullptr;
  CHECK(cusolverDnCreateSyevjInfo(&state));
  CHECK(cusolverDnXsyevjSetTolerance(state, 1e-9));
  CHECK(cusolverDnXsyevjSetMaxSweeps(state, 20));
  da = device(a);
  double* wj = room<double>(kN);
  CHECK(cusolverDnDsyevj_bufferSize(handle, vectors, lower, kN, da, kN, wj, &size, state));
  CHECK(cusolverDnDsyevj(handle, vectors, lower, kN, da, kN, wj, room<double>(size), size, info,
                         state));
  expect("syevj as syevd", wj, host(w, kN), 1e-6);
  int sweeps = 0;
  CHECK(cusolverDnXsyevjGetSweeps(handle, state, &sweeps));
  std::printf("%-28s %d\n", "sweeps", sweeps);
  CHECK(cusolverDnDestroySyevjInfo(state));

  // How many were found is in host memory.
  da = device(a);
  int found = 0;
  CHECK(cusolverDnDsyevdx_bufferSize(handle, vectors, CUSOLVER_EIG_RANGE_I, lower, kN, da, kN, 0, 0,
                                     3, 9, &found, w, &size));
  CHECK(cusolverDnDsyevdx(handle, vectors, CUSOLVER_EIG_RANGE_I, lower, kN, da, kN, 0, 0, 3, 9,
                          &found, w, room<double>(size), size, info));
  std::printf("%-28s %d\n", "syevdx found", found);

  double *s = room<double>(kN), *u = room<double>(kN * kN), *v = room<double>(kN * kN);
  da = device(a);
  CHECK(cusolverDnDgesvd_bufferSize(handle, kN, kN, &size));
  CHECK(cusolverDnDgesvd(handle, 'A', 'A', kN, kN, da, kN, s, u, kN, v, kN, room<double>(size),
                         size, nullptr, info));
  print("gesvd", s, kN);
  da = device(a);
  CHECK(cusolverDnDgesvdaStridedBatched_bufferSize(handle, vectors, kN, kN, kN, da, kN, kN * kN, s,
                                                   kN, u, kN, kN * kN, v, kN, kN * kN, &size, 1));
  double residual = -1;
  double* sa = room<double>(kN);
  CHECK(cusolverDnDgesvdaStridedBatched(handle, vectors, kN, kN, kN, da, kN, kN * kN, sa, kN, u, kN,
                                        kN * kN, v, kN, kN * kN, room<double>(size), size, info,
                                        &residual, 1));
  expect("gesvda as gesvd", sa, host(s, kN), 1e-6);
  std::printf("%-28s %d\n", "residual told", residual >= 0);

  // 64 bits, with a work area on the host.
  da = device(a);
  size_t on_device = 0, on_host = 0;
  double* wx = room<double>(kN);
  cusolverDnParams_t params = nullptr;
  CHECK(cusolverDnCreateParams(&params));
  CHECK(cusolverDnXsyevd_bufferSize(handle, params, vectors, lower, kN, CUDA_R_64F, da, kN,
                                    CUDA_R_64F, wx, CUDA_R_64F, &on_device, &on_host));
  std::vector<char> mine(on_host + 1);
  CHECK(cusolverDnXsyevd(handle, params, vectors, lower, kN, CUDA_R_64F, da, kN, CUDA_R_64F, wx,
                         CUDA_R_64F, room<char>(on_device), on_device, mine.data(), on_host, info));
  print("Xsyevd", wx, kN);
  CHECK(cusolverDnDestroyParams(params));
}

void sparse() {
  cusolverSpHandle_t handle = nullptr;
  CHECK(cusolverSpCreate(&handle));
  cusparseMatDescr_t a = nullptr;
  CHECK(cusparseCreateMatDescr(&a));
  int *offsets = device<int>({0, 1, 3, 5, 7}), *columns = device<int>({0, 0, 1, 1, 2, 2, 3});
  double *values = device<double>({2, 1, 2, 1, 2, 1, 2}), *b = device<double>({2, 3, 3, 3}),
         *x = room<double>(4);
  int singular = 7;
  CHECK(cusolverSpDcsrlsvqr(handle, 4, 7, a, values, offsets, columns, b, 1e-12, 0, x, &singular));
  expect("csrlsvqr", x, {1, 1, 1, 1}, 1e-9);
  std::printf("%-28s %d\n", "singularity", singular);
  CHECK(cusparseDestroyMatDescr(a));
  CHECK(cusolverSpDestroy(handle));
}

}  // namespace

int main() {
  cusolverDnHandle_t handle = nullptr;
  CHECK(cusolverDnCreate(&handle));
  cudaStream_t stream = nullptr;
  CHECK(cudaStreamCreate(&stream));
  CHECK(cusolverDnSetStream(handle, stream));
  systems(handle);
  eigenvalues(handle);
  CHECK(cusolverDnDestroy(handle));
  sparse();
  return 0;
}
