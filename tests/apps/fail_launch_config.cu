// Launches that cannot be: each is refused on the spot, changes nothing, and the next one works.
// Also what cudaGetLastError and cudaPeekAtLastError remember. (Seen on CUDA 13: bad dimensions are
// cudaErrorInvalidValue, not the cudaErrorInvalidConfiguration of older runtimes.)
#include "check.h"

__global__ void touch(int* p) {
  extern __shared__ int scratch[];
  if (threadIdx.x == 0) scratch[0] = 1;
  atomicAdd(p, 1);
}

int* counter;

void refused(const char* what, dim3 grid, dim3 block, size_t shared, cudaError_t want) {
  touch<<<grid, block, shared>>>(counter);
  check::step(what, cudaGetLastError(), want);
}

int main() {
  CUDA_CHECK(cudaMalloc(&counter, sizeof(int)));
  CUDA_CHECK(cudaMemset(counter, 0, sizeof(int)));
  refused("1,024 threads", 1, 1024, 4, cudaSuccess);
  refused("1,025 threads", 1, 1025, 4, cudaErrorInvalidValue);
  refused("33 x 32 threads", 1, dim3(33, 32), 4, cudaErrorInvalidValue);
  refused("block z 65", 1, dim3(1, 1, 65), 4, cudaErrorInvalidValue);
  refused("zero threads", 1, 0, 4, cudaErrorInvalidValue);
  refused("zero blocks", 0, 32, 4, cudaErrorInvalidValue);
  refused("grid y zero", dim3(1, 0, 1), 32, 4, cudaErrorInvalidValue);
  refused("grid y 65,536", dim3(1, 65536), 1, 4, cudaErrorInvalidValue);
  refused("grid z 65,536", dim3(1, 1, 65536), 1, 4, cudaErrorInvalidValue);
  refused("grid x 2^31", dim3(2147483648u), 1, 4, cudaErrorInvalidValue);
  refused("49,153 bytes of shared memory", 1, 32, 49153, cudaErrorInvalidValue);
  refused("10 MB of shared memory", 1, 32, 10 << 20, cudaErrorInvalidValue);

  // An error is remembered until it is asked for; success in between does not clear it.
  touch<<<1, 2000, 4>>>(counter);
  check::step("peek", cudaPeekAtLastError(), cudaErrorInvalidValue);
  check::step("peek again", cudaPeekAtLastError(), cudaErrorInvalidValue);
  touch<<<1, 1, 4>>>(counter);
  check::step("peek after a good launch", cudaPeekAtLastError(), cudaErrorInvalidValue);
  check::step("synchronize", cudaDeviceSynchronize(), cudaSuccess);
  check::step("peek after synchronize", cudaPeekAtLastError(), cudaErrorInvalidValue);
  check::step("get", cudaGetLastError(), cudaErrorInvalidValue);
  check::step("get again", cudaGetLastError(), cudaSuccess);

  // The later of two errors is the last one.
  touch<<<1, 2000, 4>>>(counter);
  check::step("bad device", cudaSetDevice(4096), cudaErrorInvalidDevice);
  check::step("get", cudaGetLastError(), cudaErrorInvalidDevice);
  check::step("get again", cudaGetLastError(), cudaSuccess);

  // Other entries return the error themselves, and leave it as the last error too.
  void* args[] = {&counter};
  check::step("cudaLaunchKernel",
              cudaLaunchKernel(reinterpret_cast<const void*>(touch), 1, 1025, args, 4, nullptr),
              cudaErrorInvalidValue);
  check::step("get", cudaGetLastError(), cudaErrorInvalidValue);
  int on_host = 0;
  check::step("not a kernel", cudaLaunchKernel(&on_host, 1, 1, args, 0, nullptr),
              cudaErrorInvalidResourceHandle);
  check::step("no kernel", cudaLaunchKernel(nullptr, 1, 1, args, 0, nullptr),
              cudaErrorInvalidDeviceFunction);
  check::step("get", cudaGetLastError(), cudaErrorInvalidDeviceFunction);

  refused("good", 2, 64, 4, cudaSuccess);
  int count = 0;
  CUDA_CHECK(cudaMemcpy(&count, counter, sizeof count, cudaMemcpyDeviceToHost));
  std::printf("threads that ran: %d\n", count);
  EXPECT(count == 1024 + 1 + 128);
  CUDA_CHECK(cudaFree(counter));
  return check::finish();
}
