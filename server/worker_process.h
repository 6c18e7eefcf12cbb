// A worker as the supervisor sees it.
#pragma once

#include <sys/types.h>

#include <asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "server/last_words.h"
#include "server/link.h"

namespace farlane::server {

enum class WorkerState : uint8_t {
  kStarting,
  kWarm,
  kServing,
};

struct WorkerProcess {
  pid_t pid = -1;
  uint32_t device = 0;        // its first
  uint32_t device_count = 1;  // kServing: its session has so many, that one and those behind it
  WorkerState state = WorkerState::kStarting;
  std::string session;  // kServing: "session 7 of 10.0.0.7:51234"
  std::string token;    // kServing: what the session's lanes name it by
  std::string ended;    // what it said before it ended
  LastWords last_words;
  asio::posix::stream_descriptor link;

  explicit WorkerProcess(asio::io_context& io) : link(io) {}
};

// Starts this very program as a worker: `arguments` after its name. `link_fd` is inherited under
// the same number. The worker's loader looks in `library_path` (folders with colons between them,
// or none) before those of the environment. Returns the pid, or -1 with *error.
pid_t spawn_worker(const std::vector<std::string>& arguments, const std::string& library_path,
                   int link_fd, std::string* error);

// "exited with status 1", "was killed by signal 9 (Killed)"
std::string describe_exit(int wait_status);

}  // namespace farlane::server
