// How many elements a plan's arrays in host memory have.
#pragma once

#include <cstddef>

namespace farlane::client::cudax::cufft {

// n, inembed and onembed of a transform of `rank` dimensions, which cuFFT has up to 3 of; what is
// no rank gets an empty array, and cuFFT's own refusal.
inline size_t dimensions(int rank) {
  return rank >= 1 && rank <= 3 ? static_cast<size_t>(rank) : 0;
}

}  // namespace farlane::client::cudax::cufft
