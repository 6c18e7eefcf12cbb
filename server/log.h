// Where the log of gpuserverd and its workers goes.
#pragma once

#include <string>

#include "conf/server_settings.h"

namespace farlane::server {

// Lines go to settings.log_file, or to `fd` if that is empty. `who` stands in every line:
// "gpuserverd", "worker 1234". False: the file cannot be opened.
bool start_log(const ServerSettings& settings, int fd, const std::string& who, std::string* error);

}  // namespace farlane::server
