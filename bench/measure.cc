#include "bench/measure.h"

#include <algorithm>
#include <cmath>

namespace farlane::bench {

using Clock = std::chrono::steady_clock;

double median(std::vector<double> samples) {
  if (samples.empty()) {
    return 0;
  }
  const auto middle = samples.begin() + static_cast<long>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  return *middle;
}

double quantile(std::vector<double> samples, double part) {
  if (samples.empty()) {
    return 0;
  }
  const auto last = static_cast<double>(samples.size() - 1);
  const auto at = samples.begin() + static_cast<long>(std::ceil(part * last));
  std::nth_element(samples.begin(), at, samples.end());
  return *at;
}

std::vector<double> times_us(int rounds, const std::function<void()>& body) {
  for (int i = 0; i < rounds / 10 + 1; ++i) {
    body();
  }
  std::vector<double> samples;
  samples.reserve(static_cast<size_t>(rounds));
  for (int i = 0; i < rounds; ++i) {
    const auto start = Clock::now();
    body();
    samples.push_back(seconds_since(start) * 1e6);
  }
  return samples;
}

double median_us(int rounds, const std::function<void()>& body) {
  return median(times_us(rounds, body));
}

double median_of_means_us(int rounds, int calls, const std::function<void()>& body,
                          const std::function<void()>& settle) {
  std::vector<double> samples;
  for (int round = -1; round < rounds; ++round) {
    const auto start = Clock::now();
    for (int i = 0; i < calls; ++i) {
      body();
    }
    const double mean = seconds_since(start) * 1e6 / calls;
    settle();
    if (round >= 0) {  // the first round warms up
      samples.push_back(mean);
    }
  }
  return median(std::move(samples));
}

}  // namespace farlane::bench
