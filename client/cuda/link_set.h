// What cuLinkComplete gives: not a cubin but the images to link, packed into one block of memory
// that a program may copy, keep and hand to cuModuleLoadData like a cubin. The device's server
// links them when they are loaded.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "client/core/jit.h"

namespace farlane::cuda {

// Layout: a header with the counts, then per image its size and bytes, each padded to 16, then the
// options to link with.
std::vector<std::byte> pack_link_set(std::span<const std::vector<char>> images,
                                     std::span<const client::JitOption> options);

// The images of a packed set, or just `image` itself when it is something else.
std::vector<const void*> images_of(const void* image);
// The options of a packed set; of anything else none.
std::vector<client::JitOption> jit_numbers_of(const void* image);

}  // namespace farlane::cuda
