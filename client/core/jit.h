// Loading modules with options for the compiler on the server; as api.h, which it continues.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "client/core/api.h"
#include "protocol/jit_options.h"

namespace farlane::client {

// A CUjit_option whose value is a number (protocol/jit_options.h says which).
struct JitOption {
  uint32_t id = 0;
  uint32_t value = 0;
};
// Adds an option of either API, which have the same numbers for them, if it is one of these. Its
// value stands in the pointer's place, 32 bits wide.
inline void add_jit_number(uint32_t id, const void* value, std::vector<JitOption>* numbers) {
  if (protocol::is_plain_jit_option(id)) {
    numbers->push_back({id, static_cast<uint32_t>(reinterpret_cast<uintptr_t>(value))});
  }
}

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
