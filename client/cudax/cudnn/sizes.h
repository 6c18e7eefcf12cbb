// How much host memory a call of cuDNN's legacy API reads, where descriptors say it.
#pragma once

#include <cudnn.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "client/cudax/call.h"

namespace farlane::client::cudax::cudnn {

// What is kept with a descriptor that has a data type (Object::word); 0: not known.
inline uint32_t data_word(cudnnDataType_t type) {
  return static_cast<uint32_t>(type) + 1;
}
size_t data_bytes(cudnnDataType_t type);
// Of the descriptor's data type; of float where that is not known.
size_t element_bytes(const Object* descriptor);

template <class Descriptor>
const Object* find(Descriptor descriptor) {
  return object_find(Call::bits(descriptor), 0);
}
template <class Descriptor>
size_t element_bytes(Descriptor descriptor) {
  return element_bytes(find(descriptor));
}

// Of one alpha or beta: double for tensors of doubles, float for all others.
template <class... Descriptors>
size_t scale_bytes(Descriptors... descriptors) {
  const auto is_double = [](const Object* descriptor) {
    return descriptor != nullptr && descriptor->word == data_word(CUDNN_DATA_DOUBLE);
  };
  return (is_double(find(descriptors)) || ...) ? sizeof(double) : sizeof(float);
}

// What is kept with a descriptor that a call of the library fills: it has the type of another, or
// that of a normalization's statistics, which are doubles for doubles and floats for all others.
template <class Descriptor>
uint32_t word_of(Descriptor descriptor) {
  const Object* object = find(descriptor);
  return object == nullptr ? 0 : object->word.load();
}
template <class Descriptor>
uint32_t statistics_word(Descriptor descriptor) {
  return data_word(scale_bytes(descriptor) == sizeof(double) ? CUDNN_DATA_DOUBLE
                                                             : CUDNN_DATA_FLOAT);
}

// Whether it can be a number of dimensions: as many are read before the library sees it.
inline bool is_rank(int count) {
  return count >= 0 && count <= CUDNN_DIM_MAX;
}

// How many dimensions cuDNN tells a caller that has room for so many, who may have more room than
// there can be dimensions, or none.
inline size_t rank_of(int room) {
  return static_cast<size_t>(std::clamp(room, 0, CUDNN_DIM_MAX));
}

// Sequences in one batch: the second dimension of T, N, A.
size_t batch(cudnnTensorDescriptor_t probabilities);
// Labels of a whole batch.
size_t label_count(cudnnTensorDescriptor_t probabilities, const int* label_lengths);
// Elements of the windows of attention: one for each time step of the queries.
size_t time_steps(cudnnSeqDataDescriptor_t queries);

}  // namespace farlane::client::cudax::cudnn
