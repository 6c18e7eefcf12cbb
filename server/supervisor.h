// gpuserverd itself: listens, hears what connections want, keeps workers warm and hands connections
// to them. One thread; never loads CUDA.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "conf/server_settings.h"

namespace farlane::server {

// Serves until it is told to stop by SIGTERM or SIGINT. `arguments` are this process's own, for its
// workers. Returns the exit status.
int supervise(const ServerSettings& settings, std::vector<std::string> arguments);

}  // namespace farlane::server
