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

inline constexpr bool kAsync = true;
inline constexpr bool kSync = false;

}  // namespace farlane::cudart
