// cuBLAS and cuBLASLt: products with scalars here and there, results here and there, batches, and
// what heuristics choose. Prints checksums; the same natively and through Farlane.
#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#define CHECK(call)                                                              \
  do {                                                                           \
    const int status_ = static_cast<int>(call);                                  \
    if (status_ != 0) {                                                          \
      std::printf("%s:%d: %s: %d\n", __FILE__, __LINE__, #call, status_);        \
      std::exit(1);                                                              \
    }                                                                            \
  } while (0)

namespace {

constexpr int kN = 96;

template <class T>
T* device(const std::vector<T>& host) {
  T* p = nullptr;
  CHECK(cudaMalloc(&p, host.size() * sizeof(T)));
  CHECK(cudaMemcpy(p, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice));
  return p;
}

template <class T>
void print(const char* name, const T* p, size_t count) {
  std::vector<T> host(count);
  CHECK(cudaMemcpy(host.data(), p, count * sizeof(T), cudaMemcpyDeviceToHost));
  unsigned long long hash = 1469598103934665603ull;
  for (size_t i = 0; i < count * sizeof(T); ++i) {
    hash = (hash ^ reinterpret_cast<const unsigned char*>(host.data())[i]) * 1099511628211ull;
  }
  std::printf("%s: %.6g %.6g %016llx\n", name, static_cast<double>(host[0]),
              static_cast<double>(host[count - 1]), hash);
}

std::vector<float> values(size_t count, unsigned seed) {
  std::vector<float> v(count);
  for (float& x : v) {
    seed = seed * 1664525u + 1013904223u;
    x = static_cast<float>(seed >> 16) / 65536.0f - 0.5f;
  }
  return v;
}

void matmul_lt(cublasLtHandle_t lt, cudaStream_t stream) {
  const std::vector<float> a = values(kN * kN, 5), b = values(kN * kN, 6), bias = values(kN, 7);
  std::vector<__nv_bfloat16> ah(kN * kN), bh(kN * kN), biash(kN);
  for (int i = 0; i < kN * kN; ++i) {
    ah[i] = a[i];
    bh[i] = b[i];
  }
  for (int i = 0; i < kN; ++i) biash[i] = bias[i];
  __nv_bfloat16 *da = device(ah), *db = device(bh), *dbias = device(biash), *dc = device(ah);
  void* workspace = nullptr;
  const size_t workspace_bytes = 4 << 20;
  CHECK(cudaMalloc(&workspace, workspace_bytes));

  for (int round = 0; round < 3; ++round) {
    cublasLtMatmulDesc_t op;
    cublasLtMatrixLayout_t la, lb, lc;
    cublasLtMatmulPreference_t preference;
    CHECK(cublasLtMatmulDescCreate(&op, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    const cublasOperation_t transpose = CUBLAS_OP_T;
    CHECK(cublasLtMatmulDescSetAttribute(op, CUBLASLT_MATMUL_DESC_TRANSA, &transpose,
                                         sizeof transpose));
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_RELU_BIAS;
    CHECK(cublasLtMatmulDescSetAttribute(op, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                         sizeof epilogue));
    CHECK(cublasLtMatmulDescSetAttribute(op, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &dbias,
                                         sizeof dbias));
    CHECK(cublasLtMatrixLayoutCreate(&la, CUDA_R_16BF, kN, kN, kN));
    CHECK(cublasLtMatrixLayoutCreate(&lb, CUDA_R_16BF, kN, kN, kN));
    CHECK(cublasLtMatrixLayoutInit(lc = new cublasLtMatrixLayoutOpaque_t, CUDA_R_16BF, kN, kN, kN));
    CHECK(cublasLtMatmulPreferenceCreate(&preference));
    CHECK(cublasLtMatmulPreferenceSetAttribute(preference,
                                               CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                               &workspace_bytes, sizeof workspace_bytes));
    cublasLtMatmulHeuristicResult_t result[4];
    int found = 0;
    CHECK(cublasLtMatmulAlgoGetHeuristic(lt, op, la, lb, lc, lc, preference, 4, result, &found));
    if (round == 0) std::printf("heuristics: %s\n", found > 0 ? "some" : "none");
    const float alpha = 1.5f, beta = 0;
    CHECK(cublasLtMatmul(lt, op, &alpha, da, la, db, lb, &beta, dc, lc, dc, lc, &result[0].algo,
                         workspace, workspace_bytes, stream));
    uint64_t rows = 0;
    size_t written = 0;
    CHECK(cublasLtMatrixLayoutGetAttribute(la, CUBLASLT_MATRIX_LAYOUT_ROWS, &rows, sizeof rows,
                                           &written));
    if (round == 0) std::printf("rows %d in %d bytes\n", int(rows), int(written));
    CHECK(cublasLtMatmulPreferenceDestroy(preference));
    CHECK(cublasLtMatrixLayoutDestroy(la));
    CHECK(cublasLtMatrixLayoutDestroy(lb));
    delete lc;
    CHECK(cublasLtMatmulDescDestroy(op));
  }
  CHECK(cudaStreamSynchronize(stream));
  std::vector<__nv_bfloat16> c(kN * kN);
  CHECK(cudaMemcpy(c.data(), dc, c.size() * 2, cudaMemcpyDeviceToHost));
  double sum = 0;
  for (auto x : c) sum += static_cast<double>(static_cast<float>(x));
  std::printf("lt matmul: %.6f\n", sum);
}

}  // namespace

int main(int argc, char** argv) {
  cublasHandle_t handle;
  CHECK(cublasCreate(&handle));
  cudaStream_t stream;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CHECK(cublasSetStream(handle, stream));
  cudaStream_t told = nullptr;
  CHECK(cublasGetStream(handle, &told));
  cublasMath_t math;
  CHECK(cublasGetMathMode(handle, &math));
  CHECK(cublasSetMathMode(handle, CUBLAS_TF32_TENSOR_OP_MATH));
  cublasMath_t changed;
  CHECK(cublasGetMathMode(handle, &changed));
  CHECK(cublasSetMathMode(handle, math));
  std::printf("stream %d math %d %d\n", told == stream, int(math), int(changed));

  float *a = device(values(kN * kN, 1)), *b = device(values(kN * kN, 2)),
        *c = device(values(kN * kN, 3));
  const float alpha = 2, beta = 0.5f;
  CHECK(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_T, kN, kN, kN, &alpha, a, kN, b, kN, &beta, c,
                    kN));
  CHECK(cudaStreamSynchronize(stream));
  print("sgemm", c, kN * kN);

  float dot = 0;
  int largest = 0;
  CHECK(cublasSdot(handle, kN * kN, a, 1, b, 1, &dot));
  CHECK(cublasIsamax(handle, kN * kN, a, 1, &largest));
  std::printf("dot %.6f largest %d\n", dot, largest);
  float x = 3, y = 4, cosine = 0, sine = 0;
  CHECK(cublasSrotg(handle, &x, &y, &cosine, &sine));
  std::printf("rotg %.4f %.4f %.4f\n", x, cosine, sine);

  float* scalars = device(std::vector<float>{2, 0.5f, 0});
  CHECK(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_DEVICE));
  CHECK(cublasSgemm(handle, CUBLAS_OP_T, CUBLAS_OP_N, kN, kN, kN, scalars, a, kN, b, kN,
                    scalars + 1, c, kN));
  CHECK(cublasSnrm2(handle, kN * kN, c, 1, scalars + 2));
  CHECK(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_HOST));
  CHECK(cudaStreamSynchronize(stream));
  print("sgemm, scalars on the device", c, kN * kN);
  print("nrm2", scalars + 2, 1);

  CHECK(cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, kN, kN, kN, &alpha, a, CUDA_R_32F, kN, b,
                     CUDA_R_32F, kN, &beta, c, CUDA_R_32F, kN, CUBLAS_COMPUTE_32F,
                     CUBLAS_GEMM_DEFAULT));
  CHECK(cublasSgemmStridedBatched(handle, CUBLAS_OP_N, CUBLAS_OP_N, kN, 8, 8, &alpha, a, kN, kN * 8,
                                  b, 8, 64, &beta, c, kN, kN * 8, 12));
  CHECK(cudaStreamSynchronize(stream));
  print("strided batches", c, kN * kN);
  matmul_lt(reinterpret_cast<cublasLtHandle_t>(handle), stream);
  std::printf("an invalid handle: %d\n", int(cublasSscal(nullptr, 1, &alpha, a, 1)) != 0);

  if (argc > 1 && std::strcmp(argv[1], "time") == 0) {
    using Clock = std::chrono::steady_clock;
    for (int round = 0; round < 3; ++round) {
      const auto start = Clock::now();
      for (int i = 0; i < 2000; ++i) {
        CHECK(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_T, kN, kN, kN, &alpha, a, kN, b, kN, &beta,
                          c, kN));
      }
      const auto posted = Clock::now();
      CHECK(cudaStreamSynchronize(stream));
      const auto done = Clock::now();
      std::fprintf(stderr, "sgemm: %.2f us posted, %.2f us sustained\n",
                   std::chrono::duration<double, std::micro>(posted - start).count() / 2000,
                   std::chrono::duration<double, std::micro>(done - start).count() / 2000);
    }
  }
  CHECK(cublasDestroy(handle));
  std::printf("done\n");
  return 0;
}
