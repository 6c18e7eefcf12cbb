// Handlers that the decoder itself emits.
#pragma once

#include "server/softcuda/exec_program.h"

namespace farlane::softcuda {

// d = a clock of the given kind; 64-bit when flag.
enum class Clock : uint8_t { kCycles, kNanoseconds };
bool run_clock(Warp& warp, const Instr& in, uint32_t mask);
// d = imm + the frame's base in local memory; 64-bit when flag.
bool run_frame_address(Warp& warp, const Instr& in, uint32_t mask);
// The end of a function's text, reached without ret.
bool run_return(Warp& warp, const Instr& in, uint32_t mask);

}  // namespace farlane::softcuda
