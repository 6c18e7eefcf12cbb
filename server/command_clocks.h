// Where a worker's time goes, by kind of command (setting log.command_times): decoding, the driver,
// waiting for the device, answering. Off, each question here is one test of a flag. On, a command
// costs about a tenth of a microsecond more, most of which shows as decoding.
//
// Executor's thread only. Time in the driver is known only of a timed table (driver_clock.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "generated/protocol/messages.h"
#include "protocol/limits.h"
#include "server/driver_clock.h"

namespace farlane::server {

class CommandClocks {
 public:
  explicit CommandClocks(bool on) : on_(on) {}
  CommandClocks(const CommandClocks&) = delete;

  bool on() const { return on_; }
  // Now in ticks; 0 while off.
  uint64_t now() const { return on_ ? ticks_now() : 0; }

  // Time is the next command's from here on …
  void begin() {
    if (on_) [[unlikely]] {
      restart();
    }
  }
  // … and was one's of this kind up to here, where the next one's begins. Not `done`: it is tried
  // again later.
  void end(uint16_t op, bool done) {
    if (on_) [[unlikely]] {
      charge(op, done);
    }
  }

  // The time that an answer takes to make, as long as this lives. It leaves with the next Sending.
  class Answering {
   public:
    Answering(CommandClocks& clocks, protocol::Op op)
        : clocks_(clocks.on_ ? &clocks : nullptr), op_(op) {
      if (clocks_ != nullptr) begin_ = clocks_->mark();
    }
    ~Answering() {
      if (clocks_ != nullptr) clocks_->answered(op_, begin_);
    }
    Answering(const Answering&) = delete;
    // There was no answer.
    void dismiss() { clocks_ = nullptr; }

   private:
    friend class CommandClocks;
    CommandClocks* clocks_;
    const protocol::Op op_;
    struct CommandClocksMark {
      uint64_t ticks = 0;
      uint64_t driver = 0;
    } begin_;
  };

  // The time that the answers made since the last one take to leave, as long as this lives.
  class Sending {
   public:
    Sending(CommandClocks& clocks, bool has_something)
        : clocks_(clocks.on_ && has_something ? &clocks : nullptr),
          begin_(clocks_ == nullptr ? 0 : ticks_now()) {}
    ~Sending() {
      if (clocks_ != nullptr) clocks_->sent(ticks_now() - begin_);
    }
    Sending(const Sending&) = delete;

   private:
    CommandClocks* const clocks_;
    const uint64_t begin_;
  };

  // An answer waited for the device since now() was `since`.
  void waited(protocol::Op op, uint64_t since) {
    if (on_ && since != 0) of(static_cast<uint16_t>(op)).wait += ticks_now() - since;
  }
  // Whether data are on their way from the device to the client: how long, counts as the copies'
  // wait.
  void copies_under_way(bool are) {
    if (!on_ || are == (copies_since_ != 0)) return;
    waited(protocol::Op::kCopyOut, copies_since_);
    copies_since_ = are ? ticks_now() : 0;
  }

  // A frame was taken and executed since now() was `since`; what was executed does not count.
  uint64_t executed_ticks() const { return executed_; }
  void received(uint64_t since, uint64_t executed_before) {
    if (!on_) return;
    ++frames_;
    receive_ += ticks_now() - since - (executed_ - executed_before);
  }

  // The views point into *rows.
  protocol::message::WorkerTimesReply reply(
      std::vector<protocol::message::CommandTimes>* rows) const;

 private:
  static constexpr size_t kKinds = protocol::limits::command_kinds_max;
  static_assert(static_cast<size_t>(protocol::Op::kCopyOutData) < kKinds);
  struct Times {
    uint64_t count = 0;
    uint64_t decode = 0;
    uint64_t driver = 0;
    uint64_t wait = 0;
    uint64_t reply = 0;
  };
  using Mark = Answering::CommandClocksMark;

  // Ops of the peer's making share the row of what does not exist, 0.
  Times& of(uint16_t op) { return times_[op < kKinds ? op : 0]; }
  static Mark mark() { return {ticks_now(), driver_ticks()}; }
  void restart() {
    begin_ = mark();
    answers_before_ = answers_;
  }
  void charge(uint16_t op, bool done);
  void answered(protocol::Op op, const Mark& begin);
  void sent(uint64_t ticks);

  const bool on_;
  std::array<Times, kKinds> times_{};
  Mark begin_;
  uint64_t answers_ = 0;  // ticks of all Answering, the driver's not among them
  uint64_t answers_before_ = 0;
  uint64_t executed_ = 0;
  uint64_t copies_since_ = 0;
  uint64_t frames_ = 0;
  uint64_t receive_ = 0;
  std::vector<protocol::Op> unsent_;
};

}  // namespace farlane::server
