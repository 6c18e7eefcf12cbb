// Sum, minimum and maximum: warp shuffles, then one warp over the block's partial results, then
// one atomic per block.
#include <climits>

#include "check.h"

__inline__ __device__ long long warp_sum(long long v) {
  for (int d = 16; d > 0; d >>= 1) v += __shfl_down_sync(0xffffffffu, v, d);
  return v;
}
__inline__ __device__ int warp_min(int v) {
  for (int d = 16; d > 0; d >>= 1) v = min(v, __shfl_xor_sync(0xffffffffu, v, d));
  return v;
}
__inline__ __device__ int warp_max(int v) {
  for (int d = 16; d > 0; d >>= 1) v = max(v, __shfl_xor_sync(0xffffffffu, v, d));
  return v;
}

struct Result {
  unsigned long long sum;
  int min, max;
};

__global__ void reduce(const int* values, int n, Result* result) {
  __shared__ long long sums[32];
  __shared__ int mins[32], maxs[32];
  long long sum = 0;
  int lo = INT_MAX, hi = INT_MIN;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    int v = values[i];
    sum += v;
    lo = min(lo, v);
    hi = max(hi, v);
  }
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  sum = warp_sum(sum);
  lo = warp_min(lo);
  hi = warp_max(hi);
  if (lane == 0) {
    sums[warp] = sum;
    mins[warp] = lo;
    maxs[warp] = hi;
  }
  __syncthreads();
  if (warp == 0) {
    sum = warp_sum(lane < warps ? sums[lane] : 0);
    lo = warp_min(lane < warps ? mins[lane] : INT_MAX);
    hi = warp_max(lane < warps ? maxs[lane] : INT_MIN);
    if (lane == 0) {
      atomicAdd(&result->sum, static_cast<unsigned long long>(sum));
      atomicMin(&result->min, lo);
      atomicMax(&result->max, hi);
    }
  }
}

// Float sum of integers below 2^24 in total: exact in any order.
__global__ void reduce_float(const float* values, int n, float* result) {
  extern __shared__ float partial[];
  float sum = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) sum += values[i];
  partial[threadIdx.x] = sum;
  __syncthreads();
  for (int half = blockDim.x / 2; half > 0; half >>= 1) {
    if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) *result = partial[0];
}

int main(int argc, char** argv) {
  int n = 200003 * check::scale(argc, argv);
  std::vector<int> values(n);
  check::Rng rng(3);
  Result want{0, INT_MAX, INT_MIN};
  long long sum = 0;
  for (int& v : values) {
    v = static_cast<int>(rng.next_u32());
    sum += v;
    want.min = v < want.min ? v : want.min;
    want.max = v > want.max ? v : want.max;
  }
  want.sum = static_cast<unsigned long long>(sum);
  check::DeviceArray<int> dv(values);
  check::DeviceArray<Result> dr(std::vector<Result>{{0, INT_MAX, INT_MIN}});
  reduce<<<20, 256>>>(dv.get(), n, dr.get());
  LAUNCH_CHECK();
  Result got = dr.fetch()[0];
  if (check::scale(argc, argv) == 1)
    std::printf("sum %lld min %d max %d\n", static_cast<long long>(got.sum), got.min, got.max);
  check::equal("reduce", &got, &want, 1);

  const int m = 10000;
  std::vector<float> small(m);
  float small_sum = 0;
  for (float& v : small) small_sum += v = static_cast<float>(rng.below(1000));
  check::DeviceArray<float> ds(small), dsum(1);
  reduce_float<<<1, 512, 512 * sizeof(float)>>>(ds.get(), m, dsum.get());
  LAUNCH_CHECK();
  check::equal("reduce_float", dsum.fetch().data(), &small_sum, 1);
  return check::finish();
}
