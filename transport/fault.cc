#include "transport/fault.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <vector>

#include "transport/end_reason.h"

namespace farlane::transport {
namespace {

// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
class Chance {
 public:
  explicit Chance(uint64_t seed) : state_(seed) {}
  bool hits(uint32_t per_mille) { return per_mille > 0 && next() % 1000 < per_mille; }
  uint32_t up_to(uint32_t most) { return 1 + static_cast<uint32_t>(next() % std::max(most, 1u)); }

 private:
  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  uint64_t state_;
};

size_t frame_bytes(const Frame& frame) {
  size_t bytes = frame.head.size();
  for (const Bytes part : frame.body) {
    bytes += part.size();
  }
  return bytes;
}

class FaultChannel final : public Channel {
 public:
  FaultChannel(std::unique_ptr<Channel> inner, const FaultPlan& plan)
      : inner_(std::move(inner)),
        plan_(plan),
        send_chance_(plan.seed),
        receive_chance_(plan.seed ^ 0x5bd1e995) {}

  SendStatus send(const Frame& frame) override;
  SendStatus flush() override;
  bool drained() const override { return !holding_ && inner_->drained(); }
  ReceiveStatus receive(FrameSink& sink) override;
  Ready wait(bool for_read, bool for_write, Deadline deadline) override;
  void wake() override { inner_->wake(); }
  void close() override;
  std::string close_reason() const override {
    std::string ours = reason_.get();
    return ours.empty() ? inner_->close_reason() : ours;
  }
  bool peer_is_stopped(Clock::duration silent) const override {
    return inner_->peer_is_stopped(silent);
  }
  std::string peer_name() const override { return inner_->peer_name(); }

 private:
  class Sink;

  bool receive_ended() const { return closed_ || receive_gone_; }
  bool send_ended() const { return receive_ended() || send_gone_; }
  void cut(const char* what, uint64_t limit);
  void hold(const Frame& frame);
  SendStatus pass_on(const Frame& frame);
  SendStatus release();
  bool is_late();

  const std::unique_ptr<Channel> inner_;
  const FaultPlan plan_;
  EndReason reason_;
  std::atomic<bool> closed_{false};
  // The inner channel told its end: from then on no fault is put before it. Sending may end while
  // frames are still to be received, but not the other way round.
  std::atomic<bool> receive_gone_{false};
  bool send_gone_ = false;  // the sender's

  // The sender's.
  Chance send_chance_;
  uint64_t sent_frames_ = 0;
  uint64_t sent_bytes_ = 0;
  uint32_t hold_left_ = 0;
  std::vector<std::byte> held_head_;
  std::array<Bytes, kBodyPartsMax> held_body_;
  size_t held_parts_ = 0;
  // Written by the sender, read by wait() and drained() on any thread.
  std::atomic<bool> holding_{false};
  std::atomic<bool> send_frozen_{false};
  std::atomic<bool> said_busy_{false};  // without a cause that the inner channel knows of

  // The receiver's.
  Chance receive_chance_;
  uint64_t received_frames_ = 0;
  uint64_t received_bytes_ = 0;
  uint32_t late_left_ = 0;
  // Written by the receiver, read by wait().
  std::atomic<bool> receive_frozen_{false};
  std::atomic<bool> said_nothing_{false};  // likewise
};

// Stands between the inner channel and the user's sink.
class FaultChannel::Sink final : public FrameSink {
 public:
  Sink(FaultChannel* channel, FrameSink* sink) : channel_(channel), sink_(sink) {}
  bool withheld_place() const { return withheld_place_; }
  bool over_limit() const { return over_limit_; }

  MutableBytes place(Bytes head, uint32_t body_bytes) override {
    if (channel_->receive_chance_.hits(channel_->plan_.short_per_mille)) {
      withheld_place_ = true;
      return {};
    }
    return sink_->place(head, body_bytes);
  }
  void deliver(Bytes head, MutableBytes body) override {
    const uint64_t bytes = head.size() + body.size();
    if (bytes > channel_->plan_.cut_after_received_bytes - channel_->received_bytes_) {
      over_limit_ = true;
      return;
    }
    channel_->received_bytes_ += bytes;
    ++channel_->received_frames_;
    sink_->deliver(head, body);
  }

 private:
  FaultChannel* const channel_;
  FrameSink* const sink_;
  bool withheld_place_ = false;
  bool over_limit_ = false;
};

void FaultChannel::close() {
  closed_ = true;
  inner_->close();
}

void FaultChannel::cut(const char* what, uint64_t limit) {
  reason_.set("fault: cut after " + std::to_string(limit) + " " + what);
  close();
}

void FaultChannel::hold(const Frame& frame) {
  held_head_.assign(frame.head.begin(), frame.head.end());
  std::copy(frame.body.begin(), frame.body.end(), held_body_.begin());
  held_parts_ = frame.body.size();
  holding_ = true;
}

SendStatus FaultChannel::pass_on(const Frame& frame) {
  const SendStatus status = inner_->send(frame);
  send_gone_ = status == SendStatus::kGone;
  if (status == SendStatus::kSent) {
    ++sent_frames_;
    sent_bytes_ += frame_bytes(frame);
  }
  return status;
}

SendStatus FaultChannel::send(const Frame& frame) {
  const SendStatus earlier = release();
  if (earlier != SendStatus::kSent) {
    return earlier;
  }
  if (send_ended()) {
    return inner_->send(frame);
  }
  if (sent_frames_ >= plan_.cut_after_sent_frames) {
    cut("sent frames", plan_.cut_after_sent_frames);
    return SendStatus::kGone;
  }
  if (frame_bytes(frame) > plan_.cut_after_sent_bytes - sent_bytes_) {
    cut("sent bytes", plan_.cut_after_sent_bytes);
    return SendStatus::kGone;
  }
  if (sent_frames_ >= plan_.freeze_after_sent_frames) {
    send_frozen_ = true;
    hold(frame);
    return SendStatus::kSent;
  }
  if (send_chance_.hits(plan_.busy_per_mille)) {
    said_busy_ = true;
    return SendStatus::kBusy;
  }
  // At most one frame is undrained, here or in the inner channel.
  if (inner_->drained() && send_chance_.hits(plan_.hold_per_mille)) {
    hold_left_ = send_chance_.up_to(plan_.delay_calls_max);
    hold(frame);
    said_busy_ = true;
    return SendStatus::kSent;
  }
  return pass_on(frame);
}

// kSent: nothing is held.
SendStatus FaultChannel::release() {
  said_busy_ = false;
  if (!holding_) {
    return SendStatus::kSent;
  }
  if (send_ended()) {
    holding_ = false;
    return SendStatus::kGone;
  }
  if (send_frozen_) {
    return SendStatus::kBusy;
  }
  if (hold_left_ > 0) {
    --hold_left_;
    said_busy_ = true;
    return SendStatus::kBusy;
  }
  const SendStatus status = pass_on({held_head_, {held_body_.data(), held_parts_}});
  if (status != SendStatus::kBusy) {
    holding_ = false;
  }
  return status;
}

SendStatus FaultChannel::flush() {
  const SendStatus earlier = release();
  if (earlier != SendStatus::kSent) {
    return earlier;
  }
  const SendStatus status = inner_->flush();
  send_gone_ = status == SendStatus::kGone;
  return status;
}

bool FaultChannel::is_late() {
  if (late_left_ > 0) {
    --late_left_;
    return late_left_ > 0;  // the last one goes through without another draw
  }
  if (receive_chance_.hits(plan_.late_per_mille)) {
    late_left_ = receive_chance_.up_to(plan_.delay_calls_max);
    return true;
  }
  return false;
}

ReceiveStatus FaultChannel::receive(FrameSink& sink) {
  said_nothing_ = false;
  if (receive_ended()) {
    return inner_->receive(sink);
  }
  if (received_frames_ >= plan_.cut_after_received_frames) {
    cut("received frames", plan_.cut_after_received_frames);
    return ReceiveStatus::kGone;
  }
  if (received_frames_ >= plan_.freeze_after_received_frames) {
    receive_frozen_ = true;
    return ReceiveStatus::kNothing;
  }
  if (is_late()) {
    said_nothing_ = true;
    return ReceiveStatus::kNothing;
  }
  Sink between(this, &sink);
  const ReceiveStatus status = inner_->receive(between);
  if (status == ReceiveStatus::kGone) {
    receive_gone_ = true;
  }
  if (between.over_limit()) {
    cut("received bytes", plan_.cut_after_received_bytes);
    return ReceiveStatus::kGone;
  }
  if (between.withheld_place()) {
    said_nothing_ = true;
    return ReceiveStatus::kNothing;
  }
  return status;
}

Ready FaultChannel::wait(bool for_read, bool for_write, Deadline deadline) {
  const bool reads = for_read && !receive_frozen_;
  const bool writes = for_write && !send_frozen_;
  // What we refused without a cause can be tried again at once.
  const bool read_again = reads && said_nothing_;
  const bool write_again = writes && said_busy_;
  const bool at_once = read_again || write_again;
  Ready ready = inner_->wait(reads, writes, at_once ? Deadline{} : deadline);
  if (at_once) {
    ready.readable |= read_again;
    ready.writable |= write_again;
    ready.timed_out = false;
  }
  return ready;
}

}  // namespace

std::unique_ptr<Channel> make_faulty(std::unique_ptr<Channel> inner, const FaultPlan& plan) {
  return std::make_unique<FaultChannel>(std::move(inner), plan);
}

}  // namespace farlane::transport
