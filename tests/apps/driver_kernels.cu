// Kernels of driver_api.cpp and entry_points.cu; compiled to PTX and embedded as text.
struct Mixed {
  char a;
  double b;
  short c;
};

extern "C" {

__device__ int bias = 5;
__constant__ float factors[4] = {1, 2, 3, 4};

__global__ void scale(float* out, const float* in, float factor, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = in[i] * factor * factors[i & 3] + static_cast<float>(bias);
}

__global__ void parameters(char c, Mixed mixed, long long l, double* out) {
  out[0] = c;
  out[1] = mixed.a;
  out[2] = mixed.b;
  out[3] = mixed.c;
  out[4] = static_cast<double>(l);
}

__global__ void reverse(int* p) {
  extern __shared__ int buffer[];
  buffer[threadIdx.x] = p[threadIdx.x];
  __syncthreads();
  p[threadIdx.x] = buffer[blockDim.x - 1 - threadIdx.x];
}

__global__ void nothing() {}

}  // extern "C"
