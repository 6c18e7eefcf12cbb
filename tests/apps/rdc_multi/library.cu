#include "../check.h"
#include "shared.h"

__device__ int global_bias = 40;
__constant__ float global_factors[8] = {1, 2, 3, 4, 5, 6, 7, 8};

__device__ float area(const Shape& shape) {
  return static_cast<float>(shape.sides) * shape.size * global_factors[shape.sides & 7];
}

__device__ __noinline__ int collatz_steps(unsigned n) {
  if (n <= 1) return 0;
  return 1 + collatz_steps(n & 1 ? 3 * n + 1 : n / 2);
}

static __device__ float twice(float x) {
  return x * 2;
}
static __device__ float negate(float x) {
  return -x;
}
static __device__ float biased(float x) {
  return x + static_cast<float>(global_bias);
}
__device__ Transform transforms[3] = {twice, negate, biased};

static __global__ void library_kernel(int* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = clamp_to(i - 10, 0, 50) + global_bias;
}

void launch_library_kernel(int* out, int n) {
  library_kernel<<<(n + 63) / 64, 64>>>(out, n);
  LAUNCH_CHECK();
}
