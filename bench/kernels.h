// The kernels of the bench, behind plain functions so that only kernels.cu needs nvcc.
#pragma once

#include <cuda_runtime_api.h>

namespace farlane::bench {

void launch_empty(cudaStream_t stream);
// Five arguments, as a typical small kernel has.
void launch_five(float* to, const float* from, float factor, int count, int stride,
                 cudaStream_t stream);
// C = A B for square matrices of `size`, a multiple of 32, with 32 x 32 tiles in shared memory.
void launch_tiled_product(float* c, const float* a, const float* b, int size, cudaStream_t stream);

}  // namespace farlane::bench
