// Launching kernels: configuration checks as CUDA makes them, parameters, occupancy.
#pragma once

#include <cstdint>

#include "server/softcuda/driver_context.h"

namespace farlane::softcuda {

struct Launch {
  Dim3 grid;
  Dim3 block;
  uint32_t shared_dynamic_bytes = 0;
  CUstream stream = nullptr;
  bool cooperative = false;
  void** params = nullptr;
  void** extra = nullptr;
};

CUresult launch_kernel(const ContextPtr& context, CUfunction handle, const Launch& launch);

// Blocks of this size that fit on one multiprocessor; 0 when none does.
int blocks_per_sm(const KernelInfo& info, const KernelSettings& settings, unsigned block_threads,
                  size_t shared_dynamic_bytes);

}  // namespace farlane::softcuda
