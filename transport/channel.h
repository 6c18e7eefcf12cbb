// The one interface between the protocol and whatever moves its bytes.
//
// A channel carries frames. A frame is a `head` (a batch of commands, or one command) and a `body`
// (bulk data that belongs to the last command of the head; usually empty). The receiver learns the
// head first and then says where the body is to go, so that bulk data lands in its final place
// without a copy in between.
//
// Threads: one thread may send while another receives; two senders or two receivers at once are the
// caller's mistake. close() may come from any thread at any time. Nothing here blocks except
// wait().
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "transport/fd.h"

namespace farlane::transport {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;
using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;

// The most a frame may carry; a peer that announces more is closed. Bytes.
inline constexpr uint32_t kHeadBytesMax = 256 * 1024;
inline constexpr uint32_t kBodyBytesMax = 8 * 1024 * 1024;
inline constexpr size_t kBodyPartsMax = 16;

enum class SendStatus : uint8_t {
  kSent,  // the frame is the channel's business now; `head` may be reused at once
  kBusy,  // nothing of it was taken: an earlier frame is still leaving. flush() or wait(), then
          // again
  kGone,  // the peer is gone or the channel closed; every later send() and flush() says so too.
          // Frames that came whole before are still received
};

enum class ReceiveStatus : uint8_t {
  kDelivered,  // one whole frame was given to the sink
  kNothing,    // no whole frame is there yet
  kStalled,    // the sink had no place for the body; receive() again when it has
  kGone,       // no more frames will ever come
};

// What a wait ended with; `readable` and `writable` are hints that receive() or flush() can make
// progress.
struct Ready {
  bool readable = false;
  bool writable = false;
  bool woken = false;  // wake() was called; consumed by this return
  bool timed_out = false;
};

class FrameSink {
 public:
  virtual ~FrameSink() = default;
  // Where `body_bytes` of body are to go: exactly that many bytes of memory, valid until deliver().
  // A span with data() == nullptr says "not now" and makes receive() return kStalled; place() is
  // then called again. Called only for frames with a body. `head` is valid during the call.
  virtual MutableBytes place(Bytes head, uint32_t body_bytes) = 0;
  // A whole frame is here. `head` is 8-byte aligned and valid during the call; `body` is what
  // place() gave.
  virtual void deliver(Bytes head, MutableBytes body) = 0;
};

struct Frame {
  Bytes head;                   // at least one byte, at most kHeadBytesMax
  std::span<const Bytes> body;  // parts sent one after the other; together at most kBodyBytesMax
};

class Channel {
 public:
  virtual ~Channel() = default;

  // Takes one whole frame or nothing. Body memory must stay as it is until drained() is true again.
  [[nodiscard]] virtual SendStatus send(const Frame& frame) = 0;
  // Pushes out what send() took and the network has not taken yet. kBusy: some is still left.
  [[nodiscard]] virtual SendStatus flush() = 0;
  // True when nothing that send() took is left in this process's hands (body memory is free again).
  // Any thread. After the end it turns true with the first send() or flush() that says kGone.
  virtual bool drained() const = 0;

  // Takes at most one frame. After kGone nothing is ever delivered. When the peer ends, the frames
  // that were whole before are delivered first; a close() on this side drops them. Once this says
  // kGone, send() and flush() do.
  [[nodiscard]] virtual ReceiveStatus receive(FrameSink& sink) = 0;

  // Blocks until reading, or (only if asked) writing, can make progress, wake() is called, the
  // channel is closed or the deadline passes. At most one thread at a time waits. After kStalled,
  // `for_read` has no effect until receive() was called again: whoever frees a place calls wake().
  virtual Ready wait(bool for_read, bool for_write, Deadline deadline) = 0;
  // Makes a present or the next wait() return. Any thread.
  virtual void wake() = 0;

  // Memory that both sides map, for what shares a machine. Gives the peer a descriptor, which it
  // takes when it has a frame that was sent later; in the same order. Any thread. False: this
  // channel cannot, or is over.
  [[nodiscard]] virtual bool pass_memory(const Fd&) { return false; }
  // The receiver's. Empty: none came.
  virtual Fd take_memory() { return {}; }

  // True: the peer's program has sent nothing for so long, and could have, while its machine goes
  // on answering: it was stopped, by a debugger or Ctrl-Z. False also where the network does not
  // tell. The receiver's.
  virtual bool peer_is_stopped(Clock::duration) const { return false; }

  // Ends the connection for both sides. Idempotent, any thread; a wait() returns. What is not
  // drained() by then is lost. A receive() under way on another thread may still deliver its frame.
  virtual void close() = 0;

  // Why it ended: "" while open; for the log, e.g. "connection reset by peer", "frame head of
  // 3735928559 bytes (limit 262144)".
  virtual std::string close_reason() const = 0;
  // For the log: "10.0.0.7:4713", "loopback".
  virtual std::string peer_name() const = 0;
};

}  // namespace farlane::transport
