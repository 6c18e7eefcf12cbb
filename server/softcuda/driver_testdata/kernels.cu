// Kernels for the driver's tests. extern "C", so that they are found by their plain names.
#include <cassert>
#include <cstdio>

__device__ int counter;
__device__ int table[4] = {1, 2, 3, 4};
__constant__ float weights[16];

struct Pair {
  char tag;
  double value;
};

struct Large {
  int values[1000];
};

extern "C" {

__global__ void add(const float* a, const float* b, float* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = a[i] + b[i];
}

__global__ void mixed(char c, short s, double* out, Pair pair, int n) {
  out[0] = c;
  out[1] = s;
  out[2] = pair.tag;
  out[3] = pair.value;
  out[4] = n;
}

__global__ void large(Large numbers, int* out) {
  out[threadIdx.x] = numbers.values[threadIdx.x];
}

__global__ void weigh(float* out) {
  out[threadIdx.x] = weights[threadIdx.x] * 2;
}

__global__ void count(void) {
  atomicAdd(&counter, 1);
}

__global__ void reverse(int* data) {
  extern __shared__ int shared[];
  shared[threadIdx.x] = data[threadIdx.x];
  __syncthreads();
  data[threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

__global__ void touch_last(char* data, unsigned long long bytes) {
  data[bytes - 1] = 1;
}

__global__ void __launch_bounds__(128) bounded(int* out) {
  out[threadIdx.x] = threadIdx.x;
}

__global__ void store(int* address, int value) {
  *address = value;
}

__global__ void failing_assert(int x) {
  assert(x == 1);
}

__global__ void trapping(void) {
  __trap();
}

__global__ void say(int x) {
  printf("kernel says %d\n", x);
}

// Ends when somebody else has stored a non-zero value.
__global__ void wait_for(volatile int* flag) {
  while (*flag == 0) {
  }
}

// Every block waits for all others: only right when all of them run at once.
__global__ void meet(volatile unsigned* arrived, unsigned* done) {
  if (threadIdx.x == 0) {
    atomicAdd((unsigned*)arrived, 1);
    while (*arrived < gridDim.x) {
    }
    atomicAdd(done, 1);
  }
}

}  // extern "C"
