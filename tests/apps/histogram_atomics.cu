// Histogram with atomics on global memory, and with per-block counters in shared memory.
#include "check.h"

constexpr int kBins = 64;

__global__ void histogram_global(const unsigned char* data, int n, unsigned* bins) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    atomicAdd(&bins[data[i] % kBins], 1u);
}

__global__ void histogram_shared(const unsigned char* data, int n, unsigned* bins) {
  __shared__ unsigned local[kBins];
  for (int b = threadIdx.x; b < kBins; b += blockDim.x) local[b] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    atomicAdd(&local[data[i] % kBins], 1u);
  __syncthreads();
  for (int b = threadIdx.x; b < kBins; b += blockDim.x)
    if (local[b]) atomicAdd(&bins[b], local[b]);
}

int main(int argc, char** argv) {
  int n = 100000 * check::scale(argc, argv) + 7;
  std::vector<unsigned char> data(n);
  std::vector<unsigned> want(kBins);
  check::Rng rng(5);
  for (unsigned char& x : data) {
    x = static_cast<unsigned char>(rng.below(16) * rng.below(16));  // uneven on purpose
    ++want[x % kBins];
  }
  check::DeviceArray<unsigned char> ddata(data);
  check::DeviceArray<unsigned> dbins(kBins);
  dbins.zero();
  histogram_global<<<16, 256>>>(ddata.get(), n, dbins.get());
  LAUNCH_CHECK();
  check::equal("global", dbins.fetch().data(), want.data(), kBins);
  dbins.zero();
  histogram_shared<<<16, 256>>>(ddata.get(), n, dbins.get());
  LAUNCH_CHECK();
  std::vector<unsigned> got = dbins.fetch();
  check::equal("shared", got.data(), want.data(), kBins);
  if (check::scale(argc, argv) == 1)
    for (int b = 0; b < kBins; b += 8) std::printf("bin %d: %u\n", b, got[b]);
  return check::finish();
}
