// The session's log: commands are appended here by any thread, in order, and leave in batches.
//
// Appending is taking a place in the open batch and encoding there (batches.h). Whoever flushes
// takes the batch as one frame: a thread that asks flushes for itself; otherwise the courier
// (courier.h) does, as soon as the line is free, so that a lone command leaves at once and a flood
// leaves in large frames.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>

#include "client/core/adaptive_mutex.h"
#include "client/core/batches.h"
#include "client/core/inbox.h"
#include "client/core/loss.h"
#include "generated/protocol/messages.h"
#include "transport/channel.h"

namespace farlane::client {

struct CommandLogOptions {
  size_t batch_bytes_max = transport::kHeadBytesMax;
  bool batching = true;           // off: every command is flushed by the thread that appends it
  uint64_t credit_bytes = 0;      // log bytes that may be unacknowledged; 0: no limit
  bool parallel_encoding = true;  // off: one thread at a time
  // The first of a few commands that a question will follow is sent by the thread that posts it.
  bool sends_before_questions = true;
  // Where the question comes sooner than a frame of its own would pay, those commands wait for it,
  // at most so long, and leave with it. 0: the first is sent.
  int64_t hold_us = 0;
};

struct CommandLogCounters {
  std::atomic<uint64_t> frames = 0;
  std::atomic<uint64_t> bytes = 0;  // of frame heads
  std::atomic<uint64_t> body_bytes = 0;
  std::atomic<uint64_t> credit_waits = 0;
  std::atomic<uint64_t> busy_waits = 0;  // the network took no more for a while
  std::atomic<uint64_t> line_waits = 0;  // a thread that sends found another one sending
  std::atomic<uint64_t> sent_first = 0;  // commands sent at once because a question would follow
  std::atomic<uint64_t> held_first = 0;  // commands kept for the question that would follow
};

class CommandLog {
 public:
  // The thread that sends what nobody else does.
  struct Background {
    std::function<void()> wake;
    // It looks at the log by itself soon. False: it does not; `rouse`: it will next time.
    std::function<bool(bool rouse)> watches;
  };

  CommandLog(transport::Channel* channel, const CommandLogOptions& options, Inbox* inbox,
             Loss* loss, Background background);

  // Appends one command and returns its sequence number; 0 when the session is lost. `register_ask`
  // (may be null) is called with the number before the command can reach the server.
  template <class M, class Register>
  uint64_t append(const M& message, Register register_ask) {
    const size_t bytes = encoded_bytes(message);
    std::unique_lock<AdaptiveMutex> alone;
    if (!options_.parallel_encoding) {
      alone = std::unique_lock(encode_mutex_);
    }
    Batches::Place place;
    do {
      if (loss_->declared()) {
        return 0;
      }
      place = batches_.take(bytes, options_.batch_bytes_max);
    } while (place.sequence == 0 && flush());
    if (place.sequence == 0) {
      return 0;
    }
    encode(place.bytes, message, place.sequence);
    register_ask(place.sequence);
    batches_.commit(place);
    // Not again and again: the courier watches it, and would be disturbed by every command.
    if (!has_unsent_.load(std::memory_order_seq_cst)) {
      has_unsent_.store(true, std::memory_order_seq_cst);
    }
    return place.sequence;
  }

  // Appends and lets the courier know. With batching off, and for the first of a few commands that
  // a question will follow, sends it.
  template <class M>
  uint64_t post(const M& message) {
    if (!options_.batching) [[unlikely]] {
      return post_with_body(message, {});
    }
    if (first_.load(std::memory_order_relaxed) != First::kByCourier) [[unlikely]] {
      const std::unique_lock line(send_mutex_, std::try_to_lock);
      if (line && sends_first_post()) {
        const auto since = transport::Clock::now();
        const uint64_t sequence = send_with_line(message, {}, [](uint64_t) {});
        sent_first_post(since);
        return sequence;
      }
    }
    const uint64_t sequence = append(message, [](uint64_t) {});
    background_.wake();
    return sequence;
  }

  // Appends a command, with bulk data if `body` is not empty, and sends everything up to it. When
  // it returns the memory of `body` is the caller's again. `register_ask` as above. The courier
  // never sees the command: a thread that asks sends for itself, and finds the line free when it is
  // alone.
  template <class M, class Register>
  uint64_t send_now(const M& message, std::span<const transport::Bytes> body,
                    Register register_ask) {
    const auto since = looked_at_clock();
    const std::lock_guard line(take_line(), std::adopt_lock);
    const uint64_t sequence = send_with_line(message, body, register_ask);
    if (sequence != 0) {
      note_question(sequence - 1, sequence, since);
    }
    return sequence;
  }

  template <class M>
  uint64_t post_with_body(const M& message, std::span<const transport::Bytes> body) {
    const std::lock_guard line(take_line(), std::adopt_lock);
    return send_with_line(message, body, [](uint64_t) {});
  }

  // Sends what has gathered and returns when the transport has it all. False: the session is lost.
  bool flush();
  // The same for a thread that will then wait for it without a question of its own.
  bool flush_to_wait();
  bool has_unsent() const { return has_unsent_.load(std::memory_order_seq_cst); }
  // What is unsent is kept for a question that is about to be asked.
  bool holds() const { return held_until_.load(std::memory_order_relaxed) != 0; }
  // But no longer than this.
  transport::Clock::time_point held_until() const {
    return transport::Clock::time_point(
        transport::Clock::duration(held_until_.load(std::memory_order_relaxed)));
  }
  // Commands will be kept, if the program goes on as it does.
  bool will_hold() const { return habit_.load(std::memory_order_relaxed) == First::kWithQuestion; }
  uint64_t last_sequence() const { return batches_.last_sequence(); }
  uint64_t encoding_waits() const { return batches_.encoding_waits(); }
  const CommandLogCounters& counters() const { return counters_; }
  void set_credit_bytes(uint64_t bytes) { credit_bytes_ = bytes; }

 private:
  // These with the line, that is the send lock.
  template <class M, class Register>
  uint64_t send_with_line(const M& message, std::span<const transport::Bytes> body,
                          Register register_ask) {
    const size_t bytes = encoded_bytes(message);
    clear_unsent();
    Batches::Place place;
    while ((place = batches_.close_with(bytes)).sequence == 0) {
      if (!send_frame(batches_.close(), {})) {
        return 0;
      }
    }
    encode(place.bytes, message, place.sequence);
    register_ask(place.sequence);
    return send_frame(batches_.complete(place), body) ? place.sequence : 0;
  }
  // How the first command after a question leaves.
  enum class First : uint8_t {
    kByCourier,
    kAtOnce,        // sent by the thread that posts it
    kWithQuestion,  // kept for the question
  };
  // Asked once after each question: what comes behind the first command finds the server busy, and
  // is the courier's. False: append it.
  bool sends_first_post();
  void sent_first_post(transport::Clock::time_point since);
  // Asked, or waited for, at `since` when `posted` was the last command; the question's own number
  // is `asked`.
  void note_question(uint64_t posted, uint64_t asked, transport::Clock::time_point since);
  // Only programs with a habit need it.
  transport::Clock::time_point looked_at_clock() const {
    return habit_.load(std::memory_order_relaxed) == First::kByCourier
               ? transport::Clock::time_point{}
               : transport::Clock::now();
  }
  void release_held() {
    if (holds()) held_until_.store(0, std::memory_order_relaxed);
  }
  bool flush_with_line();

  // Locks it.
  AdaptiveMutex& take_line() {
    if (!send_mutex_.try_lock()) {
      take_line_slow();
    }
    return send_mutex_;
  }
  void take_line_slow();
  // Before closing: what is posted from now on sets it again.
  void clear_unsent() {
    if (has_unsent_.load(std::memory_order_relaxed)) {
      has_unsent_.store(false, std::memory_order_seq_cst);
    }
  }
  // With the send lock. An empty head: nothing is sent.
  bool send_frame(std::span<const std::byte> head, std::span<const transport::Bytes> body);
  bool wait_for_credit(size_t bytes);
  bool wait_writable(transport::Clock::time_point since);

  transport::Channel* const channel_;
  const CommandLogOptions options_;
  Inbox* const inbox_;
  Loss* const loss_;
  const Background background_;
  std::atomic<uint64_t> credit_bytes_;
  std::atomic<First> habit_ = First::kByCourier;  // by what the program did so far
  std::atomic<First> first_ = First::kByCourier;  // the next command, if it is a first one
  std::atomic<int64_t> held_until_ = 0;           // on transport::Clock; 0: nothing is

  Batches batches_;
  // Apart from what other threads write or watch.
  static constexpr size_t kLineBytes = 64;
  alignas(kLineBytes) std::atomic<bool> has_unsent_ = false;
  alignas(kLineBytes) AdaptiveMutex encode_mutex_;  // without parallel_encoding
  alignas(kLineBytes) AdaptiveMutex send_mutex_;  // guards closing, and the channel's sending side
  uint64_t sent_bytes_ = 0;                       // of frame heads, since the start
  uint64_t last_question_ = 0;
  transport::Clock::time_point asked_;         // then
  transport::Clock::time_point first_posted_;  // since then; nothing: not noted
  transport::Clock::duration send_takes_{};    // of a first command
  int short_bursts_ = 0;                       // in a row that a question followed
  int quick_bursts_ = 0;                       // of those, that took less than sending did
  CommandLogCounters counters_;
};

}  // namespace farlane::client
