// Warp-level functions: shuffles, votes, match, active masks, divergence and reconvergence.
#include "check.h"

constexpr unsigned kAll = 0xffffffffu;
constexpr int kRows = 26;

__device__ unsigned or_over_warp(unsigned v) {
  for (int d = 16; d; d >>= 1) v |= __shfl_xor_sync(kAll, v, d);
  return v;
}

__global__ void warp_kernel(const int* in, long long* out) {
  int lane = threadIdx.x & 31;
  int v = in[threadIdx.x];
  long long* o = out + (threadIdx.x >> 5) * kRows * 32 + lane;
  int row = 0;
  auto put = [&](long long x) { o[32 * row++] = x; };
  put(__shfl_sync(kAll, v, 5));
  put(__shfl_sync(kAll, v, lane + 3, 8));
  put(__shfl_up_sync(kAll, v, 2));
  put(__shfl_up_sync(kAll, v, 3, 16));
  put(__shfl_down_sync(kAll, v, 7));
  put(__shfl_down_sync(kAll, v, 1, 4));
  put(__shfl_xor_sync(kAll, v, 13));
  put(__shfl_xor_sync(kAll, v, 5, 8));
  put(__shfl_sync(kAll, (1LL << 40) + v, 31 - lane));
  put(static_cast<long long>(__shfl_xor_sync(kAll, v * 0.5, 1) * 4));
  put(static_cast<long long>(__shfl_down_sync(kAll, v * 0.25f, 16) * 8));
  put(__ballot_sync(kAll, v & 1));
  put(__any_sync(kAll, v == in[7]));
  put(__all_sync(kAll, v > -1000000));
  put(__all_sync(kAll, v > 0));
  put(__match_any_sync(kAll, v % 5));
  int same;
  unsigned agreed = __match_all_sync(kAll, lane / 32, &same);
  put(agreed + 1000LL * same);
  agreed = __match_all_sync(kAll, lane / 31, &same);
  put(agreed + 1000LL * same);
  put(__match_any_sync(kAll, static_cast<unsigned long long>(v % 3) << 33));
  // Votes and shuffles inside divergent branches, by subsets.
  long long inside;
  if (lane % 3 == 0) {
    unsigned mask = 0x49249249u;
    inside = __ballot_sync(mask, v > 0) * 1LL + __shfl_sync(mask, v, 9);
  } else if (lane % 3 == 1) {
    unsigned mask = 0x92492492u;
    inside = __ballot_sync(mask, v < 0) * 2LL + __shfl_xor_sync(mask, v, 0);
  } else {
    inside = lane;
  }
  put(inside);
  // A loop with a different length for each lane, joined afterwards.
  int steps = 0;
  for (int x = v & 31; x > 0; x -= 3) ++steps;
  __syncwarp();
  put(or_over_warp(steps));
  put(steps);
  // Exchange through shared memory within a warp.
  __shared__ int box[128];
  box[threadIdx.x] = v;
  __syncwarp();
  put(box[threadIdx.x ^ 1]);
  __syncwarp();
  if (lane < 16) box[threadIdx.x] += box[threadIdx.x + 16];
  __syncwarp();
  put(box[threadIdx.x & ~31]);
  // The lanes that are here together.
  unsigned active = __activemask();
  put(active == kAll);
#if __CUDA_ARCH__ >= 800
  put(static_cast<long long>(__reduce_add_sync(kAll, v)) * 3 + __reduce_max_sync(kAll, v) * 5LL +
      __reduce_min_sync(kAll, v) * 7LL + __reduce_xor_sync(kAll, static_cast<unsigned>(v)));
#else
  int sum = v, hi = v, lo = v;
  unsigned parity = static_cast<unsigned>(v);
  for (int d = 16; d; d >>= 1) {
    sum += __shfl_xor_sync(kAll, sum, d);
    hi = max(hi, __shfl_xor_sync(kAll, hi, d));
    lo = min(lo, __shfl_xor_sync(kAll, lo, d));
    parity ^= __shfl_xor_sync(kAll, parity, d);
  }
  put(static_cast<long long>(sum) * 3 + hi * 5LL + lo * 7LL + parity);
#endif
}

// Early exit: the lanes that stay vote among themselves.
__global__ void early_exit(unsigned* out) {
  int lane = threadIdx.x & 31;
  if (lane >= 20) return;
  out[lane] = __ballot_sync(0xfffffu, lane % 2 == 0);
}

// A block whose last warp is not full.
__global__ void partial_warp(int* out) {
  unsigned mask = threadIdx.x >= 32 ? 0x1fu : kAll;
  out[threadIdx.x] = __shfl_down_sync(mask, static_cast<int>(threadIdx.x) * 10, 1) +
                     __popc(__ballot_sync(mask, true)) * 1000;
}

int main() {
  const int threads = 128;
  std::vector<int> in(threads);
  check::Rng rng(23);
  for (int& v : in) v = static_cast<int>(rng.below(2001)) - 1000;
  std::vector<long long> want(threads / 32 * kRows * 32);
  for (int w = 0; w < threads / 32; ++w) {
    const int* v = &in[w * 32];
    long long* o = &want[w * kRows * 32];
    unsigned odd = 0;
    bool any7 = false, positive = true;
    long long all_sum = 0;
    int hi = v[0], lo = v[0], steps_or = 0;
    unsigned parity = 0;
    int steps[32];
    for (int l = 0; l < 32; ++l) {
      odd |= (v[l] & 1u) << l;
      any7 |= v[l] == in[7];
      positive &= v[l] > 0;
      all_sum += v[l];
      hi = v[l] > hi ? v[l] : hi;
      lo = v[l] < lo ? v[l] : lo;
      parity ^= static_cast<unsigned>(v[l]);
      steps[l] = 0;
      for (int x = v[l] & 31; x > 0; x -= 3) ++steps[l];
      steps_or |= steps[l];
    }
    for (int l = 0; l < 32; ++l) {
      int row = 0;
      auto put = [&](long long x) { o[32 * row++ + l] = x; };
      put(v[5]);
      put(v[(l & ~7) + ((l + 3) & 7)]);
      put(l >= 2 ? v[l - 2] : v[l]);
      put(l % 16 >= 3 ? v[l - 3] : v[l]);
      put(l + 7 < 32 ? v[l + 7] : v[l]);
      put(l % 4 < 3 ? v[l + 1] : v[l]);
      put(v[l ^ 13]);
      put(v[l ^ 5]);
      put((1LL << 40) + v[31 - l]);
      put(v[l ^ 1] * 2);
      put(l + 16 < 32 ? v[l + 16] * 2 : v[l] * 2);
      put(odd);
      put(any7);
      put(1);
      put(positive);
      unsigned match5 = 0, match3 = 0;
      for (int k = 0; k < 32; ++k) {
        match5 |= (v[k] % 5 == v[l] % 5 ? 1u : 0u) << k;
        match3 |= (v[k] % 3 == v[l] % 3 ? 1u : 0u) << k;
      }
      put(match5);
      put(static_cast<long long>(kAll) + 1000);
      put(0);
      put(match3);
      unsigned up = 0, down = 0;
      for (int k = 0; k < 32; ++k) {
        if (k % 3 == 0 && v[k] > 0) up |= 1u << k;
        if (k % 3 == 1 && v[k] < 0) down |= 1u << k;
      }
      put(l % 3 == 0 ? 1LL * up + v[9] : l % 3 == 1 ? 2LL * down + v[l] : l);
      put(steps_or);
      put(steps[l]);
      put(v[l ^ 1]);
      put(v[0] + v[16]);
      put(1);
      put(all_sum * 3 + hi * 5LL + lo * 7LL + parity);
    }
  }
  check::DeviceArray<int> din(in);
  check::DeviceArray<long long> dout(want.size());
  warp_kernel<<<1, threads>>>(din.get(), dout.get());
  LAUNCH_CHECK();
  std::vector<long long> got = dout.fetch();
  for (int row = 0; row < kRows; ++row) {
    bool good = true;
    for (int w = 0; w < threads / 32; ++w)
      for (int l = 0; l < 32; ++l) {
        size_t i = (w * kRows + row) * 32 + l;
        good &= got[i] == want[i];
      }
    if (!good) std::printf("row %d differs\n", row);
  }
  check::equal("warp functions", got.data(), want.data(), want.size());

  check::DeviceArray<unsigned> dexit(32);
  dexit.zero();
  early_exit<<<1, 32>>>(dexit.get());
  LAUNCH_CHECK();
  std::vector<unsigned> want_exit(32);
  for (int l = 0; l < 20; ++l) want_exit[l] = 0x55555u;
  check::equal("early exit", dexit.fetch().data(), want_exit.data(), 32);

  check::DeviceArray<int> dpartial(37);
  partial_warp<<<1, 37>>>(dpartial.get());
  LAUNCH_CHECK();
  std::vector<int> partial = dpartial.fetch(), want_partial(37);
  for (int i = 0; i < 37; ++i) {
    want_partial[i] = (i == 31 ? 310 : (i + 1) * 10) + (i < 32 ? 32000 : 5000);
  }
  // The last lane reads from a lane that is not there: undefined, so left out.
  check::equal("partial warp", partial.data(), want_partial.data(), 36);
  return check::finish();
}
