// A mutex that spins for a moment before it sleeps. For sections of well under a microsecond, and
// for a send that another thread is about to finish: putting a thread to sleep and waking it costs
// more than either. Taking it when it is free is one instruction, which a launch notices.
#pragma once

#include <atomic>
#include <cstdint>

namespace farlane::client {

class AdaptiveMutex {
 public:
  AdaptiveMutex() = default;
  AdaptiveMutex(const AdaptiveMutex&) = delete;
  AdaptiveMutex& operator=(const AdaptiveMutex&) = delete;

  void lock() {
    if (!try_lock()) {
      lock_slow();
    }
  }
  bool try_lock() {
    State expected = kFree;
    return state_.compare_exchange_strong(expected, kTaken, std::memory_order_acquire,
                                          std::memory_order_relaxed);
  }
  void unlock() {
    if (state_.exchange(kFree, std::memory_order_release) == kAwaited) {
      state_.notify_one();
    }
  }

 private:
  using State = int32_t;  // what the kernel can wait on
  static constexpr State kFree = 0;
  static constexpr State kTaken = 1;
  static constexpr State kAwaited = 2;  // taken, and somebody may sleep
  // A waiting thread looks often: whoever asks should not stand by for microseconds while the line
  // is free.
  static constexpr int kPauses = 4;
  // Some tens of microseconds, as long as a large send takes.
  static constexpr int kLooks = 250;

  void lock_slow() {
    for (int i = 0; i < kLooks; ++i) {
      if (state_.load(std::memory_order_relaxed) == kFree && try_lock()) {
        return;
      }
      for (int j = 0; j < kPauses; ++j) {
        __builtin_ia32_pause();
      }
    }
    while (state_.exchange(kAwaited, std::memory_order_acquire) != kFree) {
      state_.wait(kAwaited, std::memory_order_relaxed);
    }
  }

  std::atomic<State> state_ = kFree;
};

}  // namespace farlane::client
