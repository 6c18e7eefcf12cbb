#include "bench/runner.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "transport/ping.h"

extern char** environ;

namespace farlane::bench {

namespace fs = std::filesystem;

fs::path own_folder() {
  return fs::read_symlink("/proc/self/exe").parent_path();
}

pid_t spawn(const Command& command, int stdout_fd) {
  std::vector<char*> argv;
  for (const std::string& word : command) {
    argv.push_back(const_cast<char*>(word.c_str()));
  }
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (stdout_fd >= 0) {
    posix_spawn_file_actions_adddup2(&actions, stdout_fd, STDOUT_FILENO);
  }
  pid_t pid = -1;
  if (posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ) != 0) {
    pid = -1;
  }
  posix_spawn_file_actions_destroy(&actions);
  return pid;
}

// Runs a command to its end and gives what it printed; nothing if it failed.
std::optional<std::string> output_of(const Command& command) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return std::nullopt;
  }
  const pid_t pid = spawn(command, ends[1]);
  ::close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(ends[0], buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<size_t>(got));
  }
  ::close(ends[0]);
  int status = -1;
  if (pid < 0 || ::waitpid(pid, &status, 0) != pid || status != 0) {
    return std::nullopt;
  }
  return text;
}

OwnServer::~OwnServer() {
  if (pid_ > 0) {
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
    fs::remove_all(folder_);
  }
}

std::optional<std::string> OwnServer::start(const std::string& device,
                                            const Command& more_options) {
  char name[] = "/tmp/farlane-bench-XXXXXX";
  if (::mkdtemp(name) == nullptr) {
    return std::nullopt;
  }
  folder_ = name;
  const fs::path port_file = folder_ / "port";
  Command command = {own_folder() / "gpuserverd",
                     "--listen",
                     "127.0.0.1:0",
                     "--device",
                     device,
                     "--port-file",
                     port_file,
                     "--module-cache-dir",
                     folder_ / "modules"};
  command.insert(command.end(), more_options.begin(), more_options.end());
  pid_ = spawn(command, -1);
  if (pid_ <= 0) {
    return std::nullopt;
  }
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (std::chrono::steady_clock::now() < deadline && ::waitpid(pid_, nullptr, WNOHANG) == 0) {
    std::ifstream file(port_file);
    std::string address;
    if (std::getline(file, address) && !address.empty()) {
      return address.find(':') == std::string::npos ? "127.0.0.1:" + address : address;
    }
    ::poll(nullptr, 0, 20);
  }
  return std::nullopt;
}

double Samples::median_of(const std::string& name) const {
  const auto found = values.find(name);
  return found == values.end() ? 0 : median(found->second);
}

Command through(const std::string& server, const std::vector<std::string>& settings) {
  Command command;
  if (!settings.empty()) {
    command.push_back("env");
    command.insert(command.end(), settings.begin(), settings.end());
  }
  command.insert(command.end(), {own_folder() / "farlane", "run", "--server", server, "--"});
  return command;
}

void add_figures(const std::string& plain, Samples* samples) {
  std::istringstream lines(plain);
  double value = 0;
  std::string unit;
  std::string name;
  while (lines >> value >> unit && std::getline(lines >> std::ws, name)) {
    if (samples->units.emplace(name, unit).second) {
      samples->order.push_back(name);
    }
    samples->values[name].push_back(value);
  }
}

bool run_program(const Command& launcher, const Command& arguments, const Effort& effort,
                 Samples* samples) {
  Command command = launcher;
  command.push_back(fs::read_symlink("/proc/self/exe"));
  command.insert(command.end(), arguments.begin(), arguments.end());
  command.push_back("--plain");
  if (effort.quick) {
    command.push_back("--quick");
  }
  const std::optional<std::string> text = output_of(command);
  if (!text) {
    std::string line;
    for (const std::string& word : command) {
      line += word + " ";
    }
    std::fprintf(stderr, "farlane-bench: this failed: %s\n", line.c_str());
    return false;
  }
  add_figures(*text, samples);
  return true;
}

Raw measure_raw(const Effort& effort, int runs) {
  std::vector<double> spinning;
  std::vector<double> blocking;
  std::map<int, std::vector<double>> streams;
  std::vector<double> copies;
  for (int run = 0; run < runs; ++run) {
    transport::PingOptions ping;
    ping.round_trips = static_cast<uint32_t>(effort.scaled(20'000));
    spinning.push_back(transport::measure_ping(ping).median_us);
    ping.spinning = false;
    blocking.push_back(transport::measure_ping(ping).median_us);
    for (int connections : {1, 2, 4, 8}) {
      transport::StreamOptions stream;
      stream.connections = static_cast<uint32_t>(connections);
      stream.total_bytes = effort.quick ? uint64_t{256} << 20 : uint64_t{2} << 30;
      streams[connections].push_back(transport::measure_stream(stream).gb_per_s);
    }
    constexpr uint64_t kCopyBytes = uint64_t{256} << 20;
    copies.push_back(transport::measure_stream(
                         {.connections = 8, .total_bytes = kCopyBytes, .memory_bytes = kCopyBytes})
                         .gb_per_s);
  }
  Raw raw;
  raw.spinning_us = median(spinning);
  raw.blocking_us = median(blocking);
  for (auto& [connections, rates] : streams) {
    raw.stream_gb_per_s[connections] = median(rates);
  }
  raw.copy_gb_per_s = median(copies);
  return raw;
}

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) {
      return line.substr(line.find(':') + 2);
    }
  }
  return "unknown processor";
}

std::string json_text(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
    }
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + "\"";
}

std::string machine_text(const std::string& server) {
  utsname system{};
  ::uname(&system);
  return cpu_name() + ", " + std::to_string(std::thread::hardware_concurrency()) + " CPUs, Linux " +
         system.release + "\n" +
         output_of({own_folder() / "farlane", "devices", "--server", server}).value_or("");
}

}  // namespace farlane::bench
