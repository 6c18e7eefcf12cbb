// Asking about work that is not done is no failure: cudaErrorNotReady, then success. The kernel
// spins for half a second by the global clock.
#include "check.h"

__device__ unsigned long long now_ns() {
  unsigned long long t;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(t));
  return t;
}

__global__ void spin(unsigned long long ns, int* out) {
  unsigned long long start = now_ns();
  while (now_ns() - start < ns) {
  }
  *out = 1;
}

int main() {
  int* p;
  CUDA_CHECK(cudaMalloc(&p, sizeof(int)));
  CUDA_CHECK(cudaMemset(p, 0, sizeof(int)));
  cudaStream_t busy, idle;
  cudaEvent_t start, stop;
  CUDA_CHECK(cudaStreamCreateWithFlags(&busy, cudaStreamNonBlocking));
  CUDA_CHECK(cudaStreamCreateWithFlags(&idle, cudaStreamNonBlocking));
  CUDA_CHECK(cudaEventCreate(&start));
  CUDA_CHECK(cudaEventCreate(&stop));
  spin<<<1, 1, 0, busy>>>(1000, p);  // loads the module beforehand
  CUDA_CHECK(cudaDeviceSynchronize());

  CUDA_CHECK(cudaEventRecord(start, busy));
  spin<<<1, 1, 0, busy>>>(500000000ull, p);
  LAUNCH_CHECK();
  CUDA_CHECK(cudaEventRecord(stop, busy));
  check::step("cudaStreamQuery", cudaStreamQuery(busy), cudaErrorNotReady);
  check::step("cudaEventQuery", cudaEventQuery(stop), cudaErrorNotReady);
  float ms = 0;
  check::step("cudaEventElapsedTime", cudaEventElapsedTime(&ms, start, stop), cudaErrorNotReady);
  check::step("an idle stream", cudaStreamQuery(idle), cudaSuccess);
  check::step("last error", cudaGetLastError(), cudaSuccess);  // not ready is not an error
  check::step("cudaStreamSynchronize", cudaStreamSynchronize(busy), cudaSuccess);
  check::step("cudaStreamQuery", cudaStreamQuery(busy), cudaSuccess);
  check::step("cudaEventQuery", cudaEventQuery(stop), cudaSuccess);
  check::step("cudaEventElapsedTime", cudaEventElapsedTime(&ms, start, stop), cudaSuccess);
  std::printf("it took half a second or a little more: %s\n", ms > 490 && ms < 5000 ? "yes" : "no");
  EXPECT(ms > 490 && ms < 5000);
  int value = 0;
  CUDA_CHECK(cudaMemcpy(&value, p, sizeof value, cudaMemcpyDeviceToHost));
  EXPECT(value == 1);
  check::step("last error", cudaGetLastError(), cudaSuccess);
  CUDA_CHECK(cudaEventDestroy(start));
  CUDA_CHECK(cudaEventDestroy(stop));
  CUDA_CHECK(cudaStreamDestroy(busy));
  CUDA_CHECK(cudaStreamDestroy(idle));
  CUDA_CHECK(cudaFree(p));
  return check::finish();
}
