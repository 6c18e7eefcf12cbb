// All-reduce between two GPUs, as nccl-tests measure it: a table of sizes, the time of one, and the
// algorithm bandwidth (bytes of a buffer by that time). Every size is checked.
//
//     all_reduce [LARGEST_MIB] [ITERATIONS]
//
// Rank 1 is this program again. The same program runs on the vendor's libraries and through
// Farlane (scripts/gpu/two_gpus.py).
#include <cuda_runtime_api.h>
#include <nccl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

extern char** environ;

#define CHECK(call)                                                                    \
  do {                                                                                 \
    const int status_ = static_cast<int>(call);                                        \
    if (status_ != 0) {                                                                \
      std::fprintf(stderr, "%s:%d: %s: %d (%s)\n", __FILE__, __LINE__, #call, status_, \
                   ncclGetLastError(nullptr));                                         \
      std::_Exit(1);                                                                   \
    }                                                                                  \
  } while (0)

namespace {

constexpr int kRanks = 2;
using Clock = std::chrono::steady_clock;

void measure(int rank, const ncclUniqueId& id, size_t largest, int iterations) {
  CHECK(cudaSetDevice(rank));
  ncclComm_t comm = nullptr;
  CHECK(ncclCommInitRank(&comm, kRanks, id, rank));
  cudaStream_t stream = nullptr;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  float* in = nullptr;
  float* out = nullptr;
  CHECK(cudaMalloc(reinterpret_cast<void**>(&in), largest));
  CHECK(cudaMalloc(reinterpret_cast<void**>(&out), largest));
  std::vector<float> host(largest / sizeof(float));
  for (size_t i = 0; i < host.size(); ++i) host[i] = static_cast<float>((i % 1000) * (rank + 1));
  CHECK(cudaMemcpy(in, host.data(), largest, cudaMemcpyHostToDevice));
  for (size_t bytes = 1024; bytes <= largest; bytes *= 4) {
    const size_t count = bytes / sizeof(float);
    double best = 1e9;
    for (int round = 0; round < 4; ++round) {
      CHECK(cudaMemsetAsync(out, 0, bytes, stream));
      for (int i = 0; i < 5; ++i) {
        CHECK(ncclAllReduce(in, out, count, ncclFloat, ncclSum, comm, stream));
      }
      CHECK(cudaStreamSynchronize(stream));
      const auto begin = Clock::now();
      for (int i = 0; i < iterations; ++i) {
        CHECK(ncclAllReduce(in, out, count, ncclFloat, ncclSum, comm, stream));
      }
      CHECK(cudaStreamSynchronize(stream));
      best =
          std::min(best, std::chrono::duration<double>(Clock::now() - begin).count() / iterations);
    }
    CHECK(cudaMemcpy(host.data(), out, bytes, cudaMemcpyDeviceToHost));
    size_t wrong = 0;
    for (size_t i = 0; i < count; ++i) {
      wrong += host[i] != static_cast<float>((i % 1000) * (kRanks + 1)) ? 1 : 0;
    }
    if (rank == 0) {
      std::printf("%12zu %10.2f us %9.2f GB/s  %s\n", bytes, best * 1e6,
                  static_cast<double>(bytes) / best / 1e9, wrong == 0 ? "right" : "WRONG");
      std::fflush(stdout);
    }
    if (wrong != 0) std::_Exit(1);
  }
  CHECK(ncclCommDestroy(comm));
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mib = argc > 1 ? argv[1] : "256";
  const std::string iterations = argc > 2 ? argv[2] : "100";
  const size_t largest = std::strtoull(mib.c_str(), nullptr, 10) << 20;
  ncclUniqueId id{};
  if (argc > 3) {
    if (::read(std::atoi(argv[3]), &id, sizeof id) != sizeof id) return 1;
    measure(1, id, largest, std::atoi(iterations.c_str()));
    return 0;
  }
  // Before the first CUDA call of this process.
  int ends[2];
  CHECK(::pipe(ends));
  const std::string fd = std::to_string(ends[0]);
  const char* arguments[] = {"all_reduce", mib.c_str(), iterations.c_str(), fd.c_str(), nullptr};
  pid_t peer = 0;
  CHECK(::posix_spawn(&peer, "/proc/self/exe", nullptr, nullptr, const_cast<char**>(arguments),
                      environ));
  CHECK(cudaSetDevice(0));
  CHECK(ncclGetUniqueId(&id));
  if (::write(ends[1], &id, sizeof id) != sizeof id) return 1;
  measure(0, id, largest, std::atoi(iterations.c_str()));
  int status = 0;
  CHECK(::waitpid(peer, &status, 0) != peer);
  return status == 0 ? 0 : 1;
}
