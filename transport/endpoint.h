// The one place where a channel is made from an address, and from an accepted socket: which
// transport it is to be is decided here, the same way for every connection of a session.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "transport/channel.h"
#include "transport/fd.h"
#include "transport/shm.h"
#include "transport/tcp.h"

namespace farlane::transport {

enum class Choice : uint8_t {
  kAuto,  // shared memory where the server is on this machine and offers it, else TCP
  kTcp,
  kShm,  // shared memory or an error
};

struct Endpoint {
  std::string host;  // empty where `socket_path` is given
  uint16_t port = 0;
  std::string socket_path;  // a server's unix socket, given by name
  Choice choice = Choice::kAuto;
  // Where servers of this machine have their sockets; searched in this order.
  std::vector<std::string> socket_folders;
  size_t shm_ring_bytes = kShmRingBytesDefault;
  uint32_t tcp_wake_bytes = kTcpWakeBytes;
};

struct Connection {
  std::unique_ptr<Channel> channel;  // nullptr: `error`
  bool shared_memory = false;
  std::string error;   // a sentence that says what to look at
  std::string remark;  // why shared memory was not used although it might have been; for the log
};

Connection connect(const Endpoint& endpoint, Deadline deadline);

// Takes over an accepted or received socket, TCP or unix, of which nothing was read. nullptr:
// `*error`. With a unix socket it waits until `deadline` for the segment, which comes along with
// the first frame.
std::unique_ptr<Channel> accept_channel(Fd socket, Deadline deadline, std::string* error,
                                        uint32_t tcp_wake_bytes = kTcpWakeBytes);

// "farlane-4713.sock" in `folder`: the socket of a server that listens on that TCP port.
std::string socket_file(const std::string& folder, uint16_t port);
// `chosen`, or if that is empty the usual places: /run/farlane, $XDG_RUNTIME_DIR and
// /tmp/farlane-UID. A server takes the first where it may make its socket, a client the first where
// it finds one.
std::vector<std::string> socket_folders(const std::string& chosen);
// True for addresses that can only be this machine: "localhost", 127.x.y.z, ::1.
bool is_loopback(const std::string& host);

// A server's unix socket in the first of `folders` where that is possible. Usual places are made if
// they are missing. nullptr: `*error` has what was tried.
std::unique_ptr<UnixListener> listen_beside(const std::vector<std::string>& folders, uint16_t port,
                                            uint32_t mode, std::string* error);

}  // namespace farlane::transport
