// Bitonic sort: one kernel per long step, and the short steps of a block in shared memory.
#include <algorithm>

#include "check.h"

constexpr int kBlock = 256;

__global__ void sort_step(unsigned* keys, unsigned j, unsigned k) {
  unsigned i = blockIdx.x * blockDim.x + threadIdx.x, other = i ^ j;
  if (other <= i) return;
  unsigned a = keys[i], b = keys[other];
  bool up = (i & k) == 0;
  if ((a > b) == up) {
    keys[i] = b;
    keys[other] = a;
  }
}

// All steps j < kBlock of stage k.
__global__ void sort_tail(unsigned* keys, unsigned first_j, unsigned k) {
  __shared__ unsigned shared[kBlock];
  unsigned i = blockIdx.x * kBlock + threadIdx.x;
  shared[threadIdx.x] = keys[i];
  __syncthreads();
  for (unsigned j = first_j; j > 0; j >>= 1) {
    unsigned other = threadIdx.x ^ j;
    if (other > threadIdx.x) {
      unsigned a = shared[threadIdx.x], b = shared[other];
      if ((a > b) == ((i & k) == 0)) {
        shared[threadIdx.x] = b;
        shared[other] = a;
      }
    }
    __syncthreads();
  }
  keys[i] = shared[threadIdx.x];
}

int main(int argc, char** argv) {
  unsigned n = 4096;
  for (int s = check::scale(argc, argv); s > 1; s >>= 1) n *= 2;
  std::vector<unsigned> keys(n);
  check::Rng rng(9);
  for (unsigned& k : keys) k = rng.next_u32() >> (rng.below(3) * 8);  // with equal keys
  check::DeviceArray<unsigned> d(keys);
  int launches = 0;
  for (unsigned k = 2; k <= n; k <<= 1) {
    unsigned j = k >> 1;
    for (; j >= kBlock; j >>= 1, ++launches) sort_step<<<n / kBlock, kBlock>>>(d.get(), j, k);
    sort_tail<<<n / kBlock, kBlock>>>(d.get(), j, k);
    ++launches;
  }
  LAUNCH_CHECK();
  std::sort(keys.begin(), keys.end());
  if (check::scale(argc, argv) == 1) std::printf("%d launches\n", launches);
  check::equal("sorted", d.fetch().data(), keys.data(), n);
  return check::finish();
}
