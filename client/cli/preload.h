// The environment that makes a program load Farlane's libraries instead of the vendor's.
#pragma once

#include <string>
#include <string_view>

namespace farlane::cli {

// LD_PRELOAD with our libraries in front of what is there already; only a sanitizer's runtime stays
// before them, because it refuses to be anywhere but first.
std::string preload_value(std::string_view existing, std::string_view library_folder);
// LD_LIBRARY_PATH with our folder in front. Empty parts, which mean the current folder, are
// dropped.
std::string library_path_value(std::string_view existing, std::string_view library_folder);

}  // namespace farlane::cli
