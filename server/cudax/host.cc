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

bool tell_version(const Library& library, void* function, std::array<int, 3>* version) {
  if (library.is_grouped) {
    // 2.28.9 is 22809.
    int code = 0;
    if (reinterpret_cast<int (*)(int*)>(function)(&code) != 0) return false;
    *version = {code / 10'000, code / 100 % 100, code % 100};
  } else {
    const auto property = reinterpret_cast<int (*)(libraryPropertyType, int*)>(function);
    if (property(MAJOR_VERSION, version->data()) != 0 ||
        property(MINOR_VERSION, version->data() + 1) != 0 ||
        property(PATCH_LEVEL, version->data() + 2) != 0) {
      return false;
    }
  }
  return (*version)[0] > 0;
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
  std::array<int, 3> version{};
  void* const property = ::dlsym(loaded.handle, library.property);
  if (property == nullptr || !tell_version(library, property, &version)) {
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

bool Host::find(uint32_t function, Found* found, std::string* fault) {
  Loaded& loaded = load(function >> 16);
  if (loaded.library == nullptr) {
    *fault = fmt::format("a call of library {}, which was not opened", function >> 16);
    return false;
  }
  const auto functions = loaded.library->functions;
  const auto row =
      std::lower_bound(functions.begin(), functions.end(), function & 0xffff,
                       [](const Function& f, uint32_t number) { return f.number < number; });
  if (row == functions.end() || row->number != (function & 0xffff)) {
    *fault = fmt::format("{} has no function {}", loaded.library->title, function & 0xffff);
    return false;
  }
  void*& address = loaded.functions[static_cast<size_t>(row - functions.begin())];
  if (address == nullptr) address = ::dlsym(loaded.handle, row->name);
  *found = {loaded.library, &*row, address};
  return true;
}

void* Host::symbol(uint32_t library, const char* name) {
  const Loaded& loaded = load(library);
  return loaded.library == nullptr ? nullptr : ::dlsym(loaded.handle, name);
}

Outcome Host::call(uint32_t function, std::span<const std::byte> arguments,
                   size_t results_max) {
  Outcome outcome;
  Found found;
  if (!find(function, &found, &outcome.fault)) return outcome;
  const Function* const row = found.function;
  if (found.library->is_grouped) {
    outcome.fault = fmt::format("{} outside of a group", row->name);
    return outcome;
  }
  if (found.address == nullptr) {
    const Version& version = load(function >> 16).version;
    outcome.status = -1;
    outcome.what = fmt::format("{} {}.{} has no {}", found.library->title, version.major,
                               version.minor, row->name);
    return outcome;
  }
  Arguments taken(arguments, objects_, names_, results_max);
  outcome.status = row->thunk(found.address, taken);
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
  outcome.succeeded = outcome.status == found.library->success;
  taken.settle(outcome.succeeded);
  outcome.results = taken.results();
  if (!outcome.succeeded) {
    outcome.what = fmt::format("{} failed with status {}", row->name, outcome.status);
  }
  return outcome;
}

}  // namespace farlane::server::cudax
