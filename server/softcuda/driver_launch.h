// Launching kernels: configuration checks as CUDA makes them, parameters, occupancy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

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

// A checked launch, without a stream.
struct KernelWork {
  CUfunction handle = nullptr;
  Launch launch;  // without its stream and parameters
  std::shared_ptr<const std::vector<std::byte>> packed;
};

CUresult check_launch(const ContextPtr& context, CUfunction handle, const Launch& launch,
                      KernelWork* work, std::function<void()>* run);

CUresult launch_kernel(const ContextPtr& context, CUfunction handle, const Launch& launch);

// Blocks of this size that fit on one multiprocessor; 0 when none does.
int blocks_per_sm(const KernelInfo& info, const KernelSettings& settings, unsigned block_threads,
                  size_t shared_dynamic_bytes);

}  // namespace farlane::softcuda
