#include "bench/programs.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "bench/cuda_must.h"
#include "bench/kernels.h"

namespace farlane::bench {
using Clock = std::chrono::steady_clock;

void must(cudaError_t error, const char* call) {
  if (error != cudaSuccess) {
    std::fprintf(stderr, "farlane-bench: %s failed: %s (%s)\n", call, cudaGetErrorString(error),
                 cudaGetErrorName(error));
    std::exit(1);
  }
}

void synchronize() {
  BENCH_CUDA(cudaDeviceSynchronize());
}

double copy_gb_per_s(int rounds, void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  std::vector<double> samples;
  for (int round = -1; round < rounds; ++round) {
    const auto start = Clock::now();
    BENCH_CUDA(cudaMemcpy(to, from, bytes, kind));
    synchronize();
    if (round >= 0) {
      samples.push_back(static_cast<double>(bytes) / 1e9 / seconds_since(start));
    }
  }
  return median(std::move(samples));
}

namespace {

// Copies in, four products, a copy out and a synchronisation: what a small numerical program does.
double product_program_ms(int rounds, int size) {
  const size_t count = static_cast<size_t>(size) * size;
  DeviceBuffer a(count * sizeof(float));
  DeviceBuffer b(count * sizeof(float));
  DeviceBuffer c(count * sizeof(float));
  std::vector<float> host(count);
  for (size_t i = 0; i < count; ++i) {
    host[i] = static_cast<float>(i % 17) - 8;
  }
  std::vector<float> result(count);
  std::vector<double> samples;
  for (int round = -1; round < rounds; ++round) {
    const auto start = Clock::now();
    BENCH_CUDA(cudaMemcpy(a.floats(), host.data(), count * sizeof(float), cudaMemcpyHostToDevice));
    BENCH_CUDA(cudaMemcpy(b.floats(), host.data(), count * sizeof(float), cudaMemcpyHostToDevice));
    for (int i = 0; i < 4; ++i) {
      launch_tiled_product(c.floats(), a.floats(), b.floats(), size, nullptr);
    }
    BENCH_CUDA(
        cudaMemcpy(result.data(), c.floats(), count * sizeof(float), cudaMemcpyDeviceToHost));
    if (round >= 0) {
      samples.push_back(seconds_since(start) * 1e3);
    }
  }
  // A figure for a wrong result is worth nothing: one element against the host's own sum.
  float expected = 0;
  for (int k = 0; k < size; ++k) {
    expected += host[static_cast<size_t>(3) * size + k] * host[static_cast<size_t>(k) * size + 5];
  }
  if (std::fabs(result[static_cast<size_t>(3) * size + 5] - expected) >
      1e-3f * std::fabs(expected) + 1) {
    std::fprintf(stderr, "farlane-bench: the product is wrong: %g instead of %g\n",
                 static_cast<double>(result[static_cast<size_t>(3) * size + 5]),
                 static_cast<double>(expected));
    std::exit(1);
  }
  return median(std::move(samples));
}

}  // namespace

Figures measure_startup(const Effort&) {
  const auto start = Clock::now();
  BENCH_CUDA(cudaFree(nullptr));
  const double first_ms = seconds_since(start) * 1e3;
  const auto launch_start = Clock::now();
  launch_empty(nullptr);
  BENCH_CUDA(cudaGetLastError());
  synchronize();
  return {{"first CUDA call", first_ms, "ms"},
          {"first launch, with its module", seconds_since(launch_start) * 1e3, "ms"}};
}

Figures measure_launch(const Effort& effort) {
  constexpr int kCalls = 1000;
  const int rounds = effort.scaled(50);
  DeviceBuffer to(4096);
  DeviceBuffer from(4096);
  cudaEvent_t event = nullptr;
  BENCH_CUDA(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  Figures figures;
  figures.push_back({"launch, client cost",
                     median_of_means_us(
                         rounds, kCalls, [] { launch_empty(nullptr); }, synchronize),
                     "us"});
  figures.push_back(
      {"launch with 5 arguments, client cost",
       median_of_means_us(
           rounds, kCalls, [&] { launch_five(to.floats(), from.floats(), 2.0f, 32, 1, nullptr); },
           synchronize),
       "us"});
  figures.push_back({"launch, sustained",
                     median_us(rounds,
                               [] {
                                 for (int i = 0; i < kCalls; ++i) {
                                   launch_empty(nullptr);
                                 }
                                 synchronize();
                               }) /
                         kCalls,
                     "us"});
  figures.push_back(
      {"memset, client cost",
       median_of_means_us(
           rounds, kCalls, [&] { BENCH_CUDA(cudaMemsetAsync(to.floats(), 0, 4096, nullptr)); },
           synchronize),
       "us"});
  figures.push_back(
      {"event record, client cost",
       median_of_means_us(
           rounds, kCalls, [&] { BENCH_CUDA(cudaEventRecord(event, nullptr)); }, synchronize),
       "us"});
  BENCH_CUDA(cudaGetLastError());
  BENCH_CUDA(cudaEventDestroy(event));
  return figures;
}

Figures measure_sync(const Effort& effort) {
  const int rounds = effort.scaled(5000);
  Figures figures;
  launch_empty(nullptr);
  synchronize();
  figures.push_back({"launch + synchronise",
                     median_us(rounds,
                               [] {
                                 launch_empty(nullptr);
                                 synchronize();
                               }),
                     "us"});
  figures.push_back({"device synchronise, idle", median_us(rounds, synchronize), "us"});
  figures.push_back({"stream query, idle",
                     median_us(rounds, [] { BENCH_CUDA(cudaStreamQuery(nullptr)); }), "us"});
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  figures.push_back(
      {"memory info",
       median_us(rounds, [&] { BENCH_CUDA(cudaMemGetInfo(&free_bytes, &total_bytes)); }), "us"});
  return figures;
}

// What a step of a launch-bound program is. No question in it needs the server: the copy's data
// says that the stream got there.
Figures measure_burst(const Effort& effort) {
  constexpr int kLaunches = 10;
  cudaStream_t stream = nullptr;
  BENCH_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  DeviceBuffer device(4096);
  PinnedBuffer result(4096);
  Figures figures;
  figures.push_back({"burst of 10 launches, copy, synchronise",
                     median_us(effort.scaled(5000),
                               [&] {
                                 for (int i = 0; i < kLaunches; ++i) {
                                   launch_empty(stream);
                                 }
                                 BENCH_CUDA(cudaMemcpyAsync(result.data(), device.floats(), 4,
                                                            cudaMemcpyDeviceToHost, stream));
                                 BENCH_CUDA(cudaStreamSynchronize(stream));
                               }),
                     "us"});
  BENCH_CUDA(cudaStreamDestroy(stream));
  return figures;
}

Figures measure_copy(const Effort& effort) {
  const int rounds = effort.scaled(5000);
  Figures figures;
  DeviceBuffer device(1 << 16);
  int value = 42;
  figures.push_back(
      {"4-byte copy to device",
       median_us(
           rounds,
           [&] { BENCH_CUDA(cudaMemcpy(device.floats(), &value, 4, cudaMemcpyHostToDevice)); }),
       "us"});
  figures.push_back(
      {"4-byte copy to host",
       median_us(
           rounds,
           [&] { BENCH_CUDA(cudaMemcpy(&value, device.floats(), 4, cudaMemcpyDeviceToHost)); }),
       "us"});
  figures.push_back({"memset + synchronise",
                     median_us(rounds,
                               [&] {
                                 BENCH_CUDA(cudaMemset(device.floats(), 0, 4096));
                                 synchronize();
                               }),
                     "us"});
  for (const auto& [name, bytes] : {std::pair{"malloc + free, 256 B", size_t{256}},
                                    std::pair{"malloc + free, 1 MiB", size_t{1} << 20}}) {
    figures.push_back({name,
                       median_us(rounds,
                                 [bytes = bytes] {
                                   void* memory = nullptr;
                                   BENCH_CUDA(cudaMalloc(&memory, bytes));
                                   BENCH_CUDA(cudaFree(memory));
                                 }),
                       "us"});
  }
  return figures;
}

Figures measure_bandwidth(const Effort& effort) {
  const size_t bytes = effort.quick ? size_t{64} << 20 : size_t{256} << 20;
  const int rounds = effort.scaled(20);
  const std::string size = effort.quick ? "64 MiB" : "256 MiB";
  DeviceBuffer device(bytes);
  Figures figures;
  {
    PinnedBuffer pinned(bytes);
    std::memset(pinned.data(), 1, bytes);
    figures.push_back(
        {"pinned " + size + " to device",
         copy_gb_per_s(rounds, device.floats(), pinned.data(), bytes, cudaMemcpyHostToDevice),
         "GB/s"});
    figures.push_back(
        {"pinned " + size + " to host",
         copy_gb_per_s(rounds, pinned.data(), device.floats(), bytes, cudaMemcpyDeviceToHost),
         "GB/s"});
  }
  std::vector<char> pageable(bytes, 1);
  figures.push_back(
      {"pageable " + size + " to device",
       copy_gb_per_s(rounds, device.floats(), pageable.data(), bytes, cudaMemcpyHostToDevice),
       "GB/s"});
  figures.push_back(
      {"pageable " + size + " to host",
       copy_gb_per_s(rounds, pageable.data(), device.floats(), bytes, cudaMemcpyDeviceToHost),
       "GB/s"});
  const int matrix = effort.quick ? 256 : 1024;
  figures.push_back({"tiled product program, " + std::to_string(matrix) + " squared",
                     product_program_ms(effort.scaled(50), matrix), "ms"});
  return figures;
}

}  // namespace farlane::bench
