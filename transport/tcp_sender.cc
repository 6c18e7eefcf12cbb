#include "transport/tcp_sender.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "transport/check.h"
#include "transport/socket_util.h"
#include "transport/tcp_receiver.h"

namespace farlane::transport {

namespace {

// A frame up to this size is copied together: cheaper than having the kernel gather it.
constexpr size_t kJoinedBytesMax = 1024;

}  // namespace

SendStatus TcpSender::send(const Frame& frame) {
  FARLANE_TRANSPORT_CHECK(drained(), "one frame is on its way at a time");
  FARLANE_TRANSPORT_CHECK(!frame.head.empty() && frame.head.size() <= kHeadBytesMax,
                          "a frame's head has 1 to kHeadBytesMax bytes");
  FARLANE_TRANSPORT_CHECK(frame.body.size() <= kBodyPartsMax, "a body has few parts");
  std::byte prefix[kPrefixBytes];
  // sendmsg() does not write through these pointers; iovec just has no const form.
  parts_[0] = {prefix, sizeof(prefix)};
  parts_[1] = {const_cast<std::byte*>(frame.head.data()), frame.head.size()};
  parts_first_ = 0;
  parts_end_ = 2;
  size_t body_bytes = 0;
  for (const Bytes part : frame.body) {
    if (!part.empty()) {
      parts_[parts_end_++] = {const_cast<std::byte*>(part.data()), part.size()};
      body_bytes += part.size();
    }
  }
  FARLANE_TRANSPORT_CHECK(body_bytes <= kBodyBytesMax, "a body is within its limit");
  write_prefix(prefix,
               {static_cast<uint32_t>(frame.head.size()), static_cast<uint32_t>(body_bytes)});
  std::byte joined[kJoinedBytesMax];
  size_t count = parts_end_;
  if (body_bytes == 0 && kPrefixBytes + frame.head.size() <= sizeof(joined)) {
    std::memcpy(joined, prefix, sizeof(prefix));
    std::memcpy(joined + sizeof(prefix), frame.head.data(), frame.head.size());
    parts_[0] = {joined, kPrefixBytes + frame.head.size()};
    parts_[1] = {joined, 0};
    count = 1;
  }
  size_t sent_bytes = 0;
  if (!write(parts_.data(), count, &sent_bytes)) {
    return SendStatus::kGone;
  }
  if (sent_bytes < kPrefixBytes + frame.head.size() + body_bytes) {
    keep_rest(sent_bytes);
    drained_.store(false, std::memory_order_relaxed);
  }
  return SendStatus::kSent;
}

// Takes what was sent off the parts.
void TcpSender::skip(size_t sent_bytes) {
  for (size_t i = parts_first_; i < parts_end_ && sent_bytes > 0; ++i) {
    const size_t skipped = std::min(sent_bytes, parts_[i].iov_len);
    sent_bytes -= skipped;
    parts_[i] = {static_cast<std::byte*>(parts_[i].iov_base) + skipped,
                 parts_[i].iov_len - skipped};
  }
}

// Called once per frame, while prefix and head are still the caller's memory.
void TcpSender::keep_rest(size_t sent_bytes) {
  if (!kept_) {
    kept_ = std::make_unique_for_overwrite<std::byte[]>(kPrefixBytes + kHeadBytesMax);
  }
  size_t kept_bytes = 0;
  skip(sent_bytes);
  for (const iovec& part : {parts_[0], parts_[1]}) {
    std::memcpy(kept_.get() + kept_bytes, part.iov_base, part.iov_len);
    kept_bytes += part.iov_len;
  }
  parts_[1] = {kept_.get(), kept_bytes};
  parts_first_ = 1;
}

SendStatus TcpSender::flush() {
  while (!drained()) {
    while (parts_first_ < parts_end_ && parts_[parts_first_].iov_len == 0) {
      ++parts_first_;
    }
    if (parts_first_ == parts_end_) {
      drained_.store(true, std::memory_order_release);
      break;
    }
    size_t sent_bytes = 0;
    if (!write(&parts_[parts_first_], parts_end_ - parts_first_, &sent_bytes)) {
      return SendStatus::kGone;
    }
    if (sent_bytes == 0) {
      return SendStatus::kBusy;
    }
    skip(sent_bytes);
  }
  return SendStatus::kSent;
}

void TcpSender::give_up() {
  parts_first_ = parts_end_ = 0;
  drained_.store(true, std::memory_order_release);
}

// False when the connection is broken. *sent_bytes is 0 when the kernel has no room.
bool TcpSender::write(iovec* parts, size_t count, size_t* sent_bytes) {
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = count;
  ssize_t sent = 0;
  do {
    sent = count == 1 ? ::send(fd_, parts->iov_base, parts->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL)
                      : ::sendmsg(fd_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) {
    *sent_bytes = static_cast<size_t>(sent);
    return true;
  }
  if (errno == EAGAIN) {
    *sent_bytes = 0;
    return true;
  }
  // A peer that ended properly and one that vanished while we wrote differ only in what its
  // kernel said.
  end_reason_ = errno == EPIPE ? "peer closed the connection" : error_text(errno);
  give_up();
  return false;
}

}  // namespace farlane::transport
