// How long a list among the arguments of a CUDA-X library's call may be, on both sides.
#pragma once

#include <cstdint>

namespace farlane::protocol {

// Objects or addresses in one list, a count: far more than any function takes.
inline constexpr uint32_t cudax_list_max = 4096;

}  // namespace farlane::protocol
