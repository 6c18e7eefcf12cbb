// What monitoring tools ask about the GPUs: calls of NVML, made here for a client elsewhere. Each
// connection has a small process of its own, which loads NVML and no CUDA: NVML may take its time
// or fall over, and neither the supervisor nor a session notices.
#pragma once

#include "conf/server_settings.h"

namespace farlane::server {

// Answers the connection on `socket_fd` until its client is gone or has said nothing for a minute.
[[noreturn]] void monitor_main(int socket_fd, const ServerSettings& settings);

}  // namespace farlane::server
