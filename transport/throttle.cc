#include "transport/throttle.h"

#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <utility>
#include <vector>

#include "transport/check.h"

namespace farlane::transport {
namespace {

using std::chrono::nanoseconds;

// What would have left so soon is passed on at once: a sleep is less exact than this. What is
// received knows of it, so that no answer comes too early.
constexpr auto kHoldMin = std::chrono::microseconds(20);
// A held frame that left late, because its sender was woken late, does not slow the line down.
constexpr auto kCatchUp = std::chrono::microseconds(200);
// As a socket's window: what has arrived and is not due.
constexpr size_t kQueueBytesMax = size_t{64} << 20;
constexpr size_t kSpareBodiesMax = 8;

constexpr int64_t kNever = INT64_MAX;

int64_t ns_of(Clock::time_point when) {
  return std::chrono::duration_cast<nanoseconds>(when.time_since_epoch()).count();
}

// The kernel stretches a sleep by 50 us so that timers fire together; here the time is the point.
class ExactSleep {
 public:
  ExactSleep() : before_(::prctl(PR_GET_TIMERSLACK)) { ::prctl(PR_SET_TIMERSLACK, 1); }
  ~ExactSleep() { ::prctl(PR_SET_TIMERSLACK, before_); }
  ExactSleep(const ExactSleep&) = delete;

 private:
  const int before_;
};

struct Memory {
  std::unique_ptr<std::byte[]> data;
  size_t capacity = 0;
};

class ThrottleChannel final : public Channel {
 public:
  ThrottleChannel(std::unique_ptr<Channel> inner, const ThrottleOptions& options,
                  std::shared_ptr<ThrottleLines> lines, NowFunction now)
      : inner_(std::move(inner)),
        rtt_(std::chrono::microseconds(options.rtt_us)),
        lines_(lines != nullptr ? std::move(lines) : std::make_shared<ThrottleLines>(options.gbps)),
        now_(now != nullptr ? std::move(now) : [] { return Clock::now(); }) {}

  SendStatus send(const Frame& frame) override;
  SendStatus flush() override;
  bool drained() const override { return held_due_ns_ == kNever && inner_->drained(); }
  ReceiveStatus receive(FrameSink& sink) override;
  Ready wait(bool for_read, bool for_write, Deadline deadline) override;
  void wake() override { inner_->wake(); }
  void close() override {
    // In this order: from closed_ on the receiver asks the inner channel, which must have ended, or
    // its frames would overtake those that wait here.
    inner_->close();
    closed_ = true;
  }
  std::string close_reason() const override { return inner_->close_reason(); }
  bool peer_is_stopped(Clock::duration silent) const override {
    return inner_->peer_is_stopped(silent);
  }
  std::string peer_name() const override { return inner_->peer_name(); }

 private:
  struct Arrived {
    std::vector<std::byte> head;
    Memory body;
    size_t body_bytes = 0;
    Clock::time_point due;
  };
  // Where inner frames land until they are due.
  class Taker final : public FrameSink {
   public:
    explicit Taker(ThrottleChannel* channel) : channel_(channel) {}
    MutableBytes place(Bytes, uint32_t body_bytes) override {
      channel_->coming_ = channel_->take_room(body_bytes);
      return {channel_->coming_.data.get(), body_bytes};
    }
    void deliver(Bytes head, MutableBytes body) override { channel_->arrive(head, body.size()); }

   private:
    ThrottleChannel* const channel_;
  };

  void hold(const Frame& frame, Clock::time_point due);
  SendStatus release();
  Memory take_room(size_t bytes);
  void arrive(Bytes head, size_t body_bytes);
  void take_in();
  void pop();
  void publish_queue();

  const std::unique_ptr<Channel> inner_;
  const nanoseconds rtt_;
  const std::shared_ptr<ThrottleLines> lines_;
  const NowFunction now_;
  std::atomic<bool> closed_{false};

  // The sender's.
  std::vector<std::byte> held_head_;
  std::array<Bytes, kBodyPartsMax> held_body_;
  size_t held_parts_ = 0;
  Clock::time_point held_last_{};  // when the last held frame was due
  // Written by the sender, read by wait(), drained() and the receiver.
  std::atomic<int64_t> held_due_ns_{kNever};
  std::atomic<int64_t> sent_ns_{0};  // when the last byte sent has left, by the line

  // The receiver's.
  std::deque<Arrived> queue_;
  size_t queued_bytes_ = 0;
  std::vector<Memory> spare_;
  Memory coming_;
  bool inner_gone_ = false;
  // Written by the receiver, read by wait().
  std::atomic<int64_t> next_due_ns_{kNever};
  std::atomic<bool> takes_more_{true};  // more may arrive, and there is room for it
  std::atomic<bool> stalled_{false};
};

void ThrottleChannel::hold(const Frame& frame, Clock::time_point due) {
  FARLANE_TRANSPORT_CHECK(frame.body.size() <= kBodyPartsMax, "a body has few parts");
  held_head_.assign(frame.head.begin(), frame.head.end());
  std::copy(frame.body.begin(), frame.body.end(), held_body_.begin());
  held_parts_ = frame.body.size();
  held_last_ = due;
  held_due_ns_ = ns_of(due);
}

// kSent: nothing is held.
SendStatus ThrottleChannel::release() {
  if (held_due_ns_ == kNever) {
    return SendStatus::kSent;
  }
  if (closed_) {
    held_due_ns_ = kNever;
    return SendStatus::kGone;
  }
  if (ns_of(now_()) < held_due_ns_) {
    return SendStatus::kBusy;
  }
  const SendStatus status = inner_->send({held_head_, {held_body_.data(), held_parts_}});
  if (status != SendStatus::kBusy) {
    held_due_ns_ = kNever;
  }
  return status;
}

SendStatus ThrottleChannel::send(const Frame& frame) {
  // Behind what is still leaving, so that the line counts a frame only once.
  const SendStatus earlier = flush();
  if (earlier != SendStatus::kSent) {
    return earlier;
  }
  size_t bytes = frame.head.size();
  for (const Bytes part : frame.body) {
    bytes += part.size();
  }
  const Clock::time_point now = now_();
  const bool was_late = now >= held_last_ && now - held_last_ <= kCatchUp;
  const Clock::time_point left = lines_->out.pass(was_late ? held_last_ : now, bytes);
  sent_ns_ = ns_of(left);
  if (left - now <= kHoldMin) {
    const SendStatus status = inner_->send(frame);
    if (status != SendStatus::kBusy) {
      return status;
    }
  }
  hold(frame, left);
  return SendStatus::kSent;
}

SendStatus ThrottleChannel::flush() {
  const SendStatus earlier = release();
  return earlier == SendStatus::kSent ? inner_->flush() : earlier;
}

Memory ThrottleChannel::take_room(size_t bytes) {
  for (Memory& spare : spare_) {
    if (spare.capacity >= bytes) {
      std::swap(spare, spare_.back());
      Memory found = std::move(spare_.back());
      spare_.pop_back();
      return found;
    }
  }
  return {std::make_unique_for_overwrite<std::byte[]>(bytes), bytes};
}

void ThrottleChannel::arrive(Bytes head, size_t body_bytes) {
  const size_t bytes = head.size() + body_bytes;
  const Clock::time_point left{nanoseconds(sent_ns_.load())};
  Arrived frame;
  frame.head.assign(head.begin(), head.end());
  frame.body = std::exchange(coming_, {});
  frame.body_bytes = body_bytes;
  frame.due = lines_->in.pass(std::max(now_(), left), bytes) + rtt_;
  queue_.push_back(std::move(frame));
  queued_bytes_ += bytes;
}

void ThrottleChannel::take_in() {
  Taker taker(this);
  while (!inner_gone_ && queued_bytes_ < kQueueBytesMax) {
    const ReceiveStatus status = inner_->receive(taker);
    inner_gone_ = status == ReceiveStatus::kGone;
    if (status != ReceiveStatus::kDelivered) {
      break;
    }
  }
  publish_queue();
}

void ThrottleChannel::publish_queue() {
  next_due_ns_ = queue_.empty() ? kNever : ns_of(queue_.front().due);
  // An end that was seen is told when the queue is empty: until then there is nothing to wait for.
  takes_more_ = inner_gone_ ? queue_.empty() : queued_bytes_ < kQueueBytesMax;
}

void ThrottleChannel::pop() {
  Arrived& first = queue_.front();
  queued_bytes_ -= first.head.size() + first.body_bytes;
  if (first.body.capacity != 0 && spare_.size() < kSpareBodiesMax) {
    spare_.push_back(std::move(first.body));
  }
  queue_.pop_front();
  publish_queue();
}

ReceiveStatus ThrottleChannel::receive(FrameSink& sink) {
  stalled_ = false;
  if (closed_) {
    return inner_->receive(sink);
  }
  take_in();
  if (queue_.empty()) {
    return inner_gone_ ? inner_->receive(sink) : ReceiveStatus::kNothing;
  }
  Arrived& first = queue_.front();
  if (now_() < first.due) {
    return ReceiveStatus::kNothing;
  }
  MutableBytes body;
  if (first.body_bytes != 0) {
    body = sink.place(first.head, static_cast<uint32_t>(first.body_bytes));
    if (body.data() == nullptr) {
      stalled_ = true;
      return ReceiveStatus::kStalled;
    }
    FARLANE_TRANSPORT_CHECK(body.size() == first.body_bytes, "the sink gives the size asked for");
    std::memcpy(body.data(), first.body.data.get(), first.body_bytes);
  }
  if (closed_) {
    return inner_->receive(sink);
  }
  sink.deliver(first.head, body);
  pop();
  return ReceiveStatus::kDelivered;
}

Ready ThrottleChannel::wait(bool for_read, bool for_write, Deadline deadline) {
  if (closed_) {
    return inner_->wait(for_read, for_write, deadline);
  }
  const bool reads = for_read && !stalled_;
  const int64_t read_due = reads ? next_due_ns_.load() : kNever;
  const int64_t write_due = for_write ? held_due_ns_.load() : kNever;
  const int64_t due = std::min(read_due, write_due);
  const auto inner_wait = [&](Deadline until) {
    return inner_->wait(reads && takes_more_, for_write && write_due == kNever, until);
  };
  if (due == kNever) {
    return inner_wait(deadline);
  }
  const Deadline ours = Clock::now() + nanoseconds(std::max<int64_t>(due - ns_of(now_()), 0));
  Ready ready;
  {
    const ExactSleep exact;
    ready = inner_wait(std::min(ours, deadline));
  }
  const int64_t now_ns = ns_of(now_());
  ready.readable |= read_due <= now_ns;
  ready.writable |= write_due <= now_ns;
  if (ready.readable || ready.writable || ready.woken) {
    ready.timed_out = false;
  } else if (ours < deadline) {
    ready.timed_out = false;  // the caller's time is not over: a hint too many does no harm
    ready.readable = read_due != kNever;
    ready.writable = write_due != kNever;
  }
  return ready;
}

}  // namespace

Clock::time_point ThrottleLine::pass(Clock::time_point offered, size_t bytes) {
  if (ns_per_byte_ == 0) {
    return offered;
  }
  const int64_t offered_ns = ns_of(offered);
  const auto cost_ns = static_cast<int64_t>(static_cast<double>(bytes) * ns_per_byte_);
  int64_t free_ns = free_ns_.load(std::memory_order_relaxed);
  int64_t done_ns = 0;
  do {
    done_ns = std::max(free_ns, offered_ns) + cost_ns;
  } while (!free_ns_.compare_exchange_weak(free_ns, done_ns, std::memory_order_relaxed));
  return Clock::time_point(nanoseconds(done_ns));
}

std::unique_ptr<Channel> make_throttled(std::unique_ptr<Channel> inner,
                                        const ThrottleOptions& options,
                                        std::shared_ptr<ThrottleLines> lines, NowFunction now) {
  return std::make_unique<ThrottleChannel>(std::move(inner), options, std::move(lines),
                                           std::move(now));
}

}  // namespace farlane::transport
