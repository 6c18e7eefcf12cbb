// Arguments at the edge: zero sizes, one byte too many, the wrong kind of copy, null and odd
// values. Each answer was seen on CUDA 13.
#include "check.h"

__global__ void touch(int* p) {
  extern __shared__ int scratch[];
  scratch[threadIdx.x] = 1;
  *p = scratch[0];
}
__device__ int symbol;

template <typename T>
void got(const char* what, T* pointer) {
  std::printf("  %s %s\n", what, pointer ? "set" : "null");
  EXPECT(pointer == nullptr);
}

int main() {
  using check::step;
  const cudaError_t bad = cudaErrorInvalidValue, fine = cudaSuccess;
  static char host[1 << 16];
  void* p = host;
  size_t pitch = 1;

  // Nothing asked for, nothing given; and more than can be.
  step("cudaMalloc 0", cudaMalloc(&p, 0), fine);
  got("pointer", p);
  p = host;
  step("cudaMallocPitch 0 x 10", cudaMallocPitch(&p, &pitch, 0, 10), fine);
  got("pointer", p);
  p = host;
  step("cudaMallocAsync 0", cudaMallocAsync(&p, 0, nullptr), fine);
  got("pointer", p);
  p = host;
  step("cudaMallocHost 0", cudaMallocHost(&p, 0), fine);
  got("pointer", p);
  step("cudaMalloc of all addresses", cudaMalloc(&p, ~size_t{0}), cudaErrorMemoryAllocation);
  step("cudaGetLastError", cudaGetLastError(), cudaErrorMemoryAllocation);

  // The end of a block, to the byte.
  char *a, *b;
  CUDA_CHECK(cudaMalloc(&a, 1024));
  CUDA_CHECK(cudaMalloc(&b, 1024));
  step("copy 1,024 bytes", cudaMemcpy(a, host, 1024, cudaMemcpyHostToDevice), fine);
  step("copy 1,025 bytes", cudaMemcpy(a, host, 1025, cudaMemcpyHostToDevice), bad);
  step("copy 1,024 bytes from the second", cudaMemcpy(host, a + 1, 1024, cudaMemcpyDeviceToHost),
       bad);
  step("fill 1,025 bytes", cudaMemset(a, 0, 1025), bad);
  step("fill 1 GB", cudaMemset(a, 0, 1u << 30), bad);
  step("fill rows with a pitch below the width", cudaMemset2D(a, 4, 0, 8, 2), bad);
  step("symbol, too many bytes", cudaMemcpyFromSymbol(host, symbol, 100), bad);

  // Zero bytes are no error, whatever the pointers.
  step("copy nothing to nowhere", cudaMemcpy(nullptr, nullptr, 0, cudaMemcpyHostToDevice), fine);
  step("copy nothing", cudaMemcpy(a, nullptr, 0, cudaMemcpyDefault), fine);

  // A kind that does not fit the pointers: a host address where a device address is needed is
  // refused, a device address in the host's place is found out by its value.
  step("host to device, both device", cudaMemcpy(a, b, 16, cudaMemcpyHostToDevice), fine);
  step("device to host, both device", cudaMemcpy(a, b, 16, cudaMemcpyDeviceToHost), fine);
  step("device to device, both host", cudaMemcpy(host, host + 100, 16, cudaMemcpyDeviceToDevice),
       bad);
  step("host to device, both host", cudaMemcpy(host, host + 100, 16, cudaMemcpyHostToDevice), bad);
  step("device to host, swapped", cudaMemcpy(a, host, 16, cudaMemcpyDeviceToHost), bad);
  step("device to device, from host", cudaMemcpy(a, host, 16, cudaMemcpyDeviceToDevice), bad);
  step("cudaGetLastError", cudaGetLastError(), bad);

  // Devices and buses.
  int device = 0, blocks = -1;
  char small[4];
  step("no bus id", cudaDeviceGetByPCIBusId(&device, "garbage"), bad);
  step("nobody's bus id", cudaDeviceGetByPCIBusId(&device, "ffff:ff:ff.0"), cudaErrorInvalidDevice);
  step("bus id, no room", cudaDeviceGetPCIBusId(small, sizeof small, 0), bad);
  step("copy to device 1000", cudaMemcpyPeer(a, 1000, b, 0, 16), cudaErrorInvalidDevice);
  step("device flags", cudaSetDeviceFlags(0xffff), bad);
  step("unknown limit", cudaDeviceSetLimit(static_cast<cudaLimit>(999), 1), bad);

  // Occupancy and attributes.
  step("occupancy, 100 MB",
       cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, touch, 32, 100 << 20), fine);
  std::printf("  %d blocks\n", blocks);
  step("occupancy, 2,000 threads",
       cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, touch, 2000, 0), fine);
  std::printf("  %d blocks\n", blocks);
  step("occupancy, no threads", cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, touch, 0, 0),
       bad);
  step("shared memory -1",
       cudaFuncSetAttribute(touch, cudaFuncAttributeMaxDynamicSharedMemorySize, -1), bad);

  // Events and streams.
  cudaEvent_t event;
  CUDA_CHECK(cudaEventCreate(&event));
  step("wait for no event", cudaStreamWaitEvent(nullptr, nullptr, 0),
       cudaErrorInvalidResourceHandle);
  step("record with flags 77", cudaEventRecordWithFlags(event, nullptr, 77), bad);
  step("wait with flags 77", cudaStreamWaitEvent(nullptr, event, 77), bad);
  step("destroy the legacy stream", cudaStreamDestroy(cudaStreamLegacy),
       cudaErrorInvalidResourceHandle);
  step("destroy the per-thread stream", cudaStreamDestroy(cudaStreamPerThread),
       cudaErrorInvalidResourceHandle);
  unsigned flags = 9;
  int priority = 9;
  CUDA_CHECK(cudaStreamGetFlags(nullptr, &flags));
  CUDA_CHECK(cudaStreamGetPriority(nullptr, &priority));
  std::printf("default stream: flags %u priority %d\n", flags, priority);
  EXPECT(flags == 0 && priority == 0);
  unsigned long long zero = 0, legacy = 1, per_thread = 0;
  CUDA_CHECK(cudaStreamGetId(nullptr, &zero));
  CUDA_CHECK(cudaStreamGetId(cudaStreamLegacy, &legacy));
  CUDA_CHECK(cudaStreamGetId(cudaStreamPerThread, &per_thread));
  std::printf("ids: default %s legacy, per-thread %s\n", zero == legacy ? "is" : "is not",
              per_thread == zero ? "the same" : "another");
  EXPECT(zero == legacy && per_thread != zero);

  // Host memory.
  step("flags of ordinary memory", cudaHostGetFlags(&flags, host), bad);
  step("device pointer of ordinary memory", cudaHostGetDevicePointer(&p, host, 0), bad);
  step("register, odd address", cudaHostRegister(host + 1, 1000, 0), fine);
  step("unregister", cudaHostUnregister(host + 1), fine);

  cudaGetLastError();
  touch<<<1, 1, 4>>>(reinterpret_cast<int*>(a));
  LAUNCH_CHECK();
  step("after all this", cudaDeviceSynchronize(), fine);
  CUDA_CHECK(cudaEventDestroy(event));
  CUDA_CHECK(cudaFree(a));
  CUDA_CHECK(cudaFree(b));
  return check::finish();
}
