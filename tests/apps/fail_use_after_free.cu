// Memory that was given back: a second free, copies and fills are refused; a kernel that touches it
// is an illegal address. A big block, because small ones share a mapping with their neighbours.
#include "check.h"

__global__ void touch(int* p) {
  *p = 1;
}

int main() {
  const size_t bytes = 64u << 20;
  int *small, *big;
  std::vector<int> host(1024, 3);
  CUDA_CHECK(cudaMalloc(&small, 4096));
  CUDA_CHECK(cudaMalloc(&big, bytes));
  CUDA_CHECK(cudaMemcpy(big, host.data(), 4096, cudaMemcpyHostToDevice));
  check::step("free", cudaFree(big), cudaSuccess);
  check::step("free again", cudaFree(big), cudaErrorInvalidValue);
  check::step("last error", cudaGetLastError(), cudaErrorInvalidValue);
  check::step("copy to it", cudaMemcpy(big, host.data(), 4096, cudaMemcpyHostToDevice),
              cudaErrorInvalidValue);
  check::step("copy from it", cudaMemcpy(host.data(), big, 4096, cudaMemcpyDeviceToHost),
              cudaErrorInvalidValue);
  check::step("copy within", cudaMemcpy(big, small, 4096, cudaMemcpyDeviceToDevice),
              cudaErrorInvalidValue);
  check::step("fill it", cudaMemset(big, 0, 4096), cudaErrorInvalidValue);
  check::step("inside it", cudaMemset(big + 5000, 0, 4096), cudaErrorInvalidValue);
  check::step("free a small one", cudaFree(small), cudaSuccess);
  check::step("free it again", cudaFree(small), cudaErrorInvalidValue);
  cudaGetLastError();

  // The refusals did no harm.
  CUDA_CHECK(cudaMalloc(&small, 4096));
  touch<<<1, 1>>>(small);
  check::step("a kernel on live memory", cudaDeviceSynchronize(), cudaSuccess);

  touch<<<1, 1>>>(big + 1000);
  check::step("launch on freed memory", cudaGetLastError(), cudaSuccess);
  check::step("synchronize", cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  check::step("and ever after", cudaFree(small), cudaErrorIllegalAddress);
  return check::finish();
}
