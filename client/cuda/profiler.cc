// Profiling ranges mark nothing here, and fail nothing.
#include <cudaProfiler.h>

#include "client/cuda/driver.h"

using namespace farlane::cuda;

CUresult cuProfilerStart() {
  return enter_context([](int) { return CUDA_SUCCESS; });
}

CUresult cuProfilerStop() {
  return enter_context([](int) { return CUDA_SUCCESS; });
}
