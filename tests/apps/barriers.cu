// Barriers of a block: with a count or a vote, named ones for part of a block, fences, and copies
// to shared memory that run beside the threads.
#include <cuda_pipeline.h>

#include "check.h"

__global__ void votes(const int* in, int* out) {
  int t = threadIdx.x, v = in[t];
  int count = __syncthreads_count(v % 3 == 0);
  int all = __syncthreads_and(v >= 0);
  int none = __syncthreads_and(v > 50);
  int any = __syncthreads_or(v == in[77]);
  int never = __syncthreads_or(v < 0);
  out[t] = count * 10000 + all * 1000 + none * 100 + any * 10 + never;
}

// Two halves of a block work on their own, each with its own named barrier, then meet.
__global__ void halves(int* out) {
  __shared__ int box[128];
  int t = threadIdx.x, half = t / 64;
  box[t] = t;
  for (int round = 0; round < 5 + half * 3; ++round) {
    asm volatile("bar.sync %0, 64;" ::"r"(half + 1) : "memory");
    int next = box[half * 64 + (t + 1) % 64];
    asm volatile("bar.sync %0, 64;" ::"r"(half + 1) : "memory");
    box[t] = next;
  }
  __syncthreads();
  out[t] = box[127 - t];
}

// One warp produces, the other consumes: arrive without waiting, and sync.
__global__ void producer_consumer(int* out, int rounds) {
  __shared__ int slot[32];
  int lane = threadIdx.x & 31;
  int sum = 0;
  for (int r = 0; r < rounds; ++r) {
    if (threadIdx.x < 32) {
      asm volatile("bar.sync 2, 64;" ::: "memory");  // empty
      slot[lane] = r * lane;
      asm volatile("bar.arrive 1, 64;" ::: "memory");  // full
    } else {
      asm volatile("bar.arrive 2, 64;" ::: "memory");
      asm volatile("bar.sync 1, 64;" ::: "memory");
      sum += slot[31 - lane];
    }
  }
  if (threadIdx.x >= 32) out[lane] = sum;
}

// Message passing between blocks through fences: the last block to finish adds everything up.
__device__ unsigned finished;
__global__ void last_block(const int* in, volatile int* partial, int* result) {
  __shared__ int sum;
  __shared__ bool last;
  if (threadIdx.x == 0) sum = 0;
  __syncthreads();
  atomicAdd(&sum, in[blockIdx.x * blockDim.x + threadIdx.x]);
  __syncthreads();
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = sum;
    __threadfence();
    last = atomicInc(&finished, gridDim.x - 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (last && threadIdx.x == 0) {
    int total = 0;
    for (unsigned b = 0; b < gridDim.x; ++b) total += partial[b];
    *result = total;
  }
}

__global__ void async_copies(const int4* in, int* out, int stages) {
  __shared__ int4 buffer[2][32];
  int t = threadIdx.x, sum = 0;
  __pipeline_memcpy_async(&buffer[0][t], &in[t], sizeof(int4));
  __pipeline_commit();
  for (int s = 0; s < stages; ++s) {
    if (s + 1 < stages)
      __pipeline_memcpy_async(&buffer[(s + 1) & 1][t], &in[(s + 1) * 32 + t], sizeof(int4));
    __pipeline_commit();
    __pipeline_wait_prior(1);
    __syncthreads();
    int4 v = buffer[s & 1][31 - t];
    sum += v.x + v.y * 2 + v.z * 3 + v.w * 4;
    __syncthreads();
  }
  out[t] = sum;
}

int main() {
  std::vector<int> in(640), want(128);
  check::Rng rng(40);
  for (int& v : in) v = static_cast<int>(rng.below(1000));
  check::DeviceArray<int> din(in), dout(128);
  votes<<<1, 96>>>(din.get(), dout.get());
  LAUNCH_CHECK();
  int threes = 0, above = 1;
  for (int i = 0; i < 96; ++i) {
    threes += in[i] % 3 == 0;
    above &= in[i] > 50;
  }
  for (int i = 0; i < 96; ++i) want[i] = threes * 10000 + 1000 + above * 100 + 10;
  check::equal("votes", dout.fetch().data(), want.data(), 96);

  halves<<<1, 128>>>(dout.get());
  LAUNCH_CHECK();
  for (int i = 0; i < 128; ++i) {
    int t = 127 - i, half = t / 64;
    want[i] = half * 64 + (t % 64 + 5 + half * 3) % 64;
  }
  check::equal("named barriers", dout.fetch().data(), want.data(), 128);

  producer_consumer<<<1, 64>>>(dout.get(), 20);
  LAUNCH_CHECK();
  for (int i = 0; i < 32; ++i) want[i] = 190 * (31 - i);
  check::equal("arrive and sync", dout.fetch().data(), want.data(), 32);

  check::DeviceArray<int> partial(10), result(1);
  int total = 0;
  for (int v : in) total += v;
  for (int round = 0; round < 3; ++round) {
    result.zero();
    last_block<<<10, 64>>>(din.get(), partial.get(), result.get());
    LAUNCH_CHECK();
    check::equal("last block", result.fetch().data(), &total, 1);
  }

  async_copies<<<1, 32>>>(reinterpret_cast<const int4*>(din.get()), dout.get(), 5);
  LAUNCH_CHECK();
  for (int i = 0; i < 32; ++i) {
    want[i] = 0;
    for (int s = 0; s < 5; ++s)
      for (int k = 0; k < 4; ++k) want[i] += in[(s * 32 + 31 - i) * 4 + k] * (k + 1);
  }
  check::equal("asynchronous copies", dout.fetch().data(), want.data(), 32);
  return check::finish();
}
