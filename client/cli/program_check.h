// Would this program run through Farlane? Looked up in its files alone; nothing of it is executed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/cli/findings.h"

namespace farlane::cli {

// What the server's device can run.
struct DeviceAbility {
  std::string name;
  uint32_t arch = 0;      // 75, 90, ...
  bool ptx_only = false;  // the software device: no machine code
};

struct ProgramCheckInput {
  std::string program;                  // as the user wrote it: a path, or a name to find in PATH
  std::string path_variable;            // $PATH
  std::string library_path_variable;    // $LD_LIBRARY_PATH
  std::string library_folder;           // Farlane's client libraries
  std::optional<DeviceAbility> device;  // nothing if no server answered
};

Findings check_program(const ProgramCheckInput& input);

// The file a shell would run for this name; empty if there is none.
std::string find_program(const std::string& program, const std::string& path_variable);

// One line of warning if `farlane run` would have no effect on this program for a reason that shows
// in its file; empty if all is well. Quick: looks at the program itself only.
std::string preload_obstacle(const std::string& path);

}  // namespace farlane::cli
