// A decorator that counts what passes, and can show each frame to somebody.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "transport/channel.h"

namespace farlane::transport {

enum class Direction : uint8_t { kSent, kReceived };

// Called on the thread that sends or receives, once per frame: after it was sent, before it is
// delivered. `head` is valid during the call. Both directions may call at once.
using TraceCallback = std::function<void(Direction direction, Bytes head, size_t body_bytes)>;

struct TraceCounts {
  uint64_t sent_frames = 0;
  uint64_t sent_bytes = 0;  // heads and bodies, without what the transport adds
  uint64_t received_frames = 0;
  uint64_t received_bytes = 0;
  uint64_t busy = 0;     // times that send() or flush() said so
  uint64_t stalled = 0;  // times that the sink had no place
};

class TraceChannel final : public Channel {
 public:
  TraceChannel(std::unique_ptr<Channel> inner, TraceCallback callback);

  // Any thread; the six numbers are not of one instant.
  TraceCounts counts() const;

  SendStatus send(const Frame& frame) override;
  SendStatus flush() override;
  bool drained() const override { return inner_->drained(); }
  ReceiveStatus receive(FrameSink& sink) override;
  Ready wait(bool for_read, bool for_write, Deadline deadline) override {
    return inner_->wait(for_read, for_write, deadline);
  }
  void wake() override { inner_->wake(); }
  void close() override { inner_->close(); }
  std::string close_reason() const override { return inner_->close_reason(); }
  bool peer_is_stopped(Clock::duration silent) const override {
    return inner_->peer_is_stopped(silent);
  }
  std::string peer_name() const override { return inner_->peer_name(); }

 private:
  class Sink;
  SendStatus counted(SendStatus status);

  const std::unique_ptr<Channel> inner_;
  const TraceCallback callback_;
  std::atomic<uint64_t> sent_frames_{0};
  std::atomic<uint64_t> sent_bytes_{0};
  std::atomic<uint64_t> received_frames_{0};
  std::atomic<uint64_t> received_bytes_{0};
  std::atomic<uint64_t> busy_{0};
  std::atomic<uint64_t> stalled_{0};
};

std::unique_ptr<TraceChannel> make_trace(std::unique_ptr<Channel> inner,
                                         TraceCallback callback = {});

}  // namespace farlane::transport
