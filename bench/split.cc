// farlane-bench split: where the time of a command goes, from what can be measured; README.md says
// what each column is.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>

#include "bench/goals.h"
#include "bench/runner.h"

namespace farlane::bench {
namespace {

// The number behind `"name": ` from `from` on; 0 if there is none.
double number_after(const std::string& text, const std::string& name, size_t from = 0) {
  const size_t at = text.find("\"" + name + "\": ", from);
  return at == std::string::npos ? 0 : std::strtod(text.c_str() + at + name.size() + 4, nullptr);
}

// A wait's total in microseconds per command of the program, as FARLANE_STATS=json tells it.
double wait_us(const std::string& json, const std::string& reason) {
  const size_t waits = json.find("\"waits_by_reason\"");
  const size_t row = waits == std::string::npos ? waits : json.find("\"" + reason + "\"", waits);
  const double commands = number_after(json, "posted") + number_after(json, "asked");
  return row == std::string::npos || commands == 0
             ? 0
             : number_after(json, "total_ns", row) / 1e3 / commands;
}

}  // namespace

int split(const CompareOptions& options) {
  OwnServer own;
  const std::optional<std::string> server =
      options.server.empty() ? own.start(options.device) : options.server;
  char file[] = "/tmp/farlane-bench-stats-XXXXXX";
  const int fd = ::mkstemp(file);
  if (!server || fd < 0) {
    std::fprintf(stderr, "farlane-bench: gpuserverd did not start (its log is above)\n");
    return 1;
  }
  ::close(fd);
  const auto with = [&](std::vector<std::string> settings) {
    settings.insert(settings.end(), options.settings.begin(), options.settings.end());
    return through(*server, settings);
  };
  const Raw raw = measure_raw(options.effort, options.runs);
  Samples counted;  // with statistics, which cost a little: only its waits are told
  Samples posted;
  Samples asked;
  std::vector<double> credit;
  std::vector<double> network;
  bool good = true;
  for (int run = 0; good && run < options.runs; ++run) {
    std::ofstream(file, std::ios::trunc).flush();
    good = run_program(with({"FARLANE_TRANSPORT=tcp"}), {"launch"}, options.effort, &posted) &&
           run_program(with({"FARLANE_TRANSPORT=tcp", "FARLANE_STATS=json",
                             std::string("FARLANE_LOG_FILE=") + file}),
                       {"launch"}, options.effort, &counted) &&
           run_program(with({"FARLANE_TRANSPORT=tcp", "FARLANE_LOCAL_ANSWERS=false"}), {"question"},
                       options.effort, &asked);
    std::stringstream text;
    text << std::ifstream(file).rdbuf();
    credit.push_back(wait_us(text.str(), "credit to send more commands"));
    network.push_back(wait_us(text.str(), "the network to take more data"));
  }
  Samples local;
  for (int run = 0; good && options.native && run < options.runs; ++run) {
    good = run_program({}, {"launch"}, options.effort, &local) &&
           run_program({}, {"question"}, options.effort, &local);
  }
  ::unlink(file);
  if (!good) {
    return 1;
  }
  std::printf("%sus per command, medians of %d runs\n\n", machine_text(*server).c_str(),
              options.runs);
  // What was not measured is not a number.
  const auto cell = [&](bool measured, double value) {
    char text[32] = "-";
    if (measured) {
      std::snprintf(text, sizeof text, "%.3f", value);
    }
    return std::string(text);
  };
  std::printf("%-38s %9s %9s %9s %9s %9s\n", "posted", "append", "credit", "network", "sustained",
              "native");
  std::printf("%-38s %9.3f %9.3f %9.3f %9.3f %9s\n\n", "launch",
              posted.median_of("launch, client cost"), median(credit), median(network),
              posted.median_of("launch, sustained"),
              cell(options.native, local.median_of("launch, sustained")).c_str());
  std::printf("%-38s %9s %9s %9s %9s\n", "asked", "total", "network", "driver", "rest");
  for (const std::string& name : asked.order) {
    const double total = asked.median_of(name);
    const double driver = local.median_of(name);
    std::printf("%-38s %9.3f %9.3f %9s %9s\n", name.c_str(), total, raw.spinning_us,
                cell(options.native, driver).c_str(),
                cell(options.native, total - raw.spinning_us - driver).c_str());
  }
  return 0;
}

}  // namespace farlane::bench
