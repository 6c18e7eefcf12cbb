// Which options of compiling (CUjit_option) are plain 32-bit values and travel as they are. Others
// hold pointers into the program, or are answers: logs and times.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace farlane::protocol {

// By number, because this folder knows no CUDA; server/module.cc holds them to cuda.h.
inline constexpr std::array<uint32_t, 23> kPlainJitOptions = {
    0,   // max registers
    1,   // threads per block
    7,   // optimisation level
    8,   // target from the context
    9,   // target
    10,  // fallback strategy
    11,  // generate debug info
    12,  // log verbose
    13,  // generate line info
    14,  // cache mode
    15,  // new sm_3x optimiser
    16,  // fast compile
    20,  // lto
    21,  // ftz
    22,  // precise division
    23,  // precise square root
    24,  // fma
    29,  // optimise unused device variables
    30,  // position independent code
    31,  // minimum of blocks per multiprocessor
    32,  // maximum of threads per block
    33,  // override directive values
    34,  // split compile
};

constexpr bool is_plain_jit_option(uint32_t id) {
  return std::find(kPlainJitOptions.begin(), kPlainJitOptions.end(), id) != kPlainJitOptions.end();
}

}  // namespace farlane::protocol
