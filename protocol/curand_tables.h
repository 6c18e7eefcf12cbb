// cuRAND's tables of quasirandom numbers.
#pragma once

#include <cstddef>

namespace farlane::protocol {

// Dimensions in each: its header says so of all direction vectors, and scramble constants are there
// for as many, which tests/libraries/rand.cu reads.
inline constexpr size_t curand_dimensions = 20'000;

}  // namespace farlane::protocol
