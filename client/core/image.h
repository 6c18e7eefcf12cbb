// Module images as programs hand them over: a pointer without a size.
#pragma once

#include <cstddef>
#include <span>

#include "generated/protocol/messages.h"

namespace farlane::client {

// The bytes of a fat binary (container or wrapper), a cubin or object, NUL-terminated PTX or a
// NUL-terminated archive of objects (the NUL included), as its own header tells. Empty: none of
// these. The image is trusted as far as CUDA trusts it: it is the program's own memory.
std::span<const std::byte> image_bytes(const void* image);

// XXH3, 128 bits.
protocol::message::ImageHash image_hash(std::span<const std::byte> bytes);

}  // namespace farlane::client
