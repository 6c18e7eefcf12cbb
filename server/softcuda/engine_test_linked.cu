// Two halves of one -rdc=true program: each needs the other's symbols.
#if PART == 1
extern __device__ int scale;
extern __constant__ int offsets[4];
extern __device__ int helper(int x);
extern "C" __device__ int twice(int x) { return 2 * x; }
static __device__ int hidden(int x) { return x + 1; }
extern "C" __global__ void linked(int* out) {
  out[threadIdx.x] = helper(threadIdx.x) * scale + offsets[threadIdx.x % 4] + hidden(0);
}
#else
__device__ int scale = 7;
__constant__ int offsets[4] = {100, 200, 300, 400};
extern "C" __device__ int twice(int x);
static __device__ int hidden(int x) { return x + 1000; }
__device__ int helper(int x) {
  extern __shared__ int dynamic[];
  __shared__ int fixed[32];
  fixed[threadIdx.x] = x;
  dynamic[threadIdx.x] = hidden(x);
  __syncthreads();
  return twice(fixed[31 - threadIdx.x]) + dynamic[threadIdx.x];
}
extern "C" __global__ void alone(int* out) { out[0] = hidden(1); }
#endif
