// farlane-bench: an ordinary CUDA program that measures the CUDA it runs on; `compare` runs it on
// both sides.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>

#include "bench/compare.h"
#include "bench/programs.h"

int main(int argc, char** argv) {
  using namespace farlane::bench;
  CLI::App app{"Measures CUDA, natively or through Farlane (farlane run -- farlane-bench …)."};
  app.require_subcommand(1);

  struct Program {
    const char* help;
    Figures (*measure)(const Effort&);
  };
  const std::map<std::string, Program> programs = {
      {"launch", {"what posting costs: launches, memsets, events", measure_launch}},
      {"sync", {"what asking costs: synchronisation and queries", measure_sync}},
      {"copy", {"small copies and allocation", measure_copy}},
      {"bandwidth", {"large copies, and a program that mixes everything", measure_bandwidth}},
      {"startup", {"the first CUDA call", measure_startup}},
      {"latency", {"p50, p99 and p99.9 of what programs wait for", measure_latency}},
      {"question", {"what asks when FARLANE_LOCAL_ANSWERS is false", measure_question}},
      {"threads", {"posting from 1 to 8 threads", measure_threads}},
      {"sizes", {"pinned copies by size", measure_sizes}}};
  Effort effort;
  bool plain = false;
  for (const auto& [name, program] : programs) {
    CLI::App* command = app.add_subcommand(name, program.help);
    command->add_flag("--quick", effort.quick, "a tenth of the work, for a first look");
    command->add_flag("--plain", plain, "one figure a line: value, unit, name");
  }
  CompareOptions options;
  bool no_native = false;
  CLI::App* compare_command = app.add_subcommand(
      "compare", "all of these natively, through Farlane, and bare TCP, as a table");
  compare_command->add_option("--server", options.server,
                              "HOST:PORT of a gpuserverd; without it, one is started on loopback");
  compare_command
      ->add_option("--device", options.device,
                   "of the gpuserverd that is started: auto, cuda, software")
      ->check(CLI::IsMember({"auto", "cuda", "software"}));
  compare_command->add_option("--runs", options.runs, "of each program on each side")
      ->check(CLI::Range(1, 1000));
  compare_command->add_option("--json", options.json_file, "a file for the figures as JSON");
  compare_command->add_flag("--no-native", no_native, "where there is no GPU on this machine");
  compare_command->add_flag("--quick", effort.quick, "a tenth of the work, for a first look");
  CLI11_PARSE(app, argc, argv);

  if (compare_command->parsed()) {
    options.effort = effort;
    options.native = !no_native;
    return compare(options);
  }
  for (const auto& [name, program] : programs) {
    if (app.got_subcommand(name)) {
      for (const Figure& figure : program.measure(effort)) {
        if (plain) {
          std::printf("%.6g %s %s\n", figure.value, figure.unit.c_str(), figure.name.c_str());
        } else {
          std::printf("%-44s %10.2f %s\n", figure.name.c_str(), figure.value, figure.unit.c_str());
        }
      }
    }
  }
  return 0;
}
