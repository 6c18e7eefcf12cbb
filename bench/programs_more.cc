// Distributions, questions, threads and sizes; see programs.h.
#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "bench/cuda_must.h"
#include "bench/kernels.h"
#include "bench/programs.h"

// What nvcc's code calls before main(); no header declares it.
extern "C" {
void** __cudaRegisterFatBinary(void* wrapper);
void __cudaRegisterFatBinaryEnd(void** handle);
void __cudaUnregisterFatBinary(void** handle);
void __cudaRegisterFunction(void** handle, const char* host_function, char* device_function,
                            const char* device_name, int thread_limit, uint3* thread, uint3* block,
                            dim3* block_dim, dim3* grid_dim, int* warp_size);
}

namespace farlane::bench {
namespace {

void add_quantiles(Figures* figures, const std::string& name, const std::vector<double>& samples) {
  figures->push_back({name + ", p50", quantile(samples, 0.5), "us"});
  figures->push_back({name + ", p99", quantile(samples, 0.99), "us"});
  figures->push_back({name + ", p99.9", quantile(samples, 0.999), "us"});
}

std::string size_text(size_t bytes) {
  return bytes >= size_t{1} << 20 ? std::to_string(bytes >> 20) + " MiB"
                                  : std::to_string(bytes >> 10) + " KiB";
}

}  // namespace

Figures measure_latency(const Effort& effort) {
  const int rounds = effort.scaled(20'000);
  Figures figures;
  DeviceBuffer device(4096);
  int value = 42;
  launch_empty(nullptr);
  synchronize();
  add_quantiles(&figures, "launch", times_us(rounds, [] { launch_empty(nullptr); }));
  synchronize();
  add_quantiles(&figures, "launch + synchronise", times_us(rounds, [] {
    launch_empty(nullptr);
    synchronize();
  }));
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  add_quantiles(&figures, "memory info",
                times_us(rounds, [&] { BENCH_CUDA(cudaMemGetInfo(&free_bytes, &total_bytes)); }));
  add_quantiles(&figures, "4-byte copy to device", times_us(rounds, [&] {
    BENCH_CUDA(cudaMemcpy(device.floats(), &value, 4, cudaMemcpyHostToDevice));
  }));
  add_quantiles(&figures, "4-byte copy to host", times_us(rounds, [&] {
    BENCH_CUDA(cudaMemcpy(&value, device.floats(), 4, cudaMemcpyDeviceToHost));
  }));
  return figures;
}

// Each body asks exactly once a call when FARLANE_LOCAL_ANSWERS is false; tests/stats_test.py
// counts on it.
Figures measure_question(const Effort& effort) {
  const int rounds = effort.scaled(5000);
  cudaStream_t stream = nullptr;
  BENCH_CUDA(cudaStreamCreate(&stream));
  Figures figures;
  figures.push_back({"question: stream synchronise, idle",
                     median_us(rounds, [&] { BENCH_CUDA(cudaStreamSynchronize(stream)); }), "us"});
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  figures.push_back(
      {"question: memory info",
       median_us(rounds, [&] { BENCH_CUDA(cudaMemGetInfo(&free_bytes, &total_bytes)); }), "us"});
  BENCH_CUDA(cudaStreamDestroy(stream));
  return figures;
}

Figures measure_threads(const Effort& effort) {
  // Together no more than the server's credit lets out at once: what is measured is the log, not
  // how fast the GPU empties it.
  const int total_calls = effort.scaled(40'000);
  const int rounds = effort.scaled(10);
  Figures figures;
  for (const int threads : {1, 2, 4, 8}) {
    const int calls = total_calls / threads;
    std::vector<double> rates;
    for (int round = -1; round < rounds; ++round) {
      // Each thread looks at the clock itself: where there are few processors this one would look
      // too late. From the first start to the last end.
      std::barrier begin(threads);
      std::vector<std::chrono::steady_clock::time_point> starts(threads);
      std::vector<std::chrono::steady_clock::time_point> ends(threads);
      std::vector<std::thread> running;
      for (int i = 0; i < threads; ++i) {
        running.emplace_back([&, i] {
          cudaStream_t stream = nullptr;
          BENCH_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
          launch_empty(stream);
          BENCH_CUDA(cudaStreamSynchronize(stream));
          begin.arrive_and_wait();
          starts[i] = std::chrono::steady_clock::now();
          for (int call = 0; call < calls; ++call) {
            launch_empty(stream);
          }
          ends[i] = std::chrono::steady_clock::now();
          begin.arrive_and_wait();  // nobody asks while others are timed
          BENCH_CUDA(cudaStreamSynchronize(stream));
          BENCH_CUDA(cudaStreamDestroy(stream));
        });
      }
      for (std::thread& thread : running) {
        thread.join();
      }
      const std::chrono::duration<double> seconds = *std::max_element(ends.begin(), ends.end()) -
                                                    *std::min_element(starts.begin(), starts.end());
      if (round >= 0) {
        rates.push_back(static_cast<double>(threads) * calls / seconds.count() / 1e6);
      }
    }
    figures.push_back({"posting, " + std::to_string(threads) + " threads", median(rates), "M/s"});
  }
  return figures;
}

// As many modules and kernels as PyTorch 2.11 registers when its libraries are loaded; the modules
// are empty, since registering only notes where they are.
Figures measure_registration(const Effort& effort) {
  constexpr int kModules = 445;
  constexpr int kKernels = 21'504;
  static const uint64_t no_images[2] = {0x0010'0001'ba55'ed50, 0};
  struct Wrapper {
    uint32_t magic = 0x466243b1;
    uint32_t version = 1;
    const void* images = no_images;
    void* list = nullptr;
  };
  std::vector<std::string> names(kKernels);
  for (int i = 0; i < kKernels; ++i) {
    names[i] = "_ZN2at6native29vectorized_elementwise_kernelILi4ENS0_" + std::to_string(i);
  }
  std::vector<char> stubs(kKernels);  // their addresses are the kernels' host functions
  Figures figures;
  std::vector<double> times;
  for (int round = 0; round < effort.scaled(10); ++round) {
    std::vector<Wrapper> wrappers(kModules);
    std::vector<void**> modules;
    const auto start = std::chrono::steady_clock::now();
    for (int module = 0, kernel = 0; module < kModules; ++module) {
      modules.push_back(__cudaRegisterFatBinary(&wrappers[module]));
      for (; kernel < kKernels * (module + 1) / kModules; ++kernel) {
        __cudaRegisterFunction(modules.back(), &stubs[kernel], names[kernel].data(),
                               names[kernel].c_str(), -1, nullptr, nullptr, nullptr, nullptr,
                               nullptr);
      }
      __cudaRegisterFatBinaryEnd(modules.back());
    }
    times.push_back(seconds_since(start) * 1e3);
    for (void** module : modules) {
      __cudaUnregisterFatBinary(module);
    }
  }
  figures.push_back({"registering 445 modules with 21504 kernels", median(times), "ms"});
  return figures;
}

Figures measure_sizes(const Effort& effort) {
  const size_t bytes_max = effort.quick ? size_t{64} << 20 : size_t{256} << 20;
  DeviceBuffer device(bytes_max);
  PinnedBuffer pinned(bytes_max);
  std::memset(pinned.data(), 1, bytes_max);
  Figures figures;
  for (size_t bytes = 4096; bytes <= bytes_max; bytes *= 4) {
    const int rounds = effort.scaled(bytes >= size_t{16} << 20 ? 20 : 200);
    figures.push_back(
        {"pinned " + size_text(bytes) + " to device",
         copy_gb_per_s(rounds, device.floats(), pinned.data(), bytes, cudaMemcpyHostToDevice),
         "GB/s"});
    figures.push_back(
        {"pinned " + size_text(bytes) + " to host",
         copy_gb_per_s(rounds, pinned.data(), device.floats(), bytes, cudaMemcpyDeviceToHost),
         "GB/s"});
  }
  return figures;
}

}  // namespace farlane::bench
