// The receiving half of a TCP channel: one buffer that reads ahead for heads, and bodies straight
// into the place the sink named.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>

#include "transport/channel.h"

namespace farlane::transport {

inline constexpr size_t kPrefixBytes = 8;
struct Prefix {
  uint32_t head_bytes = 0;
  uint32_t body_bytes = 0;
};
Prefix read_prefix(const std::byte* from);
void write_prefix(std::byte* to, Prefix prefix);
bool within_limits(Prefix prefix);
// Why a peer that announces such a frame is closed.
std::string prefix_fault(Prefix prefix);

// One thread at a time; knows the socket but neither owns nor closes it.
class TcpReceiver {
 public:
  enum class Result : uint8_t {
    kDelivered,
    kNothing,
    kStalled,
    kEnded,  // the peer ended or broke the stream, or sent no frame: `end_reason()`
  };

  TcpReceiver(int fd, Bytes already_read);

  Result receive(FrameSink& sink);
  // True when the next receive() can make progress with what was read ahead.
  bool has_buffered_frame() const;
  // Of the body that is being received; 0: none is. Any thread, as of the last receive().
  uint32_t missing_body_bytes() const { return missing_.load(std::memory_order_relaxed); }
  bool peer_at_fault() const { return peer_at_fault_; }
  const std::string& end_reason() const { return end_reason_; }

 private:
  // What the next bytes are part of.
  enum class State : uint8_t {
    kFrame,    // a prefix and a head
    kPlacing,  // `head_` is whole; the sink has not named the place of its body yet
    kBody,     // `body_` is being filled
  };
  enum class Step : uint8_t { kDelivered, kStalled, kRefused, kNeedsBytes };
  enum class Read : uint8_t { kAll, kShort, kEmpty, kEnded };

  size_t available() const { return end_ - begin_; }
  Result receive_some(FrameSink& sink);
  Step advance(FrameSink& sink);
  Step take_head();
  void deliver(FrameSink& sink);
  Read read();
  Read read_heads();
  Read read_body();
  Read read_into(iovec* parts, size_t count, size_t* bytes);
  void end(std::string reason) { end_reason_ = std::move(reason); }

  const int fd_;
  const std::unique_ptr<std::byte[]> buffer_;
  // What was read and not yet used: buffer_[begin_, end_).
  size_t begin_ = 0;
  size_t end_ = 0;
  size_t read_ahead_bytes_;

  State state_ = State::kFrame;
  MutableBytes head_;  // in the buffer, before begin_; valid in kPlacing and kBody
  uint32_t body_bytes_ = 0;
  MutableBytes body_;
  size_t body_filled_ = 0;
  std::atomic<uint32_t> missing_{0};

  bool peer_at_fault_ = false;
  std::string end_reason_;
};

}  // namespace farlane::transport
