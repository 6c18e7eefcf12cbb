// What the translation units of rdc_multi share.
#pragma once

struct Shape {
  int sides;
  float size;
};

extern __device__ int global_bias;            // defined in library.cu
extern __constant__ float global_factors[8];  // defined in library.cu

__device__ float area(const Shape& shape);  // library.cu
__device__ int collatz_steps(unsigned n);   // library.cu, recursive

typedef float (*Transform)(float);
extern __device__ Transform transforms[3];  // library.cu: function pointers across units

// Instantiated in both units; the linker keeps one.
template <typename T>
__device__ T clamp_to(T value, T low, T high) {
  return value < low ? low : value > high ? high : value;
}

void launch_library_kernel(int* out, int n);  // library.cu: a kernel of the other unit
