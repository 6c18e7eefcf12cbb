// A fork while large copies are under way on their own connections: the child cannot use CUDA and
// is told so, and nothing of what it does harms the parent, which goes on copying.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "check.h"

constexpr size_t kBytes = size_t{32} << 20;
constexpr int kRounds = 4;

// What a child is told by calls of all kinds; the number of them that said something else.
int wrong_answers(void* device, void* host, cudaStream_t stream) {
  int wrong = 0;
  const auto expect = [&](cudaError_t error) { wrong += error != cudaErrorInitializationError; };
  void* fresh = nullptr;
  expect(cudaMalloc(&fresh, 16));
  expect(cudaMemcpy(device, host, kBytes, cudaMemcpyHostToDevice));
  expect(cudaMemcpyAsync(host, device, kBytes, cudaMemcpyDeviceToHost, stream));
  expect(cudaStreamSynchronize(stream));
  expect(cudaDeviceSynchronize());
  return wrong;
}

int main() {
  // Lanes also where the number of processors would decide for none; elsewhere it means nothing.
  setenv("FARLANE_CONNECTIONS", "4", 0);
  unsigned char* device = nullptr;
  unsigned char* from = nullptr;
  unsigned char* to = nullptr;
  cudaStream_t stream = nullptr;
  CUDA_CHECK(cudaMalloc(&device, kBytes));
  CUDA_CHECK(cudaMallocHost(&from, kBytes));
  CUDA_CHECK(cudaMallocHost(&to, kBytes));
  CUDA_CHECK(cudaStreamCreate(&stream));
  int good = 0;
  for (int round = 1; round <= kRounds; ++round) {
    for (size_t i = 0; i < kBytes; ++i) {
      from[i] = static_cast<unsigned char>(i * 7 + i / 251 + round);
    }
    std::memset(to, 0, kBytes);
    // Both directions are under way when the process forks.
    CUDA_CHECK(cudaMemcpyAsync(device, from, kBytes, cudaMemcpyHostToDevice, stream));
    CUDA_CHECK(cudaMemcpyAsync(to, device, kBytes, cudaMemcpyDeviceToHost, stream));
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
      const int wrong = wrong_answers(device, from, stream);
      // One ends as programs end, with its destructors, the others at once.
      if (round == 1) std::exit(wrong);
      _exit(wrong);
    }
    CUDA_CHECK(cudaStreamSynchronize(stream));
    good += std::memcmp(from, to, kBytes) == 0;
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    // And one that waits for itself.
    std::memset(to, 0, kBytes);
    CUDA_CHECK(cudaMemcpy(to, device, kBytes, cudaMemcpyDeviceToHost));
    good += std::memcmp(from, to, kBytes) == 0;
  }
  std::printf("%d of %d copies are right\n", good, 2 * kRounds);
  EXPECT(good == 2 * kRounds);
  CUDA_CHECK(cudaStreamDestroy(stream));
  CUDA_CHECK(cudaFreeHost(from));
  CUDA_CHECK(cudaFreeHost(to));
  CUDA_CHECK(cudaFree(device));
  return check::finish();
}
