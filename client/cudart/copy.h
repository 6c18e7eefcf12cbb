// What the copying entry points share.
#pragma once

#include "client/cudart/runtime.h"

namespace farlane::cudart {

// Where a copy's kind says its two ends are.
struct Ends {
  core::Place to = core::Place::kByAddress;
  core::Place from = core::Place::kByAddress;
};

// cudaErrorInvalidMemcpyDirection for a number that is no kind.
Error ends_of(cudaMemcpyKind kind, Ends* ends);

// One end is resolved by address where the kind leaves it open. An empty box is an empty copy.
Error copy_1d_of(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, core::Copy* copy);
Error copy_3d_of(const cudaMemcpy3DParms* parameters, core::Copy* copy);

// The place in a device variable that a copy is about.
Error part_of_variable(const void* symbol, int device, size_t offset, size_t count,
                       uint64_t* address);

inline constexpr bool kAsync = true;
inline constexpr bool kSync = false;

}  // namespace farlane::cudart
