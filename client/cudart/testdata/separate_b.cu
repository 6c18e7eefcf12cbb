__device__ int elsewhere = 100;
__device__ int helper(int x) { return x * x; }

__global__ void second_kernel(int* out) { out[0] = helper(2); }

const void* second_kernel_address() { return reinterpret_cast<const void*>(&second_kernel); }
