// The other half.
__device__ int shared_value = 100;
__device__ int twice(int x) {
  return 2 * x;
}
