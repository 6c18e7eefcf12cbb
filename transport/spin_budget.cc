#include "transport/spin_budget.h"

#include <sys/resource.h>

namespace farlane::transport {

int64_t thread_preemptions() {
  rusage usage{};
  ::getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nivcsw;
}

}  // namespace farlane::transport
