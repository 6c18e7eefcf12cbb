// A module may have more kernels than one record can describe; the server then tells them in pages.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "generated/protocol/messages.h"

namespace farlane::protocol {

// The kernels from number `first` on that fit one reply (limits::kernels_bytes_max and
// limits::module_kernels_max): at least one where there is one, empty when `first` is past the end.
std::vector<message::KernelFacts> pack_kernels(std::span<const message::KernelFacts> all,
                                               size_t first);

}  // namespace farlane::protocol
