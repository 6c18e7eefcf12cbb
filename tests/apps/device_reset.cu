// cudaDeviceReset: everything is as at the start, and the program goes on.
#include "check.h"

__device__ int variable = 7;
__global__ void bump(int* out) {
  *out = ++variable;
}

int run(int* p) {
  int value = 0;
  bump<<<1, 1>>>(p);
  LAUNCH_CHECK();
  CUDA_CHECK(cudaMemcpy(&value, p, sizeof value, cudaMemcpyDeviceToHost));
  return value;
}

int main() {
  int* p;
  size_t before = 0, after = 0, total = 0;
  CUDA_CHECK(cudaMalloc(&p, 64));
  std::printf("first: %d\n", run(p));
  std::printf("second: %d\n", run(p));
  CUDA_CHECK(cudaMemGetInfo(&before, &total));
  void* big;
  CUDA_CHECK(cudaMalloc(&big, 256u << 20));
  CUDA_CHECK(cudaDeviceSetLimit(cudaLimitStackSize, 8192));
  check::step("reset", cudaDeviceReset(), cudaSuccess);
  check::step("free of lost memory", cudaFree(big), cudaErrorInvalidValue);
  check::step("last error", cudaGetLastError(), cudaErrorInvalidValue);
  CUDA_CHECK(cudaMalloc(&p, 64));
  int value = run(p);
  std::printf("after reset: %d\n", value);
  EXPECT(value == 8);  // its initial value again
  CUDA_CHECK(cudaMemGetInfo(&after, &total));
  std::printf("memory came back: %s\n", after + (64u << 20) > before ? "yes" : "no");
  EXPECT(after + (64u << 20) > before);
  check::step("reset", cudaDeviceReset(), cudaSuccess);
  check::step("reset again", cudaDeviceReset(), cudaSuccess);
  check::step("synchronize", cudaDeviceSynchronize(), cudaSuccess);
  return check::finish();
}
