// The session's log: commands are appended here by any thread, in order, and leave in batches.
//
// Appending is encoding into the open batch under a short lock. Whoever flushes takes the batch as
// one frame: a thread that asks flushes for itself; otherwise the courier (courier.h) does, as soon
// as the line is free, so that a lone command leaves at once and a flood leaves in large frames.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "client/core/adaptive_mutex.h"
#include "client/core/inbox.h"
#include "client/core/loss.h"
#include "generated/protocol/messages.h"
#include "transport/channel.h"

namespace farlane::client {

struct CommandLogOptions {
  size_t batch_bytes_max = transport::kHeadBytesMax;
  bool batching = true;       // off: every command is flushed by the thread that appends it
  uint64_t credit_bytes = 0;  // log bytes that may be unacknowledged; 0: no limit
};

struct CommandLogCounters {
  std::atomic<uint64_t> frames = 0;
  std::atomic<uint64_t> bytes = 0;  // of frame heads
  std::atomic<uint64_t> body_bytes = 0;
  std::atomic<uint64_t> credit_waits = 0;
  std::atomic<uint64_t> busy_waits = 0;  // the network took no more for a while
};

class CommandLog {
 public:
  CommandLog(transport::Channel* channel, const CommandLogOptions& options, Inbox* inbox,
             Loss* loss, std::function<void()> wake_courier);

  // Appends one command and returns its sequence number; 0 when the session is lost. `register_ask`
  // (may be null) is called with the number before the command can reach the server.
  template <class M, class Register>
  uint64_t append(const M& message, Register register_ask) {
    const size_t bytes = encoded_bytes(message);
    uint64_t sequence = 0;
    {
      std::unique_lock lock(fill_mutex_);
      if (!make_room(bytes, lock)) {
        return 0;
      }
      sequence = ++last_sequence_;
      encode(std::span(fill_.data() + fill_bytes_, bytes), message, sequence);
      fill_bytes_ += bytes;
      register_ask(sequence);
      // Not again and again: the courier watches it, and would be disturbed by every command.
      if (!has_unsent_.load(std::memory_order_relaxed)) {
        has_unsent_.store(true, std::memory_order_seq_cst);
      }
    }
    return sequence;
  }

  // Appends and lets the courier know (or flushes, with batching off).
  template <class M>
  uint64_t post(const M& message) {
    const uint64_t sequence = append(message, [](uint64_t) {});
    if (options_.batching) {
      wake_courier_();
    } else if (sequence != 0) {
      flush();
    }
    return sequence;
  }

  // Appends a command, with bulk data if `body` is not empty, and sends everything up to it. When
  // it returns the memory of `body` is the caller's again. `register_ask` as above. The courier
  // never sees the command: a thread that asks sends for itself, and finds the line free when it is
  // alone.
  template <class M, class Register>
  uint64_t send_now(const M& message, std::span<const transport::Bytes> body,
                    Register register_ask) {
    std::lock_guard send(send_mutex_);
    const size_t bytes = encoded_bytes(message);
    uint64_t sequence = 0;
    for (;;) {
      {
        std::lock_guard lock(fill_mutex_);
        if (fill_bytes_ + bytes <= fill_.size()) {
          sequence = ++last_sequence_;
          encode(std::span(fill_.data() + fill_bytes_, bytes), message, sequence);
          fill_bytes_ += bytes;
          register_ask(sequence);
          swap_batches();
          break;
        }
        swap_batches();
      }
      if (!send_batch({})) {
        return 0;
      }
    }
    return send_batch(body) ? sequence : 0;
  }

  template <class M>
  uint64_t post_with_body(const M& message, std::span<const transport::Bytes> body) {
    return send_now(message, body, [](uint64_t) {});
  }

  // Sends what has gathered and returns when the transport has it all. False: the session is lost.
  bool flush();
  bool has_unsent() const { return has_unsent_.load(std::memory_order_seq_cst); }
  uint64_t last_sequence() const;
  const CommandLogCounters& counters() const { return counters_; }
  void set_credit_bytes(uint64_t bytes) { credit_bytes_ = bytes; }

 private:
  bool make_room(size_t bytes, std::unique_lock<AdaptiveMutex>& lock);
  void swap_batches();                                      // with both locks
  bool send_batch(std::span<const transport::Bytes> body);  // with the send lock
  bool wait_for_credit(size_t bytes);
  bool wait_writable(transport::Clock::time_point since);

  transport::Channel* const channel_;
  const CommandLogOptions options_;
  Inbox* const inbox_;
  Loss* const loss_;
  const std::function<void()> wake_courier_;
  std::atomic<uint64_t> credit_bytes_;

  // Apart from what other threads write or watch: with many posting threads the cost is in the
  // cache lines that they take from each other.
  static constexpr size_t kLineBytes = 64;
  alignas(kLineBytes) mutable AdaptiveMutex fill_mutex_;  // guards the open batch
  std::vector<std::byte> fill_;
  size_t fill_bytes_ = 0;
  uint64_t last_sequence_ = 0;
  alignas(kLineBytes) std::atomic<bool> has_unsent_ = false;

  alignas(kLineBytes)
      AdaptiveMutex send_mutex_;  // guards the batch that leaves, and the channel's sending side
  std::vector<std::byte> leaving_;
  size_t leaving_bytes_ = 0;
  uint64_t sent_bytes_ = 0;  // of frame heads, since the start
  CommandLogCounters counters_;
};

}  // namespace farlane::client
