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
Figures measure_burst(const Effort& effort);      // ten launches, a small result, a wait for it
Figures measure_copy(const Effort& effort);       // small copies, allocation
Figures measure_bandwidth(const Effort& effort);  // large copies, and a program that mixes all

Figures measure_latency(const Effort& effort);       // p50, p99 and p99.9 of what programs wait for
Figures measure_question(const Effort& effort);      // what asks when local answers are off
Figures measure_threads(const Effort& effort);       // posting from 1 to 8 threads
Figures measure_sizes(const Effort& effort);         // pinned copies by size
Figures measure_registration(const Effort& effort);  // modules and kernels as PyTorch has them

}  // namespace farlane::bench
