#include "client/core/batches.h"

#include <chrono>
#include <thread>

#include "protocol/check.h"

namespace farlane::client {
namespace {

// Encoding takes some tens of nanoseconds, unless the thread has lost its processor.
constexpr int kPauses = 1000;
constexpr int kYields = 100;
constexpr std::chrono::microseconds kSleep{50};  // it has a lower priority than this thread

}  // namespace

Batches::Batches(size_t bytes) : bytes_(bytes), memory_(new std::byte[2 * bytes]) {
  FARLANE_CHECK(bytes <= kBytesMax && bytes % kUnitBytes == 0,
                "a batch of the log has no such size");
}

std::span<const std::byte> Batches::close() {
  uint64_t now = tail_.load(std::memory_order_relaxed);
  do {
    if (used_bytes(now) == 0) {
      return {};
    }
  } while (!tail_.compare_exchange_weak(now, swapped(now), std::memory_order_acq_rel,
                                        std::memory_order_relaxed));
  const unsigned batch = now & kBatchBit;
  wait_committed(batch, used_bytes(now));
  return {bytes_of(batch), used_bytes(now)};
}

Batches::Place Batches::no_room(size_t bytes) const {
  FARLANE_CHECK(bytes <= bytes_, "a record is longer than a batch of the log");
  return {};
}

void Batches::wait_committed(unsigned batch, size_t bytes) {
  std::atomic<size_t>& committed = batches_[batch].committed;
  if (committed.load(std::memory_order_acquire) != bytes) {
    encoding_waits_.fetch_add(1, std::memory_order_relaxed);
    for (int looks = 0; committed.load(std::memory_order_acquire) != bytes; ++looks) {
      if (looks < kPauses) {
        __builtin_ia32_pause();
      } else if (looks < kPauses + kYields) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(kSleep);
      }
    }
  }
  // For the next commands in it: the exchange that opens it again comes after this.
  committed.store(0, std::memory_order_relaxed);
}

}  // namespace farlane::client
