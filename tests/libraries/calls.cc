// Calls of a CUDA-X library from end to end: façade, log, worker, and a library on the server.
// Says what failed; exits with 0 when all is well. The argument says which case.
#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <future>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "tests/libraries/expect.h"

namespace {

constexpr int kN = 3;

float* device(const std::vector<float>& host) {
  float* p = nullptr;
  OK(cudaMalloc(reinterpret_cast<void**>(&p), host.size() * sizeof(float)));
  OK(cudaMemcpy(p, host.data(), host.size() * sizeof(float), cudaMemcpyHostToDevice));
  return p;
}

std::vector<float> host(const float* p, size_t count) {
  std::vector<float> v(count);
  OK(cudaMemcpy(v.data(), p, count * sizeof(float), cudaMemcpyDeviceToHost));
  return v;
}

void products() {
  cublasHandle_t handle = nullptr;
  OK(cublasCreate(&handle));
  cudaStream_t stream = nullptr;
  OK(cudaStreamCreate(&stream));
  OK(cublasSetStream(handle, stream));
  cudaStream_t told = nullptr;
  OK(cublasGetStream(handle, &told));
  EXPECT(told == stream);

  float* a = device({1, 2, 3, 4, 5, 6, 7, 8, 9});
  float* b = device({1, 0, 0, 0, 1, 0, 0, 0, 1});
  float* c = device({1, 1, 1, 1, 1, 1, 1, 1, 1});
  float alpha = 2;
  const float beta = 10;
  OK(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, kN, kN, kN, &alpha, a, kN, b, kN, &beta, c, kN));
  alpha = 0;  // taken before the call returned
  OK(cudaStreamSynchronize(stream));
  EXPECT((host(c, 9) == std::vector<float>{12, 14, 16, 18, 20, 22, 24, 26, 28}));

  // Scalars and a result in device memory.
  float* scalars = device({1, 0, -1});
  OK(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_DEVICE));
  cublasPointerMode_t mode = CUBLAS_POINTER_MODE_HOST;
  OK(cublasGetPointerMode(handle, &mode));
  EXPECT(mode == CUBLAS_POINTER_MODE_DEVICE);
  OK(cublasSgemm(handle, CUBLAS_OP_T, CUBLAS_OP_N, kN, kN, kN, scalars, a, kN, b, kN, scalars + 1,
                 c, kN));
  OK(cublasSdot(handle, 3, a, 1, a, 1, scalars + 2));
  OK(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_HOST));
  OK(cudaStreamSynchronize(stream));
  EXPECT((host(c, 9) == std::vector<float>{1, 4, 7, 2, 5, 8, 3, 6, 9}));
  EXPECT(host(scalars + 2, 1)[0] == 14);

  // A result in host memory is there when the call returns.
  float dot = -1;
  OK(cublasSdot(handle, 3, a, 1, a + 3, 1, &dot));
  EXPECT(dot == 4 + 10 + 18);
  float x = 3, y = 4, cosine = 0, sine = 0;
  OK(cublasSrotg(handle, &x, &y, &cosine, &sine));
  EXPECT(x == 5 && cosine == 0.6f && sine == 0.8f);
  // What the library leaves alone stays as it is.
  float d1 = 1, d2 = 2, x1 = 3, parameters[5] = {7, 7, 7, 7, 7};
  const float y1 = 10;
  OK(cublasSrotmg(handle, &d1, &d2, &x1, &y1, parameters));
  EXPECT(d1 == 11 && d2 == 12 && x1 == 13);
  EXPECT(parameters[0] == 1 && parameters[1] == 0.25f && parameters[4] == 0.5f);
  EXPECT(parameters[2] == 7 && parameters[3] == 7);

  // What was set is answered anew, what was not is remembered.
  cublasMath_t math = CUBLAS_PEDANTIC_MATH;
  OK(cublasGetMathMode(handle, &math));
  EXPECT(math == CUBLAS_DEFAULT_MATH);
  OK(cublasSetMathMode(handle, CUBLAS_TF32_TENSOR_OP_MATH));
  OK(cublasGetMathMode(handle, &math));
  EXPECT(math == CUBLAS_TF32_TENSOR_OP_MATH);
  OK(cublasSetMathMode(handle, CUBLAS_DEFAULT_MATH));
  OK(cublasGetMathMode(handle, &math));
  EXPECT(math == CUBLAS_DEFAULT_MATH);

  // Scalars of two bytes, and of sixteen, which lie where their type may lie.
  const std::vector<__half> ones(4, __half(1.0f));
  auto* h = reinterpret_cast<__half*>(device({0, 0}));
  OK(cudaMemcpy(h, ones.data(), ones.size() * sizeof(__half), cudaMemcpyHostToDevice));
  const __half three(3.0f), none(0.0f);
  OK(cublasHgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 2, &three, h, 1, h, 2, &none, h + 3, 1));
  auto* z = reinterpret_cast<cuDoubleComplex*>(device({0, 0, 0, 0}));
  cuDoubleComplex seen = make_cuDoubleComplex(1, 1);
  OK(cudaMemcpy(z, &seen, sizeof seen, cudaMemcpyHostToDevice));
  const cuDoubleComplex turn = make_cuDoubleComplex(0, 1);
  for (int i = 0; i < 4; ++i) {
    OK(cublasZscal(handle, 1, &turn, z, 1));
    // Whatever the place of the next call in its frame.
    OK(cublasSetMathMode(handle, CUBLAS_DEFAULT_MATH));
  }
  std::vector<__half> halves(4);
  OK(cudaMemcpy(halves.data(), h, halves.size() * sizeof(__half), cudaMemcpyDeviceToHost));
  EXPECT(static_cast<float>(halves[3]) == 6);
  OK(cudaMemcpy(&seen, z, sizeof seen, cudaMemcpyDeviceToHost));
  EXPECT(seen.x == 1 && seen.y == 1);

  // Copies of matrices are the runtime's.
  const std::vector<float> small = {1, 2, 3, 4};
  OK(cublasSetMatrix(2, 2, sizeof(float), small.data(), 2, c, 3));
  EXPECT((host(c, 5) == std::vector<float>{1, 2, 7, 3, 4}));

  EXPECT(std::strcmp(cublasLtGetStatusName(CUBLAS_STATUS_INVALID_VALUE),
                     cublasGetStatusName(CUBLAS_STATUS_INVALID_VALUE)) == 0);
  EXPECT(std::strcmp(cublasLtGetStatusString(CUBLAS_STATUS_SUCCESS), "success") == 0);
  OK(cublasDestroy(handle));
  EXPECT(cublasSscal(handle, 1, &beta, a, 1) == CUBLAS_STATUS_NOT_INITIALIZED);
}

// What is wrong is told: at once where it is known here, otherwise by the next call, once.
void errors() {
  cublasHandle_t handle = nullptr;
  OK(cublasCreate(&handle));
  float* a = device({1, 2, 3, 4});
  const float one = 1;
  EXPECT(cublasSgemm(nullptr, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a, 1, a, 1, &one, a, 1) ==
         CUBLAS_STATUS_NOT_INITIALIZED);
  EXPECT(cublasCreate(nullptr) == CUBLAS_STATUS_INVALID_VALUE);
  EXPECT(cublasDestroy(nullptr) == CUBLAS_STATUS_NOT_INITIALIZED);
  int version = 0;
  OK(cublasGetVersion(nullptr, &version));
  EXPECT(version == 130000);
  OK(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, -1, 1, 1, &one, a, 1, a, 1, &one, a, 1));
  OK(cudaDeviceSynchronize());
  cublasMath_t math;
  EXPECT(cublasGetMathMode(handle, &math) == CUBLAS_STATUS_INVALID_VALUE);
  OK(cublasGetMathMode(handle, &math));
  // The library on the server has no such function.
  OK(cublasSscal(handle, 1, &one, a, 1));
  OK(cudaDeviceSynchronize());
  EXPECT(cublasGetMathMode(handle, &math) == CUBLAS_STATUS_NOT_SUPPORTED);
  OK(cublasDestroy(handle));
}

// What our log says so far, where main() sent it.
std::string log_text() {
  std::ifstream file(std::getenv("FARLANE_LOG_FILE"));
  return {std::istreambuf_iterator<char>(file), {}};
}

// What ends an object is done whatever happened before, and leaves that for a call whose status
// programs look at; it needs no stream either. The log names the call that failed, as its status
// comes out of another.
void endings() {
  cublasHandle_t handle = nullptr, other = nullptr;
  OK(cublasCreate(&handle));
  OK(cublasCreate(&other));
  float* a = device({1, 2, 3, 4});
  const float one = 1, zero = 0;
  OK(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, -1, 1, 1, &one, a, 1, a, 1, &one, a, 1));
  OK(cudaDeviceSynchronize());
  EXPECT(log_text().find("cublasSgemm_v2 failed with status 7") != std::string::npos);
  OK(cublasDestroy(other));
  EXPECT(cublasDestroy(other) == CUBLAS_STATUS_NOT_INITIALIZED);
  cublasMath_t math;
  EXPECT(cublasGetMathMode(handle, &math) == CUBLAS_STATUS_INVALID_VALUE);

  cudaStream_t stream = nullptr;
  OK(cudaStreamCreate(&stream));
  OK(cublasCreate(&other));
  for (cublasHandle_t each : {handle, other}) OK(cublasSetStream(each, stream));
  OK(cudaStreamDestroy(stream));
  OK(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_HOST));
  OK(cublasGetMathMode(handle, &math));
  OK(cublasDestroy(other));
  OK(cublasSetStream(handle, nullptr));
  OK(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a, 1, a + 1, 1, &zero, a + 2, 1));
  EXPECT(host(a + 2, 1)[0] == 2);
  OK(cublasDestroy(handle));
}

// Counts that are none, and those of more than fits one call, are refused before anything is read
// by them.
void nonsense() {
  cublasHandle_t handle = nullptr;
  OK(cublasCreate(&handle));
  const cublasOperation_t none[] = {CUBLAS_OP_N};
  const int ones[] = {1};
  const float one[] = {1};
  for (const int groups : {-1, 1 << 20}) {
    EXPECT(cublasSgemmGroupedBatched(handle, none, none, ones, ones, ones, one, nullptr, ones,
                                     nullptr, ones, one, nullptr, ones, groups, ones) ==
           (groups < 0 ? CUBLAS_STATUS_INVALID_VALUE : CUBLAS_STATUS_NOT_SUPPORTED));
  }
  OK(cublasDestroy(handle));
}

// A handle on the per-thread stream works on that of whichever thread calls.
void threads() {
  cublasHandle_t handle = nullptr;
  OK(cublasCreate(&handle));
  OK(cublasSetStream(handle, cudaStreamPerThread));
  float* a = device({1, 1, 0, 0});
  const float one = 1, zero = 0;
  const auto product = [&] {
    return cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a, 1, a + 1, 1, &zero,
                       a + 2, 1);
  };
  OK(product());
  OK(cudaStreamSynchronize(cudaStreamPerThread));
  EXPECT(host(a + 2, 1)[0] == 1);

  // The other thread's stream is held up until all is posted.
  std::promise<void> posted, go;
  std::future<void> may_go = go.get_future();
  std::thread other([&] {
    OK(cudaLaunchHostFunc(
        cudaStreamPerThread, [](void* wait) { static_cast<std::future<void>*>(wait)->wait(); },
        &may_go));
    const float seven = 7;
    OK(cudaMemcpyAsync(a, &seven, sizeof seven, cudaMemcpyHostToDevice, cudaStreamPerThread));
    OK(product());
    posted.set_value();
    OK(cudaStreamSynchronize(cudaStreamPerThread));
    EXPECT(host(a + 2, 1)[0] == 7);
    // Its stream ends with it, and the handle goes on.
  });
  posted.get_future().wait();
  go.set_value();
  other.join();
  const float eight = 8;
  OK(cudaMemcpyAsync(a, &eight, sizeof eight, cudaMemcpyHostToDevice, cudaStreamPerThread));
  OK(product());
  OK(cudaStreamSynchronize(cudaStreamPerThread));
  EXPECT(host(a + 2, 1)[0] == 8);
  OK(cublasDestroy(handle));
}

// A server without the library, or with another version of it, is no crash.
void missing() {
  cublasHandle_t handle = nullptr;
  EXPECT(cublasCreate(&handle) == CUBLAS_STATUS_NOT_INITIALIZED);
  EXPECT(handle == nullptr);
  EXPECT(cublasCreate(&handle) == CUBLAS_STATUS_NOT_INITIALIZED);
  float* a = nullptr;
  OK(cudaMalloc(reinterpret_cast<void**>(&a), 64));
  OK(cudaFree(a));
}

// A call that a capture forbids is not made and breaks it, as a launch would be and do. What only
// sets something is no work.
void captures() {
  cublasHandle_t handle = nullptr;
  OK(cublasCreate(&handle));
  cudaStream_t stream = nullptr;
  OK(cudaStreamCreate(&stream));
  float* a = device({1, 2, 3, 4});
  const float one = 1, zero = 0;
  const auto product = [&] {
    return cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a, 1, a + 1, 1, &zero,
                       a + 2, 1);
  };
  const auto end = [&] {
    cudaGraph_t graph = nullptr;
    const cudaError_t error = cudaStreamEndCapture(stream, &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    return error;
  };
  OK(product());

  OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  OK(cublasSetMathMode(handle, CUBLAS_DEFAULT_MATH));
  OK(end());

  // On the legacy stream, with which the captured one is ordered.
  OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  EXPECT(product() == CUBLAS_STATUS_EXECUTION_FAILED);
  EXPECT(end() == cudaErrorStreamCaptureInvalidated);

  // A result in host memory would have to be waited for.
  OK(cublasSetStream(handle, stream));
  OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  float dot = -1;
  EXPECT(cublasSdot(handle, 2, a, 1, a, 1, &dot) == CUBLAS_STATUS_EXECUTION_FAILED);
  EXPECT(product() == CUBLAS_STATUS_EXECUTION_FAILED);
  EXPECT(end() == cudaErrorStreamCaptureInvalidated);

  cudaGetLastError();
  OK(product());
  OK(cudaStreamSynchronize(stream));
  EXPECT(host(a + 2, 1)[0] == 2);
}

// Kills the server's workers.
void end_sessions() {
  const std::string server = std::getenv("FARLANE_TEST_SERVER_PID");
  std::ifstream children("/proc/" + server + "/task/" + server + "/children");
  for (pid_t pid = 0; children >> pid;) OK(::kill(pid, SIGKILL));
}

// A lost server: a posted call leaves it to CUDA's next call to say so, whose error has a text.
void lost() {
  cublasHandle_t handle = nullptr;
  OK(cublasCreate(&handle));
  float* a = device({1, 2, 3, 4});
  const float one = 1;
  end_sessions();
  cudaError_t error = cudaSuccess;
  while (error == cudaSuccess) error = cudaMemcpy(a, &one, sizeof one, cudaMemcpyHostToDevice);
  EXPECT(error == cudaErrorSystemNotReady);
  OK(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a, 1, a, 1, &one, a, 1));
  EXPECT(cudaDeviceSynchronize() == cudaErrorSystemNotReady);
  EXPECT(std::strstr(cudaGetErrorString(cudaErrorSystemNotReady), "the connection to the server"));
  float dot = -1;
  EXPECT(cublasSdot(handle, 2, a, 1, a, 1, &dot) == CUBLAS_STATUS_EXECUTION_FAILED);
}

}  // namespace

int main(int argc, char** argv) {
  struct Case {
    const char* name;
    void (*run)();
  };
  constexpr Case kCases[] = {{"products", products}, {"errors", errors},   {"endings", endings},
                             {"nonsense", nonsense}, {"threads", threads}, {"missing", missing},
                             {"captures", captures}, {"lost", lost}};
  char log_file[] = "/tmp/farlane-library-calls-XXXXXX";
  EXPECT(::mkstemp(log_file) >= 0);
  ::setenv("FARLANE_LOG_FILE", log_file, 1);
  for (const Case& each : kCases) {
    if (argc > 1 && std::strcmp(argv[1], each.name) == 0) {
      each.run();
      std::printf("%s", log_text().c_str());
      std::remove(log_file);
      return 0;
    }
  }
  std::printf("which case?\n");
  return 2;
}
