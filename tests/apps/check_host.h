// What every test program shares and that needs no CUDA: random numbers, comparisons, the verdict.
// Programs print only what every correct CUDA implementation prints alike.
#pragma once

#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace check {

inline const char* base_name(const char* path) {
  const char* slash = std::strrchr(path, '/');
  return slash ? slash + 1 : path;
}

// The first thing that went wrong; empty while all is well. Host threads must report through
// their own state and be judged by the main thread.
inline std::string& first_failure() {
  static std::string text;
  return text;
}

__attribute__((format(printf, 1, 2))) inline void fail(const char* format, ...) {
  if (!first_failure().empty()) return;
  char text[512];
  va_list args;
  va_start(args, format);
  std::vsnprintf(text, sizeof text, format, args);
  va_end(args);
  first_failure() = text;
}

// Prints the verdict and gives the exit status of the program.
inline int finish() {
  if (first_failure().empty()) {
    std::printf("PASS\n");
    std::fflush(stdout);
    return 0;
  }
  std::printf("FAIL: %s\n", first_failure().c_str());
  std::fflush(stdout);
  return 1;
}

// The machine lacks what the program is about: its exit status says so.
constexpr int kSkipped = 77;
inline int skip(const char* why) {
  std::printf("SKIP: %s\n", why);
  std::fflush(stdout);
  return kSkipped;
}

inline bool expect(bool good, const char* text, const char* file, int line) {
  if (!good) fail("%s:%d: %s", base_name(file), line, text);
  return good;
}

// The optional first argument enlarges the problem on a real GPU; 1 suits an interpreter.
inline int scale(int argc, char** argv) {
  int factor = argc > 1 ? std::atoi(argv[1]) : 1;
  return factor < 1 ? 1 : factor;
}

// splitmix64: the same numbers on every machine, on the host and on the device.
struct Rng {
  uint64_t state;
  explicit Rng(uint64_t seed) : state(seed) {}
  uint64_t next_u64() {
    uint64_t z = (state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  uint32_t next_u32() { return static_cast<uint32_t>(next_u64() >> 32); }
  uint32_t below(uint32_t bound) { return static_cast<uint32_t>((next_u64() >> 33) % bound); }
  // 24 random bits: exact in a float, in [0, 1).
  float next_float() { return static_cast<float>(next_u64() >> 40) * (1.0f / 16777216.0f); }
  double next_double() {
    return static_cast<double>(next_u64() >> 11) * (1.0 / 9007199254740992.0);
  }
};

// FNV-1a over raw bytes: one printed word that stands for a whole result.
inline uint64_t hash(const void* data, size_t size, uint64_t seed = 0xcbf29ce484222325ull) {
  const unsigned char* bytes = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < size; ++i) seed = (seed ^ bytes[i]) * 0x100000001b3ull;
  return seed;
}

// Bitwise equality; prints "<what>: N equal".
template <typename T>
bool equal(const char* what, const T* got, const T* want, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (std::memcmp(&got[i], &want[i], sizeof(T)) != 0) {
      std::printf("%s: differs\n", what);
      fail("%s: element %zu of %zu differs", what, i, count);
      return false;
    }
  }
  std::printf("%s: %zu equal\n", what, count);
  return true;
}

// |got - want| <= bound * max(|want|, 1); prints "<what>: N ok max_rel_error<bound".
template <typename T, typename U>
bool close(const char* what, const T* got, const U* want, size_t count, double bound) {
  for (size_t i = 0; i < count; ++i) {
    double g = static_cast<double>(got[i]), w = static_cast<double>(want[i]);
    double size = std::fabs(w) > 1 ? std::fabs(w) : 1;
    if (!(std::fabs(g - w) <= bound * size)) {
      std::printf("%s: differs\n", what);
      fail("%s: element %zu is %.17g, expected %.17g", what, i, g, w);
      return false;
    }
  }
  std::printf("%s: %zu ok max_rel_error<%g\n", what, count, bound);
  return true;
}

}  // namespace check

#define EXPECT(condition) check::expect((condition), #condition, __FILE__, __LINE__)
