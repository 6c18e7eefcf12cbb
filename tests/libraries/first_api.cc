// cuBLAS's first API from end to end: no handle, letters, scalars by value, results returned, and
// errors that stay until they are asked for. Says what failed; exits with 0 when all is well. The
// argument says which case.
#include <cublas.h>
#include <cuda_runtime_api.h>

#include <cmath>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/libraries/expect.h"

namespace {

template <class T>
T* device(const std::vector<T>& host) {
  void* p = nullptr;
  OK(cublasAlloc(static_cast<int>(host.size()), sizeof(T), &p));
  OK(cublasSetVector(static_cast<int>(host.size()), sizeof(T), host.data(), 1, p, 1));
  return static_cast<T*>(p);
}

template <class T>
std::vector<T> host(const T* p, size_t count) {
  std::vector<T> v(count);
  OK(cudaMemcpy(v.data(), p, count * sizeof(T), cudaMemcpyDeviceToHost));
  return v;
}

using Floats = std::vector<float>;

// Without cublasInit nothing is calculated, and that is said as often as it is asked. Memory and
// version need no cublasInit.
void expect_uninitialized() {
  float* x = device<float>({3, 4});
  cublasSaxpy(2, 1, x, 1, x, 1);
  EXPECT(cublasGetError() == CUBLAS_STATUS_NOT_INITIALIZED);
  EXPECT(cublasGetError() == CUBLAS_STATUS_NOT_INITIALIZED);
  EXPECT(cublasSnrm2(2, x, 1) == 0);
  EXPECT(cublasIdamax(1, reinterpret_cast<double*>(x), 1) == 0);
  EXPECT(cublasSetKernelStream(nullptr) == CUBLAS_STATUS_NOT_INITIALIZED);
  EXPECT((host(x, 2) == Floats{3, 4}));
  int version = 0;
  OK(cublasGetVersion(&version));
  EXPECT(version == 130000);
  OK(cublasFree(x));
  OK(cublasShutdown());
}

void vectors() {
  float* x = device<float>({3, 0, 4, 0});
  float* y = device<float>({1, 2, 3, 4});
  EXPECT(cublasSnrm2(2, x, 2) == 5);
  EXPECT(cublasSdot(2, x, 2, y, 1) == 3 + 8);
  EXPECT(cublasIdamax(3, device<double>({1, -7, 5}), 1) == 2);
  cublasSaxpy(2, 2, x, 2, y, 2);
  OK(cublasGetError());
  EXPECT((host(y, 4) == Floats{7, 2, 11, 4}));
  float a = 3, b = 4, cosine = 0, sine = 0;
  cublasSrotg(&a, &b, &cosine, &sine);
  EXPECT(a == 5 && cosine == 0.6f && sine == 0.8f);
  float d1 = 1, d2 = 2, x1 = 3, parameters[5] = {7, 7, 7, 7, 7};
  const float y1 = 10;
  cublasSrotmg(&d1, &d2, &x1, &y1, parameters);
  EXPECT(d1 == 11 && d2 == 12 && x1 == 13 && parameters[0] == 1 && parameters[2] == 7);

  cuComplex* u = device<cuComplex>({{1, 2}, {3, 4}});
  cuComplex* v = device<cuComplex>({{5, 6}, {0, 1}});
  const cuComplex dot = cublasCdotc(2, u, 1, v, 1);
  EXPECT(dot.x == 17 + 4 && dot.y == -4 + 3);
  cuComplex first = {1, 2}, turn = {0, 0};
  const cuComplex second = {10, 20};
  float length = 0;
  cublasCrotg(&first, second, &length, &turn);
  EXPECT(first.x == 11 && first.y == 22 && length == 11 && turn.x == 10 && turn.y == 20);
  cublasCrot(1, u, 1, v, 1, 2, {0, 1});
  EXPECT(host(u, 1)[0].x == 2 - 6 && host(u, 1)[0].y == 4 + 5);
  EXPECT(host(v, 1)[0].x == 10 - 2 && host(v, 1)[0].y == 12 + 1);
  OK(cublasGetError());
}

void products() {
  float* a = device<float>({1, 2, 3, 4, 5, 6});  // 2 × 3
  float* b = device<float>({1, 0, 0, 0, 1, 0, 0, 0, 1});
  float* c = device<float>({1, 1, 1, 1, 1, 1});
  cublasSgemv('T', 2, 3, 1, a, 2, b, 1, 2, c, 2);
  OK(cublasGetError());
  EXPECT((host(c, 6) == Floats{3, 1, 5, 1, 7, 1}));
  cublasSgemm('n', 'C', 2, 3, 3, 2, a, 2, b, 3, 1, c, 2);
  OK(cublasGetError());
  EXPECT((host(c, 6) == Floats{5, 5, 11, 9, 17, 13}));
  // In its place, where the function with a handle has another matrix for the result.
  float* triangle = device<float>({2, 3, NAN, 4});
  float* m = device<float>({1, 1, 1, 2});
  cublasStrmm('L', 'l', 'N', 'n', 2, 2, 10, triangle, 2, m, 2);
  OK(cublasGetError());
  EXPECT((host(m, 4) == Floats{20, 70, 20, 110}));
  cublasStrsm('L', 'L', 'n', 'N', 2, 2, 0.1f, triangle, 2, m, 2);
  OK(cublasGetError());
  EXPECT((host(m, 4) == Floats{1, 1, 1, 2}));
  cublasStrmm('r', 'L', 't', 'U', 2, 2, 1, triangle, 2, m, 2);
  EXPECT((host(m, 4) == Floats{1, 1, 4, 5}));
  cuComplex* z = device<cuComplex>({{1, 2}, {3, 4}});
  cuComplex* r = device<cuComplex>({{0, 9}, {7, 7}, {1, 1}, {0, 0}});
  cublasCher2k('U', 'N', 2, 1, {0, 1}, z, 2, z, 2, 3, r, 2);
  OK(cublasGetError());
  const std::vector<cuComplex> updated = host(r, 4);
  EXPECT(updated[0].x == 0 && updated[0].y == 0 && updated[1].x == 7 && updated[2].x == 3);
}

// The last error since it was asked for; calls after one that failed are made all the same.
void errors() {
  float* a = device<float>({1, 2, 3, 4});
  cublasSgemm('x', 'N', 1, 1, 1, 1, a, 1, a, 1, 0, a + 3, 1);
  EXPECT(cublasGetError() == CUBLAS_STATUS_INVALID_VALUE);
  OK(cublasGetError());
  EXPECT(host(a + 3, 1)[0] == 4);
  for (const char wrong : {'\0', 'T', 'q'}) {
    cublasStrsm('L', wrong, 'N', 'N', 1, 1, 1, a, 1, a, 1);
    EXPECT(cublasGetError() == CUBLAS_STATUS_INVALID_VALUE);
  }
  cublasSgemm('N', 'N', -1, 1, 1, 1, a, 1, a, 1, 0, a, 1);
  OK(cudaDeviceSynchronize());  // it is known here that it failed
  cublasSgemm('N', 'N', 1, 1, 1, 1, a + 1, 1, a + 2, 1, 0, a + 3, 1);
  EXPECT(cublasGetError() == CUBLAS_STATUS_INVALID_VALUE);
  OK(cublasGetError());
  EXPECT(host(a + 3, 1)[0] == 6);
  // The library on the server has no such function. A result of a call afterwards is one.
  cublasSgemm('N', 'N', -1, 1, 1, 1, a, 1, a, 1, 0, a, 1);
  EXPECT(cublasSnrm2(1, a + 2, 1) == 3);
  cublasSscal(1, 5, a, 1);
  EXPECT(cublasSnrm2(1, a + 2, 1) == 3);
  EXPECT(cublasGetError() == CUBLAS_STATUS_NOT_SUPPORTED);
  OK(cublasGetError());
  EXPECT(cublasDasum(1, reinterpret_cast<double*>(a), 1) == 0);
  EXPECT(cublasGetError() == CUBLAS_STATUS_NOT_SUPPORTED);

  void* p = a;
  EXPECT(cublasAlloc(-1, 4, &p) == CUBLAS_STATUS_INVALID_VALUE && p == nullptr);
  EXPECT(cublasAlloc(1, 0, &p) == CUBLAS_STATUS_INVALID_VALUE);
  EXPECT(cublasAlloc(1, 1, nullptr) == CUBLAS_STATUS_INVALID_VALUE);
  EXPECT(cublasAlloc(2'000'000'000, 2'000'000'000, &p) == CUBLAS_STATUS_ALLOC_FAILED);
  EXPECT(p == nullptr);
  OK(cublasFree(nullptr));
  EXPECT(cublasFree(a + 1) == CUBLAS_STATUS_INTERNAL_ERROR);
  EXPECT(cublasGetVersion(nullptr) == CUBLAS_STATUS_INVALID_VALUE);
  // They tell it themselves.
  OK(cublasGetError());
}

void streams() {
  cudaStream_t stream = nullptr;
  OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  OK(cublasSetKernelStream(stream));
  float* a = device<float>({1, 2});
  // The call is the stream's: a result cannot be waited for while that is captured.
  cudaGraph_t graph = nullptr;
  OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
  EXPECT(cublasSnrm2(1, a, 1) == 0);
  EXPECT(cublasGetError() == CUBLAS_STATUS_EXECUTION_FAILED);
  EXPECT(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);
  cudaGetLastError();
  OK(cublasSetKernelStream(nullptr));
  OK(cudaStreamDestroy(stream));
  EXPECT(cublasSnrm2(1, a, 1) == 1);
  EXPECT(cublasSetKernelStream(stream) == CUBLAS_STATUS_INVALID_VALUE);
  OK(cublasGetError());
}

void all() {
  expect_uninitialized();
  OK(cublasInit());
  OK(cublasGetError());
  OK(cublasInit());
  vectors();
  products();
  errors();
  streams();
  // Any thread: the errors are the process's.
  float* a = device<float>({1, 2});
  std::thread([a] {
    EXPECT(cublasSnrm2(1, a, 1) == 1);
    cublasSgemm('N', 'N', -1, 1, 1, 1, a, 1, a, 1, 0, a, 1);
  }).join();
  EXPECT(cublasGetError() == CUBLAS_STATUS_INVALID_VALUE);
  cublasSgemm('N', 'N', -1, 1, 1, 1, a, 1, a, 1, 0, a, 1);
  OK(cublasShutdown());
  OK(cublasShutdown());
  expect_uninitialized();
  OK(cublasInit());
  EXPECT(cublasSnrm2(1, a + 1, 1) == 2);
  OK(cublasShutdown());
}

// A call is the current device's.
void devices() {
  OK(cublasInit());
  float* here = device<float>({3, 4});
  OK(cudaSetDevice(1));
  float* there = device<float>({6, 8});
  cudaPointerAttributes told{};
  OK(cudaPointerGetAttributes(&told, there));
  EXPECT(told.device == 1);
  EXPECT(cublasSnrm2(2, there, 1) == 10);
  cublasSaxpy(2, 1, there, 1, there, 1);
  OK(cublasGetError());
  EXPECT((host(there, 2) == Floats{12, 16}));
  OK(cudaSetDevice(0));
  EXPECT(cublasSnrm2(2, here, 1) == 5);
  OK(cublasGetError());
  OK(cublasShutdown());
}

// The server has no such library.
void missing() {
  EXPECT(cublasInit() == CUBLAS_STATUS_NOT_INITIALIZED);
  EXPECT(cublasGetError() == CUBLAS_STATUS_NOT_INITIALIZED);
  OK(cublasShutdown());
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view which = argc > 1 ? argv[1] : "";
  if (which == "all") {
    all();
  } else if (which == "devices") {
    devices();
  } else if (which == "missing") {
    missing();
  } else {
    std::printf("which case?\n");
    return 2;
  }
  return 0;
}
