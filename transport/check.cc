#include "transport/check.h"

#include <cstdio>
#include <cstdlib>

namespace farlane::transport {

void check_failed(const char* condition, const char* meaning, const char* file, int line) {
  std::fprintf(stderr, "farlane: fault of our own in transport: %s (%s, %s:%d)\n", meaning,
               condition, file, line);
  std::abort();
}

}  // namespace farlane::transport
