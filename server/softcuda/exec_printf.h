// Device printf.
#pragma once

#include <cstdint>
#include <string>

#include "server/softcuda/exec_state.h"

namespace farlane::softcuda {

// Reads a zero-terminated string at a generic address. False when some of it cannot be read.
bool read_string(Warp& warp, uint32_t lane, uint64_t address, std::string* text);

// Formats `format` with the arguments that the compiler packed at `arguments` (each aligned to its
// size, float promoted to double), and writes it to the grid's output as one message. Returns the
// number of arguments, -1 without an output, as CUDA does.
int32_t device_printf(Warp& warp, uint32_t lane, uint64_t format, uint64_t arguments);

}  // namespace farlane::softcuda
