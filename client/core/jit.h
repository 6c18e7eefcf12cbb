// Loading modules with options for the compiler on the server; as api.h, which it continues.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "client/core/api.h"

namespace farlane::client {

// A CUjit_option whose value is a number (protocol/jit_options.h says which).
struct JitOption {
  uint32_t id = 0;
  uint32_t value = 0;
};

// What the server's driver told about its work.
struct JitOutcome {
  float wall_ms = 0;
  uint32_t block_threads = 0;
};

FARLANE_CORE_API CUresult library_load_with(std::span<const void* const> images, bool copy,
                                            std::vector<JitOption> options, CUlibrary* library);
FARLANE_CORE_API CUresult module_load_with(int device, std::span<const void* const> images,
                                           std::span<const JitOption> options, CUmodule* module,
                                           std::string* log);
FARLANE_CORE_API CUresult module_jit_outcome(CUmodule module, JitOutcome* outcome);

}  // namespace farlane::client
