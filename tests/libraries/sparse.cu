// cuSPARSE: the generic API with scalars here and there, products, solvers, conversions, and some
// of the first generation. Prints checksums; the same natively and through Farlane.
#include <cusparse.h>

#include "common.h"

namespace {

constexpr int kN = 4, kNonzeros = 9;
// 1 0 2 3 / 0 4 0 0 / 5 0 6 7 / 0 8 0 9
const std::vector<int> kOffsets = {0, 3, 4, 7, 9};
const std::vector<int> kColumns = {0, 2, 3, 1, 0, 2, 3, 1, 3};
const std::vector<float> kValues = {1, 2, 3, 4, 5, 6, 7, 8, 9};
constexpr cusparseOperation_t kPlain = CUSPARSE_OPERATION_NON_TRANSPOSE;

cusparseSpMatDescr_t csr(int* offsets, int* columns, float* values, int nonzeros) {
  cusparseSpMatDescr_t matrix = nullptr;
  CHECK(cusparseCreateCsr(&matrix, kN, kN, nonzeros, offsets, columns, values, CUSPARSE_INDEX_32I,
                          CUSPARSE_INDEX_32I, CUSPARSE_INDEX_BASE_ZERO, CUDA_R_32F));
  return matrix;
}

void products(cusparseHandle_t handle, cusparseSpMatDescr_t a) {
  for (int round = 0; round < 3; ++round) {
    float *x = device<float>({1, 2, 3, 4}), *y = device<float>({1, 1, 1, 1});
    cusparseDnVecDescr_t vx = nullptr, vy = nullptr;
    CHECK(cusparseCreateDnVec(&vx, kN, x, CUDA_R_32F));
    CHECK(cusparseCreateDnVec(&vy, kN, y, CUDA_R_32F));
    float alpha = 2, beta = 10;
    size_t size = 0;
    CHECK(cusparseSpMV_bufferSize(handle, kPlain, &alpha, a, vx, &beta, vy, CUDA_R_32F,
                                  CUSPARSE_SPMV_ALG_DEFAULT, &size));
    void* buffer = room<char>(size + 1);
    CHECK(cusparseSpMV(handle, kPlain, &alpha, a, vx, &beta, vy, CUDA_R_32F,
                       CUSPARSE_SPMV_ALG_DEFAULT, buffer));
    expect("spmv", y, {48, 26, 112, 114}, 0);
    // Scalars in device memory.
    float* scalars = device<float>({1, 0});
    CHECK(cusparseSetPointerMode(handle, CUSPARSE_POINTER_MODE_DEVICE));
    CHECK(cusparseSpMV(handle, CUSPARSE_OPERATION_TRANSPOSE, scalars, a, vx, scalars + 1, vy,
                       CUDA_R_32F, CUSPARSE_SPMV_ALG_DEFAULT, buffer));
    CHECK(cusparseSetPointerMode(handle, CUSPARSE_POINTER_MODE_HOST));
    expect("spmv transposed", y, {16, 40, 20, 60}, 0);
    CHECK(cusparseDestroyDnVec(vx));
    CHECK(cusparseDestroyDnVec(vy));
  }
  float *b = device<float>({1, 0, 0, 0, 0, 1, 0, 0}), *c = room<float>(8);
  cusparseDnMatDescr_t mb = nullptr, mc = nullptr;
  CHECK(cusparseCreateDnMat(&mb, kN, 2, kN, b, CUDA_R_32F, CUSPARSE_ORDER_COL));
  CHECK(cusparseCreateDnMat(&mc, kN, 2, kN, c, CUDA_R_32F, CUSPARSE_ORDER_COL));
  const float alpha = 1, beta = 0;
  size_t size = 0;
  CHECK(cusparseSpMM_bufferSize(handle, kPlain, kPlain, &alpha, a, mb, &beta, mc, CUDA_R_32F,
                                CUSPARSE_SPMM_ALG_DEFAULT, &size));
  CHECK(cusparseSpMM(handle, kPlain, kPlain, &alpha, a, mb, &beta, mc, CUDA_R_32F,
                     CUSPARSE_SPMM_ALG_DEFAULT, room<char>(size + 1)));
  expect("spmm", c, {1, 0, 5, 0, 0, 4, 0, 8}, 0);
  CHECK(cusparseDestroyDnMat(mb));
  CHECK(cusparseDestroyDnMat(mc));
}

void vectors(cusparseHandle_t handle) {
  int* indices = device<int>({0, 3});
  float *values = device<float>({2, 3}), *dense = device<float>({1, 1, 1, 1});
  cusparseSpVecDescr_t x = nullptr;
  cusparseDnVecDescr_t y = nullptr;
  CHECK(cusparseCreateSpVec(&x, kN, 2, indices, values, CUSPARSE_INDEX_32I,
                            CUSPARSE_INDEX_BASE_ZERO, CUDA_R_32F));
  CHECK(cusparseCreateDnVec(&y, kN, dense, CUDA_R_32F));
  const float alpha = 10, beta = 2;
  CHECK(cusparseAxpby(handle, &alpha, x, &beta, y));
  expect("axpby", dense, {22, 2, 2, 32}, 0);
  float dot = 0;
  size_t size = 0;
  CHECK(cusparseSpVV_bufferSize(handle, kPlain, x, y, &dot, CUDA_R_32F, &size));
  CHECK(cusparseSpVV(handle, kPlain, x, y, &dot, CUDA_R_32F, room<char>(size + 1)));
  std::printf("%-28s %g\n", "dot", dot);
  CHECK(cusparseGather(handle, y, x));
  expect("gather", values, {22, 32}, 0);
  int64_t length = 0, nonzeros = 0;
  void *told = nullptr, *told_values = nullptr;
  cusparseIndexType_t index;
  cusparseIndexBase_t base;
  cudaDataType type;
  CHECK(cusparseSpVecGet(x, &length, &nonzeros, &told, &told_values, &index, &base, &type));
  std::printf("%-28s %d %d %d\n", "vector", static_cast<int>(length), static_cast<int>(nonzeros),
              told == indices && told_values == values);
  CHECK(cusparseDestroySpVec(x));
  CHECK(cusparseDestroyDnVec(y));
}

void square(cusparseHandle_t handle, cusparseSpMatDescr_t a) {
  int* offsets = room<int>(kN + 1);
  cusparseSpMatDescr_t c = csr(offsets, nullptr, nullptr, 0);
  cusparseSpGEMMDescr_t work = nullptr;
  CHECK(cusparseSpGEMM_createDescr(&work));
  const float alpha = 1, beta = 0;
  size_t size = 0;
  const auto estimate = [&](void* buffer) {
    CHECK(cusparseSpGEMM_workEstimation(handle, kPlain, kPlain, &alpha, a, a, &beta, c, CUDA_R_32F,
                                        CUSPARSE_SPGEMM_DEFAULT, work, &size, buffer));
  };
  estimate(nullptr);
  estimate(room<char>(size + 1));
  size_t size2 = 0;
  const auto compute = [&](void* buffer) {
    CHECK(cusparseSpGEMM_compute(handle, kPlain, kPlain, &alpha, a, a, &beta, c, CUDA_R_32F,
                                 CUSPARSE_SPGEMM_DEFAULT, work, &size2, buffer));
  };
  compute(nullptr);
  compute(room<char>(size2 + 1));
  int64_t rows = 0, columns = 0, nonzeros = 0;
  CHECK(cusparseSpMatGetSize(c, &rows, &columns, &nonzeros));
  std::printf("%-28s %d\n", "square, nonzeros", static_cast<int>(nonzeros));
  float* values = room<float>(nonzeros);
  CHECK(cusparseCsrSetPointers(c, offsets, room<int>(nonzeros), values));
  CHECK(cusparseSpGEMM_copy(handle, kPlain, kPlain, &alpha, a, a, &beta, c, CUDA_R_32F,
                            CUSPARSE_SPGEMM_DEFAULT, work));
  print("square", values, nonzeros);
  CHECK(cusparseSpGEMM_destroyDescr(work));
  CHECK(cusparseDestroySpMat(c));
}

void solve(cusparseHandle_t handle) {
  // 2 0 0 0 / 1 2 0 0 / 0 1 2 0 / 0 0 1 2
  int *offsets = device<int>({0, 1, 3, 5, 7}), *columns = device<int>({0, 0, 1, 1, 2, 2, 3});
  cusparseSpMatDescr_t a = csr(offsets, columns, device<float>({2, 1, 2, 1, 2, 1, 2}), 7);
  const cusparseFillMode_t fill = CUSPARSE_FILL_MODE_LOWER;
  CHECK(cusparseSpMatSetAttribute(a, CUSPARSE_SPMAT_FILL_MODE,
                                  const_cast<cusparseFillMode_t*>(&fill), sizeof fill));
  float *b = device<float>({2, 3, 3, 3}), *x = room<float>(kN);
  cusparseDnVecDescr_t vb = nullptr, vx = nullptr;
  CHECK(cusparseCreateDnVec(&vb, kN, b, CUDA_R_32F));
  CHECK(cusparseCreateDnVec(&vx, kN, x, CUDA_R_32F));
  cusparseSpSVDescr_t state = nullptr;
  CHECK(cusparseSpSV_createDescr(&state));
  const float alpha = 1;
  size_t size = 0;
  CHECK(cusparseSpSV_bufferSize(handle, kPlain, &alpha, a, vb, vx, CUDA_R_32F,
                                CUSPARSE_SPSV_ALG_DEFAULT, state, &size));
  CHECK(cusparseSpSV_analysis(handle, kPlain, &alpha, a, vb, vx, CUDA_R_32F,
                              CUSPARSE_SPSV_ALG_DEFAULT, state, room<char>(size + 1)));
  CHECK(cusparseSpSV_solve(handle, kPlain, &alpha, a, vb, vx, CUDA_R_32F, CUSPARSE_SPSV_ALG_DEFAULT,
                           state));
  expect("spsv", x, {1, 1, 1, 1}, 1e-6);
  CHECK(cusparseSpSV_destroyDescr(state));
  CHECK(cusparseDestroySpMat(a));
}

void first_generation(cusparseHandle_t handle) {
  cusparseMatDescr_t a = nullptr;
  CHECK(cusparseCreateMatDescr(&a));
  CHECK(cusparseSetMatIndexBase(a, CUSPARSE_INDEX_BASE_ONE));
  std::printf("%-28s %d %d\n", "matrix", cusparseGetMatIndexBase(a), cusparseGetMatType(a));
  CHECK(cusparseSetMatIndexBase(a, CUSPARSE_INDEX_BASE_ZERO));
  float* dense = device<float>({1, 0, 2, 0, 0, 3});
  int *per_row = room<int>(2), total = 0;
  CHECK(cusparseSnnz(handle, CUSPARSE_DIRECTION_ROW, 2, 3, a, dense, 2, per_row, &total));
  std::printf("%-28s %d\n", "nnz", total);
  // A tridiagonal system.
  float *dl = device<float>({0, 1, 1, 1}), *d = device<float>({4, 4, 4, 4}),
        *du = device<float>({1, 1, 1, 0}), *x = device<float>({5, 6, 6, 5});
  size_t size = 0;
  CHECK(cusparseSgtsv2_bufferSizeExt(handle, kN, 1, dl, d, du, x, kN, &size));
  CHECK(cusparseSgtsv2(handle, kN, 1, dl, d, du, x, kN, room<char>(size + 1)));
  expect("gtsv2", x, {1, 1, 1, 1}, 1e-5);
  CHECK(cusparseDestroyMatDescr(a));
}

}  // namespace

int main() {
  cusparseHandle_t handle = nullptr;
  CHECK(cusparseCreate(&handle));
  cudaStream_t stream = nullptr, told = nullptr;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamDefault));
  CHECK(cusparseSetStream(handle, stream));
  CHECK(cusparseGetStream(handle, &told));
  std::printf("%-28s %d\n", "stream", told == stream);
  cusparseSpMatDescr_t a = csr(device(kOffsets), device(kColumns), device(kValues), kNonzeros);
  products(handle, a);
  vectors(handle);
  square(handle, a);
  solve(handle);
  first_generation(handle);
  int64_t rows = 0, columns = 0, nonzeros = 0;
  void *p = nullptr, *q = nullptr, *r = nullptr;
  cusparseIndexType_t t, u;
  cusparseIndexBase_t base;
  cudaDataType type;
  CHECK(cusparseCsrGet(a, &rows, &columns, &nonzeros, &p, &q, &r, &t, &u, &base, &type));
  std::printf("%-28s %d %d %d %d\n", "csr", static_cast<int>(rows), static_cast<int>(nonzeros), t,
              type);
  CHECK(cusparseDestroySpMat(a));
  CHECK(cudaDeviceSynchronize());
  std::printf("%s: %s\n", cusparseGetErrorName(CUSPARSE_STATUS_ZERO_PIVOT),
              cusparseGetErrorString(CUSPARSE_STATUS_ZERO_PIVOT));
  CHECK(cusparseDestroy(handle));
  return 0;
}
