#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "client/cli/commands.h"
#include "client/cli/install_paths.h"
#include "client/cli/preload.h"
#include "client/cli/program_check.h"
#include "conf/client_settings.h"

namespace farlane::cli {
namespace {

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string{} : value;
}

// What a shell does with a file that the kernel cannot start: it is a script of its own, unless it
// looks like no text. Returns only on failure.
void run_as_shell_script(const std::string& path, std::vector<char*> arguments) {
  std::array<char, 128> start{};
  std::ifstream in(path, std::ios::binary);
  in.read(start.data(), start.size());
  const auto end = start.begin() + in.gcount();
  if (!in.is_open() || std::find(start.begin(), end, '\0') != end) return;
  static char shell[] = "/bin/sh";
  arguments.front() = const_cast<char*>(path.c_str());  // execv does not change it
  arguments.insert(arguments.begin(), shell);
  ::execv(shell, arguments.data());
}

}  // namespace

int run_command(const RunOptions& options) {
  if (options.program.empty()) {
    fmt::print(stderr, "farlane run: say which program to run: farlane run -- PROGRAM ARGUMENTS\n");
    return kExitUsage;
  }
  // A wrong setting is said here, once, instead of by every process that the program starts.
  if (!options.devices.empty()) ::setenv("FARLANE_DEVICES", options.devices.c_str(), 1);
  ClientSettings settings;
  if (!apply_options({options.server, options.config}, &settings)) return kExitUsage;
  std::string error;
  const std::string libraries = library_folder_checked(&error);
  if (libraries.empty()) {
    fmt::print(stderr, "farlane run: {}\n", error);
    return kExitProblem;
  }
  const std::string& name = options.program.front();
  const std::string path = find_program(name, variable("PATH"));
  if (path.empty()) {
    fmt::print(stderr, "farlane run: there is no program {}{}\n", name,
               name.find('/') == std::string::npos ? " in PATH" : "");
    return kExitNotFound;
  }
  const std::string obstacle = preload_obstacle(path);
  if (!obstacle.empty()) {
    fmt::print(stderr, "farlane run: warning: {} (farlane doctor {})\n", obstacle, name);
  }

  std::vector<std::string> preloads = facade_libraries(libraries);
  const bool has_open = ::access((libraries + "/" + kOpenLibrary).c_str(), R_OK) == 0;
  if (settings.libraries_by_path && has_open) preloads.insert(preloads.begin(), kOpenLibrary);
  ::setenv("LD_PRELOAD", preload_value(variable("LD_PRELOAD"), libraries, preloads).c_str(), 1);
  ::setenv("LD_LIBRARY_PATH", library_path_value(variable("LD_LIBRARY_PATH"), libraries).c_str(),
           1);
  // Triton links its kernels' launchers against the driver, which it looks for where ldconfig knows
  // one. A program's own choice stays.
  ::setenv("TRITON_LIBCUDA_PATH", libraries.c_str(), 0);
  std::vector<char*> arguments;
  for (const std::string& argument : options.program) {
    arguments.push_back(const_cast<char*>(argument.c_str()));  // execv does not change them
  }
  arguments.push_back(nullptr);
  ::execv(path.c_str(), arguments.data());
  const int code = errno;
  if (code == ENOEXEC) run_as_shell_script(path, arguments);
  if (std::error_code fault; std::filesystem::is_directory(path, fault)) {
    fmt::print(stderr, "farlane run: {} is a folder\n", path);
    return kExitNotExecutable;
  }
  if (code == ENOENT) {
    fmt::print(stderr,
               "farlane run: {} cannot be started: the interpreter or loader that it names does "
               "not exist\n",
               path);
    return kExitNotFound;
  }
  fmt::print(stderr, "farlane run: {} cannot be started: {}{}\n", path, std::strerror(code),
             code == EACCES ? " (chmod +x?)" : "");
  return kExitNotExecutable;
}

}  // namespace farlane::cli
