// Thrust: sort, reduce, scan, transform, unique, and a sort by key with a comparison of our own.
#include <thrust/copy.h>
#include <thrust/device_vector.h>
#include <thrust/functional.h>
#include <thrust/inner_product.h>
#include <thrust/scan.h>
#include <thrust/sequence.h>
#include <thrust/sort.h>
#include <thrust/unique.h>

#include <algorithm>
#include <numeric>

#include "check.h"

struct Square {
  __host__ __device__ long long operator()(int x) const { return 1LL * x * x; }
};
struct ByLastDigit {
  __host__ __device__ bool operator()(int a, int b) const { return a % 10 < b % 10; }
};

int main() {
  const int n = 5000;
  std::vector<int> values(n);
  check::Rng rng(42);
  for (int& v : values) v = static_cast<int>(rng.below(2000));
  thrust::device_vector<int> device(values.begin(), values.end());

  long long sum = thrust::reduce(device.begin(), device.end(), 0LL);
  std::printf("sum %lld\n", sum);
  EXPECT(sum == std::accumulate(values.begin(), values.end(), 0LL));
  long long squares = thrust::transform_reduce(device.begin(), device.end(), Square(), 0LL,
                                               thrust::plus<long long>());
  long long want_squares = 0;
  for (int v : values) want_squares += 1LL * v * v;
  std::printf("sum of squares %lld\n", squares);
  EXPECT(squares == want_squares);

  std::vector<int> got(n), want(n);
  thrust::device_vector<int> scanned(n);
  thrust::inclusive_scan(device.begin(), device.end(), scanned.begin());
  thrust::copy(scanned.begin(), scanned.end(), got.begin());
  std::partial_sum(values.begin(), values.end(), want.begin());
  check::equal("inclusive_scan", got.data(), want.data(), n);

  thrust::device_vector<int> index(n), digits = device;
  thrust::sequence(index.begin(), index.end());
  thrust::stable_sort_by_key(digits.begin(), digits.end(), index.begin(), ByLastDigit());
  thrust::copy(index.begin(), index.end(), got.begin());
  std::iota(want.begin(), want.end(), 0);
  std::stable_sort(want.begin(), want.end(),
                   [&](int a, int b) { return values[a] % 10 < values[b] % 10; });
  check::equal("stable_sort_by_key", got.data(), want.data(), n);

  thrust::sort(device.begin(), device.end());
  thrust::copy(device.begin(), device.end(), got.begin());
  std::sort(values.begin(), values.end());
  check::equal("sort", got.data(), values.data(), n);

  auto end = thrust::unique(device.begin(), device.end());
  size_t distinct = static_cast<size_t>(end - device.begin());
  size_t want_distinct =
      static_cast<size_t>(std::unique(values.begin(), values.end()) - values.begin());
  std::printf("%zu distinct\n", distinct);
  EXPECT(distinct == want_distinct);
  return check::finish();
}
