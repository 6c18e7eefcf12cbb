// Profiling ranges mark nothing here, and fail nothing.
#include <cuda_profiler_api.h>

#include "client/cudart/runtime.h"

using namespace farlane::cudart;

cudaError_t cudaProfilerStart() {
  return enter_context([](int) { return Error(); });
}

cudaError_t cudaProfilerStop() {
  return enter_context([](int) { return Error(); });
}
