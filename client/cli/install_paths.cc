#include "client/cli/install_paths.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

namespace farlane::cli {

std::string library_folder() {
  std::error_code fault;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", fault);
  if (fault) return {};
  return (self.parent_path().parent_path() / "lib" / "farlane").string();
}

std::vector<std::string> facade_libraries(const std::string& folder) {
  std::vector<std::string> others;
  std::error_code fault;
  for (const auto& entry : std::filesystem::directory_iterator(folder, fault)) {
    const std::string name = entry.path().filename().string();
    const size_t suffix = name.find(".so.");
    if (!name.starts_with("lib") || suffix == std::string::npos ||
        name.find_first_not_of("0123456789", suffix + 4) != std::string::npos ||
        name == kRuntimeLibrary || name == kDriverLibrary) {
      continue;
    }
    others.push_back(name);
  }
  std::sort(others.begin(), others.end());
  std::vector<std::string> all = {kRuntimeLibrary, kDriverLibrary};
  all.insert(all.end(), others.begin(), others.end());
  return all;
}

std::string library_folder_checked(std::string* error) {
  std::string folder = library_folder();
  for (const char* name : {kRuntimeLibrary, kDriverLibrary}) {
    const std::string path = folder + "/" + name;
    if (::access(path.c_str(), R_OK) != 0) {
      *error = fmt::format(
          "Farlane's client libraries are not where they belong: there is no {}. Build everything "
          "(scripts/build.sh) or install again",
          path);
      return {};
    }
  }
  // Where the loader cuts LD_PRELOAD and LD_LIBRARY_PATH.
  if (folder.find_first_of(" :;\t\n") != std::string::npos) {
    *error = fmt::format(
        "the folder of Farlane's client libraries, \"{}\", has a space, a colon or a semicolon in "
        "its name, at which the loader cuts what it is to preload. Move or link Farlane to a "
        "folder without",
        folder);
    return {};
  }
  return folder;
}

}  // namespace farlane::cli
