// farlane-bench goals: the figures that Farlane is to reach, each beside native and raw transport
// of the same run. farlane-bench sessions and connections: what one program alone cannot show.
#pragma once

#include "bench/compare.h"
#include "bench/programs.h"
#include "bench/runner.h"

namespace farlane::bench {

// Each prints a table and returns the process's exit status; goals' is 0 also when some are not
// met.
int goals(const CompareOptions& options);
int sessions(const CompareOptions& options);
int connections(const CompareOptions& options);
int split(const CompareOptions& options);

// The processes that `sessions` starts: launches for a second from `start_ns` of the steady clock
// on.
Figures measure_session_rate(int64_t start_ns);
// The process that `split` starts: what each kind of command costs, and the worker's part of it.
Figures measure_cost(const Effort& effort);
// The sum of the rates of `count` such processes, in million launches per second; negative: one
// failed.
double session_rate(const Command& launcher, int count);
// Memory of this process and, if it is not 0, of the workers of the gpuserverd `server_pid`.
Figures measure_memory(int server_pid);

}  // namespace farlane::bench
