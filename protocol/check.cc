#include "protocol/check.h"

#include <cstdio>
#include <cstdlib>

namespace farlane::protocol {

void check_failed(const char* file, int line, const char* condition, const char* what) {
  std::fprintf(stderr, "farlane: internal error at %s:%d: %s (%s is false)\n", file, line, what,
               condition);
  std::abort();
}

}  // namespace farlane::protocol
