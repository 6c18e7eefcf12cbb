#include "client/cudax/cudnn/sizes.h"

#include <algorithm>

namespace farlane::client::cudax::cudnn {

size_t data_bytes(cudnnDataType_t type) {
  switch (type) {
    case CUDNN_DATA_INT8:
    case CUDNN_DATA_UINT8:
    case CUDNN_DATA_BOOLEAN:
    case CUDNN_DATA_FP8_E4M3:
    case CUDNN_DATA_FP8_E5M2:
    case CUDNN_DATA_FP8_E8M0:
    case CUDNN_DATA_FP4_E2M1:
    case CUDNN_DATA_INT4:
    case CUDNN_DATA_UINT4:
      return 1;
    case CUDNN_DATA_HALF:
    case CUDNN_DATA_BFLOAT16:
      return 2;
    case CUDNN_DATA_FLOAT:
    case CUDNN_DATA_INT32:
    case CUDNN_DATA_UINT32:
    case CUDNN_DATA_INT8x4:
    case CUDNN_DATA_UINT8x4:
    case CUDNN_DATA_FAST_FLOAT_FOR_FP8:
      return 4;
    case CUDNN_DATA_DOUBLE:
    case CUDNN_DATA_INT64:
    case CUDNN_DATA_COMPLEX_FP32:
      return 8;
    case CUDNN_DATA_COMPLEX_FP64:
      return 16;
    case CUDNN_DATA_INT8x32:
      return 32;
  }
  return 4;
}

size_t element_bytes(const Object* descriptor) {
  const uint32_t word = descriptor == nullptr ? 0 : descriptor->word.load();
  return word == 0 ? sizeof(float) : data_bytes(static_cast<cudnnDataType_t>(word - 1));
}

size_t batch(cudnnTensorDescriptor_t probabilities) {
  cudnnDataType_t type{};
  int rank = 0, dimensions[3] = {}, strides[3] = {};
  // Asked once for equal descriptors.
  if (cudnnGetTensorNdDescriptor(probabilities, 3, &type, &rank, dimensions, strides) !=
      CUDNN_STATUS_SUCCESS) {
    return 0;
  }
  return rank < 2 ? 0 : static_cast<size_t>(std::max(dimensions[1], 0));
}

size_t label_count(cudnnTensorDescriptor_t probabilities, const int* label_lengths) {
  if (label_lengths == nullptr) return 0;
  size_t count = 0;
  for (size_t i = 0, n = batch(probabilities); i < n; ++i) {
    count += static_cast<size_t>(std::max(label_lengths[i], 0));
  }
  return count;
}

size_t time_steps(cudnnSeqDataDescriptor_t queries) {
  cudnnDataType_t type{};
  int rank = 0, dimensions[CUDNN_SEQDATA_DIM_COUNT] = {};
  cudnnSeqDataAxis_t axes[CUDNN_SEQDATA_DIM_COUNT] = {};
  size_t lengths = 0;
  if (cudnnGetSeqDataDescriptor(queries, &type, &rank, CUDNN_SEQDATA_DIM_COUNT, dimensions, axes,
                                &lengths, 0, nullptr, nullptr) != CUDNN_STATUS_SUCCESS) {
    return 0;
  }
  return static_cast<size_t>(std::max(dimensions[CUDNN_SEQDATA_TIME_DIM], 0));
}

}  // namespace farlane::client::cudax::cudnn
