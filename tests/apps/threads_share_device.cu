// Eight host threads on one device, each with its own stream and memory, some things shared; and
// the last error of each thread is its own.
#include <atomic>
#include <string>
#include <thread>

#include "check.h"

__global__ void step(unsigned* values, int n, unsigned key) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) values[i] = values[i] * 1664525u + key + i;
}
__global__ void tally(unsigned* shared_count, unsigned* own_count) {
  atomicAdd(shared_count, 1u);
  atomicAdd(own_count, 1u);
}

constexpr int kThreads = 8, kRounds = 25, kN = 700;

std::string work(int id, unsigned* shared_count) {
  char text[200];
#define MUST(call)                                                                           \
  do {                                                                                       \
    cudaError_t e = (call);                                                                  \
    if (e != cudaSuccess) {                                                                  \
      std::snprintf(text, sizeof text, "thread %d: %s: %s", id, #call, cudaGetErrorName(e)); \
      return text;                                                                           \
    }                                                                                        \
  } while (0)
  MUST(cudaSetDevice(0));
  cudaStream_t stream;
  MUST(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  unsigned *values, *count;
  MUST(cudaMalloc(&values, kN * sizeof(unsigned)));
  MUST(cudaMalloc(&count, sizeof(unsigned)));
  MUST(cudaMemsetAsync(count, 0, sizeof(unsigned), stream));
  std::vector<unsigned> host(kN), got(kN);
  for (int i = 0; i < kN; ++i) host[i] = id * 1000u + i;
  MUST(cudaMemcpyAsync(values, host.data(), kN * sizeof(unsigned), cudaMemcpyHostToDevice, stream));
  for (int r = 0; r < kRounds; ++r) {
    unsigned key = id * 77u + r;
    step<<<(kN + 127) / 128, 128, 0, stream>>>(values, kN, key);
    tally<<<1, 32, 0, stream>>>(shared_count, count);
    MUST(cudaGetLastError());
    for (int i = 0; i < kN; ++i) host[i] = host[i] * 1664525u + key + i;
    if (r % 5 == 4) {
      MUST(cudaMemcpyAsync(got.data(), values, kN * sizeof(unsigned), cudaMemcpyDeviceToHost,
                           stream));
      MUST(cudaStreamSynchronize(stream));
      if (got != host) return "values differ";
    }
    // Half of the threads make an error now and then; the others must never see it.
    if (id % 2 && r % 7 == 3) {
      if (cudaSetDevice(12345) != cudaErrorInvalidDevice) return "a bad device was accepted";
      if (cudaGetLastError() != cudaErrorInvalidDevice) return "the error was not kept";
    } else if (cudaPeekAtLastError() != cudaSuccess) {
      return "an error of another thread is seen";
    }
    unsigned* brief;
    MUST(cudaMalloc(&brief, 256 << (r % 8)));
    MUST(cudaFree(brief));
  }
  unsigned own = 0;
  MUST(cudaStreamSynchronize(stream));
  MUST(cudaMemcpy(&own, count, sizeof own, cudaMemcpyDeviceToHost));
  if (own != kRounds * 32) return "own count differs";
  MUST(cudaFree(values));
  MUST(cudaFree(count));
  MUST(cudaStreamDestroy(stream));
  return "";
}

int main() {
  unsigned* shared_count;
  CUDA_CHECK(cudaMalloc(&shared_count, sizeof(unsigned)));
  CUDA_CHECK(cudaMemset(shared_count, 0, sizeof(unsigned)));
  CUDA_CHECK(cudaDeviceSynchronize());
  std::vector<std::string> problems(kThreads);
  std::vector<std::thread> threads;
  for (int id = 0; id < kThreads; ++id)
    threads.emplace_back([&, id] { problems[id] = work(id, shared_count); });
  for (std::thread& t : threads) t.join();
  for (int id = 0; id < kThreads; ++id) {
    std::printf("thread %d: %s\n", id, problems[id].empty() ? "ok" : "failed");
    if (!problems[id].empty()) check::fail("thread %d: %s", id, problems[id].c_str());
  }
  unsigned total = 0;
  CUDA_CHECK(cudaMemcpy(&total, shared_count, sizeof total, cudaMemcpyDeviceToHost));
  std::printf("shared count: %u\n", total);
  EXPECT(total == kThreads * kRounds * 32);
  CUDA_CHECK(cudaFree(shared_count));
  return check::finish();
}
