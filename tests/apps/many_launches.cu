// Twenty thousand tiny launches with no wait in between; order and count are exact.
#include "check.h"

__global__ void advance(unsigned* state, unsigned key) {
  // Not commutative: a lost, doubled or swapped launch changes the result.
  *state = *state * 1664525u + key;
}

int main(int argc, char** argv) {
  const int launches = 20000 * check::scale(argc, argv);
  check::DeviceArray<unsigned> state(4);
  state.zero();
  unsigned want[4] = {};
  cudaStream_t streams[3];
  for (cudaStream_t& s : streams) CUDA_CHECK(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
  CUDA_CHECK(cudaDeviceSynchronize());
  for (int i = 0; i < launches; ++i) {
    int which = i % 4 == 3 ? i / 4 % 3 + 1 : 0;  // mostly the default stream
    advance<<<1, 1, 0, which ? streams[which - 1] : nullptr>>>(state.get() + which, i);
    want[which] = want[which] * 1664525u + i;
  }
  LAUNCH_CHECK();
  CUDA_CHECK(cudaDeviceSynchronize());
  std::vector<unsigned> got = state.fetch();
  if (check::scale(argc, argv) == 1) {
    std::printf("%d launches: %08x %08x %08x %08x\n", launches, got[0], got[1], got[2], got[3]);
  }
  check::equal("states", got.data(), want, 4);

  // Launch and wait, a smaller number of times.
  unsigned expected = got[0];
  for (int i = 0; i < 500; ++i) {
    advance<<<1, 1>>>(state.get(), i);
    CUDA_CHECK(cudaStreamSynchronize(nullptr));
    expected = expected * 1664525u + i;
  }
  check::equal("with waits", state.fetch().data(), &expected, 1);
  for (cudaStream_t s : streams) CUDA_CHECK(cudaStreamDestroy(s));
  return check::finish();
}
