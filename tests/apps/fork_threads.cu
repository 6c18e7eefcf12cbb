// Children that end by exit() although other threads of their parent were in CUDA calls when they
// were forked: they wait for none of them, whether they have tried to use CUDA or not.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "check.h"

__global__ void set(int* p, int value) {
  if (p != nullptr) *p = value;
}
__global__ void of_children(int* p) {
  *p = 1;
}

int main() {
  constexpr int kChildren = 60;
  constexpr unsigned kPatienceSeconds = 60;
  check::DeviceArray<int> out(1);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      const void* kernel = reinterpret_cast<const void*>(set);
      while (!stop) {
        cudaFuncAttributes attributes;
        CUDA_CHECK(cudaFuncGetAttributes(&attributes, kernel));
        int* none = nullptr;
        int value = 0;
        void* arguments[] = {&none, &value};
        CUDA_CHECK(cudaLaunchKernel(kernel, 1, 1, arguments, 0, nullptr));
      }
    });
  }
  int ended = 0;
  int refused = 0;
  for (int i = 0; i < kChildren; ++i) {
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
      alarm(kPatienceSeconds);  // ends one that hangs
      cudaError_t error = cudaErrorInitializationError;
      if (i % 2 != 0) {
        of_children<<<1, 1>>>(out.get());
        error = cudaGetLastError();
      }
      exit(error == cudaErrorInitializationError ? 7 : 8);
    }
    int status = -1;
    waitpid(child, &status, 0);
    ended += WIFEXITED(status) ? 1 : 0;
    refused += WIFEXITED(status) && WEXITSTATUS(status) == 7 ? 1 : 0;
    if (!WIFEXITED(status)) break;
  }
  stop = true;
  for (auto& thread : threads) thread.join();
  std::printf("children that ended: %d, that were refused: %d\n", ended, refused);
  EXPECT(ended == kChildren && refused == kChildren);
  set<<<1, 1>>>(out.get(), 5);
  CUDA_CHECK(cudaDeviceSynchronize());
  EXPECT(out.fetch()[0] == 5);
  return check::finish();
}
