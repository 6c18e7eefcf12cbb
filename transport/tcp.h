// Frames over TCP.
//
// On the wire a frame is 8 bytes {u32 head_bytes, u32 body_bytes}, little endian, then the head,
// then the body, without padding: the receiver aligns heads itself where an odd size moved them.
//
// Connecting, names and listening are Asio's; the bytes of frames go through sendmsg() and
// recvmsg() on the bare socket, so that a channel needs no reactor, no thread and no descriptors
// beyond its socket and one eventfd.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "transport/channel.h"
#include "transport/fd.h"

namespace farlane::transport {

inline constexpr uint32_t kTcpWakeBytes = 256 * 1024;

struct TcpOptions {
  // 0 leaves the size to the kernel's autotuning, which is right on every network we measured;
  // a fixed size also fixes the window.
  uint32_t send_buffer_bytes = 0;
  uint32_t receive_buffer_bytes = 0;
  // A silent connection is probed after `keepalive_idle_s`, then every `keepalive_interval_s`; it
  // ends after `keepalive_probes` unanswered ones. 0 idle: no probing.
  uint32_t keepalive_idle_s = 10;
  uint32_t keepalive_interval_s = 3;
  uint32_t keepalive_probes = 3;
  // While a frame's body is being received, wait() says "readable" when so much more of it is here,
  // or the rest. Every arrival wakes a thread otherwise. 0: any byte will do.
  uint32_t wake_bytes = kTcpWakeBytes;
  // TCP_USER_TIMEOUT: how long sent data may stay unacknowledged. 0 leaves it to the kernel. Beware
  // that it also ends a healthy connection whose receiver reads nothing for so long (a stalled
  // sink); heartbeats are the better judge of a dead peer.
  uint32_t user_timeout_ms = 0;
};

// Resolves `host` (a name, IPv4 or IPv6 address), tries its addresses one after the other, each
// with a fair share of the time left, and gives up at `deadline`. nullptr: `*error` is a sentence
// that says what was tried and what to look at.
std::unique_ptr<Channel> connect_tcp(const std::string& host, uint16_t port, Deadline deadline,
                                     std::string* error, const TcpOptions& options = {});

// The same, stopping short of the channel: a connected, non-blocking, close-on-exec socket.
Fd connect_tcp_socket(const std::string& host, uint16_t port, Deadline deadline, std::string* error,
                      const TcpOptions& options = {});

// Takes over a connected stream socket: accepted, or received over a unix socket. `already_read`
// are bytes that somebody took from it before: the channel receives them first (at most
// kAdoptBytesMax).
inline constexpr size_t kAdoptBytesMax = size_t{256} * 1024;
std::unique_ptr<Channel> adopt_tcp(int fd, Bytes already_read = {}, const TcpOptions& options = {});

// What the bytes at the start of a connection amount to. For a supervisor that looks at the first
// frame (with MSG_PEEK, or reading and handing the bytes on to adopt_tcp) before it passes the
// socket on.
struct FirstFrame {
  enum class State : uint8_t {
    kIncomplete,  // more bytes are needed: `frame_bytes` in all, once 8 are there
    kComplete,
    kRefused,  // not a frame within the limits: `reason`
  };
  State state = State::kIncomplete;
  Bytes head;              // kComplete; unaligned, within `stream`
  Bytes body;              // kComplete
  size_t frame_bytes = 8;  // prefix, head and body
  std::string reason;      // kRefused
};
FirstFrame parse_first_frame(Bytes stream);

class TcpListener {
 public:
  // `host`: a name or address to bind; "0.0.0.0" or "::" for all. `port` 0 takes a free one.
  // nullptr: `*error` says why.
  static std::unique_ptr<TcpListener> listen(const std::string& host, uint16_t port,
                                             std::string* error, const TcpOptions& options = {});

  // The next connection (non-blocking, close-on-exec). Empty: the deadline passed, with `*error`
  // empty, or accepting failed, with the reason in it. A deadline in the past never blocks.
  Fd accept(Deadline deadline, std::string* error);

  uint16_t port() const { return port_; }
  const std::string& address() const { return address_; }  // "127.0.0.1:40123", "[::1]:40123"
  int fd() const { return fd_.get(); }                     // to poll() for new connections

 private:
  TcpListener(Fd fd, uint16_t port, std::string address);
  Fd fd_;
  uint16_t port_;
  std::string address_;
};

}  // namespace farlane::transport
