// The environment that makes a program load Farlane's libraries instead of the vendor's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace farlane::cli {

// LD_PRELOAD with our libraries, `names` in that folder, in front of what is there already; only a
// sanitizer's runtime stays before them, because it refuses to be anywhere but first.
//
// All of them, and not only those that a program opens by name: PyTorch's libraries find the
// vendor's beside themselves (DT_RPATH), before LD_LIBRARY_PATH is looked at, unless a library of
// that name is loaded already.
std::string preload_value(std::string_view existing, std::string_view library_folder,
                          const std::vector<std::string>& names);
// LD_LIBRARY_PATH with our folder in front. Empty parts, which mean the current folder, are
// dropped.
std::string library_path_value(std::string_view existing, std::string_view library_folder);

}  // namespace farlane::cli
