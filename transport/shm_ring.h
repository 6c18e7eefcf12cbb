// One direction of a shared-memory channel: a ring of bytes with one writer and one reader, who may
// be processes that do not trust each other.
//
// In the ring a frame is what it is on a TCP connection, {u32 head_bytes, u32 body_bytes}, head,
// body, and then padding up to a multiple of 8. Positions count bytes since the beginning and never
// wrap. Both sides keep their own position in their own memory; from the segment they read only the
// other's, once, and check it before use. Bytes are copied out before anybody looks at them.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "transport/channel.h"

namespace farlane::transport {

// Two lines at a time are what processors fetch.
inline constexpr size_t kShmLineBytes = 128;

// What the two sides tell each other about one ring. Lies in the segment.
struct RingControl {
  // The writer's line; the reader polls it.
  alignas(kShmLineBytes) std::atomic<uint64_t> written;
  std::atomic<uint32_t> ended;  // the writer's side was closed; what is written is all there is
  // The reader's line; the writer looks at it when the ring seems full.
  alignas(kShmLineBytes) std::atomic<uint64_t> taken;
  // Who sleeps wants the bell rung; these two are seldom written and so cost the other side
  // nothing.
  alignas(kShmLineBytes) std::atomic<uint32_t> reader_sleeps;
  alignas(
      kShmLineBytes) std::atomic<uint64_t> bell_at;  // the writer's: when `taken` is there. 0: no
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);
static_assert(std::atomic<uint32_t>::is_always_lock_free);

struct Ring {
  RingControl* control = nullptr;
  std::byte* data = nullptr;
  size_t bytes = 0;  // a power of two, at least kShmRingBytesMin
  int bell_fd = -1;  // the other side sleeps on this socket
};

// How much is copied before the other side is told: copying in and out overlap.
inline constexpr size_t kShmPieceBytes = size_t{128} * 1024;

// One thread at a time, but for drained(), has_room() and the bell.
class RingWriter {
 public:
  explicit RingWriter(const Ring& ring) : ring_(ring) {}

  // Precondition: drained(). Takes the frame whole; what the ring has no room for is kept: the head
  // copied, the body by reference. kGone: the peer broke the rules, see fault().
  SendStatus send(const Frame& frame);
  SendStatus flush();
  bool drained() const { return drained_.load(std::memory_order_acquire); }
  // Forgets what is kept: it will never leave.
  void give_up();
  const std::string& fault() const { return fault_; }

  // True when flush() would get on, or has something to tell.
  bool has_room() const;
  // The reader is to ring when there is room. Ask has_room() again before going to sleep.
  void ask_for_bell();
  void cancel_bell() { ring_.control->bell_at.store(0); }

 private:
  uint64_t wanted_bytes() const;
  bool look_for_room();
  bool push();
  void copy_in(const std::byte* from, size_t bytes);
  void keep_rest();
  void publish();

  const Ring ring_;
  std::atomic<bool> drained_{true};
  // Written by the sending thread; atomic because has_room() may be asked on another.
  std::atomic<uint64_t> position_{0};
  std::atomic<uint64_t> left_bytes_{0};

  size_t room_bytes_ = 0;  // at least so much is free
  size_t unpublished_bytes_ = 0;
  // The frame on its way: prefix, head, body parts; `part_` is the first that is not empty.
  std::array<Bytes, kBodyPartsMax + 2> parts_;
  size_t part_ = 0;
  size_t parts_end_ = 0;
  std::unique_ptr<std::byte[]> kept_;
  std::string fault_;
};

// One thread at a time, but for has_news() and the sleep flag.
class RingReader {
 public:
  enum class Result : uint8_t {
    kDelivered,
    kNothing,
    kStalled,
    kBroken,  // the peer broke the rules: fault()
  };

  explicit RingReader(const Ring& ring);

  Result receive(FrameSink& sink);
  bool midway() const { return state_ != State::kPrefix; }
  const std::string& fault() const { return fault_; }

  // True when something was written since the last receive() ended.
  bool has_news() const { return ring_.control->written.load() != seen_.load(); }
  bool writer_ended() const { return ring_.control->ended.load(std::memory_order_acquire) != 0; }
  // The writer is to ring when it has written. Ask has_news() again before going to sleep.
  void ask_for_bell() { ring_.control->reader_sleeps.store(1); }
  void cancel_bell() { ring_.control->reader_sleeps.store(0); }

 private:
  enum class State : uint8_t { kPrefix, kHead, kPlacing, kBody };

  Result advance(FrameSink& sink);
  bool look_for_bytes();
  // Takes up to `bytes`; how many there were.
  size_t copy_out(std::byte* to, size_t bytes);
  bool fill(std::byte* to, size_t bytes, size_t* filled);
  void release();
  Result deliver(FrameSink& sink);
  Result broken(std::string fault);

  const Ring ring_;
  const std::unique_ptr<std::byte[]> head_;
  uint64_t position_ = 0;
  size_t available_bytes_ = 0;  // seen to be there, from position_ on
  size_t unreleased_bytes_ = 0;
  std::atomic<uint64_t> seen_{0};

  State state_ = State::kPrefix;
  uint32_t head_bytes_ = 0;
  uint32_t body_bytes_ = 0;
  size_t filled_bytes_ = 0;  // of head or body
  MutableBytes body_;
  std::string fault_;
};

// Wakes whoever sleeps in poll() on the other end of the socket.
void ring_bell(int fd);

}  // namespace farlane::transport
