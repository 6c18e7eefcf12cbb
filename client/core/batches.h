// The two batches of the log: one is open and is filled by any number of threads at once, the other
// leaves.
//
// A thread takes its place in the open batch, and with it its number in the log, by one exchange of
// one word; it encodes there without a lock, and commits. Closing is an exchange of the same word:
// later commands go to the other batch, and the closed one is complete when as many bytes have been
// committed as were taken. So the order in a batch is the order of the numbers, and only the thread
// that sends ever waits for another one's encoding.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace farlane::client {

class Batches {
 public:
  // Each holds `bytes`, at most kBytesMax.
  static constexpr size_t kBytesMax = 256 * 1024;
  explicit Batches(size_t bytes);

  struct Place {
    uint64_t sequence = 0;  // 0: there was no room
    std::span<std::byte> bytes;
    unsigned batch = 0;
    size_t before = 0;  // what the batch already holds
  };
  // Any thread. Room for one record, whose size is a multiple of 8. A batch is full at
  // `full_bytes`, but takes any one record. What was taken must be committed soon: whoever sends
  // waits for it.
  Place take(size_t bytes, size_t full_bytes) {
    uint64_t now = tail_.load(std::memory_order_relaxed);
    for (;;) {
      const size_t used = used_bytes(now);
      if (used + bytes > (used == 0 ? bytes_ : full_bytes)) [[unlikely]] {
        return no_room(bytes);
      }
      if (tail_.compare_exchange_weak(now, now + kOneCommand + used_bits(bytes),
                                      std::memory_order_acq_rel, std::memory_order_relaxed)) {
        return place(now, bytes);
      }
    }
  }
  void commit(const Place& place) {
    batches_[place.batch].committed.fetch_add(place.bytes.size(), std::memory_order_release);
  }

  // These by one thread at a time, and only when what was closed before is not needed any more.
  //
  // Closes the open batch: what it holds, complete; empty when there is nothing.
  std::span<const std::byte> close();
  // Takes the open batch's last place and closes it, in one step. No room: as with take().
  Place close_with(size_t bytes) {
    uint64_t now = tail_.load(std::memory_order_relaxed);
    do {
      if (used_bytes(now) + bytes > bytes_) [[unlikely]] {
        return no_room(bytes);
      }
    } while (!tail_.compare_exchange_weak(now, swapped(now) + kOneCommand,
                                          std::memory_order_acq_rel, std::memory_order_relaxed));
    return place(now, bytes);
  }
  // Then, when that place is filled (it is not committed): the whole batch, complete.
  std::span<const std::byte> complete(const Place& last) {
    if (last.before != 0) {
      wait_committed(last.batch, last.before);
    }
    return {bytes_of(last.batch), last.before + last.bytes.size()};
  }

  // Of the command that was taken last, by any thread.
  uint64_t last_sequence() const { return tail_.load(std::memory_order_acquire) >> kSequenceShift; }
  // How often the sender had to wait for a thread that was still encoding.
  uint64_t encoding_waits() const { return encoding_waits_.load(std::memory_order_relaxed); }

 private:
  // The word, from its lowest bit: which batch is open (1 bit), how much of it is taken (16 bits,
  // in units of 8 bytes), the number of the last command (47 bits: a million a second for four
  // years). It never has the same value twice, so an exchange that succeeds has missed nothing.
  static constexpr uint64_t kBatchBit = 1;
  static constexpr unsigned kUsedShift = 1;
  static constexpr uint64_t kUsedMask = 0xffff;
  static constexpr size_t kUnitBytes = 8;
  static constexpr unsigned kSequenceShift = 17;
  static constexpr uint64_t kOneCommand = uint64_t{1} << kSequenceShift;
  static_assert(kBytesMax / kUnitBytes <= kUsedMask);

  static size_t used_bytes(uint64_t tail) { return (tail >> kUsedShift & kUsedMask) * kUnitBytes; }
  static uint64_t used_bits(size_t bytes) { return bytes / kUnitBytes << kUsedShift; }
  // The other batch, empty; the numbers go on.
  static uint64_t swapped(uint64_t tail) { return (tail & ~(kUsedMask << kUsedShift)) ^ kBatchBit; }
  Place place(uint64_t tail, size_t bytes) {
    const unsigned batch = tail & kBatchBit;
    const size_t before = used_bytes(tail);
    std::byte* const at = bytes_of(batch) + before;
    own_soon(at + bytes);
    return {(tail >> kSequenceShift) + 1, {at, bytes}, batch, before};
  }
  // The sender read these lines last, and its processor has them. Asked for while this command is
  // made, they are here when the next one is written; otherwise committing it would wait for them.
  // What lies behind the memory may be asked for, too.
  static void own_soon(const std::byte* next) {
    for (size_t line = 0; line < kLinesAhead; ++line) {
      asm volatile("prefetchw %0" : : "m"(next[line * kLineBytes]));
    }
  }
  std::byte* bytes_of(unsigned batch) { return memory_.get() + batch * bytes_; }
  Place no_room(size_t bytes) const;
  void wait_committed(unsigned batch, size_t bytes);

  // With many posting threads the cost is in the cache lines that they take from each other.
  static constexpr size_t kLineBytes = 64;
  static constexpr size_t kLinesAhead = 3;  // a launch with a few arguments takes two
  struct Batch {
    alignas(kLineBytes) std::atomic<size_t> committed = 0;
  };

  const size_t bytes_;
  const std::unique_ptr<std::byte[]> memory_;
  std::atomic<uint64_t> encoding_waits_ = 0;
  alignas(kLineBytes) std::atomic<uint64_t> tail_ = 0;
  std::array<Batch, 2> batches_;
};

}  // namespace farlane::client
