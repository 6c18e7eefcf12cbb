#include "server/cudax/host.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <library_types.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace farlane::server::cudax {
namespace {

void* open_library(const std::string& path, const char* soname, std::string* text) {
  std::string tried;
  size_t begin = 0;
  while (begin <= path.size() && !path.empty()) {
    const size_t end = std::min(path.find(':', begin), path.size());
    if (end > begin) {
      const std::string file = path.substr(begin, end - begin) + "/" + soname;
      // Bound at once: a missing piece shows here and not in the middle of somebody's step.
      if (void* handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) {
        *text = file;
        return handle;
      }
      tried += std::string(::dlerror()) + "; ";
    }
    begin = end + 1;
  }
  if (void* handle = ::dlopen(soname, RTLD_NOW | RTLD_LOCAL)) {
    *text = soname;
    return handle;
  }
  *text = tried + ::dlerror();
  return nullptr;
}

}  // namespace

Host::Loaded& Host::load(uint32_t number) {
  Loaded& loaded = loaded_[number];
  if (loaded.library != nullptr || !loaded.version.text.empty()) return loaded;
  const auto all = libraries();
  const auto found = std::find_if(
      all.begin(), all.end(), [&](const Library* library) { return library->number == number; });
  if (found == all.end()) {
    loaded.version.text = fmt::format("this release knows no library {}", number);
    return loaded;
  }
  const Library& library = **found;
  loaded.handle = open_library(path_, library.soname, &loaded.version.text);
  if (loaded.handle == nullptr) {
    spdlog::warn("no {}: {}", library.title, loaded.version.text);
    return loaded;
  }
  using Property = int (*)(libraryPropertyType, int*);
  const auto property = reinterpret_cast<Property>(::dlsym(loaded.handle, library.property));
  std::array<int, 3> version{};
  if (property == nullptr || property(MAJOR_VERSION, &version[0]) != 0 ||
      property(MINOR_VERSION, &version[1]) != 0 || property(PATCH_LEVEL, &version[2]) != 0 ||
      version[0] <= 0) {
    loaded.version.text += fmt::format(" does not tell its version ({})", library.property);
    return loaded;
  }
  loaded.library = &library;
  loaded.version.major = static_cast<unsigned>(version[0]);
  loaded.version.minor = static_cast<unsigned>(version[1]);
  loaded.version.patch = static_cast<unsigned>(version[2]);
  loaded.functions.resize(library.functions.size());
  spdlog::info("{} {}.{}.{} from {}", library.title, version[0], version[1], version[2],
               loaded.version.text);
  return loaded;
}

const Host::Version& Host::open(uint32_t library) {
  return load(library).version;
}

Outcome Host::call(uint32_t function, std::span<const std::byte> arguments) {
  Outcome outcome;
  Loaded& loaded = load(function >> 16);
  if (loaded.library == nullptr) {
    outcome.fault = fmt::format("a call of library {}, which was not opened", function >> 16);
    return outcome;
  }
  const auto functions = loaded.library->functions;
  const auto row =
      std::lower_bound(functions.begin(), functions.end(), function & 0xffff,
                       [](const Function& f, uint32_t number) { return f.number < number; });
  if (row == functions.end() || row->number != (function & 0xffff)) {
    outcome.fault = fmt::format("{} has no function {}", loaded.library->title, function & 0xffff);
    return outcome;
  }
  void*& address = loaded.functions[static_cast<size_t>(row - functions.begin())];
  if (address == nullptr) address = ::dlsym(loaded.handle, row->name);
  if (address == nullptr) {
    outcome.status = -1;
    outcome.what = fmt::format("{} {}.{} has no {}", loaded.library->title, loaded.version.major,
                               loaded.version.minor, row->name);
    return outcome;
  }
  Arguments taken(arguments, objects_, names_, results_max_);
  outcome.status = row->thunk(address, taken);
  outcome.fault = taken.fault();
  if (!outcome.fault.empty()) {
    outcome.fault = fmt::format("{}: {}", row->name, outcome.fault);
    return outcome;
  }
  if (taken.has_stale_object()) {
    outcome.status = -1;
    outcome.what = fmt::format("{}: one of its objects was never made", row->name);
    return outcome;
  }
  outcome.succeeded = outcome.status == loaded.library->success;
  taken.settle(outcome.succeeded);
  outcome.results = taken.results();
  if (!outcome.succeeded) {
    outcome.what = fmt::format("{} failed with status {}", row->name, outcome.status);
  }
  return outcome;
}

}  // namespace farlane::server::cudax
