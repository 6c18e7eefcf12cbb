// What is measured. Each function is an ordinary CUDA program: it runs natively and through Farlane
// alike, and ends the process with a message when a CUDA call fails.
#pragma once

#include <vector>

#include "bench/measure.h"

namespace farlane::bench {

using Figures = std::vector<Figure>;

Figures measure_startup(const Effort& effort);    // the first CUDA call of this process
Figures measure_launch(const Effort& effort);     // posting: launches, memsets, events
Figures measure_sync(const Effort& effort);       // asking: synchronisation and queries
Figures measure_copy(const Effort& effort);       // small copies, allocation
Figures measure_bandwidth(const Effort& effort);  // large copies, and a program that mixes all

}  // namespace farlane::bench
