#include "bench/compare.h"

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
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <thread>

#include "transport/ping.h"

extern char** environ;

namespace farlane::bench {
namespace {

namespace fs = std::filesystem;

using Samples = std::map<std::string, std::vector<double>>;

constexpr const char* kPrograms[] = {"startup", "launch", "sync", "copy", "bandwidth"};

fs::path own_folder() {
  return fs::read_symlink("/proc/self/exe").parent_path();
}

pid_t spawn(const std::vector<std::string>& command, int stdout_fd) {
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
std::optional<std::string> output_of(const std::vector<std::string>& command) {
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

// A gpuserverd for the time of the comparison.
class OwnServer {
 public:
  ~OwnServer() {
    if (pid_ > 0) {
      ::kill(pid_, SIGTERM);
      ::waitpid(pid_, nullptr, 0);
      fs::remove_all(folder_);
    }
  }
  // Its address, or nothing.
  std::optional<std::string> start(const std::string& device) {
    char name[] = "/tmp/farlane-bench-XXXXXX";
    if (::mkdtemp(name) == nullptr) {
      return std::nullopt;
    }
    folder_ = name;
    const fs::path port_file = folder_ / "port";
    pid_ = spawn({own_folder() / "gpuserverd", "--listen", "127.0.0.1:0", "--device", device,
                  "--port-file", port_file, "--module-cache-dir", folder_ / "modules"},
                 -1);
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

 private:
  pid_t pid_ = -1;
  fs::path folder_;
};

// A program's figures, as `farlane-bench PROGRAM --plain` prints them: value, unit, name.
bool run_program(const std::vector<std::string>& launcher, const char* program,
                 const Effort& effort, Samples* samples, std::map<std::string, std::string>* units,
                 std::vector<std::string>* order) {
  std::vector<std::string> command = launcher;
  command.insert(command.end(), {fs::read_symlink("/proc/self/exe"), program, "--plain"});
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
  std::istringstream lines(*text);
  double value = 0;
  std::string unit;
  std::string name;
  while (lines >> value >> unit && std::getline(lines >> std::ws, name)) {
    if (units->emplace(name, unit).second) {
      order->push_back(name);
    }
    (*samples)[name].push_back(value);
  }
  return true;
}

std::string first_line(const std::vector<std::string>& command) {
  const std::string text = output_of(command).value_or("");
  return text.substr(0, text.find('\n'));
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

struct Raw {
  double spinning_us = 0;
  double blocking_us = 0;
  std::map<int, double> stream_gb_per_s;  // by connections
};

Raw measure_raw(const Effort& effort) {
  Raw raw;
  transport::PingOptions ping;
  ping.round_trips = static_cast<uint32_t>(effort.scaled(20'000));
  raw.spinning_us = transport::measure_ping(ping).median_us;
  ping.spinning = false;
  raw.blocking_us = transport::measure_ping(ping).median_us;
  for (int connections : {1, 2, 4, 8}) {
    transport::StreamOptions stream;
    stream.connections = static_cast<uint32_t>(connections);
    stream.total_bytes = effort.quick ? uint64_t{256} << 20 : uint64_t{2} << 30;
    raw.stream_gb_per_s[connections] = transport::measure_stream(stream).gb_per_s;
  }
  return raw;
}

}  // namespace

int compare(const CompareOptions& options) {
  OwnServer own;
  std::string server = options.server;
  if (server.empty()) {
    const std::optional<std::string> started = own.start(options.device);
    if (!started) {
      std::fprintf(stderr, "farlane-bench: gpuserverd did not start (its log is above)\n");
      return 1;
    }
    server = *started;
  }
  const std::vector<std::string> through = {own_folder() / "farlane", "run", "--server", server,
                                            "--"};
  const Raw raw = measure_raw(options.effort);

  Samples native;
  Samples remote;
  std::map<std::string, std::string> units;
  std::vector<std::string> order;
  for (int run = 0; run < options.runs; ++run) {
    for (const char* program : kPrograms) {
      if (options.native && !run_program({}, program, options.effort, &native, &units, &order)) {
        return 1;
      }
      if (!run_program(through, program, options.effort, &remote, &units, &order)) {
        return 1;
      }
    }
  }

  utsname system{};
  ::uname(&system);
  const std::string devices =
      output_of({own_folder() / "farlane", "devices", "--server", server}).value_or("");
  std::printf("%s, %u CPUs, Linux %s\n%s", cpu_name().c_str(), std::thread::hardware_concurrency(),
              system.release, devices.c_str());
  std::printf("medians of %d runs; bare TCP: round trip %.1f us spinning, %.1f us blocking;",
              options.runs, raw.spinning_us, raw.blocking_us);
  for (const auto& [connections, rate] : raw.stream_gb_per_s) {
    std::printf(" %.1f GB/s over %d", rate, connections);
  }
  std::printf("\n\n%-44s %6s %10s %10s %8s\n", "", "", "native", "farlane", "ratio");
  for (const std::string& name : order) {
    const double ours = median(remote[name]);
    std::printf("%-44s %6s ", name.c_str(), units[name].c_str());
    if (options.native) {
      const double theirs = median(native[name]);
      std::printf("%10.2f %10.2f %8.2f\n", theirs, ours, theirs > 0 ? ours / theirs : 0);
    } else {
      std::printf("%10s %10.2f %8s\n", "-", ours, "-");
    }
  }

  if (!options.json_file.empty()) {
    std::ofstream json(options.json_file);
    json << "{\"cpu\": " << json_text(cpu_name())
         << ", \"cpus\": " << std::thread::hardware_concurrency()
         << ", \"kernel\": " << json_text(system.release) << ", \"devices\": " << json_text(devices)
         << ", \"version\": " << json_text(first_line({own_folder() / "farlane", "--version"}))
         << ", \"commit\": " << json_text(FARLANE_COMMIT) << ", \"runs\": " << options.runs
         << ",\n \"raw\": {\"round_trip_spinning_us\": " << raw.spinning_us
         << ", \"round_trip_blocking_us\": " << raw.blocking_us << ", \"stream_gb_per_s\": {";
    const char* comma = "";
    for (const auto& [connections, rate] : raw.stream_gb_per_s) {
      json << comma << '"' << connections << "\": " << rate;
      comma = ", ";
    }
    json << "}},\n \"figures\": [";
    comma = "\n  ";
    for (const std::string& name : order) {
      json << comma << "{\"name\": " << json_text(name) << ", \"unit\": " << json_text(units[name]);
      if (options.native) {
        json << ", \"native\": " << median(native[name])
             << ", \"ratio\": " << median(remote[name]) / median(native[name]);
      }
      json << ", \"farlane\": " << median(remote[name]) << "}";
      comma = ",\n  ";
    }
    json << "\n ]}\n";
    if (!json.flush()) {
      std::fprintf(stderr, "farlane-bench: cannot write %s\n", options.json_file.c_str());
      return 1;
    }
  }
  return 0;
}

}  // namespace farlane::bench
