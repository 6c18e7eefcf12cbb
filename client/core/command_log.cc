#include "client/core/command_log.h"

#include <algorithm>
#include <utility>

#include "client/core/stats.h"

namespace farlane::client {
namespace {

using std::chrono::microseconds;
using transport::Clock;
using transport::SendStatus;

// A blocked sender looks at the clock, and at what has arrived, at least this often.
constexpr auto kWaitSlice = std::chrono::milliseconds(100);
// So often in a row, and it counts as the program's habit.
constexpr int kHabit = 3;
// With more commands before a question it is the later ones that count. A program that takes as
// long for each as the device does gains nothing when the first is there early.
constexpr uint64_t kShortBurst = 16;
// Fewer are not quicker in one frame: the server has begun with the first meanwhile.
constexpr uint64_t kWorthHolding = 4;
// The courier is roused for a program that comes back within this time, to watch the next time.
constexpr auto kComesBack = std::chrono::milliseconds(5);

template <class T>
void set(std::atomic<T>* variable, T value) {
  if (variable->load(std::memory_order_relaxed) != value) {
    variable->store(value, std::memory_order_relaxed);
  }
}

}  // namespace

CommandLog::CommandLog(transport::Channel* channel, const CommandLogOptions& options, Inbox* inbox,
                       Loss* loss, Background background)
    : channel_(channel),
      options_(options),
      inbox_(inbox),
      loss_(loss),
      background_(std::move(background)),
      credit_bytes_(options.credit_bytes),
      batches_(transport::kHeadBytesMax) {}

void CommandLog::take_line_slow() {
  counters_.line_waits.fetch_add(1, std::memory_order_relaxed);
  send_mutex_.lock();
}

// A program that posts a few commands and then waits for them will do so again. The server should
// have the first of them at once: the courier may be asleep, and waking it takes this thread as
// long as sending does. But where all of them and the question come within the time that a frame of
// its own costs on both sides, one frame is there sooner.
void CommandLog::note_question(uint64_t posted, uint64_t asked, Clock::time_point since) {
  const uint64_t posts = posted - last_question_;
  last_question_ = asked;
  asked_ = since;
  if (posts == 0) return;
  release_held();
  short_bursts_ = posts > kShortBurst ? 0 : std::min(short_bursts_ + 1, kHabit);
  const bool habit = options_.sends_before_questions && short_bursts_ == kHabit;
  if (!habit) {
    quick_bursts_ = 0;
  } else if (first_posted_ != Clock::time_point{} && since != Clock::time_point{}) {
    const bool quick =
        options_.hold_us != 0 && posts >= kWorthHolding && since - first_posted_ < 2 * send_takes_;
    quick_bursts_ = quick ? std::min(quick_bursts_ + 1, kHabit) : 0;
  }
  first_posted_ = {};
  const First first = quick_bursts_ == kHabit ? First::kWithQuestion
                      : habit                 ? First::kAtOnce
                                              : First::kByCourier;
  set(&habit_, first);
  set(&first_, first);
}

bool CommandLog::sends_first_post() {
  const First first = first_.load(std::memory_order_relaxed);
  first_.store(First::kByCourier, std::memory_order_relaxed);
  if (last_sequence() != last_question_) return false;
  if (first == First::kWithQuestion) {
    const auto now = Clock::now();
    // The courier sends what nobody asks for after all.
    if (background_.watches(now - asked_ < kComesBack)) {
      counters_.held_first.fetch_add(1, std::memory_order_relaxed);
      first_posted_ = now;
      held_until_.store((now + microseconds(options_.hold_us)).time_since_epoch().count(),
                        std::memory_order_relaxed);
      return false;
    }
  }
  counters_.sent_first.fetch_add(1, std::memory_order_relaxed);
  return true;
}

void CommandLog::sent_first_post(Clock::time_point since) {
  first_posted_ = Clock::now();
  send_takes_ = first_posted_ - since;
}

bool CommandLog::flush() {
  const std::lock_guard send(send_mutex_);
  return flush_with_line();
}

bool CommandLog::flush_to_wait() {
  const auto since = looked_at_clock();
  const std::lock_guard line(take_line(), std::adopt_lock);
  const bool sent = flush_with_line();
  const uint64_t posted = last_sequence();
  note_question(posted, posted, since);
  return sent;
}

bool CommandLog::flush_with_line() {
  release_held();
  clear_unsent();
  const std::span<const std::byte> head = batches_.close();
  return head.empty() ? !loss_->declared() : send_frame(head, {});
}

bool CommandLog::send_frame(std::span<const std::byte> head,
                            std::span<const transport::Bytes> body) {
  const transport::Frame frame{head, body};
  if (loss_->declared() || !wait_for_credit(head.size())) {
    return false;
  }
  const auto since = Clock::now();
  SendStatus status = channel_->send(frame);
  while (status == SendStatus::kBusy && wait_writable(since)) {
    if ((status = channel_->flush()) != SendStatus::kGone) {
      status = channel_->send(frame);
    }
  }
  // The transport may still hold a part: it leaves before anything else is sent.
  while (status == SendStatus::kSent && !channel_->drained()) {
    status = channel_->flush();
    if (status == SendStatus::kBusy) {
      if (!wait_writable(since)) {
        return false;
      }
      status = SendStatus::kSent;
    }
  }
  if (status != SendStatus::kSent) {
    // The reason is best known to the receiving side, which also takes what the server still said.
    inbox_->drain();
    loss_->declare("the connection to the server " + channel_->peer_name() +
                   " ended while sending: " + channel_->close_reason() +
                   "; the session is lost (the server's log says more; see `farlane doctor`)");
    return false;
  }
  sent_bytes_ += head.size();
  counters_.frames.fetch_add(1, std::memory_order_relaxed);
  counters_.bytes.fetch_add(head.size(), std::memory_order_relaxed);
  for (const transport::Bytes& part : body) {
    counters_.body_bytes.fetch_add(part.size(), std::memory_order_relaxed);
  }
  return true;
}

bool CommandLog::wait_for_credit(size_t bytes) {
  auto affordable = [&] {
    const uint64_t credit = credit_bytes_.load(std::memory_order_relaxed);
    const uint64_t outstanding = sent_bytes_ - inbox_->taken_bytes();
    // A batch larger than the whole credit still goes out, alone.
    return credit == 0 || outstanding == 0 || outstanding + bytes <= credit;
  };
  if (affordable()) {
    return true;
  }
  counters_.credit_waits.fetch_add(1, std::memory_order_relaxed);
  return inbox_->wait_until(affordable, "credit to send more commands");
}

bool CommandLog::wait_writable(Clock::time_point since) {
  const stats::WaitTimer timer("the network to take more data");
  counters_.busy_waits.fetch_add(1, std::memory_order_relaxed);
  // The server may be waiting for us to take data before it reads on: the inbox receives meanwhile.
  inbox_->wait_writable(Clock::now() + kWaitSlice);
  return !loss_->declared() && !inbox_->check_silence(since, "the network to take more data");
}

}  // namespace farlane::client
