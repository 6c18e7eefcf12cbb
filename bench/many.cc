// Many processes against one server, and many connections of one.
#include <dirent.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "bench/cuda_must.h"
#include "bench/goals.h"
#include "bench/kernels.h"
#include "bench/runner.h"
#include "bench/table.h"

namespace farlane::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kMiB = 1 << 20;

// A line "Name:  123 kB" of a /proc file, in MiB; 0 without one.
double proc_mib(const std::string& file, const std::string& name) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(name + ":")) {
      return std::strtod(line.c_str() + name.size() + 1, nullptr) / 1024;
    }
  }
  return 0;
}

// Resident pages of files that are ours.
double own_libraries_mib() {
  std::ifstream maps("/proc/self/smaps");
  bool is_ours = false;
  double mib = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.starts_with("Rss:") && is_ours) {
      mib += std::strtod(line.c_str() + 4, nullptr) / 1024;
    } else if (line.find('-') < 17 && line.find(' ') > line.find('-')) {
      is_ours = line.find("/farlane/lib") != std::string::npos;
    }
  }
  return mib;
}

// The largest resident set among the processes that descend from `ancestor`.
double largest_descendant_mib(int ancestor) {
  std::set<int> family = {ancestor};
  double largest = 0;
  for (bool grown = true; grown;) {
    grown = false;
    DIR* folder = ::opendir("/proc");
    while (const dirent* entry = folder != nullptr ? ::readdir(folder) : nullptr) {
      const int pid = std::atoi(entry->d_name);
      if (pid <= 0 || family.contains(pid)) {
        continue;
      }
      const std::string status = std::string("/proc/") + entry->d_name + "/status";
      const int parent = static_cast<int>(std::lround(proc_mib(status, "PPid") * 1024));
      if (family.contains(parent)) {
        family.insert(pid);
        largest = std::max(largest, proc_mib(status, "VmRSS"));
        grown = true;
      }
    }
    if (folder != nullptr) {
      ::closedir(folder);
    }
  }
  return largest;
}

}  // namespace

Figures measure_session_rate(int64_t start_ns) {
  launch_empty(nullptr);
  synchronize();
  const Clock::time_point start{Clock::duration(start_ns)};
  if (Clock::now() > start) {
    std::fprintf(stderr, "farlane-bench: a session took too long to open\n");
    std::exit(1);
  }
  std::this_thread::sleep_until(start);
  constexpr int kCalls = 1000;
  int64_t calls = 0;
  do {
    for (int i = 0; i < kCalls; ++i) {
      launch_empty(nullptr);
    }
    synchronize();
    calls += kCalls;
  } while (seconds_since(start) < 1);
  return {{"launches", static_cast<double>(calls) / seconds_since(start) / 1e6, "M/s"}};
}

Figures measure_memory(int server_pid) {
  const double before = proc_mib("/proc/self/status", "VmRSS");
  const double libraries = own_libraries_mib();
  DeviceBuffer device(1 << 20);
  std::vector<char> host(1 << 20, 1);
  launch_empty(nullptr);
  BENCH_CUDA(cudaMemcpy(device.floats(), host.data(), host.size(), cudaMemcpyHostToDevice));
  BENCH_CUDA(cudaMemcpy(host.data(), device.floats(), host.size(), cudaMemcpyDeviceToHost));
  synchronize();
  const double after = proc_mib("/proc/self/status", "VmRSS");
  Figures figures = {{"process, resident", after, "MiB"},
                     // What it held of our libraries before the first call counts as well.
                     {"client core, resident",
                      after - before + libraries - static_cast<double>(host.size()) / kMiB, "MiB"}};
  if (server_pid != 0) {
    figures.push_back({"worker, resident", largest_descendant_mib(server_pid), "MiB"});
  }
  return figures;
}

double session_rate(const Command& launcher, int count) {
  // Far enough that all have opened their sessions; one that has not says so and fails.
  const auto start =
      Clock::now() + std::chrono::seconds(4) + std::chrono::milliseconds(250) * count;
  Command command = launcher;
  command.insert(command.end(),
                 {std::filesystem::read_symlink("/proc/self/exe"), "session-rate", "--start-ns",
                  std::to_string(start.time_since_epoch().count()), "--plain"});
  std::vector<pid_t> pids;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return -1;
  }
  for (int i = 0; i < count; ++i) {
    pids.push_back(spawn(command, ends[1]));
  }
  ::close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(ends[0], buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<size_t>(got));
  }
  ::close(ends[0]);
  bool all = true;
  for (const pid_t pid : pids) {
    int status = -1;
    all &= pid > 0 && ::waitpid(pid, &status, 0) == pid && status == 0;
  }
  Samples samples;
  add_figures(text, &samples);
  double sum = 0;
  for (const double rate : samples.values["launches"]) {
    sum += rate;
  }
  return all ? sum : -1;
}

int sessions(const CompareOptions& options) {
  OwnServer own;
  const std::optional<std::string> server = server_for(options, &own);
  if (!server) {
    return 1;
  }
  std::printf("%sempty launches of all processes together, million/s, medians of %d runs\n\n",
              machine_text(*server).c_str(), options.runs);
  print_row("processes", 10, {"native", "farlane", "ratio"}, 10);
  for (const int count : {1, 2, 4, 8, 16}) {
    std::vector<double> native;
    std::vector<double> ours;
    for (int run = 0; run < options.runs; ++run) {
      if (options.native) {
        native.push_back(session_rate({}, count));
      }
      ours.push_back(session_rate(through(*server, options.settings), count));
      if (ours.back() < 0 || (options.native && native.back() < 0)) {
        std::fprintf(stderr, "farlane-bench: a process failed with %d of them\n", count);
        return 1;
      }
    }
    std::optional<double> theirs;
    std::optional<double> ratio;
    if (options.native) {
      theirs = median(native);
      ratio = median(ours) / *theirs;
    }
    print_row(std::to_string(count), 10, {cell(theirs, 3), cell(median(ours), 3), cell(ratio, 2)},
              10);
  }
  return 0;
}

int connections(const CompareOptions& options) {
  OwnServer own;
  const std::optional<std::string> server = server_for(options, &own);
  if (!server) {
    return 1;
  }
  const Raw raw = measure_raw(options.effort, options.runs);
  constexpr int kCounts[] = {0, 1, 2, 4, 8};
  Samples native;
  std::map<int, Samples> ours;
  for (int run = 0; run < options.runs; ++run) {
    if (options.native && !run_program({}, {"sizes"}, options.effort, &native)) {
      return 1;
    }
    for (const int count : kCounts) {
      std::vector<std::string> settings = options.settings;
      settings.push_back("FARLANE_TRANSPORT=tcp");
      settings.push_back("FARLANE_CONNECTIONS=" + std::to_string(count));
      if (!run_program(through(*server, settings), {"sizes"}, options.effort, &ours[count])) {
        return 1;
      }
    }
  }
  std::printf("%sGB/s, medians of %d runs; 0: everything over the session's one connection\n\n",
              machine_text(*server).c_str(), options.runs);
  std::vector<std::string> cells = {"native"};
  for (const int count : kCounts) cells.push_back(std::to_string(count));
  print_row("", 28, cells, 8);
  cells = {"-", "-"};
  for (const auto& [count, rate] : raw.stream_gb_per_s) cells.push_back(cell(rate, 2));
  print_row("bare TCP streams", 28, cells, 8);
  for (const std::string& name : ours[0].order) {
    cells = {cell(measured(native, name), 2)};
    for (const int count : kCounts) cells.push_back(cell(measured(ours[count], name), 2));
    print_row(name, 28, cells, 8);
  }
  // What the goal is about: the largest copies as a part of bare streams over as many connections.
  std::printf("\nof bare TCP over as many connections\n");
  const std::vector<std::string>& names = ours[0].order;
  for (size_t i = names.size() - std::min<size_t>(names.size(), 2); i < names.size(); ++i) {
    std::printf("%-28s %8s", names[i].c_str(), "");
    for (const int count : kCounts) {
      const auto found = raw.stream_gb_per_s.find(count);
      if (found == raw.stream_gb_per_s.end() || found->second <= 0) {
        std::printf(" %8s", "-");
      } else {
        std::printf(" %8.2f", ours[count].median_of(names[i]) / found->second);
      }
    }
    std::printf("\n");
  }
  return 0;
}

}  // namespace farlane::bench
