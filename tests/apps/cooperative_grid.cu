// Cooperative launch: grid-wide barriers, the library's and one made of atomics.
#include <cooperative_groups.h>

#include "check.h"

namespace cg = cooperative_groups;

// Each round every thread takes its right neighbour's value: wrong without a grid-wide barrier.
__global__ void rotate(int* a, int* b, int n, int rounds) {
  cg::grid_group grid = cg::this_grid();
  int i = static_cast<int>(grid.thread_rank());
  for (int r = 0; r < rounds; ++r) {
    if (i < n) b[i] = a[(i + 1) % n] + 1;
    grid.sync();
    int* t = a;
    a = b;
    b = t;
  }
}

__device__ unsigned arrived;
__device__ volatile unsigned generation;

__device__ void barrier(unsigned blocks) {
  __syncthreads();
  if (threadIdx.x == 0) {
    unsigned g = generation;
    __threadfence();
    if (atomicAdd(&arrived, 1u) == blocks - 1) {
      arrived = 0;
      __threadfence();
      generation = g + 1;
    } else {
      while (generation == g) {
      }
    }
    __threadfence();
  }
  __syncthreads();
}

__global__ void rotate_by_hand(int* a, int* b, int n, int rounds) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  volatile int *from = a, *to = b;
  for (int r = 0; r < rounds; ++r) {
    if (i < n) to[i] = from[(i + 1) % n] + 1;
    barrier(gridDim.x);
    volatile int* t = from;
    from = to;
    to = t;
  }
}

int main() {
  int cooperative = 0;
  CUDA_CHECK(cudaDeviceGetAttribute(&cooperative, cudaDevAttrCooperativeLaunch, 0));
  std::printf("cooperative launch: %d\n", cooperative);
  int blocks = 4, threads = 64, n = blocks * threads, rounds = 10;
  std::vector<int> start(n), want(n);
  for (int i = 0; i < n; ++i) start[i] = i * 3;
  for (int i = 0; i < n; ++i) want[i] = start[(i + rounds) % n] + rounds;
  check::DeviceArray<int> a(start), b(n);
  int *pa = a.get(), *pb = b.get();
  void* args[] = {&pa, &pb, &n, &rounds};
  CUDA_CHECK(cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(rotate), dim3(blocks),
                                         dim3(threads), args, 0, nullptr));
  CUDA_CHECK(cudaDeviceSynchronize());
  check::equal("grid.sync", a.fetch().data(), want.data(), n);
  a.put(start);
  CUDA_CHECK(cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(rotate_by_hand),
                                         dim3(blocks), dim3(threads), args, 0, nullptr));
  CUDA_CHECK(cudaDeviceSynchronize());
  check::equal("barrier of atomics", a.fetch().data(), want.data(), n);

  // More blocks than fit at once cannot meet.
  int per_processor = 0, processors = 0;
  CUDA_CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_processor, rotate, threads, 0));
  CUDA_CHECK(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0));
  check::step("one block too many",
              cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(rotate),
                                          dim3(per_processor * processors + 1), dim3(threads), args,
                                          0, nullptr),
              cudaErrorCooperativeLaunchTooLarge);
  check::step("last error", cudaGetLastError(), cudaErrorCooperativeLaunchTooLarge);
  CUDA_CHECK(cudaDeviceSynchronize());
  return check::finish();
}
