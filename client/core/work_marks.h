// Whether anything was posted to a device since a question about all of it, without a line that all
// posting threads write: as long as nobody asks, a thread that posts only reads.
//
// A question begins a new mark before it is appended to the log. What is posted and then still sees
// the old mark was posted before the question, which therefore covers it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace farlane::client {

// The largest value so far; threads may arrive out of order.
inline void raise_to(std::atomic<uint64_t>& value, uint64_t to) {
  uint64_t now = value.load(std::memory_order_relaxed);
  while (now < to && !value.compare_exchange_weak(now, to, std::memory_order_acq_rel)) {
  }
}

class WorkMarks {
 public:
  // After posting work.
  void touch() {
    const uint64_t now = mark_.load(std::memory_order_acquire);
    if (touched_.load(std::memory_order_relaxed) < now) {
      raise_to(touched_, now);
    }
  }

  // Before asking. What it returns goes to one of the next two when the answer is that everything
  // has finished.
  uint64_t begin_question() { return mark_.fetch_add(1, std::memory_order_acq_rel); }
  void finished(uint64_t mark) { raise_to(finished_, mark); }
  // Only what the legacy default stream waits for.
  void legacy_finished(uint64_t mark) { raise_to(legacy_finished_, mark); }

  bool is_idle() const {
    return touched_.load(std::memory_order_acquire) <= finished_.load(std::memory_order_acquire);
  }
  bool is_legacy_idle() const {
    return touched_.load(std::memory_order_acquire) <=
           std::max(finished_.load(std::memory_order_acquire),
                    legacy_finished_.load(std::memory_order_acquire));
  }

 private:
  alignas(64) std::atomic<uint64_t> mark_ = 1;
  std::atomic<uint64_t> touched_ = 0;  // the mark seen by the latest work
  alignas(64) std::atomic<uint64_t> finished_ = 0;
  std::atomic<uint64_t> legacy_finished_ = 0;
};

}  // namespace farlane::client
