#include "transport/trace.h"

namespace farlane::transport {
namespace {

// Each counter has one writer at a time, so a plain add would do; the atomic is for its readers.
void add(std::atomic<uint64_t>& counter, uint64_t amount) {
  counter.fetch_add(amount, std::memory_order_relaxed);
}

}  // namespace

class TraceChannel::Sink final : public FrameSink {
 public:
  Sink(TraceChannel* channel, FrameSink* sink) : channel_(channel), sink_(sink) {}

  MutableBytes place(Bytes head, uint32_t body_bytes) override {
    return sink_->place(head, body_bytes);
  }
  void deliver(Bytes head, MutableBytes body) override {
    add(channel_->received_frames_, 1);
    add(channel_->received_bytes_, head.size() + body.size());
    if (channel_->callback_) {
      channel_->callback_(Direction::kReceived, head, body.size());
    }
    sink_->deliver(head, body);
  }

 private:
  TraceChannel* const channel_;
  FrameSink* const sink_;
};

TraceChannel::TraceChannel(std::unique_ptr<Channel> inner, TraceCallback callback)
    : inner_(std::move(inner)), callback_(std::move(callback)) {}

TraceCounts TraceChannel::counts() const {
  return {sent_frames_.load(std::memory_order_relaxed),
          sent_bytes_.load(std::memory_order_relaxed),
          received_frames_.load(std::memory_order_relaxed),
          received_bytes_.load(std::memory_order_relaxed),
          busy_.load(std::memory_order_relaxed),
          stalled_.load(std::memory_order_relaxed)};
}

SendStatus TraceChannel::counted(SendStatus status) {
  if (status == SendStatus::kBusy) {
    add(busy_, 1);
  }
  return status;
}

SendStatus TraceChannel::send(const Frame& frame) {
  const SendStatus status = counted(inner_->send(frame));
  if (status == SendStatus::kSent) {
    size_t body_bytes = 0;
    for (const Bytes part : frame.body) {
      body_bytes += part.size();
    }
    add(sent_frames_, 1);
    add(sent_bytes_, frame.head.size() + body_bytes);
    if (callback_) {
      callback_(Direction::kSent, frame.head, body_bytes);
    }
  }
  return status;
}

SendStatus TraceChannel::flush() {
  return counted(inner_->flush());
}

ReceiveStatus TraceChannel::receive(FrameSink& sink) {
  Sink tracing(this, &sink);
  const ReceiveStatus status = inner_->receive(tracing);
  if (status == ReceiveStatus::kStalled) {
    add(stalled_, 1);
  }
  return status;
}

std::unique_ptr<TraceChannel> make_trace(std::unique_ptr<Channel> inner, TraceCallback callback) {
  return std::make_unique<TraceChannel>(std::move(inner), std::move(callback));
}

}  // namespace farlane::transport
