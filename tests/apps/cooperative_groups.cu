// Cooperative groups inside a block: tiled partitions, coalesced and labelled groups, collectives.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>

#include "check.h"

namespace cg = cooperative_groups;

constexpr int kRows = 12;

template <typename Tile>
__device__ int tile_sum(const Tile& tile, int v) {
  for (int d = tile.size() / 2; d > 0; d /= 2) v += tile.shfl_xor(v, d);
  return v;
}

__global__ void tiles(const int* in, int* out, int n) {
  cg::thread_block block = cg::this_thread_block();
  int i = block.group_index().x * block.size() + block.thread_rank(), row = 0;
  int v = in[i];
  auto put = [&](int x) { out[row++ * n + i] = x; };
  cg::thread_block_tile<32> warp = cg::tiled_partition<32>(block);
  cg::thread_block_tile<8> eight = cg::tiled_partition<8>(warp);
  cg::thread_block_tile<4> four = cg::tiled_partition<4>(block);
  put(tile_sum(warp, v));
  put(tile_sum(eight, v));
  put(four.shfl(v, 2) + static_cast<int>(four.meta_group_rank()) * 1000);
  put(static_cast<int>(eight.ballot(v & 1)));
  put(eight.any(v > 900) * 2 + eight.all(v > 50));
  put(cg::reduce(warp, v, cg::greater<int>()));
  put(cg::reduce(eight, v, cg::plus<int>()));
  put(cg::exclusive_scan(eight, v));
  put(cg::inclusive_scan(warp, v, cg::plus<int>()));
  // The threads that took this branch, as a group: aggregated counting.
  int rank = -1;
  if (v % 3 == 0) {
    cg::coalesced_group active = cg::coalesced_threads();
    rank = static_cast<int>(active.thread_rank()) * 100 + static_cast<int>(active.size());
  }
  put(rank);
  auto labelled = cg::labeled_partition(warp, v % 4);
  put(static_cast<int>(labelled.size()) * 100 + static_cast<int>(labelled.thread_rank()));
  auto halves = cg::binary_partition(warp, v % 2 == 0);
  put(static_cast<int>(halves.size()));
}

// One atomic per group of active threads.
__global__ void filter(const int* in, int n, int* count, int* kept) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n && in[i] % 5 == 0) {
    cg::coalesced_group active = cg::coalesced_threads();
    int base = 0;
    if (active.thread_rank() == 0) base = atomicAdd(count, static_cast<int>(active.size()));
    kept[active.shfl(base, 0) + active.thread_rank()] = in[i];
  }
}

__global__ void dimensions(unsigned* out) {
  cg::thread_block block = cg::this_thread_block();
  dim3 index = block.thread_index(), dim = block.dim_threads();
  if (block.thread_rank() == block.num_threads() - 1) {
    out[0] = index.x * 10000 + index.y * 100 + index.z;
    out[1] = dim.x * 10000 + dim.y * 100 + dim.z;
    out[2] = block.num_threads();
  }
  block.sync();
}

int main() {
  const int n = 256;
  std::vector<int> in(n), want(kRows * n);
  check::Rng rng(26);
  for (int& v : in) v = static_cast<int>(rng.below(1000));
  for (int i = 0; i < n; ++i) {
    int row = 0, w = i & ~31, e = i & ~7, f = i & ~3, l = i & 31;
    auto put = [&](int x) { want[row++ * n + i] = x; };
    int warp_sum = 0, eight_sum = 0, odd = 0, hi = 0, exclusive = 0, inclusive = 0, threes = 0,
        my_three = 0, label = 0, my_label = 0, even = 0;
    bool any = false, all = true;
    for (int k = 0; k < 32; ++k) {
      int v = in[w + k];
      warp_sum += v;
      hi = v > hi ? v : hi;
      if (k <= l) inclusive += v;
      threes += v % 3 == 0;
      if (k < l) my_three += v % 3 == 0;
      label += v % 4 == in[i] % 4;
      if (k < l) my_label += v % 4 == in[i] % 4;
      even += v % 2 == in[i] % 2;
    }
    for (int k = 0; k < 8; ++k) {
      int v = in[e + k];
      eight_sum += v;
      odd |= (v & 1) << k;
      any |= v > 900;
      all &= v > 50;
      if (e + k < i) exclusive += v;
    }
    put(warp_sum);
    put(eight_sum);
    put(in[f + 2] + i % 128 / 4 * 1000);
    put(odd);
    put(any * 2 + all);
    put(hi);
    put(eight_sum);
    put(exclusive);
    put(inclusive);
    put(in[i] % 3 == 0 ? my_three * 100 + threes : -1);
    put(label * 100 + my_label);
    put(even);
  }
  check::DeviceArray<int> din(in), dout(kRows * n);
  tiles<<<2, 128>>>(din.get(), dout.get(), n);
  LAUNCH_CHECK();
  std::vector<int> got = dout.fetch();
  for (int row = 0; row < kRows; ++row)
    if (std::memcmp(&got[row * n], &want[row * n], n * sizeof(int)) != 0)
      std::printf("row %d differs\n", row);
  check::equal("tiles", got.data(), want.data(), want.size());

  check::DeviceArray<int> count(1), kept(n);
  count.zero();
  kept.zero();
  filter<<<2, 128>>>(din.get(), n, count.get(), kept.get());
  LAUNCH_CHECK();
  long long sum = 0, want_sum = 0;
  int want_count = 0;
  for (int v : kept.fetch()) sum += v;
  for (int v : in)
    if (v % 5 == 0) {
      want_sum += v;
      ++want_count;
    }
  std::printf("kept %d, sum %lld\n", count.fetch()[0], sum);
  EXPECT(count.fetch()[0] == want_count && sum == want_sum);

  check::DeviceArray<unsigned> dims(3);
  dimensions<<<1, dim3(5, 6, 7)>>>(dims.get());
  LAUNCH_CHECK();
  const unsigned want_dims[3] = {40506, 50607, 210};
  check::equal("dimensions", dims.fetch().data(), want_dims, 3);
  return check::finish();
}
