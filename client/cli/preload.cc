#include "client/cli/preload.h"

#include <algorithm>
#include <vector>

namespace farlane::cli {
namespace {

std::vector<std::string> split(std::string_view text, std::string_view separators) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of(separators), text.size());
    if (end > 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

bool is_sanitizer_runtime(std::string_view path) {
  const size_t slash = path.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  for (const char* start : {"libasan.", "libtsan.", "libubsan.", "liblsan.", "libclang_rt."}) {
    if (name.starts_with(start)) return true;
  }
  return false;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) {
    if (!text.empty()) text += ':';
    text += part;
  }
  return text;
}

}  // namespace

std::string preload_value(std::string_view existing, std::string_view library_folder,
                          const std::vector<std::string>& names) {
  std::vector<std::string> first;
  std::vector<std::string> last;
  const std::string folder(library_folder);
  std::vector<std::string> ours;
  for (const std::string& name : names) ours.push_back(folder + "/" + name);
  for (std::string& part : split(existing, ": ")) {
    // `farlane run` inside `farlane run`, which may have preloaded more.
    if (part.starts_with(folder + "/")) continue;
    (is_sanitizer_runtime(part) ? first : last).push_back(std::move(part));
  }
  first.insert(first.end(), ours.begin(), ours.end());
  first.insert(first.end(), last.begin(), last.end());
  return joined(first);
}

std::string library_path_value(std::string_view existing, std::string_view library_folder) {
  std::vector<std::string> parts = {std::string(library_folder)};
  for (std::string& part : split(existing, ":")) {
    if (part != parts.front()) parts.push_back(std::move(part));
  }
  return joined(parts);
}

}  // namespace farlane::cli
