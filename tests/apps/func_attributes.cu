// Function attributes and the occupancy functions: relations that hold on every device.
#include "check.h"

__global__ void plain(int* p) {
  p[threadIdx.x] = threadIdx.x;
}

__global__ void __launch_bounds__(128) bounded(int* p) {
  p[threadIdx.x] = threadIdx.x * 2;
}

__global__ void with_shared(int* p) {
  __shared__ int buffer[1024];
  buffer[threadIdx.x] = p[threadIdx.x];
  __syncthreads();
  p[threadIdx.x] = buffer[blockDim.x - 1 - threadIdx.x];
}

__global__ void with_local(int* p, const int* order) {
  int local[64];
  for (int i = 0; i < 64; ++i) local[order[i]] = i * p[i];
  p[threadIdx.x] = local[order[threadIdx.x + 1]];
}

__global__ void dynamic(int* p) {
  extern __shared__ int arena[];
  arena[threadIdx.x] = p[threadIdx.x];
  __syncthreads();
  p[threadIdx.x] = arena[0];
}

int main() {
  cudaDeviceProp device;
  CUDA_CHECK(cudaGetDeviceProperties(&device, 0));
  cudaFuncAttributes a;
  CUDA_CHECK(cudaFuncGetAttributes(&a, plain));
  EXPECT(a.maxThreadsPerBlock == device.maxThreadsPerBlock);
  EXPECT(a.numRegs > 0 && a.numRegs <= 255);
  EXPECT(a.sharedSizeBytes == 0 && a.localSizeBytes == 0 && a.constSizeBytes == 0);
  EXPECT(a.ptxVersion >= 75 && a.binaryVersion >= 75);
  EXPECT(a.maxDynamicSharedSizeBytes == 49152);
  std::printf("plain: shared %zu dynamic limit %d\n", a.sharedSizeBytes,
              a.maxDynamicSharedSizeBytes);
  CUDA_CHECK(cudaFuncGetAttributes(&a, bounded));
  std::printf("bounded: threads %d\n", a.maxThreadsPerBlock);
  EXPECT(a.maxThreadsPerBlock == 128);
  CUDA_CHECK(cudaFuncGetAttributes(&a, with_shared));
  std::printf("with_shared: shared %zu\n", a.sharedSizeBytes);
  EXPECT(a.sharedSizeBytes == 4096);
  CUDA_CHECK(cudaFuncGetAttributes(&a, with_local));
  std::printf("with_local: local >= 256: %s\n", a.localSizeBytes >= 256 ? "yes" : "no");
  EXPECT(a.localSizeBytes >= 256);

  // Launches hold to it.
  check::DeviceArray<int> p(1024);
  bounded<<<1, 128>>>(p.get());
  check::step("bounded with 128", cudaGetLastError(), cudaSuccess);
  bounded<<<1, 129>>>(p.get());
  check::step("bounded with 129", cudaGetLastError(), cudaErrorInvalidValue);
  CUDA_CHECK(cudaDeviceSynchronize());

  CUDA_CHECK(cudaFuncSetAttribute(dynamic, cudaFuncAttributeMaxDynamicSharedMemorySize, 50000));
  CUDA_CHECK(cudaFuncSetAttribute(dynamic, cudaFuncAttributePreferredSharedMemoryCarveout, 100));
  CUDA_CHECK(cudaFuncSetCacheConfig(dynamic, cudaFuncCachePreferShared));
  CUDA_CHECK(cudaFuncGetAttributes(&a, dynamic));
  std::printf("dynamic: limit %d carveout %d\n", a.maxDynamicSharedSizeBytes,
              a.preferredShmemCarveout);
  EXPECT(a.maxDynamicSharedSizeBytes == 50000);

  // Occupancy.
  int blocks_32 = 0, blocks_1024 = 0, with_memory = 0;
  CUDA_CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks_32, plain, 32, 0));
  CUDA_CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks_1024, plain, 1024, 0));
  CUDA_CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&with_memory, dynamic, 32, 40000));
  EXPECT(blocks_32 >= 1 && blocks_32 <= device.maxBlocksPerMultiProcessor);
  EXPECT(blocks_1024 >= 1 && blocks_1024 * 1024 <= device.maxThreadsPerMultiProcessor);
  EXPECT(blocks_32 >= blocks_1024);
  EXPECT(with_memory >= 1 && with_memory <= blocks_32);
  EXPECT(static_cast<size_t>(with_memory) * 40000 <= device.sharedMemPerMultiprocessor);
  std::printf("more threads or memory, no more blocks: %s\n",
              blocks_32 >= blocks_1024 && with_memory <= blocks_32 ? "yes" : "no");
  int min_grid = 0, block = 0;
  CUDA_CHECK(cudaOccupancyMaxPotentialBlockSize(&min_grid, &block, plain, 0, 0));
  EXPECT(block % device.warpSize == 0 && block >= 32 && block <= 1024);
  int per = 0;
  CUDA_CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per, plain, block, 0));
  EXPECT(min_grid == per * device.multiProcessorCount);
  std::printf("best block fills the device: %s\n",
              min_grid == per * device.multiProcessorCount ? "yes" : "no");
  CUDA_CHECK(cudaOccupancyMaxPotentialBlockSize(&min_grid, &block, plain, 0, 96));
  std::printf("best block below 96: at most 96: %s\n", block <= 96 ? "yes" : "no");
  EXPECT(block <= 96);
  size_t available = 0;
  CUDA_CHECK(cudaOccupancyAvailableDynamicSMemPerBlock(&available, plain, 1, 256));
  std::printf("shared memory for one block: at least 48 KB: %s\n",
              available >= 49152 ? "yes" : "no");
  EXPECT(available >= 49152);
  return check::finish();
}
