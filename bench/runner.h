// What the subcommands that run other processes share: programs of the bench as processes, natively
// or through Farlane, a gpuserverd for the time of a measurement, and bare sockets.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bench/measure.h"

namespace farlane::bench {

using Command = std::vector<std::string>;

std::filesystem::path own_folder();
// Its stdout is `stdout_fd` if that is not -1. The process's id, or -1.
pid_t spawn(const Command& command, int stdout_fd);
// Runs a command to its end and gives what it printed; nothing if it failed.
std::optional<std::string> output_of(const Command& command);

// A gpuserverd on loopback.
class OwnServer {
 public:
  OwnServer() = default;
  ~OwnServer();
  OwnServer(const OwnServer&) = delete;
  // Its address, or nothing.
  std::optional<std::string> start(const std::string& device, const Command& more_options = {});
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  std::filesystem::path folder_;
};

// What a number of runs measured, by name.
struct Samples {
  std::map<std::string, std::vector<double>> values;
  std::map<std::string, std::string> units;
  std::vector<std::string> order;  // of first appearance

  double median_of(const std::string& name) const;  // 0 if there is none
};

// What stands before a program: nothing natively, `farlane run` with settings from the environment
// otherwise, e.g. {"FARLANE_TRANSPORT=tcp"}.
Command through(const std::string& server, const std::vector<std::string>& settings = {});

// Runs `farlane-bench ARGUMENTS --plain` and adds its figures. False, with a message, if it failed.
bool run_program(const Command& launcher, const Command& arguments, const Effort& effort,
                 Samples* samples);
// The figures in a program's plain output: value, unit, name.
void add_figures(const std::string& plain, Samples* samples);

struct Raw {
  double spinning_us = 0;
  double blocking_us = 0;
  std::map<int, double> stream_gb_per_s;  // by connections
  // Over 8 connections what a copy of 256 MiB does: once, from memory of that size to memory.
  double copy_gb_per_s = 0;
};
// Medians of `runs`.
Raw measure_raw(const Effort& effort, int runs = 1);

std::string cpu_name();
// The machine, its devices, in one paragraph.
std::string machine_text(const std::string& server);
// A string as JSON writes it, in quotes.
std::string json_text(const std::string& text);

}  // namespace farlane::bench
