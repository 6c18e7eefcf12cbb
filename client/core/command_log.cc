#include "client/core/command_log.h"

#include <utility>

#include "client/core/stats.h"

namespace farlane::client {
namespace {

using transport::Clock;
using transport::SendStatus;

// A blocked sender looks at the clock, and at what has arrived, at least this often.
constexpr auto kWaitSlice = std::chrono::milliseconds(100);
// So often in a row, and it counts as the program's habit.
constexpr int kHabit = 3;
// With more commands before a question it is the later ones that count. A program that takes as
// long for each as the device does gains nothing when the first is there early.
constexpr uint64_t kShortBurst = 16;

}  // namespace

CommandLog::CommandLog(transport::Channel* channel, const CommandLogOptions& options, Inbox* inbox,
                       Loss* loss, std::function<void()> wake_courier)
    : channel_(channel),
      options_(options),
      inbox_(inbox),
      loss_(loss),
      wake_courier_(std::move(wake_courier)),
      credit_bytes_(options.credit_bytes),
      batches_(transport::kHeadBytesMax) {}

void CommandLog::take_line_slow() {
  counters_.line_waits.fetch_add(1, std::memory_order_relaxed);
  send_mutex_.lock();
}

// A program that posts a few commands and then waits for them will do so again. The server should
// have the first of them at once: the courier may be asleep, and waking it takes this thread as
// long as sending does.
void CommandLog::note_question(uint64_t posted, uint64_t asked) {
  const uint64_t posts = posted - last_question_;
  last_question_ = asked;
  if (posts > kShortBurst) {
    short_bursts_ = 0;
  } else if (posts != 0 && short_bursts_ < kHabit) {
    ++short_bursts_;
  }
  const bool follows = options_.sends_before_questions && short_bursts_ == kHabit;
  if (question_follows_.load(std::memory_order_relaxed) != follows) {
    question_follows_.store(follows, std::memory_order_relaxed);
  }
}

bool CommandLog::flush() {
  const std::lock_guard send(send_mutex_);
  return flush_with_line();
}

bool CommandLog::flush_to_wait() {
  const std::lock_guard line(take_line(), std::adopt_lock);
  const bool sent = flush_with_line();
  const uint64_t posted = last_sequence();
  note_question(posted, posted);
  return sent;
}

bool CommandLog::flush_with_line() {
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
