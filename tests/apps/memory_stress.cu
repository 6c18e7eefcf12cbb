// A random pattern of allocations, fills, copies and frees on several streams; every block's
// content is verified. The second argument is the seed, printed only with a failure.
#include "check.h"

__global__ void fill(unsigned* p, size_t n, unsigned key) {
  for (size_t i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    p[i] = static_cast<unsigned>(i) * 2654435761u ^ key;
}
__global__ void verify(const unsigned* p, size_t n, unsigned key, unsigned* wrong) {
  for (size_t i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    if (p[i] != (static_cast<unsigned>(i) * 2654435761u ^ key)) atomicAdd(wrong, 1u);
}

struct Block {
  unsigned* pointer;
  size_t words;
  unsigned key;
  int stream;
};

constexpr int kStreams = 4;

int main(int argc, char** argv) {
  uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 0) : 33;
  const int rounds = 400 * check::scale(argc, argv);
  check::Rng rng(seed);
  cudaStream_t streams[kStreams];
  for (cudaStream_t& s : streams) CUDA_CHECK(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
  check::DeviceArray<unsigned> wrong(1);
  wrong.zero();
  CUDA_CHECK(cudaDeviceSynchronize());
  std::vector<Block> live;
  size_t live_bytes = 0;
  int made = 0, freed = 0, copied = 0, overlaps = 0;
  auto drop = [&](size_t index) {
    Block b = live[index];
    verify<<<4, 64, 0, streams[b.stream]>>>(b.pointer, b.words, b.key, wrong.get());
    LAUNCH_CHECK();
    CUDA_CHECK(cudaFree(b.pointer));  // waits for the pending work
    live_bytes -= b.words * 4;
    live.erase(live.begin() + static_cast<long>(index));
    ++freed;
  };
  for (int round = 0; round < rounds; ++round) {
    unsigned choice = rng.below(100);
    if (live.empty() || (choice < 50 && live_bytes < (48u << 20))) {
      // Mostly small, sometimes megabytes, odd sizes.
      size_t words = rng.below(8) == 0 ? rng.below(1 << 18) + 1 : rng.below(3000) + 1;
      Block b{nullptr, words, rng.next_u32(), static_cast<int>(rng.below(kStreams))};
      CUDA_CHECK(cudaMalloc(&b.pointer, words * 4));
      for (const Block& other : live)
        if (b.pointer < other.pointer + other.words && other.pointer < b.pointer + words)
          ++overlaps;
      fill<<<4, 64, 0, streams[b.stream]>>>(b.pointer, words, b.key);
      LAUNCH_CHECK();
      live_bytes += words * 4;
      live.push_back(b);
      ++made;
    } else if (choice < 70) {
      // Duplicate a block on its stream, drop the original later.
      Block from = live[rng.below(static_cast<uint32_t>(live.size()))], to = from;
      CUDA_CHECK(cudaMalloc(&to.pointer, to.words * 4));
      CUDA_CHECK(cudaMemcpyAsync(to.pointer, from.pointer, to.words * 4, cudaMemcpyDeviceToDevice,
                                 streams[from.stream]));
      live_bytes += to.words * 4;
      live.push_back(to);
      ++copied;
    } else {
      drop(rng.below(static_cast<uint32_t>(live.size())));
    }
  }
  while (!live.empty()) drop(live.size() - 1);
  CUDA_CHECK(cudaDeviceSynchronize());
  unsigned bad = wrong.fetch()[0];
  if (argc <= 1) std::printf("made %d, copied %d, freed %d\n", made, copied, freed);
  std::printf("overlapping blocks: %d, wrong words: %u\n", overlaps, bad);
  if (overlaps || bad) check::fail("seed %llu", static_cast<unsigned long long>(seed));
  for (cudaStream_t s : streams) CUDA_CHECK(cudaStreamDestroy(s));
  return check::finish();
}
