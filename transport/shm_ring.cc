#include "transport/shm_ring.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "transport/check.h"
#include "transport/tcp_receiver.h"

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace farlane::transport {
namespace {

// What comes out of one ring may be the peer's answer to what went into another: an order that
// passes through the other process, where the thread sanitizer does not see it. For sockets it
// assumes the same.
#if defined(__SANITIZE_THREAD__)
char g_peer;
void leaves_for_the_peer() {
  __tsan_release(&g_peer);
}
void came_from_the_peer() {
  __tsan_acquire(&g_peer);
}
#else
void leaves_for_the_peer() {}
void came_from_the_peer() {}
#endif

uint64_t aligned_down(uint64_t position) {
  return position & ~uint64_t{7};
}
uint64_t aligned_up(uint64_t position) {
  return aligned_down(position + 7);
}

}  // namespace

void ring_bell(int fd) {
  const char bell = 0;
  // It fails when the peer is gone, which poll() tells, or when so many bells are unread that the
  // peer wakes anyway.
  static_cast<void>(::send(fd, &bell, 1, MSG_DONTWAIT | MSG_NOSIGNAL));
}

// ------------------------------------------------------------------------------------- writing

SendStatus RingWriter::send(const Frame& frame) {
  FARLANE_TRANSPORT_CHECK(drained(), "one frame is on its way at a time");
  FARLANE_TRANSPORT_CHECK(!frame.head.empty() && frame.head.size() <= kHeadBytesMax,
                          "a frame's head has 1 to kHeadBytesMax bytes");
  FARLANE_TRANSPORT_CHECK(frame.body.size() <= kBodyPartsMax, "a body has few parts");
  alignas(8) std::byte prefix[kPrefixBytes];
  parts_[0] = prefix;
  parts_[1] = frame.head;
  part_ = 0;
  parts_end_ = 2;
  size_t body_bytes = 0;
  for (const Bytes part : frame.body) {
    if (!part.empty()) {
      parts_[parts_end_++] = part;
      body_bytes += part.size();
    }
  }
  FARLANE_TRANSPORT_CHECK(body_bytes <= kBodyBytesMax, "a body is within its limit");
  write_prefix(prefix,
               {static_cast<uint32_t>(frame.head.size()), static_cast<uint32_t>(body_bytes)});
  if (!push()) {
    return SendStatus::kGone;
  }
  if (part_ < parts_end_) {
    keep_rest();
  }
  return SendStatus::kSent;
}

// Called once per frame, while prefix and head are still the caller's memory.
void RingWriter::keep_rest() {
  if (!kept_) {
    kept_ = std::make_unique_for_overwrite<std::byte[]>(kPrefixBytes + kHeadBytesMax);
  }
  size_t kept_bytes = 0;
  uint64_t left_bytes = 0;
  for (size_t i = part_; i < parts_end_; ++i) {
    left_bytes += parts_[i].size();
    if (i < 2) {
      std::memcpy(kept_.get() + kept_bytes, parts_[i].data(), parts_[i].size());
      parts_[i] = Bytes(kept_.get() + kept_bytes, parts_[i].size());
      kept_bytes += parts_[i].size();
    }
  }
  left_bytes_.store(left_bytes, std::memory_order_relaxed);
  drained_.store(false, std::memory_order_release);
}

SendStatus RingWriter::flush() {
  if (drained()) {
    return SendStatus::kSent;
  }
  if (!push()) {
    return SendStatus::kGone;
  }
  if (part_ == parts_end_) {
    give_up();
    return SendStatus::kSent;
  }
  uint64_t left_bytes = 0;
  for (size_t i = part_; i < parts_end_; ++i) {
    left_bytes += parts_[i].size();
  }
  left_bytes_.store(left_bytes, std::memory_order_relaxed);
  return SendStatus::kBusy;
}

void RingWriter::give_up() {
  part_ = parts_end_ = 0;
  left_bytes_.store(0, std::memory_order_relaxed);
  drained_.store(true, std::memory_order_release);
}

// Copies in as much as there is room for. False: the peer broke the rules.
bool RingWriter::push() {
  while (part_ < parts_end_) {
    Bytes& part = parts_[part_];
    const size_t wanted = std::min(part.size(), kShmPieceBytes);
    if (room_bytes_ < wanted && !look_for_room()) {
      return false;
    }
    const size_t bytes = std::min(wanted, room_bytes_);
    if (bytes == 0) {
      publish();
      return true;
    }
    copy_in(part.data(), bytes);
    part = part.subspan(bytes);
    if (part.empty()) {
      ++part_;
    }
    // The end of a frame is told with its padding, below.
    if (unpublished_bytes_ >= kShmPieceBytes && part_ < parts_end_) {
      publish();
    }
  }
  // Room always ends on a multiple of 8.
  const uint64_t position = position_.load(std::memory_order_relaxed);
  room_bytes_ -= aligned_up(position) - position;
  position_.store(aligned_up(position), std::memory_order_relaxed);
  publish();
  return true;
}

void RingWriter::copy_in(const std::byte* from, size_t bytes) {
  const uint64_t position = position_.load(std::memory_order_relaxed);
  const size_t at = position & (ring_.bytes - 1);
  const size_t first = std::min(bytes, ring_.bytes - at);
  std::memcpy(ring_.data + at, from, first);
  if (first < bytes) {
    std::memcpy(ring_.data, from + first, bytes - first);
  }
  leaves_for_the_peer();
  position_.store(position + bytes, std::memory_order_relaxed);
  room_bytes_ -= bytes;
  unpublished_bytes_ += bytes;
}

void RingWriter::publish() {
  unpublished_bytes_ = 0;
  // Sequentially consistent: the reader sets its flag and then looks for bytes, we do the reverse,
  // so one of the two sees the other.
  ring_.control->written.store(position_.load(std::memory_order_relaxed));
  if (ring_.control->reader_sleeps.load() != 0 && ring_.control->reader_sleeps.exchange(0) != 0) {
    ring_bell(ring_.bell_fd);
  }
}

bool RingWriter::look_for_room() {
  const uint64_t taken = aligned_down(ring_.control->taken.load(std::memory_order_acquire));
  const uint64_t used_bytes = position_.load(std::memory_order_relaxed) - taken;
  if (used_bytes > ring_.bytes) {
    fault_ = "shared memory: the peer's reading position is outside of the ring";
    give_up();
    return false;
  }
  room_bytes_ = ring_.bytes - used_bytes;
  return true;
}

// A quarter of the ring is worth waking up for; less if the frame needs less.
uint64_t RingWriter::wanted_bytes() const {
  return std::min<uint64_t>(left_bytes_.load(std::memory_order_relaxed), ring_.bytes / 4);
}

bool RingWriter::has_room() const {
  if (drained()) {
    return true;
  }
  const uint64_t taken = ring_.control->taken.load();
  const uint64_t used_bytes = position_.load(std::memory_order_relaxed) - aligned_down(taken);
  return used_bytes > ring_.bytes || ring_.bytes - used_bytes >= wanted_bytes();
}

void RingWriter::ask_for_bell() {
  const uint64_t position = position_.load(std::memory_order_relaxed) + wanted_bytes();
  ring_.control->bell_at.store(position > ring_.bytes ? position - ring_.bytes : 1);
}

// ------------------------------------------------------------------------------------- reading

// The head's memory is not cleared: pages that are never written cost nothing.
RingReader::RingReader(const Ring& ring)
    : ring_(ring), head_(std::make_unique_for_overwrite<std::byte[]>(kHeadBytesMax)) {}

RingReader::Result RingReader::receive(FrameSink& sink) {
  const Result result = advance(sink);
  release();
  seen_.store(position_ + available_bytes_, std::memory_order_relaxed);
  if (result == Result::kDelivered) {
    // There may be more behind the frame.
    seen_.store(position_, std::memory_order_relaxed);
  }
  return result;
}

RingReader::Result RingReader::advance(FrameSink& sink) {
  if (state_ == State::kPrefix) {
    if (available_bytes_ < kPrefixBytes && !look_for_bytes()) {
      return Result::kBroken;
    }
    if (available_bytes_ < kPrefixBytes) {
      return Result::kNothing;
    }
    std::byte bytes[kPrefixBytes];
    copy_out(bytes, sizeof(bytes));
    const Prefix prefix = read_prefix(bytes);
    if (!within_limits(prefix)) {
      return broken(prefix_fault(prefix));
    }
    head_bytes_ = prefix.head_bytes;
    body_bytes_ = prefix.body_bytes;
    filled_bytes_ = 0;
    state_ = State::kHead;
  }
  if (state_ == State::kHead) {
    if (!fill(head_.get(), head_bytes_, &filled_bytes_)) {
      return fault_.empty() ? Result::kNothing : Result::kBroken;
    }
    body_ = {};
    state_ = State::kPlacing;
  }
  if (state_ == State::kPlacing && body_bytes_ > 0) {
    body_ = sink.place(Bytes(head_.get(), head_bytes_), body_bytes_);
    if (body_.data() == nullptr) {
      return Result::kStalled;
    }
    FARLANE_TRANSPORT_CHECK(body_.size() == body_bytes_, "the sink gives the size asked for");
    filled_bytes_ = 0;
    state_ = State::kBody;
  }
  if (state_ == State::kBody && !fill(body_.data(), body_.size(), &filled_bytes_)) {
    return fault_.empty() ? Result::kNothing : Result::kBroken;
  }
  return deliver(sink);
}

RingReader::Result RingReader::deliver(FrameSink& sink) {
  const size_t padding = aligned_up(position_) - position_;
  if (padding > available_bytes_) {
    return broken("shared memory: a frame without its padding");
  }
  position_ += padding;
  available_bytes_ -= padding;
  unreleased_bytes_ += padding;
  state_ = State::kPrefix;
  // Its bytes are copied: the writer can have the room while the frame is dealt with.
  release();
  sink.deliver(Bytes(head_.get(), head_bytes_), body_);
  return Result::kDelivered;
}

// Goes on filling `to`, as far as the ring has bytes.
bool RingReader::fill(std::byte* to, size_t bytes, size_t* filled) {
  while (*filled < bytes) {
    if (available_bytes_ == 0 && !look_for_bytes()) {
      return false;
    }
    if (available_bytes_ == 0) {
      return false;
    }
    *filled += copy_out(to + *filled, std::min(bytes - *filled, kShmPieceBytes));
    if (unreleased_bytes_ >= kShmPieceBytes) {
      release();
    }
  }
  return true;
}

size_t RingReader::copy_out(std::byte* to, size_t bytes) {
  bytes = std::min(bytes, available_bytes_);
  const size_t at = position_ & (ring_.bytes - 1);
  const size_t first = std::min(bytes, ring_.bytes - at);
  came_from_the_peer();
  std::memcpy(to, ring_.data + at, first);
  if (first < bytes) {
    std::memcpy(to + first, ring_.data, bytes - first);
  }
  position_ += bytes;
  available_bytes_ -= bytes;
  unreleased_bytes_ += bytes;
  return bytes;
}

void RingReader::release() {
  if (unreleased_bytes_ == 0) {
    return;
  }
  unreleased_bytes_ = 0;
  const uint64_t taken = aligned_down(position_);
  // Sequentially consistent, as in RingWriter::publish(), with the roles exchanged.
  ring_.control->taken.store(taken);
  const uint64_t bell_at = ring_.control->bell_at.load();
  if (bell_at != 0 && taken >= bell_at && ring_.control->bell_at.exchange(0) != 0) {
    ring_bell(ring_.bell_fd);
  }
}

bool RingReader::look_for_bytes() {
  const uint64_t written = ring_.control->written.load(std::memory_order_acquire);
  if (written - position_ > ring_.bytes) {
    static_cast<void>(broken("shared memory: the peer's writing position is outside of the ring"));
    return false;
  }
  available_bytes_ = static_cast<size_t>(written - position_);
  return true;
}

RingReader::Result RingReader::broken(std::string fault) {
  fault_ = std::move(fault);
  return Result::kBroken;
}

}  // namespace farlane::transport
