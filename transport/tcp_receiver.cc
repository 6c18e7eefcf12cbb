#include "transport/tcp_receiver.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "transport/check.h"
#include "transport/socket_util.h"
#include "transport/tcp.h"

namespace farlane::transport {
namespace {

static_assert(std::endian::native == std::endian::little, "the wire is little endian");

// How much one read may take beyond what is needed. Ample among small frames, so that many cost one
// read; little among large bodies, because what is read ahead of a body must be copied.
constexpr size_t kReadAheadBytes = size_t{64} * 1024;
constexpr size_t kReadAheadAmongBodiesBytes = size_t{4} * 1024;
constexpr size_t kLargeBodyBytes = size_t{64} * 1024;
// Any head fits with its prefix, however much was read ahead before it.
constexpr size_t kBufferBytes = kPrefixBytes + kHeadBytesMax + kReadAheadBytes;
static_assert(kAdoptBytesMax <= kBufferBytes);

size_t aligned_up(size_t offset) {
  return (offset + 7) & ~size_t{7};
}

}  // namespace

Prefix read_prefix(const std::byte* from) {
  Prefix prefix;
  static_assert(sizeof(prefix) == kPrefixBytes);
  std::memcpy(&prefix, from, sizeof(prefix));
  return prefix;
}

void write_prefix(std::byte* to, Prefix prefix) {
  std::memcpy(to, &prefix, sizeof(prefix));
}

bool within_limits(Prefix prefix) {
  return prefix.head_bytes > 0 && prefix.head_bytes <= kHeadBytesMax &&
         prefix.body_bytes <= kBodyBytesMax;
}

std::string prefix_fault(Prefix prefix) {
  if (prefix.head_bytes == 0) {
    return "frame head of 0 bytes";
  }
  // Other services' protocols begin with a text: "HTTP/1.1", "SSH-2.0-", "GET / HT".
  std::array<char, kPrefixBytes> text;
  std::memcpy(text.data(), &prefix, sizeof(prefix));
  if (std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; })) {
    return "the other end is not Farlane's: it said \"" + std::string(text.data(), text.size()) +
           "\"; check the port";
  }
  if (prefix.head_bytes > kHeadBytesMax) {
    return "frame head of " + std::to_string(prefix.head_bytes) + " bytes (limit " +
           std::to_string(kHeadBytesMax) + ")";
  }
  return "frame body of " + std::to_string(prefix.body_bytes) + " bytes (limit " +
         std::to_string(kBodyBytesMax) + ")";
}

// The buffer is not cleared: pages that are never read into cost no memory.
TcpReceiver::TcpReceiver(int fd, Bytes already_read)
    : fd_(fd),
      buffer_(std::make_unique_for_overwrite<std::byte[]>(kBufferBytes)),
      end_(already_read.size()),
      read_ahead_bytes_(kReadAheadBytes) {
  FARLANE_TRANSPORT_CHECK(already_read.size() <= kAdoptBytesMax,
                          "few bytes were read before a socket is adopted");
  std::copy(already_read.begin(), already_read.end(), buffer_.get());
}

TcpReceiver::Result TcpReceiver::receive(FrameSink& sink) {
  const Result result = receive_some(sink);
  missing_.store(state_ == State::kBody ? static_cast<uint32_t>(body_.size() - body_filled_) : 0,
                 std::memory_order_relaxed);
  return result;
}

TcpReceiver::Result TcpReceiver::receive_some(FrameSink& sink) {
  bool socket_empty = false;
  for (;;) {
    switch (advance(sink)) {
      case Step::kDelivered:
        return Result::kDelivered;
      case Step::kStalled:
        return Result::kStalled;
      case Step::kRefused:
        return Result::kEnded;
      case Step::kNeedsBytes:
        break;
    }
    if (socket_empty) {
      return Result::kNothing;
    }
    switch (read()) {
      case Read::kAll:
        break;
      case Read::kShort:
        socket_empty = true;  // asking again would cost a call to hear so
        break;
      case Read::kEmpty:
        return Result::kNothing;
      case Read::kEnded:
        return Result::kEnded;
    }
  }
}

// Goes as far as the bytes at hand allow.
TcpReceiver::Step TcpReceiver::advance(FrameSink& sink) {
  if (state_ == State::kFrame) {
    const Step step = take_head();
    if (state_ == State::kFrame) {
      return step;
    }
  }
  if (state_ == State::kPlacing) {
    if (body_bytes_ == 0) {
      body_ = {};
      deliver(sink);
      return Step::kDelivered;
    }
    body_ = sink.place(head_, body_bytes_);
    if (body_.data() == nullptr) {
      return Step::kStalled;
    }
    FARLANE_TRANSPORT_CHECK(body_.size() == body_bytes_, "the sink gives the size asked for");
    body_filled_ = 0;
    state_ = State::kBody;
  }
  const size_t copied = std::min(available(), body_.size() - body_filled_);
  std::copy_n(buffer_.get() + begin_, copied, body_.data() + body_filled_);
  begin_ += copied;
  body_filled_ += copied;
  if (body_filled_ < body_.size()) {
    return Step::kNeedsBytes;
  }
  deliver(sink);
  return Step::kDelivered;
}

TcpReceiver::Step TcpReceiver::take_head() {
  if (available() < kPrefixBytes) {
    return Step::kNeedsBytes;
  }
  const Prefix prefix = read_prefix(buffer_.get() + begin_);
  if (!within_limits(prefix)) {
    peer_at_fault_ = true;
    end(prefix_fault(prefix));
    return Step::kRefused;
  }
  if (available() < kPrefixBytes + prefix.head_bytes) {
    return Step::kNeedsBytes;
  }
  // Odd sizes before it can leave a head unaligned; it then moves down over its own prefix.
  const size_t read_at = begin_ + kPrefixBytes;
  const size_t head_at = read_at & ~size_t{7};
  if (head_at != read_at) {
    std::memmove(buffer_.get() + head_at, buffer_.get() + read_at, prefix.head_bytes);
  }
  head_ = MutableBytes(buffer_.get() + head_at, prefix.head_bytes);
  body_bytes_ = prefix.body_bytes;
  begin_ = read_at + prefix.head_bytes;
  state_ = State::kPlacing;
  return Step::kNeedsBytes;
}

void TcpReceiver::deliver(FrameSink& sink) {
  state_ = State::kFrame;
  read_ahead_bytes_ = body_bytes_ >= kLargeBodyBytes ? kReadAheadAmongBodiesBytes : kReadAheadBytes;
  sink.deliver(head_, body_);
}

bool TcpReceiver::has_buffered_frame() const {
  if (state_ != State::kFrame || available() < kPrefixBytes) {
    return false;
  }
  const Prefix prefix = read_prefix(buffer_.get() + begin_);
  return !within_limits(prefix) || available() >= kPrefixBytes + prefix.head_bytes;
}

TcpReceiver::Read TcpReceiver::read() {
  return state_ == State::kBody ? read_body() : read_heads();
}

TcpReceiver::Read TcpReceiver::read_heads() {
  size_t needed = kPrefixBytes;
  if (available() >= kPrefixBytes) {
    needed += read_prefix(buffer_.get() + begin_).head_bytes;
  }
  size_t wanted = std::max(needed - available(), read_ahead_bytes_);
  if (available() == 0) {
    begin_ = end_ = 0;
  } else if (kBufferBytes - end_ < wanted) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, available());
    end_ -= begin_;
    begin_ = 0;
  }
  wanted = std::min(wanted, kBufferBytes - end_);
  iovec part{buffer_.get() + end_, wanted};
  size_t bytes = 0;
  const Read result = read_into(&part, 1, &bytes);
  end_ += bytes;
  return result;
}

// What comes behind the body is read along, so that the next head seldom needs a call of its own.
TcpReceiver::Read TcpReceiver::read_body() {
  begin_ = end_ = std::min(aligned_up(end_), kBufferBytes);  // everything buffered was used
  const size_t ahead = std::min(kReadAheadAmongBodiesBytes, kBufferBytes - end_);
  const size_t missing = body_.size() - body_filled_;
  iovec parts[2] = {{body_.data() + body_filled_, missing}, {buffer_.get() + end_, ahead}};
  size_t bytes = 0;
  const Read result = read_into(parts, ahead > 0 ? 2 : 1, &bytes);
  const size_t of_body = std::min(bytes, missing);
  body_filled_ += of_body;
  end_ += bytes - of_body;
  return result;
}

TcpReceiver::Read TcpReceiver::read_into(iovec* parts, size_t count, size_t* bytes) {
  size_t wanted = 0;
  for (size_t i = 0; i < count; ++i) {
    wanted += parts[i].iov_len;
  }
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = count;
  ssize_t got = 0;
  do {
    // The plain call saves the kernel the reading of two more structures.
    got = count == 1 ? ::recv(fd_, parts->iov_base, parts->iov_len, MSG_DONTWAIT)
                     : ::recvmsg(fd_, &message, MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got > 0) {
    *bytes = static_cast<size_t>(got);
    return *bytes == wanted ? Read::kAll : Read::kShort;
  }
  if (got < 0 && errno == EAGAIN) {
    return Read::kEmpty;
  }
  const bool midway = state_ == State::kBody || available() > 0;
  end((got == 0 ? "peer closed the connection" : error_text(errno)) +
      std::string(midway ? " in the middle of a frame" : ""));
  return Read::kEnded;
}

}  // namespace farlane::transport
