// Sparse matrix times vector, CSR: a thread per row, and a warp per row with shuffles.
#include "check.h"

__global__ void row_per_thread(const int* starts, const int* cols, const float* values,
                               const float* x, float* y, int rows) {
  int row = blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= rows) return;
  float sum = 0;
  for (int i = starts[row]; i < starts[row + 1]; ++i) sum += values[i] * __ldg(&x[cols[i]]);
  y[row] = sum;
}

__global__ void row_per_warp(const int* __restrict__ starts, const int* __restrict__ cols,
                             const float* __restrict__ values, const float* __restrict__ x,
                             float* __restrict__ y, int rows) {
  int row = (blockIdx.x * blockDim.x + threadIdx.x) >> 5, lane = threadIdx.x & 31;
  if (row >= rows) return;
  float sum = 0;
  for (int i = starts[row] + lane; i < starts[row + 1]; i += 32) sum += values[i] * x[cols[i]];
  for (int d = 16; d; d >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, d);
  if (lane == 0) y[row] = sum;
}

int main(int argc, char** argv) {
  int rows = 1000 * check::scale(argc, argv) + 3, columns = 777;
  check::Rng rng(11);
  std::vector<int> starts{0}, cols;
  std::vector<float> values, x(columns), want(rows);
  for (float& v : x) v = static_cast<float>(static_cast<int>(rng.below(21)) - 10);
  for (int r = 0; r < rows; ++r) {
    int length = r % 50 == 0 ? 200 : static_cast<int>(rng.below(30));  // also empty rows
    for (int i = 0; i < length; ++i) {
      cols.push_back(static_cast<int>(rng.below(columns)));
      values.push_back(static_cast<float>(static_cast<int>(rng.below(9)) - 4));
      want[r] += values.back() * x[cols.back()];  // small integers: exact in any order
    }
    starts.push_back(static_cast<int>(cols.size()));
  }
  if (check::scale(argc, argv) == 1) std::printf("%zu nonzeros\n", values.size());
  check::DeviceArray<int> dstarts(starts), dcols(cols);
  check::DeviceArray<float> dvalues(values), dx(x), dy(rows);
  dy.zero();
  row_per_thread<<<(rows + 127) / 128, 128>>>(dstarts.get(), dcols.get(), dvalues.get(), dx.get(),
                                              dy.get(), rows);
  LAUNCH_CHECK();
  check::equal("row per thread", dy.fetch().data(), want.data(), rows);
  dy.zero();
  row_per_warp<<<(rows + 3) / 4, 128>>>(dstarts.get(), dcols.get(), dvalues.get(), dx.get(),
                                        dy.get(), rows);
  LAUNCH_CHECK();
  check::equal("row per warp", dy.fetch().data(), want.data(), rows);
  return check::finish();
}
