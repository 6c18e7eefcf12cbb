// A four-byte store to an odd address: cudaErrorMisalignedAddress, for ever.
#include "check.h"

__global__ void store(char* p, int offset) {
  *reinterpret_cast<volatile int*>(p + offset) = 1;
}

int main() {
  char* p;
  CUDA_CHECK(cudaMalloc(&p, 64));
  store<<<1, 1>>>(p, 8);
  check::step("aligned", cudaDeviceSynchronize(), cudaSuccess);
  store<<<1, 1>>>(p, 5);
  check::step("launch", cudaGetLastError(), cudaSuccess);
  check::step("cudaDeviceSynchronize", cudaDeviceSynchronize(), cudaErrorMisalignedAddress);
  check::step("cudaFree", cudaFree(p), cudaErrorMisalignedAddress);
  return check::finish();
}
