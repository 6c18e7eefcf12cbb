// gpuserverd: the supervisor, one of its workers when started with --worker, or what answers a
// monitoring tool when started with --monitor.
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "conf/server_settings.h"
#include "server/log.h"
#include "server/monitor.h"
#include "server/supervisor.h"
#include "server/worker_main.h"

namespace {

// $XDG_CACHE_HOME/farlane/modules, ~/.cache/farlane/modules; none without a home.
std::string module_cache_folder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return std::string(cache) + "/farlane/modules";
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home == '/') return std::string(home) + "/.cache/farlane/modules";
  return "";
}

}  // namespace

int main(int argc, char** argv) {
  using namespace farlane;
  constexpr int kWorkerArguments = 4;  // --worker FD DEVICE DRIVER
  server::WorkerArguments worker;
  const bool is_worker = argc > kWorkerArguments && std::strcmp(argv[1], "--worker") == 0;
  if (is_worker) {
    worker.link_fd = std::atoi(argv[2]);
    worker.device = static_cast<uint32_t>(std::atoi(argv[3]));
    worker.driver = argv[4];
    argv[kWorkerArguments] = argv[0];
    argc -= kWorkerArguments;
    argv += kWorkerArguments;
  }
  constexpr int kMonitorArguments = 3;  // --monitor FD NVML
  const bool is_monitor = argc > kMonitorArguments && std::strcmp(argv[1], "--monitor") == 0;
  int monitor_fd = -1;
  std::string nvml;
  if (is_monitor) {
    monitor_fd = std::atoi(argv[2]);
    nvml = argv[3];
    argv[kMonitorArguments] = argv[0];
    argc -= kMonitorArguments;
    argv += kMonitorArguments;
  }
  ServerCommandLine line = parse_server_command_line(argc, argv, "gpuserverd " FARLANE_VERSION);
  if (line.exit_now) return line.exit_code;
  ServerSettings& settings = line.settings;
  if (settings.module_cache_dir.empty()) settings.module_cache_dir = module_cache_folder();
  if (is_worker) server::worker_main(worker, settings);

  std::string error;
  if (!server::start_log(settings, STDERR_FILENO, is_monitor ? "monitor" : "gpuserverd", &error)) {
    std::fprintf(stderr, "gpuserverd: %s\n", error.c_str());
    return 1;
  }
  if (is_monitor) {
    settings.nvml_library = nvml;
    server::monitor_main(monitor_fd, settings);
  }
  return server::supervise(settings, std::vector<std::string>(argv + 1, argv + argc));
}
