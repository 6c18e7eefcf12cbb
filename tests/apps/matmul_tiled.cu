// Matrix product through shared-memory tiles, sizes that are no multiple of the tile. Small
// integers, so every sum is exact in float.
#include "check.h"

constexpr int kTile = 16;

template <typename T>
__global__ void matmul(const T* a, const T* b, T* c, int m, int n, int k) {
  __shared__ T tile_a[kTile][kTile];
  __shared__ T tile_b[kTile][kTile + 1];
  int row = blockIdx.y * kTile + threadIdx.y, col = blockIdx.x * kTile + threadIdx.x;
  T sum = 0;
  for (int base = 0; base < k; base += kTile) {
    int ka = base + threadIdx.x, kb = base + threadIdx.y;
    tile_a[threadIdx.y][threadIdx.x] = row < m && ka < k ? a[row * k + ka] : T(0);
    tile_b[threadIdx.y][threadIdx.x] = kb < k && col < n ? b[kb * n + col] : T(0);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kTile; ++i) sum += tile_a[threadIdx.y][i] * tile_b[i][threadIdx.x];
    __syncthreads();
  }
  if (row < m && col < n) c[row * n + col] = sum;
}

template <typename T>
void run(const char* what, int m, int n, int k) {
  std::vector<T> a(m * k), b(k * n), want(m * n);
  check::Rng rng(2);
  for (T& x : a) x = static_cast<T>(static_cast<int>(rng.below(17)) - 8);
  for (T& x : b) x = static_cast<T>(static_cast<int>(rng.below(17)) - 8);
  for (int i = 0; i < m; ++i)
    for (int l = 0; l < k; ++l)
      for (int j = 0; j < n; ++j) want[i * n + j] += a[i * k + l] * b[l * n + j];
  check::DeviceArray<T> da(a), db(b), dc(m * n);
  dim3 block(kTile, kTile), grid((n + kTile - 1) / kTile, (m + kTile - 1) / kTile);
  matmul<T><<<grid, block>>>(da.get(), db.get(), dc.get(), m, n, k);
  LAUNCH_CHECK();
  check::equal(what, dc.fetch().data(), want.data(), want.size());
}

int main(int argc, char** argv) {
  int s = check::scale(argc, argv);
  run<float>("float 67x93x71", 67 * s, 93 * s, 71 * s);
  run<double>("double 48x33x50", 48 * s, 33 * s, 50 * s);
  run<int>("int 31x65x17", 31 * s, 65 * s, 17 * s);
  return check::finish();
}
