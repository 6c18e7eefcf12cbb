// Messages over a unix socket that may carry a descriptor.
#pragma once

#include <sys/types.h>

#include <span>

#include "transport/channel.h"
#include "transport/fd.h"

namespace farlane::transport {

// One message of up to four parts, with `fd` attached unless it is -1. Never raises SIGPIPE. How
// many bytes were taken, or -1 with errno. `flags`: MSG_DONTWAIT or 0.
ssize_t send_message(int socket, std::span<const Bytes> parts, int fd, int flags);

// Takes a message, or what is there of a stream, into `place`. A descriptor that came with it
// becomes *fd, and of several the last; the others are closed. How many bytes came, 0 at the end,
// -1 with errno.
ssize_t receive_message(int socket, MutableBytes place, int flags, Fd* fd);

}  // namespace farlane::transport
