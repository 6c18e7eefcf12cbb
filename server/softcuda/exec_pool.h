// The threads that run blocks.
#pragma once

#include "server/softcuda/exec_state.h"

namespace farlane::softcuda {

// Runs the grid to its end on the caller's thread and the pool's. The pool starts with the first
// grid that has more than one block; FARLANE_SOFTCUDA_THREADS sets how many threads in all work on
// grids when one caller waits (default: one per processor).
void run_grid(Grid& grid);

}  // namespace farlane::softcuda
