// Half of a separately compiled program: its device code needs the other half's.
#include <cuda_runtime.h>

__device__ int helper(int x);
extern __device__ int elsewhere;
__device__ int device_variable = 3;
__constant__ float constant_table[4] = {1, 2, 3, 4};

__global__ void first_kernel(int* out, int offset) {
  out[threadIdx.x] = helper(static_cast<int>(threadIdx.x)) + device_variable + elsewhere + offset;
}

void launch_first_kernel(int* out, int offset, cudaStream_t stream) {
  first_kernel<<<2, 32, 16, stream>>>(out, offset);
}
const void* first_kernel_address() { return reinterpret_cast<const void*>(&first_kernel); }
const void* device_variable_address() { return &device_variable; }
const void* constant_table_address() { return &constant_table; }
