// One process of `split`: one kind of command after the other, and what the worker says that each
// cost.
#include <dlfcn.h>

#include <cstring>
#include <functional>
#include <memory>

#include "bench/cuda_must.h"
#include "bench/goals.h"
#include "bench/kernels.h"
#include "client/core/costs.h"

namespace farlane::bench {
namespace {

using client::Costs;

// Natively, and where the worker's clocks are off, there is nothing.
std::unique_ptr<Costs> costs_now() {
  using Function = decltype(&client::farlane_costs);
  static const auto function = reinterpret_cast<Function>(::dlsym(RTLD_DEFAULT, "farlane_costs"));
  auto costs = std::make_unique<Costs>();
  return function != nullptr && function(costs.get()) ? std::move(costs) : nullptr;
}

struct Kind {
  const char* name;
  // The commands that one call becomes, as the protocol names them.
  std::vector<const char*> commands;
  bool posted;
  std::function<void()> call;
};

client::CommandCosts sum_of(const Costs& costs, const Kind& kind) {
  client::CommandCosts sum{};
  for (uint32_t i = 0; i < costs.kinds; ++i) {
    const client::CommandCosts& row = costs.commands[i];
    for (const char* name : kind.commands) {
      if (std::strcmp(name, row.name) != 0) continue;
      sum.decode_ns += row.decode_ns;
      sum.driver_ns += row.driver_ns;
      sum.wait_ns += row.wait_ns;
      sum.reply_ns += row.reply_ns;
    }
  }
  return sum;
}

uint64_t commands_of(const Costs& costs) {
  uint64_t count = 0;
  for (uint32_t i = 0; i < costs.kinds; ++i) {
    count += std::strcmp(costs.commands[i].name, "ack") == 0 ? 0 : costs.commands[i].count;
  }
  return count;
}

void measure(const Kind& kind, const Effort& effort, Figures* figures) {
  const auto add = [&](const char* part, double us) {
    figures->push_back({std::string(kind.name) + ": " + part, us, "us"});
  };
  constexpr int kPostedCalls = 1000;
  const int rounds = effort.scaled(kind.posted ? 50 : 5000);
  kind.call();
  synchronize();
  const std::unique_ptr<Costs> before = costs_now();
  int calls = 0;
  const auto counted = [&] {
    ++calls;
    kind.call();
  };
  if (kind.posted) {
    add("append", median_of_means_us(rounds, kPostedCalls, counted, synchronize));
    add("total", median_us(rounds, [&] {
                   for (int i = 0; i < kPostedCalls; ++i) counted();
                   synchronize();
                 }) / kPostedCalls);
  } else {
    const auto start = std::chrono::steady_clock::now();
    const double median = median_us(rounds, counted);
    add("mean", seconds_since(start) * 1e6 / calls);
    add("total", median);
  }
  synchronize();
  const std::unique_ptr<Costs> after = costs_now();
  if (before == nullptr || after == nullptr) return;

  const client::CommandCosts begin = sum_of(*before, kind);
  const client::CommandCosts end = sum_of(*after, kind);
  const auto per_call = [&](uint64_t from, uint64_t to) {
    return static_cast<double>(to - from) / 1e3 / calls;
  };
  add("credit", per_call(before->credit_wait_ns, after->credit_wait_ns));
  add("network wait", per_call(before->network_wait_ns, after->network_wait_ns));
  // Frames carry other commands too, a synchronisation in a thousand at most.
  const uint64_t commands = commands_of(*after) - commands_of(*before);
  add("receive", static_cast<double>(after->receive_ns - before->receive_ns) / 1e3 /
                     static_cast<double>(commands) * static_cast<double>(kind.commands.size()));
  add("decode", per_call(begin.decode_ns, end.decode_ns));
  add("driver", per_call(begin.driver_ns, end.driver_ns));
  add("device", per_call(begin.wait_ns, end.wait_ns));
  add("reply", per_call(begin.reply_ns, end.reply_ns));
}

}  // namespace

Figures measure_cost(const Effort& effort) {
  DeviceBuffer device(4096);
  cudaStream_t idle = nullptr;
  BENCH_CUDA(cudaStreamCreate(&idle));
  int value = 42;
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  const Kind kinds[] = {
      {"launch", {"launch"}, true, [] { launch_empty(nullptr); }},
      {"launch, 5 arguments",
       {"launch"},
       true,
       [&] { launch_five(device.floats(), device.floats(), 2.0f, 32, 1, nullptr); }},
      {"memset",
       {"fill"},
       true,
       [&] { BENCH_CUDA(cudaMemsetAsync(device.floats(), 0, 4096, nullptr)); }},
      {"4-byte copy to device",
       {"copy_in"},
       true,
       [&] { BENCH_CUDA(cudaMemcpy(device.floats(), &value, 4, cudaMemcpyHostToDevice)); }},
      {"4-byte copy to host",
       {"copy_out"},
       false,
       [&] { BENCH_CUDA(cudaMemcpy(&value, device.floats(), 4, cudaMemcpyDeviceToHost)); }},
      {"question: stream synchronise, idle",
       {"stream_synchronize"},
       false,
       [&] { BENCH_CUDA(cudaStreamSynchronize(idle)); }},
      {"question: memory info",
       {"memory_info"},
       false,
       [&] { BENCH_CUDA(cudaMemGetInfo(&free_bytes, &total_bytes)); }},
      {"launch + synchronise", {"launch", "stream_synchronize"}, false, [&] {
         launch_empty(idle);
         BENCH_CUDA(cudaStreamSynchronize(idle));
       }}};
  Figures figures;
  for (const Kind& kind : kinds) measure(kind, effort, &figures);
  BENCH_CUDA(cudaStreamDestroy(idle));
  return figures;
}

}  // namespace farlane::bench
