// How many bytes a scalar in host memory has whose type another argument tells.
#pragma once

#include <cusparse.h>

#include <algorithm>
#include <cstddef>

#include "client/cudax/call.h"
#include "client/cudax/cublas/scalar_bytes.h"

namespace farlane::client::cudax::cusparse {

using cublas::data_bytes;

// A scalar that is combined with elements of the type: what is smaller than a float is computed
// in floats.
inline size_t scalar_bytes(cudaDataType type) {
  return std::max<size_t>(data_bytes(type), cublas::is_complex(type) ? 8 : 4);
}

// The same by a dense vector, which remembers it from when it was made.
inline size_t scalar_bytes(cusparseConstDnVecDescr_t vector) {
  const Object* object = object_find(Call::bits(vector), 0);
  return object == nullptr ? 0 : object->scalar_bytes.load();
}

}  // namespace farlane::client::cudax::cusparse
