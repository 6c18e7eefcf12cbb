// Frames through shared memory, between processes of one machine, or of containers that share a
// folder.
//
// A connection is a unix stream socket and a segment of memory that the connecting side makes,
// seals against shrinking and passes over the socket. Frames travel through two rings in the
// segment (shm_ring.h). The socket carries:
//   connecting side:  [its first frame, as over TCP], switch message with the segment, bells
//   accepting side:   [frames of whoever refuses the connection], switch message, bells
// so that a supervisor can look at the first frame, and refuse, as it does over TCP. A bell is one
// byte, sent only to a side that has said in the segment that it sleeps. The end of a process is
// the end of its socket.
//
// Nothing that the other side can write is trusted: positions and sizes are read once and checked,
// bytes are copied out before anybody looks at them, and the segment cannot be made smaller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "transport/channel.h"
#include "transport/fd.h"

namespace farlane::transport {

inline constexpr size_t kShmRingBytesMin = size_t{64} * 1024;
inline constexpr size_t kShmRingBytesMax = size_t{1024} * 1024 * 1024;
inline constexpr size_t kShmRingBytesDefault = size_t{2} * 1024 * 1024;

struct ShmOptions {
  // Of each direction; rounded up to a power of two. What is faster for large bodies is a ring that
  // stays in the processors' cache, see README.md.
  size_t ring_bytes = kShmRingBytesDefault;
  // The first frame goes over the socket, where a supervisor can see it; it has no body and at most
  // kShmFirstFrameBytesMax. False: everything goes through the rings, for when nobody looks.
  bool first_frame_over_socket = true;
};
inline constexpr size_t kShmFirstFrameBytesMax = size_t{64} * 1024;

// Connects to a listening unix socket. nullptr: `*error` is a sentence that says what to look at.
std::unique_ptr<Channel> connect_shm(const std::string& path, Deadline deadline, std::string* error,
                                     const ShmOptions& options = {});
// The same with a connected unix socket.
std::unique_ptr<Channel> adopt_shm_client(Fd socket, std::string name, const ShmOptions& options,
                                          std::string* error);

// Takes over an accepted unix socket of which nothing was read. Reads up to the switch message,
// which comes with the first frame; nullptr: it did not come in time, or is not acceptable.
std::unique_ptr<Channel> accept_shm(Fd socket, Deadline deadline, std::string* error);

// Both ends in this process, over one mapping: for measurements, and for the thread sanitizer,
// which does not know that two mappings are the same memory.
struct ShmPair {
  std::unique_ptr<Channel> a;
  std::unique_ptr<Channel> b;
};
ShmPair make_shm_pair(std::string* error, const ShmOptions& options = {});

class UnixListener {
 public:
  // Makes the socket `path` with `mode` (0600, 0660, 0666). A file that a dead server left there is
  // replaced, one that answers is an error. nullptr: `*error` says why.
  static std::unique_ptr<UnixListener> listen(const std::string& path, uint32_t mode,
                                              std::string* error);
  // Removes the socket file.
  ~UnixListener();

  // The next connection; empty when there is none, or with `*error` set.
  Fd accept(std::string* error);
  const std::string& path() const { return path_; }
  int fd() const { return fd_.get(); }

 private:
  UnixListener(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  Fd fd_;
  std::string path_;
};

}  // namespace farlane::transport
