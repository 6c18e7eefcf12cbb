#include "server/worker_process.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string_view>

extern char** environ;

namespace farlane::server {
namespace {

constexpr std::string_view kLibraryPath = "LD_LIBRARY_PATH=";

// CUDA-X libraries open each other by name: cuDNN takes the cuBLASLt that the loader finds. Were
// that another one than the worker opened, a handle of one would get into the other.
std::string library_path_variable(const std::string& path) {
  const char* const before = std::getenv("LD_LIBRARY_PATH");
  const bool has_before = before != nullptr && *before != '\0';
  return fmt::format("{}{}{}{}", kLibraryPath, path, has_before ? ":" : "",
                     has_before ? before : "");
}

}  // namespace

pid_t spawn_worker(const std::vector<std::string>& arguments, const std::string& library_path,
                   int link_fd, std::string* error) {
  std::vector<char*> argv;
  std::string name = "gpuserverd";
  argv.push_back(name.data());
  std::vector<std::string> copies = arguments;
  for (std::string& argument : copies) argv.push_back(argument.data());
  argv.push_back(nullptr);

  std::vector<char*> environment;
  std::string variable;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (library_path.empty() || !std::string_view(*entry).starts_with(kLibraryPath)) {
      environment.push_back(*entry);
    }
  }
  if (!library_path.empty()) {
    variable = library_path_variable(library_path);
    environment.push_back(variable.data());
  }
  environment.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  // A descriptor duplicated onto itself loses its close-on-exec flag.
  posix_spawn_file_actions_adddup2(&actions, link_fd, link_fd);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // The supervisor may block signals; a worker starts with none blocked.
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = -1;
  const int failed =
      ::posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, argv.data(), environment.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) {
    *error = std::string("cannot start a worker process: ") + std::strerror(failed);
    return -1;
  }
  return pid;
}

std::string describe_exit(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    const int signal = WTERMSIG(wait_status);
    return fmt::format("was killed by signal {} ({})", signal, ::strsignal(signal));
  }
  return fmt::format("exited with status {}", WEXITSTATUS(wait_status));
}

}  // namespace farlane::server
