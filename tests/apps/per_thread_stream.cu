// Compiled with --default-stream per-thread: the default stream of every host thread is its own,
// ordered with the legacy stream, independent of the other threads'.
#include <string>
#include <thread>

#include "check.h"

#ifndef CUDA_API_PER_THREAD_DEFAULT_STREAM
#error "compile with --default-stream per-thread"
#endif

__global__ void accumulate(int* p, int n, int value) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) p[i] = p[i] * 3 + value;
}
__global__ void copy_plus(const int* in, int* out, int n, int value) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = in[i] + value;
}

constexpr int kN = 500;

// Everything here goes to this thread's default stream, without a single explicit stream.
std::string work(int id) {
  int* p;
  if (cudaMalloc(&p, kN * sizeof(int)) != cudaSuccess) return "malloc";
  if (cudaMemsetAsync(p, 0, kN * sizeof(int)) != cudaSuccess) return "memset";
  int want = 0;
  for (int r = 0; r < 12; ++r) {
    accumulate<<<4, 128>>>(p, kN, id + r);
    want = want * 3 + id + r;
  }
  if (cudaGetLastError() != cudaSuccess) return "launch";
  std::vector<int> got(kN);
  if (cudaMemcpyAsync(got.data(), p, kN * sizeof(int), cudaMemcpyDeviceToHost) != cudaSuccess)
    return "copy";
  if (cudaStreamSynchronize(0) != cudaSuccess) return "synchronize";
  if (cudaStreamQuery(cudaStreamPerThread) != cudaSuccess) return "busy after synchronize";
  for (int v : got)
    if (v != want) return "wrong value";
  // The synchronous copy too.
  accumulate<<<4, 128>>>(p, kN, 1);
  want = want * 3 + 1;
  if (cudaMemcpy(got.data(), p, kN * sizeof(int), cudaMemcpyDeviceToHost) != cudaSuccess)
    return "second copy";
  for (int v : got)
    if (v != want) return "wrong value after cudaMemcpy";
  return cudaFree(p) == cudaSuccess ? "" : "free";
}

int main() {
  std::vector<std::string> problems(6);
  std::vector<std::thread> threads;
  for (int id = 0; id < 6; ++id) threads.emplace_back([&, id] { problems[id] = work(id); });
  for (std::thread& t : threads) t.join();
  for (int id = 0; id < 6; ++id) {
    std::printf("thread %d: %s\n", id, problems[id].empty() ? "ok" : "failed");
    if (!problems[id].empty()) check::fail("thread %d: %s", id, problems[id].c_str());
  }

  // Ordered with the legacy stream and, through it, with blocking streams; the handle by name is
  // the same stream.
  check::DeviceArray<int> a(kN), b(kN), c(kN);
  std::vector<int> zero(kN), want(kN, 1 + 10 + 100 + 1000);
  cudaStream_t blocking, independent;
  CUDA_CHECK(cudaStreamCreate(&blocking));
  CUDA_CHECK(cudaStreamCreateWithFlags(&independent, cudaStreamNonBlocking));
  a.put(zero);
  copy_plus<<<4, 128>>>(a.get(), b.get(), kN, 1);                            // per thread
  copy_plus<<<4, 128, 0, cudaStreamLegacy>>>(b.get(), c.get(), kN, 10);      // waits for it
  copy_plus<<<4, 128, 0, cudaStreamPerThread>>>(c.get(), a.get(), kN, 100);  // waits for legacy
  cudaEvent_t event;
  CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  CUDA_CHECK(cudaEventRecord(event));  // in the per-thread stream
  CUDA_CHECK(cudaStreamWaitEvent(independent, event));
  copy_plus<<<4, 128, 0, independent>>>(a.get(), b.get(), kN, 1000);
  LAUNCH_CHECK();
  CUDA_CHECK(cudaStreamSynchronize(independent));
  check::equal("per-thread, legacy, per-thread, event", b.fetch().data(), want.data(), kN);

  copy_plus<<<4, 128, 0, blocking>>>(b.get(), a.get(), kN, 1);
  copy_plus<<<4, 128, 0, cudaStreamLegacy>>>(a.get(), c.get(), kN, 1);
  copy_plus<<<4, 128>>>(c.get(), b.get(), kN, 1);
  LAUNCH_CHECK();
  want.assign(kN, 1114);
  check::equal("blocking, legacy, per-thread", b.fetch().data(), want.data(), kN);
  CUDA_CHECK(cudaEventDestroy(event));
  CUDA_CHECK(cudaStreamDestroy(blocking));
  CUDA_CHECK(cudaStreamDestroy(independent));
  return check::finish();
}
