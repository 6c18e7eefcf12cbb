// What the TCP sources share about sockets: addresses and errors as text, options.
#pragma once

#include <ctime>
#include <string>

#include "transport/tcp.h"

namespace farlane::transport {

// "connection reset by peer"
std::string error_text(int error);
// "10.0.0.7:4713", "[::1]:4713", "unix socket"; "unknown" where the kernel will not say.
std::string peer_address(int fd);
std::string local_address(int fd);
// True for a socket that a kernel connected to itself, which happens when one connects to a free
// port of this machine that the kernel also picks as the local one.
bool connected_to_itself(int fd);

// The time until `deadline` for ppoll(); false once it has passed.
bool time_left(Deadline deadline, timespec* left);

// Buffer sizes count for the window only when set before connecting or listening.
void set_buffer_options(int fd, const TcpOptions& options);
// How many bytes poll() waits for. Tuning, as the next one.
void set_receive_low_mark(int fd, uint32_t bytes);
// No delay, keepalive, user timeout. These are tuning: where a kernel refuses one, the connection
// works without it.
void set_connection_options(int fd, const TcpOptions& options);

}  // namespace farlane::transport
