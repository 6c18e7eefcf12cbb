// Half of a relocatable program.
extern __device__ int shared_value;
__device__ int twice(int x);

extern "C" __global__ void linked(int* out) {
  *out = twice(21) + shared_value;
}
