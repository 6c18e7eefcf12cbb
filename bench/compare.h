// farlane-bench compare: the same programs natively and through Farlane, and bare TCP, in one go.
#pragma once

#include <string>
#include <vector>

#include "bench/measure.h"

namespace farlane::bench {

struct CompareOptions {
  std::string server;           // HOST:PORT; empty: starts a gpuserverd of its own on loopback
  std::string device = "auto";  // of the gpuserverd it starts
  std::string json_file;        // empty: no JSON
  int runs = 5;                 // of each program on each side, taking turns; the medians are told
  bool native = true;           // false where there is no GPU here
  std::vector<std::string> settings;  // of the client, "FARLANE_NAME=value"
  Effort effort;
};

// Prints a table and returns the process's exit status.
int compare(const CompareOptions& options);

}  // namespace farlane::bench
