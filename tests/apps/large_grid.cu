// Grids and blocks in three dimensions, and the far ends of the limits.
#include "check.h"

__global__ void index_all(unsigned long long* sum, unsigned* seen) {
  unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  unsigned size = blockDim.x * blockDim.y * blockDim.z;
  unsigned i = block * size + thread;
  atomicAdd(&seen[i], 1u);
  atomicAdd(sum, static_cast<unsigned long long>(blockIdx.x) * 3 + blockIdx.y * 5 + blockIdx.z * 7 +
                     threadIdx.x * 11 + threadIdx.y * 13 + threadIdx.z * 17);
}

__global__ void count_blocks(unsigned* count, unsigned* last) {
  atomicAdd(count, 1u);
  atomicMax(last, (blockIdx.x + 1) * (blockIdx.y + 1) * (blockIdx.z + 1));
}

__global__ void mark(unsigned char* flags, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) flags[i] ^= 1;
}

void run_index(const char* what, dim3 grid, dim3 block) {
  unsigned n = grid.x * grid.y * grid.z * block.x * block.y * block.z;
  check::DeviceArray<unsigned long long> dsum(1);
  check::DeviceArray<unsigned> dseen(n);
  dsum.zero();
  dseen.zero();
  index_all<<<grid, block>>>(dsum.get(), dseen.get());
  LAUNCH_CHECK();
  std::vector<unsigned> ones(n, 1);
  check::equal(what, dseen.fetch().data(), ones.data(), n);
  auto total = [n](unsigned extent, unsigned weight) {  // n/extent times the sum of 0..extent-1
    return static_cast<unsigned long long>(n / extent) * (extent * (extent - 1ull) / 2) * weight;
  };
  unsigned long long want = total(grid.x, 3) + total(grid.y, 5) + total(grid.z, 7) +
                            total(block.x, 11) + total(block.y, 13) + total(block.z, 17);
  unsigned long long got = dsum.fetch()[0];
  std::printf("  index sum %llu\n", got);
  EXPECT(got == want);
}

void run_blocks(const char* what, dim3 grid) {
  check::DeviceArray<unsigned> result(2);
  result.zero();
  count_blocks<<<grid, 1>>>(result.get(), result.get() + 1);
  LAUNCH_CHECK();
  std::vector<unsigned> got = result.fetch();
  std::printf("%s: %u blocks, last %u\n", what, got[0], got[1]);
  EXPECT(got[0] == grid.x * grid.y * grid.z && got[1] == got[0]);
}

int main(int argc, char** argv) {
  run_index("37x11x5 of 8x4x3", dim3(37, 11, 5), dim3(8, 4, 3));
  run_index("2x3x4 of 4x4x64", dim3(2, 3, 4), dim3(4, 4, 64));
  run_index("1x1x1 of 1024x1x1", dim3(1), dim3(1024));
  run_index("3x1x1 of 1x1024x1", dim3(3), dim3(1, 1024));
  run_index("5x7x1 of 7x5x3", dim3(5, 7), dim3(7, 5, 3));
  run_blocks("x 70,000", dim3(70000));
  run_blocks("y 65,535", dim3(1, 65535));
  run_blocks("z 65,535", dim3(1, 1, 65535));
  int n = 1000003 * check::scale(argc, argv);
  check::DeviceArray<unsigned char> flags(n);
  flags.zero();
  mark<<<(n + 1023) / 1024, 1024>>>(flags.get(), n);
  LAUNCH_CHECK();
  std::vector<unsigned char> ones(n, 1);
  check::equal("a million threads", flags.fetch().data(), ones.data(),
               check::scale(argc, argv) == 1 ? n : 1);
  return check::finish();
}
