// How much host memory cuSOLVER's array arguments have.
#pragma once

#include <cstddef>
#include <cstdint>

#include "client/cudax/cublas/scalar_bytes.h"

namespace farlane::client::cudax::cusolver {

using cublas::data_bytes;

// What is no count gets an empty array, and cuSOLVER's own refusal.
inline size_t elements(int64_t count) {
  return count > 0 ? static_cast<size_t>(count) : 0;
}

// METIS_NOPTIONS of METIS 5, whose options cusolverSpXcsrmetisndHost takes.
inline constexpr size_t metis_options = 40;

}  // namespace farlane::client::cudax::cusolver
