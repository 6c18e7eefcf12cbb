// The worker process: one driver, one session.
#pragma once

#include <string>

#include "conf/server_settings.h"

namespace farlane::server {

// How a supervisor starts a worker: gpuserverd --worker LINK_FD DEVICE DRIVER, then its own
// arguments, so that both have the same settings.
struct WorkerArguments {
  int link_fd = -1;
  uint32_t device = 0;  // the driver's ordinal
  std::string driver;   // what to dlopen
};

// Runs to the end of the process; never returns before.
[[noreturn]] void worker_main(const WorkerArguments& arguments, const ServerSettings& settings);

}  // namespace farlane::server
