#include "transport/shm_segment.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "transport/fd_passing.h"
#include "transport/shm.h"
#include "transport/socket_util.h"
#include "transport/tcp.h"

namespace farlane::transport {
namespace {

constexpr size_t kControlBytes = 4096;
static_assert(2 * sizeof(RingControl) <= kControlBytes);

constexpr size_t kReadBytes = size_t{16} * 1024;
// A first frame, and what refuses a connection, are far smaller.
constexpr size_t kPreludeBytesMax = 2 * kShmFirstFrameBytesMax;

size_t segment_bytes(size_t ring_bytes) {
  return kControlBytes + 2 * ring_bytes;
}

}  // namespace

Fd make_passable_memory(size_t bytes, std::string* error) {
  Fd fd = above_standard_streams(Fd(::memfd_create("farlane", MFD_CLOEXEC | MFD_ALLOW_SEALING)));
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0 ||
      ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    *error = "cannot make shared memory: " + error_text(errno);
    return {};
  }
  return fd;
}

std::string passed_memory_fault(const Fd& memory, size_t bytes) {
  if (!memory) {
    return "none was passed";
  }
  // Sealed and on the kernel's own tmpfs: its size is fixed and every page of it can be had, so
  // that touching it never raises a signal. F_GET_SEALS fails for anything but such memory.
  const int seals = ::fcntl(memory.get(), F_GET_SEALS);
  if (seals < 0) {
    return "it is another kind of file";
  }
  if ((seals & F_SEAL_SHRINK) == 0) {
    return "it could be made smaller";
  }
  struct statfs system {};
  if (::fstatfs(memory.get(), &system) != 0 || system.f_type != TMPFS_MAGIC) {
    return "it is not memory of the usual kind";
  }
  struct stat status {};
  if (::fstat(memory.get(), &status) != 0 || static_cast<uint64_t>(status.st_size) < bytes) {
    return std::to_string(status.st_size) + " bytes are too few for " + std::to_string(bytes);
  }
  return "";
}

std::shared_ptr<ShmSegment> ShmSegment::make(size_t ring_bytes, Fd* memory, std::string* error) {
  ring_bytes = std::bit_ceil(std::clamp(ring_bytes, kShmRingBytesMin, kShmRingBytesMax));
  Fd fd = make_passable_memory(segment_bytes(ring_bytes), error);
  if (!fd) {
    return nullptr;
  }
  auto segment = map_checked(fd.get(), ring_bytes, error);
  *memory = std::move(fd);
  return segment;
}

std::shared_ptr<ShmSegment> ShmSegment::map(const Fd& memory, uint64_t ring_bytes,
                                            std::string* error) {
  const auto refuse = [&](const std::string& why) {
    *error = "the peer's shared memory is not acceptable: " + why;
    return nullptr;
  };
  if (ring_bytes < kShmRingBytesMin || ring_bytes > kShmRingBytesMax ||
      !std::has_single_bit(ring_bytes)) {
    return refuse("rings of " + std::to_string(ring_bytes) + " bytes");
  }
  if (const std::string fault = passed_memory_fault(memory, segment_bytes(ring_bytes));
      !fault.empty()) {
    return refuse(fault);
  }
  return map_checked(memory.get(), ring_bytes, error);
}

std::shared_ptr<ShmSegment> ShmSegment::map_checked(int fd, size_t ring_bytes, std::string* error) {
  void* at = ::mmap(nullptr, segment_bytes(ring_bytes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) {
    *error = "cannot map shared memory: " + error_text(errno);
    return nullptr;
  }
  // Where the system allows it, huge pages make copying cheaper.
  static_cast<void>(::madvise(at, segment_bytes(ring_bytes), MADV_HUGEPAGE));
  return std::shared_ptr<ShmSegment>(new ShmSegment(static_cast<std::byte*>(at), ring_bytes));
}

ShmSegment::~ShmSegment() {
  ::munmap(memory_, segment_bytes(ring_bytes_));
}

Ring ShmSegment::ring(size_t index, int bell_fd) const {
  Ring ring;
  // Fresh memory is zero, which is what these begin with; no constructor runs, because the other
  // side may be at work already.
  ring.control = reinterpret_cast<RingControl*>(memory_) + index;
  ring.data = memory_ + kControlBytes + index * ring_bytes_;
  ring.bytes = ring_bytes_;
  ring.bell_fd = bell_fd;
  return ring;
}

bool send_with_fd(int socket, std::span<const Bytes> parts, int fd) {
  size_t bytes = 0;
  for (const Bytes& part : parts) {
    bytes += part.size();
  }
  const ssize_t sent = send_message(socket, parts, fd, MSG_DONTWAIT);
  if (sent >= 0 && static_cast<size_t>(sent) < bytes) {
    errno = EAGAIN;
  }
  return sent >= 0 && static_cast<size_t>(sent) == bytes;
}

ShmPrelude::State ShmPrelude::read(int socket) {
  while (state_ == State::kFrames) {
    const size_t before = bytes_.size();
    if (before >= kPreludeBytesMax) {
      return refuse("the peer did not switch to shared memory");
    }
    bytes_.resize(before + kReadBytes);
    const ssize_t got =
        receive_message(socket, MutableBytes(bytes_).subspan(before), MSG_DONTWAIT, &memory_);
    const int error = errno;
    bytes_.resize(before + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got < 0 && error == EAGAIN) {
      return state_;
    }
    if (got <= 0) {
      state_ = State::kEnded;
      reason_ = "peer closed the connection";
      return state_;
    }
    parse();
  }
  return state_;
}

ShmPrelude::State ShmPrelude::parse() {
  for (;;) {
    const Bytes rest = Bytes(bytes_).subspan(frames_end_);
    uint32_t magic = 0;
    if (rest.size() < sizeof(magic)) {
      return state_;
    }
    std::memcpy(&magic, rest.data(), sizeof(magic));
    if (magic == ShmSwitch{}.magic) {
      if (rest.size() < sizeof(switch_)) {
        return state_;
      }
      std::memcpy(&switch_, rest.data(), sizeof(switch_));
      bytes_.resize(frames_end_);  // behind it are bells
      if (switch_.version != ShmSwitch{}.version) {
        return refuse("the peer speaks version " + std::to_string(switch_.version) +
                      " of shared memory, this side version " +
                      std::to_string(ShmSwitch{}.version) + ": install the same release on both");
      }
      state_ = State::kSwitched;
      return state_;
    }
    const FirstFrame frame = parse_first_frame(rest);
    switch (frame.state) {
      case FirstFrame::State::kRefused:
        return refuse(frame.reason);
      case FirstFrame::State::kIncomplete:
        if (frame.frame_bytes > kPreludeBytesMax) {
          return refuse("a frame of " + std::to_string(frame.frame_bytes) +
                        " bytes before the switch to shared memory");
        }
        return state_;
      case FirstFrame::State::kComplete:
        frames_end_ += frame.frame_bytes;
        break;
    }
  }
}

ShmPrelude::State ShmPrelude::refuse(std::string why) {
  state_ = State::kRefused;
  reason_ = std::move(why);
  return state_;
}

bool ShmPrelude::has_frame() const {
  return begin_ < frames_end_;
}

Bytes ShmPrelude::frame_head() const {
  return parse_first_frame(Bytes(bytes_).subspan(begin_)).head;
}

Bytes ShmPrelude::frame_body() const {
  return parse_first_frame(Bytes(bytes_).subspan(begin_)).body;
}

void ShmPrelude::drop_frame() {
  begin_ += parse_first_frame(Bytes(bytes_).subspan(begin_)).frame_bytes;
}

}  // namespace farlane::transport
