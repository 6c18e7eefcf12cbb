// A parameter list of 32,764 bytes, the limit since CUDA 12.1 on compute capability 7.0 and later.
#include "check.h"

constexpr int kWords = 8189;
struct Block {
  int v[kWords];
};
static_assert(sizeof(int*) + sizeof(Block) == 32764, "the largest parameter list");

__global__ void copy(int* out, const __grid_constant__ Block block) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < kWords; i += gridDim.x * blockDim.x)
    out[i] = block.v[i] ^ i;
}

int main() {
  static Block block;
  check::Rng rng(13);
  std::vector<int> want(kWords);
  check::DeviceArray<int> out(kWords);
  // Several launches in flight: each has its own copy of its parameters.
  std::vector<std::vector<int>> got;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < kWords; ++i) {
      block.v[i] = static_cast<int>(rng.next_u32());
      want[i] = block.v[i] ^ i;
    }
    copy<<<4, 128>>>(out.get(), block);
    LAUNCH_CHECK();
    for (int& v : block.v) v = -1;  // the launch has taken its parameters
    check::equal("32,764 bytes", out.fetch().data(), want.data(), kWords);
  }
  return check::finish();
}
