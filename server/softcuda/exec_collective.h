// Instructions that lanes of a warp execute together (*.sync with a member mask).
#pragma once

#include "server/softcuda/exec_state.h"

namespace farlane::softcuda {

// Deposits a, b and e of the lanes, and lets every set of lanes that names the same members
// (operand c) go on when all its members have come, exited lanes aside; the others wait. Instr::imm
// is the Finish that computes a group's results from the deposits. Lanes may come from different
// places.
bool run_collective(Warp& warp, const Instr& in, uint32_t mask);

}  // namespace farlane::softcuda
