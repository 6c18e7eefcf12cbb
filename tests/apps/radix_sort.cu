// Least-significant-digit radix sort of key-value pairs, 4 bits a pass, stable: per-block counts,
// a scan over digits and blocks, then a scatter with ranks from ballots.
#include <algorithm>
#include <numeric>

#include "check.h"

constexpr int kBlock = 128, kDigits = 16;

__global__ void count(const unsigned* keys, int n, int shift, unsigned* counts) {
  __shared__ unsigned local[kDigits];
  if (threadIdx.x < kDigits) local[threadIdx.x] = 0;
  __syncthreads();
  int i = blockIdx.x * kBlock + threadIdx.x;
  if (i < n) atomicAdd(&local[(keys[i] >> shift) & (kDigits - 1)], 1u);
  __syncthreads();
  if (threadIdx.x < kDigits) counts[threadIdx.x * gridDim.x + blockIdx.x] = local[threadIdx.x];
}

__global__ void scan_serial(unsigned* counts, int n) {
  unsigned sum = 0;
  for (int i = 0; i < n; ++i) {
    unsigned c = counts[i];
    counts[i] = sum;
    sum += c;
  }
}

__global__ void scatter(const unsigned* keys, const unsigned* values, int n, int shift,
                        const unsigned* offsets, unsigned* keys_out, unsigned* values_out) {
  __shared__ unsigned warp_counts[kBlock / 32][kDigits];
  int i = blockIdx.x * kBlock + threadIdx.x, lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  unsigned digit = i < n ? (keys[i] >> shift) & (kDigits - 1) : kDigits;
  unsigned rank = 0;
  for (unsigned d = 0; d < kDigits; ++d) {
    unsigned votes = __ballot_sync(0xffffffffu, digit == d);
    if (digit == d) rank = __popc(votes & ((1u << lane) - 1));
    if (lane == 0) warp_counts[warp][d] = __popc(votes);
  }
  __syncthreads();
  if (i < n) {
    for (int w = 0; w < warp; ++w) rank += warp_counts[w][digit];
    unsigned to = offsets[digit * gridDim.x + blockIdx.x] + rank;
    keys_out[to] = keys[i];
    values_out[to] = values[i];
  }
}

int main(int argc, char** argv) {
  int n = 3001 * check::scale(argc, argv), blocks = (n + kBlock - 1) / kBlock;
  std::vector<unsigned> keys(n), values(n);
  check::Rng rng(10);
  for (unsigned& k : keys) k = rng.next_u32() & 0xfffff;
  std::iota(values.begin(), values.end(), 0u);
  check::DeviceArray<unsigned> ka(keys), kb(n), va(values), vb(n), counts(kDigits * blocks);
  unsigned *k0 = ka.get(), *k1 = kb.get(), *v0 = va.get(), *v1 = vb.get();
  for (int shift = 0; shift < 20; shift += 4) {
    count<<<blocks, kBlock>>>(k0, n, shift, counts.get());
    scan_serial<<<1, 1>>>(counts.get(), kDigits * blocks);
    scatter<<<blocks, kBlock>>>(k0, v0, n, shift, counts.get(), k1, v1);
    LAUNCH_CHECK();
    std::swap(k0, k1);
    std::swap(v0, v1);
  }
  std::vector<unsigned> got_keys(n), got_values(n);
  CUDA_CHECK(cudaMemcpy(got_keys.data(), k0, n * sizeof(unsigned), cudaMemcpyDeviceToHost));
  CUDA_CHECK(cudaMemcpy(got_values.data(), v0, n * sizeof(unsigned), cudaMemcpyDeviceToHost));
  std::stable_sort(values.begin(), values.end(),
                   [&](unsigned a, unsigned b) { return keys[a] < keys[b]; });
  std::vector<unsigned> want_keys(n);
  for (int i = 0; i < n; ++i) want_keys[i] = keys[values[i]];
  check::equal("keys", got_keys.data(), want_keys.data(), n);
  check::equal("values (stable)", got_values.data(), values.data(), n);
  return check::finish();
}
