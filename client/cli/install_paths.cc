#include "client/cli/install_paths.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

namespace farlane::cli {

std::string library_folder() {
  std::error_code fault;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", fault);
  if (fault) return {};
  return (self.parent_path().parent_path() / "lib" / "farlane").string();
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
  return folder;
}

}  // namespace farlane::cli
