// From what a program hands to cuModuleLoadData to the PTX texts in it.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/softcuda/driver_cuda.h"

namespace farlane::softcuda {

struct Image {
  // More than one for programs made of relocatable parts; they are linked together.
  std::vector<std::string> texts;
};

// `image` is PTX text ending in NUL, a fat binary, a wrapper around fat binaries, or what
// link_container() made. The driver API passes no length, so a fat binary's own header says how far
// it reaches; a caller that has the bytes from elsewhere checks that header against their number
// first.
CUresult open_image(const void* image, Image* out, std::string* error);

// The same for bytes of known number (cuLinkAddData). Nothing outside of them is read; so a
// wrapper, which is made of pointers, is refused.
CUresult open_image(std::span<const std::byte> bytes, Image* out, std::string* error);

// What an object of the host's compiler (CU_JIT_INPUT_OBJECT) holds, and what an archive of them
// does: members without code that can run here are left out.
CUresult open_object(std::span<const std::byte> bytes, Image* out, std::string* error);
CUresult open_archive(std::span<const std::byte> bytes, Image* out, std::string* error);

// What cuLinkComplete returns: an opaque "cubin" that open_image() accepts.
std::vector<char> link_container(std::span<const std::string> texts);

}  // namespace farlane::softcuda
