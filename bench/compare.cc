#include "bench/compare.h"

#include <sys/utsname.h>

#include <cstdio>
#include <fstream>
#include <optional>
#include <thread>

#include "bench/runner.h"

namespace farlane::bench {
namespace {

constexpr const char* kPrograms[] = {"startup", "launch", "sync", "copy", "bandwidth"};

std::string first_line(const std::vector<std::string>& command) {
  const std::string text = output_of(command).value_or("");
  return text.substr(0, text.find('\n'));
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
  const Command launcher = through(server, options.settings);
  const Raw raw = measure_raw(options.effort);

  Samples native;
  Samples remote;
  for (int run = 0; run < options.runs; ++run) {
    for (const char* program : kPrograms) {
      if (options.native && !run_program({}, {program}, options.effort, &native)) {
        return 1;
      }
      if (!run_program(launcher, {program}, options.effort, &remote)) {
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
  for (const std::string& name : remote.order) {
    const double ours = remote.median_of(name);
    std::printf("%-44s %6s ", name.c_str(), remote.units[name].c_str());
    if (options.native) {
      const double theirs = native.median_of(name);
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
    for (const std::string& name : remote.order) {
      json << comma << "{\"name\": " << json_text(name)
           << ", \"unit\": " << json_text(remote.units[name]);
      if (options.native) {
        json << ", \"native\": " << native.median_of(name)
             << ", \"ratio\": " << remote.median_of(name) / native.median_of(name);
      }
      json << ", \"farlane\": " << remote.median_of(name) << "}";
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
