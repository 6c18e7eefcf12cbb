// Measuring: repeat, take the median, give it a name and a unit.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace farlane::bench {

// One figure. Names are stable: compare pairs them up by name.
struct Figure {
  std::string name;
  double value = 0;
  std::string unit;  // "us", "ms", "GB/s"
};

struct Effort {
  bool quick = false;  // a tenth of the work, for a first look
  int scaled(int full) const { return quick ? (full + 9) / 10 : full; }
};

inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The median of `samples`; 0 if there are none.
double median(std::vector<double> samples);

// The value that `part` (0 to 1) of the samples do not exceed; 0 if there are none.
double quantile(std::vector<double> samples, double part);

// The times of `rounds` calls of `body`, in microseconds, after a tenth as many that do not count.
std::vector<double> times_us(int rounds, const std::function<void()>& body);

// The median time of one call of `body`, in microseconds, over `rounds` calls, after a tenth as
// many calls that do not count.
double median_us(int rounds, const std::function<void()>& body);

// The median over `rounds` of the mean time of one of `calls` calls in a row, in microseconds.
// `settle` runs between rounds, outside the measurement.
double median_of_means_us(int rounds, int calls, const std::function<void()>& body,
                          const std::function<void()>& settle);

}  // namespace farlane::bench
