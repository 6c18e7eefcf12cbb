// What the files of the stand-in for cuBLAS have in common.
#pragma once

#include <cublas_v2.h>

struct cublasContext {
  cudaStream_t stream = nullptr;
  cublasPointerMode_t pointer_mode = CUBLAS_POINTER_MODE_HOST;
  cublasMath_t math = CUBLAS_DEFAULT_MATH;
  int asked = 0;  // for the mode of atomics
};

namespace soft_blas {

// Functions wait for their stream first, as a real one's kernels would.
bool wait_for(cublasHandle_t handle);

}  // namespace soft_blas

#define EXPORTED extern "C" __attribute__((visibility("default")))
