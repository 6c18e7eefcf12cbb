// Kernels that use the other device's memory: plain memory after cudaDeviceEnablePeerAccess, pools
// after cudaMemPoolSetAccess, mapped memory after cuMemSetAccess.
#include <cuda.h>

#include "check.h"
#include "driver_check.h"

constexpr int kN = 4096;

__global__ void add_from(unsigned* to, const unsigned* from, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) to[i] += from[i];
}
__global__ void fill(unsigned* to, int n, unsigned key) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) to[i] = key * (i + 1);
}
__global__ void count_up(unsigned* counter) {
  atomicAdd_system(counter, 1u);
}

void expect_multiples(const char* what, const unsigned* device_memory, unsigned key) {
  std::vector<unsigned> got(kN), want(kN);
  for (int i = 0; i < kN; ++i) want[i] = key * (i + 1);
  CUDA_CHECK(cudaMemcpy(got.data(), device_memory, kN * sizeof(unsigned), cudaMemcpyDefault));
  check::equal(what, got.data(), want.data(), kN);
}

void add(unsigned* to, const unsigned* from) {
  add_from<<<kN / 256, 256>>>(to, from, kN);
  LAUNCH_CHECK();
  CUDA_CHECK(cudaDeviceSynchronize());
}

void errors() {
  check::step("disable what was not enabled", cudaDeviceDisablePeerAccess(1),
              cudaErrorPeerAccessNotEnabled);
  cudaGetLastError();
  check::step("flags", cudaDeviceEnablePeerAccess(1, 7), cudaErrorInvalidValue);
  cudaGetLastError();
  check::step("a peer that is not there", cudaDeviceEnablePeerAccess(99, 0),
              cudaErrorInvalidDevice);
  cudaGetLastError();
  CUDA_CHECK(cudaDeviceEnablePeerAccess(1, 0));
  check::step("enable twice", cudaDeviceEnablePeerAccess(1, 0), cudaErrorPeerAccessAlreadyEnabled);
  cudaGetLastError();
  CUDA_CHECK(cudaDeviceDisablePeerAccess(1));
  int can = 1;
  CUDA_CHECK(cudaDeviceCanAccessPeer(&can, 0, 0));
  EXPECT(can == 0);
  int supported = 0, atomics = 0;
  CUDA_CHECK(cudaDeviceGetP2PAttribute(&supported, cudaDevP2PAttrAccessSupported, 0, 1));
  CUDA_CHECK(cudaDeviceGetP2PAttribute(&atomics, cudaDevP2PAttrNativeAtomicSupported, 0, 1));
  EXPECT(supported == 1);
  check::step("attributes of one device",
              cudaDeviceGetP2PAttribute(&supported, cudaDevP2PAttrAccessSupported, 0, 0),
              cudaErrorInvalidDevice);
  cudaGetLastError();
}

void plain_memory(unsigned* mine) {
  unsigned* theirs = nullptr;
  CUDA_CHECK(cudaSetDevice(1));
  CUDA_CHECK(cudaMalloc(&theirs, kN * sizeof(unsigned)));
  fill<<<kN / 256, 256>>>(theirs, kN, 3);
  LAUNCH_CHECK();
  CUDA_CHECK(cudaDeviceSynchronize());

  CUDA_CHECK(cudaSetDevice(0));
  CUDA_CHECK(cudaDeviceEnablePeerAccess(1, 0));
  CUDA_CHECK(cudaMemset(mine, 0, kN * sizeof(unsigned)));
  add(mine, theirs);
  expect_multiples("a peer's memory read", mine, 3);
  add(theirs, mine);
  expect_multiples("a peer's memory written", theirs, 6);

  // Memory allocated later is open too.
  unsigned* counter = nullptr;
  CUDA_CHECK(cudaSetDevice(1));
  CUDA_CHECK(cudaMalloc(&counter, sizeof(unsigned)));
  CUDA_CHECK(cudaMemset(counter, 0, sizeof(unsigned)));
  CUDA_CHECK(cudaSetDevice(0));
  count_up<<<8, 64>>>(counter);
  LAUNCH_CHECK();
  CUDA_CHECK(cudaDeviceSynchronize());
  CUDA_CHECK(cudaSetDevice(1));
  count_up<<<8, 64>>>(counter);
  LAUNCH_CHECK();
  unsigned counted = 0;
  CUDA_CHECK(cudaMemcpy(&counted, counter, sizeof counted, cudaMemcpyDeviceToHost));
  std::printf("counted by both: %u\n", counted);
  EXPECT(counted == 1024);
  CUDA_CHECK(cudaSetDevice(0));
  CUDA_CHECK(cudaDeviceDisablePeerAccess(1));
  CUDA_CHECK(cudaFree(counter));
  CUDA_CHECK(cudaFree(theirs));
}

void pools(unsigned* mine) {
  cudaMemPool_t pool[2];
  for (int i = 0; i < 2; ++i) CUDA_CHECK(cudaDeviceGetDefaultMemPool(&pool[i], i));
  EXPECT(pool[0] != pool[1]);
  check::step("the other's pool for this device", cudaDeviceSetMemPool(0, pool[1]),
              cudaErrorInvalidValue);
  cudaGetLastError();
  cudaMemAccessDesc access = {};
  access.location.type = cudaMemLocationTypeDevice;
  access.location.id = 0;
  access.flags = cudaMemAccessFlagsProtReadWrite;
  CUDA_CHECK(cudaMemPoolSetAccess(pool[1], &access, 1));
  cudaMemAccessFlags flags = cudaMemAccessFlagsProtNone;
  CUDA_CHECK(cudaMemPoolGetAccess(&flags, pool[1], &access.location));
  EXPECT(flags == cudaMemAccessFlagsProtReadWrite);

  CUDA_CHECK(cudaSetDevice(1));
  cudaStream_t stream;
  CUDA_CHECK(cudaStreamCreate(&stream));
  unsigned* theirs = nullptr;
  CUDA_CHECK(cudaMallocAsync(&theirs, kN * sizeof(unsigned), stream));
  cudaPointerAttributes a;
  CUDA_CHECK(cudaPointerGetAttributes(&a, theirs));
  EXPECT(a.device == 1);
  fill<<<kN / 256, 256, 0, stream>>>(theirs, kN, 5);
  LAUNCH_CHECK();
  CUDA_CHECK(cudaStreamSynchronize(stream));
  CUDA_CHECK(cudaSetDevice(0));
  CUDA_CHECK(cudaMemset(mine, 0, kN * sizeof(unsigned)));
  add(mine, theirs);
  expect_multiples("a peer's pool", mine, 5);
  CUDA_CHECK(cudaFreeAsync(theirs, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  CUDA_CHECK(cudaStreamDestroy(stream));
}

void mapped(unsigned* mine) {
  CUmemAllocationProp prop = {};
  prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  prop.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  prop.location.id = 1;
  size_t bytes = 0;
  CU_CHECK(cuMemGetAllocationGranularity(&bytes, &prop, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
  CUmemGenericAllocationHandle memory;
  CUdeviceptr at = 0;
  CU_CHECK(cuMemCreate(&memory, bytes, &prop, 0));
  CU_CHECK(cuMemAddressReserve(&at, bytes, 0, 0, 0));
  CU_CHECK(cuMemMap(at, bytes, 0, memory, 0));
  CUmemAccessDesc access[2] = {};
  for (int i = 0; i < 2; ++i) {
    access[i].location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    access[i].location.id = i;
    access[i].flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  }
  CU_CHECK(cuMemSetAccess(at, bytes, access, 2));
  for (int i = 0; i < 2; ++i) {
    unsigned long long flags = 0;
    CU_CHECK(cuMemGetAccess(&flags, &access[i].location, at));
    EXPECT(flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  }
  auto* theirs = reinterpret_cast<unsigned*>(at);
  CUDA_CHECK(cudaSetDevice(1));
  fill<<<kN / 256, 256>>>(theirs, kN, 8);
  LAUNCH_CHECK();
  CUDA_CHECK(cudaDeviceSynchronize());
  CUDA_CHECK(cudaSetDevice(0));
  CUDA_CHECK(cudaMemset(mine, 0, kN * sizeof(unsigned)));
  add(mine, theirs);
  expect_multiples("a peer's mapping", mine, 8);
  CU_CHECK(cuMemUnmap(at, bytes));
  CU_CHECK(cuMemRelease(memory));
  CU_CHECK(cuMemAddressFree(at, bytes));
}

int main() {
  int count = 0, can = 0;
  CUDA_CHECK(cudaGetDeviceCount(&count));
  if (count >= 2) CUDA_CHECK(cudaDeviceCanAccessPeer(&can, 0, 1));
  if (can == 0) return check::skip("it needs two devices that can reach each other's memory");
  CUDA_CHECK(cudaSetDevice(0));
  errors();
  unsigned* mine = nullptr;
  CUDA_CHECK(cudaMalloc(&mine, kN * sizeof(unsigned)));
  plain_memory(mine);
  pools(mine);
  mapped(mine);
  CUDA_CHECK(cudaFree(mine));
  return check::finish();
}
