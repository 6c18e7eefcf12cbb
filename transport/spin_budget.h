// How long a thread that waits for the network watches it before it goes to sleep: as long as it
// may while waits are short enough for that to pay, a small part of it while they are not. Watching
// in vain takes time from whoever is waited for when there are more threads than processors: a
// thread that had to leave its processor to others while it watched does so for shorter.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

namespace farlane::transport {

// How often the kernel took the processor from this thread, so far.
int64_t thread_preemptions();

// Of one thread at a time.
class SpinBudget {
 public:
  using Duration = std::chrono::nanoseconds;

  // 0: never watches.
  explicit SpinBudget(int64_t most_us, int64_t (*preemptions)() = thread_preemptions)
      : most_(std::chrono::microseconds(most_us)),
        least_limit_(std::min<Duration>(most_, 2 * kNoticed)),
        limit_(most_),
        now_(most_),
        preemptions_(preemptions) {}

  // Whether to watch on, a wait having taken so long. Called by the thread that waits.
  bool goes_on(Duration elapsed) {
    if (elapsed >= now_) return false;
    if (elapsed >= kNoticed && !preemptions_before_) preemptions_before_ = preemptions_();
    return true;
  }

  // A wait, watching and sleeping together, took so long.
  void waited(Duration wait) {
    if (preemptions_before_) {
      const bool was_alone = preemptions_() == *preemptions_before_;
      limit_ = was_alone ? std::min(limit_ * 2, most_) : least_limit_;
      preemptions_before_.reset();
    }
    now_ = wait <= limit_ ? limit_ : std::max(now_ / 2, least_limit_ / kLeastPart);
  }

  Duration now() const { return now_; }

 private:
  // Nobody is kept waiting by less, and it is little beside what asking the kernel takes.
  static constexpr Duration kNoticed = std::chrono::microseconds(100);
  static constexpr int kLeastPart = 16;

  Duration most_;
  Duration least_limit_;
  Duration limit_;  // what others leave of it
  Duration now_;
  int64_t (*preemptions_)();
  std::optional<int64_t> preemptions_before_;
};

}  // namespace farlane::transport
