// The sending half of a TCP channel: one gathering write per frame, and the rest of the one frame
// that the kernel did not take whole.
#pragma once

#include <sys/uio.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <string>

#include "transport/channel.h"

namespace farlane::transport {

// One thread at a time, but for drained(). Knows the socket but neither owns nor closes it.
class TcpSender {
 public:
  explicit TcpSender(int fd) : fd_(fd) {}

  // Precondition: drained() and not ended. Never kBusy: what the kernel does not take is kept.
  SendStatus send(const Frame& frame);
  // Pushes out what is kept.
  SendStatus flush();
  bool drained() const { return drained_.load(std::memory_order_acquire); }
  // Forgets what is kept: it will never leave.
  void give_up();
  const std::string& end_reason() const { return end_reason_; }

 private:
  void skip(size_t sent_bytes);
  void keep_rest(size_t sent_bytes);
  bool write(iovec* parts, size_t count, size_t* sent_bytes);

  const int fd_;
  std::atomic<bool> drained_{true};

  // The frame on its way: prefix, head, body parts. After a short write, what is left of prefix and
  // head is in `kept_`, and the parts say what is left of the body.
  std::array<iovec, kBodyPartsMax + 2> parts_;
  size_t parts_first_ = 0;
  size_t parts_end_ = 0;
  std::unique_ptr<std::byte[]> kept_;
  std::string end_reason_;
};

}  // namespace farlane::transport
