// How many bytes a scalar in host memory has whose type another argument tells.
#pragma once

#include <cublas_v2.h>

#include <cstddef>

namespace farlane::client::cudax::cublas {

// One element of the type; 0 for a type that is none.
inline size_t data_bytes(cudaDataType type) {
  switch (static_cast<int>(type)) {
    case CUDA_R_8I:
    case CUDA_R_8U:
    case CUDA_R_8F_E4M3:
    case CUDA_R_8F_E5M2:
    case CUDA_C_4I:
    case CUDA_C_4U:
      return 1;
    case CUDA_R_16F:
    case CUDA_R_16BF:
    case CUDA_R_16I:
    case CUDA_R_16U:
    case CUDA_C_8I:
    case CUDA_C_8U:
      return 2;
    case CUDA_R_32F:
    case CUDA_R_32I:
    case CUDA_R_32U:
    case CUDA_C_16F:
    case CUDA_C_16BF:
    case CUDA_C_16I:
    case CUDA_C_16U:
      return 4;
    case CUDA_R_64F:
    case CUDA_R_64I:
    case CUDA_R_64U:
    case CUDA_C_32F:
    case CUDA_C_32I:
    case CUDA_C_32U:
      return 8;
    case CUDA_C_64F:
    case CUDA_C_64I:
    case CUDA_C_64U:
      return 16;
    default:
      return 0;
  }
}

inline bool is_complex(cudaDataType type) {
  switch (static_cast<int>(type)) {
    case CUDA_C_8I:
    case CUDA_C_16F:
    case CUDA_C_16BF:
    case CUDA_C_32F:
    case CUDA_C_64F:
      return true;
    default:
      return false;
  }
}

// alpha and beta of a product computed in `compute` whose result is of type `c`: the tables of
// cublasGemmEx and cublasLtMatmul.
inline size_t scale_bytes(cublasComputeType_t compute, cudaDataType c) {
  const size_t parts = is_complex(c) ? 2 : 1;
  switch (static_cast<int>(compute)) {
    case CUBLAS_COMPUTE_16F:
    case CUBLAS_COMPUTE_16F_PEDANTIC:
      return 2;
    case CUBLAS_COMPUTE_32I:
    case CUBLAS_COMPUTE_32I_PEDANTIC:
      // With a floating-point result alpha and beta are floats, which are as large.
      return 4;
    case CUBLAS_COMPUTE_64F:
    case CUBLAS_COMPUTE_64F_PEDANTIC:
    case CUBLAS_COMPUTE_64F_EMULATED_FIXEDPOINT:
      return 8 * parts;
    default:
      return 4 * parts;
  }
}

}  // namespace farlane::client::cudax::cublas
