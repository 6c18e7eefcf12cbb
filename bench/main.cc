// farlane-bench: an ordinary CUDA program that measures the CUDA it runs on; `compare` runs it on
// both sides.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>

#include "bench/compare.h"
#include "bench/goals.h"
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
      {"burst", {"ten launches, a 4-byte copy to the host, a synchronisation", measure_burst}},
      {"copy", {"small copies and allocation", measure_copy}},
      {"bandwidth", {"large copies, and a program that mixes everything", measure_bandwidth}},
      {"startup", {"the first CUDA call", measure_startup}},
      {"latency", {"p50, p99 and p99.9 of what programs wait for", measure_latency}},
      {"question", {"what asks when FARLANE_LOCAL_ANSWERS is false", measure_question}},
      {"threads", {"posting from 1 to 8 threads", measure_threads}},
      {"sizes", {"pinned copies by size", measure_sizes}},
      {"registration", {"what a program's kernels cost before main()", measure_registration}}};
  Effort effort;
  bool plain = false;
  for (const auto& [name, program] : programs) {
    CLI::App* command = app.add_subcommand(name, program.help);
    command->add_flag("--quick", effort.quick, "a tenth of the work, for a first look");
    command->add_flag("--plain", plain, "one figure a line: value, unit, name");
  }
  CompareOptions options;
  bool no_native = false;
  int64_t rtt_us = 0;
  int64_t gbps = 0;
  struct Comparison {
    const char* help;
    int (*run)(const CompareOptions&);
  };
  const std::map<std::string, Comparison> comparisons = {
      {"compare", {"programs natively, through Farlane, and bare TCP, as a table", compare}},
      {"goals", {"the figures to reach, beside native and bare TCP, and which are met", goals}},
      {"sessions", {"launches per second of 1 to 16 processes at once", sessions}},
      {"connections", {"bandwidth by size and number of connections", connections}},
      {"split",
       {"where the time of each kind of command goes, here, on the network and in the worker",
        split}}};
  for (const auto& [name, comparison] : comparisons) {
    CLI::App* command = app.add_subcommand(name, comparison.help);
    command->add_option("--server", options.server,
                        "HOST:PORT of a gpuserverd; without it, one is started on loopback");
    command
        ->add_option("--device", options.device,
                     "of the gpuserverd that is started: auto, cuda, software")
        ->check(CLI::IsMember({"auto", "cuda", "software"}));
    command->add_option("--runs", options.runs, "of each program on each side")
        ->check(CLI::Range(1, 1000));
    command->add_flag("--no-native", no_native, "where there is no GPU on this machine");
    command->add_option("--rtt-us", rtt_us, "simulates a network with a longer round trip");
    command->add_option("--gbps", gbps, "simulates a network of so many gigabits a second");
    command->add_option("--set", options.settings, "a client setting: FARLANE_NAME=value");
    command->add_flag("--quick", effort.quick, "a tenth of the work, for a first look");
    if (name == "compare" || name == "goals") {
      command->add_option("--json", options.json_file, "a file for the figures as JSON");
    }
  }
  int64_t start_ns = 0;
  CLI::App* rate = app.add_subcommand("session-rate", "one of the processes of sessions");
  rate->add_option("--start-ns", start_ns, "of the steady clock")->required();
  rate->add_flag("--plain", plain, "one figure a line: value, unit, name");
  CLI::App* cost = app.add_subcommand("cost", "the process of split");
  cost->add_flag("--plain", plain, "one figure a line: value, unit, name");
  cost->add_flag("--quick", effort.quick, "a tenth of the work, for a first look");
  int server_pid = 0;
  CLI::App* memory = app.add_subcommand("memory", "resident memory after a little of everything");
  memory->add_option("--server-pid", server_pid, "a gpuserverd here, for its workers' memory");
  memory->add_flag("--plain", plain, "one figure a line: value, unit, name");
  memory->add_flag("--quick", effort.quick, "changes nothing");
  CLI11_PARSE(app, argc, argv);

  for (const auto& [name, comparison] : comparisons) {
    if (app.got_subcommand(name)) {
      options.effort = effort;
      options.native = !no_native;
      if (rtt_us != 0) {
        options.settings.push_back("FARLANE_SIMULATE_RTT_US=" + std::to_string(rtt_us));
      }
      if (gbps != 0) {
        options.settings.push_back("FARLANE_SIMULATE_GBPS=" + std::to_string(gbps));
      }
      return comparison.run(options);
    }
  }
  Figures figures;
  if (rate->parsed()) {
    figures = measure_session_rate(start_ns);
  } else if (cost->parsed()) {
    figures = measure_cost(effort);
  } else if (memory->parsed()) {
    figures = measure_memory(server_pid);
  }
  for (const auto& [name, program] : programs) {
    if (app.got_subcommand(name)) {
      figures = program.measure(effort);
    }
  }
  for (const Figure& figure : figures) {
    if (plain) {
      std::printf("%.6g %s %s\n", figure.value, figure.unit.c_str(), figure.name.c_str());
    } else {
      std::printf("%-44s %10.2f %s\n", figure.name.c_str(), figure.value, figure.unit.c_str());
    }
  }
  return 0;
}
