// Compiled to fat binaries of every kind for the parser's test.
__device__ int counter;
__constant__ float weights[64];

__global__ void add(const float* a, const float* b, float* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = a[i] + b[i] * weights[i % 64];
}

__global__ void count(int* out) { out[threadIdx.x] = atomicAdd(&counter, 1); }
