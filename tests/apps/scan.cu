// Prefix sums in three kernels: per-block scan, scan of the block sums, add the offsets.
#include "check.h"

constexpr int kBlock = 256;

__device__ unsigned block_scan_inclusive(unsigned v, unsigned* shared) {
  int i = threadIdx.x;
  shared[i] = v;
  __syncthreads();
  for (int d = 1; d < blockDim.x; d <<= 1) {
    unsigned other = i >= d ? shared[i - d] : 0;
    __syncthreads();
    shared[i] += other;
    __syncthreads();
  }
  return shared[i];
}

__global__ void scan_blocks(const unsigned* in, unsigned* out, unsigned* sums, int n) {
  __shared__ unsigned shared[kBlock];
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  unsigned v = i < n ? in[i] : 0;
  unsigned s = block_scan_inclusive(v, shared);
  if (i < n) out[i] = s - v;
  if (threadIdx.x == blockDim.x - 1 && sums) sums[blockIdx.x] = s;
}

__global__ void add_offsets(unsigned* out, const unsigned* offsets, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] += offsets[blockIdx.x];
}

void scan(const unsigned* in, unsigned* out, int n) {
  int blocks = (n + kBlock - 1) / kBlock;
  if (blocks == 1) {
    scan_blocks<<<1, kBlock>>>(in, out, nullptr, n);
    LAUNCH_CHECK();
    return;
  }
  check::DeviceArray<unsigned> sums(blocks), offsets(blocks);
  scan_blocks<<<blocks, kBlock>>>(in, out, sums.get(), n);
  LAUNCH_CHECK();
  scan(sums.get(), offsets.get(), blocks);
  add_offsets<<<blocks, kBlock>>>(out, offsets.get(), n);
  LAUNCH_CHECK();
}

int main(int argc, char** argv) {
  int factor = check::scale(argc, argv);
  for (int n : {1, 255, 256, 257, 5000, 70001 * factor}) {
    std::vector<unsigned> in(n), want(n);
    check::Rng rng(n);
    unsigned sum = 0;
    for (int i = 0; i < n; ++i) {
      in[i] = rng.next_u32();  // wraps: unsigned sums are exact modulo 2^32
      want[i] = sum;
      sum += in[i];
    }
    check::DeviceArray<unsigned> din(in), dout(n);
    scan(din.get(), dout.get(), n);
    check::equal("exclusive scan", dout.fetch().data(), want.data(), n);
  }
  return check::finish();
}
