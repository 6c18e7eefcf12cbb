#include "bench/compare.h"

#include <cstdio>
#include <fstream>
#include <optional>

#include "bench/runner.h"
#include "bench/table.h"

namespace farlane::bench {
namespace {

constexpr const char* kPrograms[] = {"startup", "launch", "sync", "burst", "copy", "bandwidth"};

}  // namespace

int compare(const CompareOptions& options) {
  OwnServer own;
  const std::optional<std::string> server = server_for(options, &own);
  if (!server) {
    return 1;
  }
  const Command launcher = through(*server, options.settings);
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

  std::printf("%s", machine_text(*server).c_str());
  std::printf("medians of %d runs; bare TCP: round trip %.1f us spinning, %.1f us blocking;",
              options.runs, raw.spinning_us, raw.blocking_us);
  for (const auto& [connections, rate] : raw.stream_gb_per_s) {
    std::printf(" %.1f GB/s over %d", rate, connections);
  }
  std::printf("\n\n");
  print_row("", 44, {"", "native", "farlane", "ratio"}, 10);
  for (const std::string& name : remote.order) {
    const double ours = remote.median_of(name);
    const std::optional<double> theirs = measured(native, name);
    const bool comparable = theirs && *theirs > 0;
    print_row(name, 44,
              {remote.units[name], cell(theirs, 2), cell(ours, 2),
               cell(comparable ? std::optional(ours / *theirs) : std::nullopt, 2)},
              10);
  }

  if (!options.json_file.empty()) {
    std::ofstream json(options.json_file);
    json << "{";
    write_json_circumstances(json, *server, options.runs, raw);
    json << ",\n \"figures\": [";
    const char* comma = "\n  ";
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
    if (!finish_json(json, options.json_file)) {
      return 1;
    }
  }
  return 0;
}

}  // namespace farlane::bench
