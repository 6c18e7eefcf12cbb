// libfarlane_open.so, which `farlane run` preloads before the façades: dlopen() of a vendor's
// library by its path gives the program ours.
//
// A library that is opened by name is ours already, because one of that name is loaded; by path the
// loader takes the file that it is given. PyTorch opens its wheel's libraries that way, all of them
// and at every start, without calling them: cuBLASLt alone is half a gigabyte whose relocations
// touch a hundred megabytes. And who calls functions of what he opened by path (ctypes) would call
// a library that looks for a driver here.
//
// Only the C library is used here, and nothing is built with a sanitizer: every program has this
// library, first of all.
#include <dlfcn.h>
#include <limits.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

using Open = void* (*)(const char*, int) noexcept;

std::atomic<Open> g_next = nullptr;
std::atomic<uint64_t> g_count = 0;

Open next() {
  Open found = g_next.load(std::memory_order_relaxed);
  if (found == nullptr) {
    found = reinterpret_cast<Open>(::dlsym(RTLD_NEXT, "dlopen"));
    g_next.store(found, std::memory_order_relaxed);
  }
  return found;
}

const char* name_in(const char* path) {
  const char* const slash = std::strrchr(path, '/');
  return slash == nullptr ? path : slash + 1;
}

// How much of a library's name is its SONAME, if SONAMEs end in one number: of libcublas.so.13.1.0
// that is libcublas.so.13. 0: it has no number.
size_t soname_bytes(const char* name) {
  const char* const suffix = std::strstr(name, ".so.");
  if (suffix == nullptr) return 0;
  const char* const number = suffix + std::strlen(".so.");
  const size_t digits = std::strspn(number, "0123456789");
  const char end = number[digits];
  if (digits == 0 || (end != '\0' && end != '.')) return 0;
  return static_cast<size_t>(number + digits - name);
}

// Writes the path of the library of ours that stands for the file at `path`. False: there is none,
// or no such file, whose error is the loader's to tell.
bool find_ours(const char* path, char (&ours)[PATH_MAX]) {
  const char* name = name_in(path);
  if (name == path || std::strncmp(name, "lib", 3) != 0) return false;
  char real[PATH_MAX];
  size_t bytes = soname_bytes(name);
  if (bytes == 0) {
    // libcublas.so: a link that says which one.
    const char* const suffix = std::strstr(name, ".so");
    if (suffix == nullptr || suffix[3] != '\0' || ::realpath(path, real) == nullptr) return false;
    name = name_in(real);
    bytes = soname_bytes(name);
  }
  Dl_info self{};
  if (bytes == 0 || ::dladdr(reinterpret_cast<const void*>(&find_ours), &self) == 0) return false;
  const auto folder = static_cast<size_t>(name_in(self.dli_fname) - self.dli_fname);
  if (folder + bytes >= sizeof ours) return false;
  std::memcpy(ours, self.dli_fname, folder);
  std::memcpy(ours + folder, name, bytes);
  ours[folder + bytes] = '\0';
  return ::access(ours, R_OK) == 0 && ::access(path, R_OK) == 0;
}

// Null: the loader shall do what it was asked for.
[[gnu::noinline]] void* open_ours(const char* path, int flags) {
  if (path == nullptr) return nullptr;
  const int error = errno;
  char ours[PATH_MAX];
  void* const handle = find_ours(path, ours) ? next()(ours, flags) : nullptr;
  errno = error;
  if (handle != nullptr) g_count.fetch_add(1, std::memory_order_relaxed);
  return handle;
}

}  // namespace

extern "C" {

// For the statistics (client/core/stats.cc).
uint64_t farlane_opened_instead() {
  return g_count.load(std::memory_order_relaxed);
}

// The loader searches where the caller's DT_RUNPATH says, and knows the caller by the address that
// it returns to: the last call here must be a jump. So this file is always optimised.
void* dlopen(const char* path, int flags) noexcept {
  void* const ours = open_ours(path, flags);
  return ours != nullptr ? ours : next()(path, flags);
}

}  // extern "C"
