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
#include <utility>
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

// What the library leaves alone stays as it is, also where its answer is remembered: that is known
// of each byte once it has been another one.
void untouched() {
  cublasHandle_t handle = nullptr;
  OK(cublasCreate(&handle));
  float* a = device({1, 2});
  float dot = 17;
  EXPECT(cublasSdot(handle, -1, a, 1, a, 1, &dot) == CUBLAS_STATUS_INVALID_VALUE);
  EXPECT(dot == 17);

  const auto asked = [&] {
    int count = -1;
    OK(cublasIsamax(handle, 1, a, 1, &count));
    return count;
  };
  const auto stays = [&](int before) {
    cublasAtomicsMode_t mode{};
    std::memcpy(&mode, &before, sizeof mode);
    OK(cublasGetAtomicsMode(handle, &mode));
    int after = 0;
    std::memcpy(&after, &mode, sizeof mode);
    return after == before;
  };
  EXPECT(stays(1) && stays(1));
  EXPECT(asked() == 1);
  EXPECT(stays(0) && stays(1) && stays(2));
  EXPECT(asked() == 2);
  EXPECT(stays(0x7f7f7f01));
  EXPECT(asked() == 3);
  EXPECT(stays(0x01020304) && stays(0));
  EXPECT(asked() == 3);
  OK(cublasDestroy(handle));
}

// Counts that are none, and those of more than any call may have, are refused before anything is
// read by them.
void nonsense() {
  cublasHandle_t handle = nullptr;
  OK(cublasCreate(&handle));
  const cublasOperation_t none[] = {CUBLAS_OP_N};
  const int ones[] = {1};
  const float one[] = {1};
  for (const int groups : {-1, 1 << 29}) {
    EXPECT(cublasSgemmGroupedBatched(handle, none, none, ones, ones, ones, one, nullptr, ones,
                                     nullptr, ones, one, nullptr, ones, groups, ones) ==
           (groups < 0 ? CUBLAS_STATUS_INVALID_VALUE : CUBLAS_STATUS_NOT_SUPPORTED));
  }
  OK(cublasDestroy(handle));
}

// Products of numbers, each a group by itself: c[g] = (g + first) * a * b + c[g].
struct Groups {
  Groups(size_t count, float first, const float* a, const float* b, float* c)
      : operations(count, CUBLAS_OP_N), ones(count, 1), beta(count, 1), as(count, a), bs(count, b) {
    for (size_t g = 0; g < count; ++g) {
      alpha.push_back(first + static_cast<float>(g));
      cs.push_back(c + g);
    }
    // The pointers lie in device memory.
    const auto put = [&](const void* from, void** to) {
      OK(cudaMalloc(to, count * sizeof(void*)));
      OK(cudaMemcpy(*to, from, count * sizeof(void*), cudaMemcpyHostToDevice));
    };
    put(as.data(), reinterpret_cast<void**>(&da));
    put(bs.data(), reinterpret_cast<void**>(&db));
    put(cs.data(), reinterpret_cast<void**>(&dc));
  }
  cublasStatus_t multiply(cublasHandle_t handle) const {
    return cublasSgemmGroupedBatched(handle, operations.data(), operations.data(), ones.data(),
                                     ones.data(), ones.data(), alpha.data(), da, ones.data(), db,
                                     ones.data(), beta.data(), dc, ones.data(),
                                     static_cast<int>(ones.size()), ones.data());
  }
  std::vector<cublasOperation_t> operations;
  std::vector<int> ones;
  std::vector<float> alpha, beta;
  std::vector<const float*> as, bs;
  std::vector<float*> cs;
  const float** da = nullptr;
  const float** db = nullptr;
  float** dc = nullptr;
};

// How often the products of such groups have been added up, or -1: something else is there.
int times(const float* c, size_t count, float first) {
  const std::vector<float> got = host(c, count);
  const int sum = static_cast<int>(got[0] / first);
  for (size_t g = 0; g < count; ++g) {
    if (got[g] != static_cast<float>(sum) * (first + static_cast<float>(g))) return -1;
  }
  return sum;
}

// Calls of more than fits one record, of several threads at once and behind one that is held up.
void long_calls() {
  float* unit = device({1});
  const auto work = [&](size_t count, float first, int rounds) {
    cublasHandle_t handle = nullptr;
    OK(cublasCreate(&handle));
    float* c = device(std::vector<float>(count, 0));
    Groups groups(count, first, unit, unit, c);
    for (int i = 0; i < rounds; ++i) {
      OK(groups.multiply(handle));
      // What a call reads has been read when it returns.
      const std::vector<float> kept = std::exchange(groups.alpha, std::vector<float>(count, 7));
      groups.alpha = kept;
    }
    OK(cudaDeviceSynchronize());
    EXPECT(times(c, count, first) == rounds);
    OK(cublasDestroy(handle));
  };
  // About the length of one record, and many.
  for (const size_t count : {2960, 2970, 2978, 2979, 2980, 100'000}) work(count, 1, 1);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) threads.emplace_back([&, t] { work(5000 + 3000 * t, 10 + t, 100); });
  for (std::thread& thread : threads) thread.join();

  // A stream that is held up keeps its calls; those of others pass.
  constexpr size_t kCount = 10'000;
  float* c = device(std::vector<float>(kCount, 0));
  Groups groups(kCount, 5, unit, unit, c);
  cudaStream_t stream = nullptr;
  OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  cublasHandle_t handle = nullptr;
  OK(cublasCreate(&handle));
  OK(cublasSetStream(handle, stream));
  std::promise<void> go;
  std::future<void> may_go = go.get_future();
  OK(cudaLaunchHostFunc(
      stream, [](void* wait) { static_cast<std::future<void>*>(wait)->wait(); }, &may_go));
  constexpr int kRounds = 20;
  for (int i = 0; i < kRounds; ++i) OK(groups.multiply(handle));
  float* d = device(std::vector<float>(kCount, 0));
  const Groups others(kCount, 9, unit, unit, d);
  cudaStream_t free_stream = nullptr;
  OK(cudaStreamCreateWithFlags(&free_stream, cudaStreamNonBlocking));
  cublasHandle_t free_handle = nullptr;
  OK(cublasCreate(&free_handle));
  OK(cublasSetStream(free_handle, free_stream));
  OK(others.multiply(free_handle));
  OK(cudaStreamSynchronize(free_stream));
  std::vector<float> first(1);
  OK(cudaMemcpyAsync(first.data(), d, sizeof(float), cudaMemcpyDeviceToHost, free_stream));
  OK(cudaStreamSynchronize(free_stream));
  EXPECT(first[0] == 9);
  OK(cudaMemcpyAsync(first.data(), c, sizeof(float), cudaMemcpyDeviceToHost, free_stream));
  OK(cudaStreamSynchronize(free_stream));
  EXPECT(first[0] == 0);
  go.set_value();
  OK(cudaStreamSynchronize(stream));
  EXPECT(times(c, kCount, 5) == kRounds);
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

// … in the midst of long calls: whoever waits for room is told, too.
void lost_in_pieces() {
  float* unit = device({1});
  constexpr size_t kCount = 200'000;
  float* c = device(std::vector<float>(kCount, 0));
  const Groups groups(kCount, 1, unit, unit, c);
  std::vector<std::thread> threads;
  std::promise<void> begun;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      cublasHandle_t handle = nullptr;
      OK(cublasCreate(&handle));
      for (int i = 0; cudaPeekAtLastError() == cudaSuccess; ++i) {
        OK(groups.multiply(handle));
        if (t == 0 && i == 2) begun.set_value();
        static_cast<void>(cudaStreamQuery(nullptr));
      }
      OK(groups.multiply(handle));
    });
  }
  begun.get_future().wait();
  end_sessions();
  for (std::thread& thread : threads) thread.join();
  EXPECT(cudaDeviceSynchronize() == cudaErrorSystemNotReady);
}

}  // namespace

int main(int argc, char** argv) {
  struct Case {
    const char* name;
    void (*run)();
  };
  constexpr Case kCases[] = {{"products", products},
                             {"errors", errors},
                             {"endings", endings},
                             {"nonsense", nonsense},
                             {"untouched", untouched},
                             {"threads", threads},
                             {"missing", missing},
                             {"captures", captures},
                             {"long_calls", long_calls},
                             {"lost", lost},
                             {"lost_in_pieces", lost_in_pieces}};
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
