// How long a thread that waits for the network watches it before it goes to sleep: as long as it
// may while waits are short enough for that to pay, a small part of it while they are not. Watching
// in vain takes time from whoever is waited for when there are more threads than processors.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace farlane::transport {

class SpinBudget {
 public:
  using Duration = std::chrono::nanoseconds;

  // 0: never watches.
  explicit SpinBudget(int64_t most_us) : most_(std::chrono::microseconds(most_us)), now_(most_) {}

  Duration now() const { return now_; }
  // A wait, watching and sleeping together, took so long.
  void waited(Duration wait) {
    now_ = wait <= most_ ? most_ : std::max(now_ / 2, most_ / kLeastPart);
  }

 private:
  static constexpr int kLeastPart = 16;
  Duration most_;
  Duration now_;
};

}  // namespace farlane::transport
