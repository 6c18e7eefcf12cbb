// A kernel that traps: cudaErrorLaunchFailure, for ever.
#include "check.h"

__global__ void trap_if(int v) {
  if (v == static_cast<int>(threadIdx.x)) __trap();
}

int main() {
  trap_if<<<1, 32>>>(100);
  check::step("no trap", cudaDeviceSynchronize(), cudaSuccess);
  trap_if<<<1, 32>>>(3);
  check::step("launch", cudaGetLastError(), cudaSuccess);
  check::step("cudaDeviceSynchronize", cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  check::step("cudaGetLastError", cudaGetLastError(), cudaErrorLaunchFailure);
  // The memory of the last error is cleared; the error itself is not.
  check::step("cudaGetLastError again", cudaGetLastError(), cudaSuccess);
  check::step("cudaPeekAtLastError", cudaPeekAtLastError(), cudaSuccess);
  void* p;
  check::step("cudaMalloc", cudaMalloc(&p, 16), cudaErrorLaunchFailure);
  check::step("cudaDeviceSynchronize", cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  return check::finish();
}
