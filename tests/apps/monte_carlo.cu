// Pi by random points. Integer arithmetic throughout: the count of hits is exact.
#include "check.h"

__host__ __device__ inline uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

__host__ __device__ inline bool inside(uint64_t index) {
  uint64_t bits = mix(index * 0x9e3779b97f4a7c15ull + 12345);
  uint64_t x = bits & 0xffffffu, y = (bits >> 24) & 0xffffffu;
  return x * x + y * y < (1ull << 48);
}

__global__ void throw_points(int per_thread, unsigned long long* hits) {
  uint64_t first = static_cast<uint64_t>(blockIdx.x * blockDim.x + threadIdx.x) * per_thread;
  int mine = 0;
  for (int i = 0; i < per_thread; ++i) mine += inside(first + i);
  for (int d = 16; d; d >>= 1) mine += __shfl_down_sync(0xffffffffu, mine, d);
  if ((threadIdx.x & 31) == 0) atomicAdd(hits, static_cast<unsigned long long>(mine));
}

// The same experiment with a per-thread xorshift state and floats in [0, 1): exact too, since
// x*x + y*y of 12-bit fractions fits a float's 24 bits.
__global__ void throw_floats(int per_thread, unsigned* hits) {
  unsigned state = (blockIdx.x * blockDim.x + threadIdx.x) * 2654435761u + 1;
  int mine = 0;
  for (int i = 0; i < per_thread; ++i) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    float x = (state & 0xfff) * (1.0f / 4096), y = ((state >> 12) & 0xfff) * (1.0f / 4096);
    mine += x * x + y * y < 1.0f;
  }
  atomicAdd(hits, static_cast<unsigned>(mine));
}

int main(int argc, char** argv) {
  int per_thread = 64 * check::scale(argc, argv), blocks = 32, threads = 128;
  uint64_t n = static_cast<uint64_t>(per_thread) * blocks * threads;
  unsigned long long want = 0;
  for (uint64_t i = 0; i < n; ++i) want += inside(i);
  check::DeviceArray<unsigned long long> dhits(1);
  dhits.zero();
  throw_points<<<blocks, threads>>>(per_thread, dhits.get());
  LAUNCH_CHECK();
  unsigned long long got = dhits.fetch()[0];
  if (check::scale(argc, argv) == 1)
    std::printf("%llu of %llu inside\n", got, static_cast<unsigned long long>(n));
  check::equal("hits", &got, &want, 1);
  EXPECT(std::fabs(4.0 * static_cast<double>(got) / static_cast<double>(n) - 3.14159265) < 0.02);

  unsigned want_floats = 0;
  for (unsigned t = 0; t < 1024; ++t) {
    unsigned state = t * 2654435761u + 1;
    for (int i = 0; i < 50; ++i) {
      state ^= state << 13;
      state ^= state >> 17;
      state ^= state << 5;
      unsigned x = state & 0xfff, y = (state >> 12) & 0xfff;
      want_floats += x * x + y * y < (1u << 24);
    }
  }
  check::DeviceArray<unsigned> dcount(1);
  dcount.zero();
  throw_floats<<<8, 128>>>(50, dcount.get());
  LAUNCH_CHECK();
  check::equal("hits with floats", dcount.fetch().data(), &want_floats, 1);
  return check::finish();
}
