// farlane-bench split: where the time of a command goes; README.md says what each column is.
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <set>

#include "bench/goals.h"
#include "bench/runner.h"
#include "bench/table.h"

namespace farlane::bench {
namespace {

constexpr const char* kParts[] = {"receive", "decode", "driver", "device", "reply"};

constexpr int kNameWidth = 36;
constexpr int kCellWidth = 8;
constexpr int kDecimals = 3;

struct Measured {
  Samples native;
  Samples plain;  // the worker's clocks are off
  Samples timed;
  double round_trip_us = 0;
};

void print_kind(const std::string& kind, const Measured& m) {
  const auto name = [&](const char* part) { return kind + ": " + part; };
  const bool posted = m.plain.values.contains(name("append"));
  const auto of = [&](const Samples& samples, const char* part) {
    return cell(measured(samples, name(part)), kDecimals);
  };
  std::vector<std::string> cells = {of(m.plain, "total")};
  if (posted) {
    cells.insert(cells.end(),
                 {of(m.plain, "append"), of(m.timed, "credit"), of(m.timed, "network wait")});
  } else {
    cells.insert(cells.end(), {"-", "-", cell(m.round_trip_us, kDecimals)});
  }
  for (const char* part : kParts) cells.push_back(of(m.timed, part));
  const bool has_rest = !posted && m.timed.values.contains(name("decode"));
  const auto timed = [&](const char* part) { return m.timed.median_of(name(part)); };
  std::optional<double> rest;
  if (has_rest) {
    rest = timed("mean") - m.round_trip_us - timed("decode") - timed("driver") - timed("device");
  }
  cells.push_back(cell(rest, kDecimals));
  cells.push_back(of(m.native, "total"));
  print_row(kind, kNameWidth, cells, kCellWidth);
}

}  // namespace

int split(const CompareOptions& options) {
  OwnServer plain_server;
  OwnServer timed_server;
  const std::optional<std::string> plain = server_for(options, &plain_server);
  const std::optional<std::string> timed =
      server_for(options, &timed_server, {"--command-times=true"});
  // The summary of FARLANE_STATS goes nowhere; the counts behind it are what is wanted.
  const std::vector<std::string> quiet = {"FARLANE_STATS=json", "FARLANE_LOG_FILE=/dev/null"};
  if (!plain || !timed) return 1;
  const auto with = [&](const std::string& server, std::vector<std::string> settings) {
    settings.insert(settings.end(), {"FARLANE_TRANSPORT=tcp", "FARLANE_LOCAL_ANSWERS=false"});
    settings.insert(settings.end(), options.settings.begin(), options.settings.end());
    return through(server, settings);
  };
  Measured m;
  m.round_trip_us = measure_raw(options.effort, options.runs).spinning_us;
  for (int run = 0; run < options.runs; ++run) {
    if (!run_program(with(*plain, {}), {"cost"}, options.effort, &m.plain) ||
        !run_program(with(*timed, quiet), {"cost"}, options.effort, &m.timed) ||
        (options.native && !run_program({}, {"cost"}, options.effort, &m.native))) {
      return 1;
    }
  }
  std::printf("%sus per call, medians of %d runs\n\n", machine_text(*plain).c_str(), options.runs);
  print_row("", kNameWidth,
            {"total", "append", "credit", "network", "receive", "decode", "driver", "device",
             "reply", "rest", "native"},
            kCellWidth);
  std::set<std::string> printed;
  for (const std::string& name : m.plain.order) {
    const std::string kind = name.substr(0, name.rfind(": "));
    if (printed.insert(kind).second) print_kind(kind, m);
  }
  if (!m.timed.values.contains("launch: decode")) {
    std::printf("\nThe server's setting log.command_times is off: it does not tell its part.\n");
  }
  return 0;
}

}  // namespace farlane::bench
