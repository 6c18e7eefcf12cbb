// A parameter list of exactly 4,096 bytes, the limit of all CUDA versions.
#include "check.h"

struct Block {
  int v[1022];
};
static_assert(sizeof(Block) + sizeof(int*) == 4096, "4 KB in all");

__global__ void copy(int* out, Block block) {
  for (int i = threadIdx.x; i < 1022; i += blockDim.x) out[i] = block.v[i] * 3 + i;
}

// Read in place, without a local copy.
__global__ void copy_in_place(int* out, const __grid_constant__ Block block) {
  for (int i = threadIdx.x; i < 1022; i += blockDim.x) out[i] = block.v[1021 - i];
}

int main() {
  Block block;
  check::Rng rng(12);
  std::vector<int> want(1022), reversed(1022);
  for (int i = 0; i < 1022; ++i) {
    block.v[i] = static_cast<int>(rng.below(1 << 20));
    want[i] = block.v[i] * 3 + i;
    reversed[1021 - i] = block.v[i];
  }
  check::DeviceArray<int> out(1022);
  copy<<<1, 64>>>(out.get(), block);
  LAUNCH_CHECK();
  check::equal("by value", out.fetch().data(), want.data(), 1022);
  copy_in_place<<<1, 64>>>(out.get(), block);
  LAUNCH_CHECK();
  check::equal("grid constant", out.fetch().data(), reversed.data(), 1022);
  return check::finish();
}
