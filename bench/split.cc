// farlane-bench split: where the time of a command goes; README.md says what each column is.
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <set>

#include "bench/goals.h"
#include "bench/runner.h"

namespace farlane::bench {
namespace {

constexpr const char* kParts[] = {"receive", "decode", "driver", "device", "reply"};

// What was not measured is not a number.
std::string cell(const Samples& samples, const std::string& name) {
  char text[32] = "-";
  if (samples.values.contains(name)) {
    std::snprintf(text, sizeof text, "%.3f", samples.median_of(name));
  }
  return text;
}
std::string cell(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", value);
  return text;
}

void print_row(const std::string& name, const std::vector<std::string>& cells) {
  std::printf("%-36s", name.c_str());
  for (const std::string& text : cells) std::printf(" %8s", text.c_str());
  std::printf("\n");
}

struct Measured {
  Samples native;
  Samples plain;  // the worker's clocks are off
  Samples timed;
  double round_trip_us = 0;
};

void print_kind(const std::string& kind, const Measured& measured) {
  const auto name = [&](const char* part) { return kind + ": " + part; };
  const bool posted = measured.plain.values.contains(name("append"));
  std::vector<std::string> cells = {cell(measured.plain, name("total"))};
  if (posted) {
    cells.push_back(cell(measured.plain, name("append")));
    cells.push_back(cell(measured.timed, name("credit")));
    cells.push_back(cell(measured.timed, name("network wait")));
  } else {
    cells.insert(cells.end(), {"-", "-", cell(measured.round_trip_us)});
  }
  for (const char* part : kParts) cells.push_back(cell(measured.timed, name(part)));
  const bool has_rest = !posted && measured.timed.values.contains(name("decode"));
  const auto timed = [&](const char* part) { return measured.timed.median_of(name(part)); };
  cells.push_back(has_rest ? cell(timed("mean") - measured.round_trip_us - timed("decode") -
                                  timed("driver") - timed("device"))
                           : "-");
  cells.push_back(cell(measured.native, name("total")));
  print_row(kind, cells);
}

}  // namespace

int split(const CompareOptions& options) {
  OwnServer plain_server;
  OwnServer timed_server;
  std::optional<std::string> plain = options.server;
  std::optional<std::string> timed = options.server;
  if (options.server.empty()) {
    plain = plain_server.start(options.device);
    timed = timed_server.start(options.device, {"--command-times=true"});
  }
  // The summary of FARLANE_STATS goes nowhere; the counts behind it are what is wanted.
  const std::vector<std::string> quiet = {"FARLANE_STATS=json", "FARLANE_LOG_FILE=/dev/null"};
  if (!plain || !timed) {
    std::fprintf(stderr, "farlane-bench: gpuserverd did not start (its log is above)\n");
    return 1;
  }
  const auto with = [&](const std::string& server, std::vector<std::string> settings) {
    settings.insert(settings.end(), {"FARLANE_TRANSPORT=tcp", "FARLANE_LOCAL_ANSWERS=false"});
    settings.insert(settings.end(), options.settings.begin(), options.settings.end());
    return through(server, settings);
  };
  Measured measured;
  measured.round_trip_us = measure_raw(options.effort, options.runs).spinning_us;
  for (int run = 0; run < options.runs; ++run) {
    if (!run_program(with(*plain, {}), {"cost"}, options.effort, &measured.plain) ||
        !run_program(with(*timed, quiet), {"cost"}, options.effort, &measured.timed) ||
        (options.native && !run_program({}, {"cost"}, options.effort, &measured.native))) {
      return 1;
    }
  }
  std::printf("%sus per call, medians of %d runs\n\n", machine_text(*plain).c_str(), options.runs);
  print_row("", {"total", "append", "credit", "network", "receive", "decode", "driver", "device",
                 "reply", "rest", "native"});
  std::set<std::string> printed;
  for (const std::string& name : measured.plain.order) {
    const std::string kind = name.substr(0, name.rfind(": "));
    if (printed.insert(kind).second) print_kind(kind, measured);
  }
  if (!measured.timed.values.contains("launch: decode")) {
    std::printf("\nThe server's setting log.command_times is off: it does not tell its part.\n");
  }
  return 0;
}

}  // namespace farlane::bench
