#include "client/core/command_log.h"

#include <utility>

#include "client/core/stats.h"

namespace farlane::client {
namespace {

using transport::Clock;
using transport::SendStatus;

// A blocked sender looks at the clock, and at what has arrived, at least this often.
constexpr auto kWaitSlice = std::chrono::milliseconds(100);

}  // namespace

CommandLog::CommandLog(transport::Channel* channel, const CommandLogOptions& options, Inbox* inbox,
                       Loss* loss, std::function<void()> wake_courier)
    : channel_(channel),
      options_(options),
      inbox_(inbox),
      loss_(loss),
      wake_courier_(std::move(wake_courier)),
      credit_bytes_(options.credit_bytes),
      fill_(transport::kHeadBytesMax),
      leaving_(transport::kHeadBytesMax) {}

uint64_t CommandLog::last_sequence() const {
  std::lock_guard lock(fill_mutex_);
  return last_sequence_;
}

bool CommandLog::make_room(size_t bytes, std::unique_lock<AdaptiveMutex>& lock) {
  // The configured batch size is where a batch is closed; one larger command still fits by itself.
  while (fill_bytes_ != 0 && fill_bytes_ + bytes > options_.batch_bytes_max) {
    lock.unlock();
    if (!flush()) {
      return false;
    }
    lock.lock();
  }
  return !loss_->declared();
}

void CommandLog::swap_batches() {
  fill_.swap(leaving_);
  leaving_bytes_ = std::exchange(fill_bytes_, 0);
  has_unsent_.store(false, std::memory_order_seq_cst);
}

bool CommandLog::flush() {
  std::lock_guard send(send_mutex_);
  {
    std::lock_guard lock(fill_mutex_);
    if (fill_bytes_ == 0) {
      return !loss_->declared();
    }
    swap_batches();
  }
  return send_batch({});
}

bool CommandLog::send_batch(std::span<const transport::Bytes> body) {
  const transport::Frame frame{{leaving_.data(), leaving_bytes_}, body};
  if (loss_->declared() || !wait_for_credit(leaving_bytes_)) {
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
  sent_bytes_ += leaving_bytes_;
  counters_.frames.fetch_add(1, std::memory_order_relaxed);
  counters_.bytes.fetch_add(leaving_bytes_, std::memory_order_relaxed);
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
