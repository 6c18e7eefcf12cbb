// The memory that two sides share, and the messages on the socket that pass it on.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "transport/channel.h"
#include "transport/fd.h"
#include "transport/shm_ring.h"

namespace farlane::transport {

// A mapped segment: a page of control lines, then the ring from the connecting side, then the one
// to it.
class ShmSegment {
 public:
  // A new one, and the descriptor to pass on.
  static std::shared_ptr<ShmSegment> make(size_t ring_bytes, Fd* memory, std::string* error);
  // One that a peer passed: checks everything that could harm us.
  static std::shared_ptr<ShmSegment> map(const Fd& memory, uint64_t ring_bytes, std::string* error);
  ~ShmSegment();
  ShmSegment(const ShmSegment&) = delete;

  // Ring 0 leads from the connecting side to the accepting one.
  Ring ring(size_t index, int bell_fd) const;
  size_t ring_bytes() const { return ring_bytes_; }

 private:
  ShmSegment(std::byte* memory, size_t ring_bytes) : memory_(memory), ring_bytes_(ring_bytes) {}
  static std::shared_ptr<ShmSegment> map_checked(int fd, size_t ring_bytes, std::string* error);
  std::byte* const memory_;
  const size_t ring_bytes_;
};

// "From here on, the rings." Its first word is no frame's: a head is never that large.
struct ShmSwitch {
  uint32_t magic = 0x4d'48'53'46;  // "FSHM"
  uint32_t version = 1;
  uint64_t ring_bytes = 0;
};
static_assert(sizeof(ShmSwitch) == 16);

// Memory that can be passed on: of a fixed size, zeroes. Empty: `*error`.
Fd make_passable_memory(size_t bytes, std::string* error);
// Whether touching `bytes` of memory that a peer passed can never raise a signal, whatever the peer
// does: "" or why not.
std::string passed_memory_fault(const Fd& memory, size_t bytes);

// Sends `bytes` whole, with a descriptor attached unless it is -1. The socket is fresh, so it has
// room; false with errno if not.
bool send_with_fd(int socket, std::span<const Bytes> parts, int fd);

// What comes over the socket before the switch.
class ShmPrelude {
 public:
  enum class State : uint8_t { kFrames, kSwitched, kEnded, kRefused };

  // Reads what is there, without blocking.
  State read(int socket);
  State state() const { return state_; }
  // The next whole frame; consumes nothing.
  bool has_frame() const;
  Bytes frame_head() const;
  Bytes frame_body() const;
  void drop_frame();

  const ShmSwitch& switch_message() const { return switch_; }
  Fd take_memory() { return std::move(memory_); }
  const std::string& reason() const { return reason_; }

 private:
  State parse();
  State refuse(std::string why);

  State state_ = State::kFrames;
  std::vector<std::byte> bytes_;
  size_t begin_ = 0;       // of the first frame that was not dropped
  size_t frames_end_ = 0;  // whole frames lie before
  ShmSwitch switch_;
  Fd memory_;
  std::string reason_;
};

}  // namespace farlane::transport
