// Heat equation: a 2-D five-point stencil in float over several steps (ping-pong buffers), and a
// 1-D stencil with a halo in shared memory on integers.
#include <utility>

#include "check.h"

__global__ void heat(const float* in, float* out, int width, int height) {
  int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x >= width || y >= height) return;
  int i = y * width + x;
  if (x == 0 || y == 0 || x == width - 1 || y == height - 1) {
    out[i] = in[i];
    return;
  }
  // Steps of 1/8 on integers below 2^12: a few steps stay exact in float.
  out[i] = in[i] * 0.5f + (in[i - 1] + in[i + 1] + in[i - width] + in[i + width]) * 0.125f;
}

constexpr int kRadius = 3, kBlock = 128;

__global__ void blur(const int* in, int* out, int n) {
  __shared__ int tile[kBlock + 2 * kRadius];
  int g = blockIdx.x * blockDim.x + threadIdx.x, l = threadIdx.x + kRadius;
  tile[l] = g < n ? in[g] : 0;
  if (threadIdx.x < kRadius) {
    tile[l - kRadius] = g >= kRadius ? in[g - kRadius] : 0;
    tile[l + kBlock] = g + kBlock < n ? in[g + kBlock] : 0;
  }
  __syncthreads();
  int sum = 0;
#pragma unroll
  for (int d = -kRadius; d <= kRadius; ++d) sum += tile[l + d] * (kRadius + 1 - abs(d));
  if (g < n) out[g] = sum;
}

int main(int argc, char** argv) {
  int s = check::scale(argc, argv);
  int width = 130 * s, height = 75 * s, steps = 4;
  std::vector<float> grid(width * height), next(grid.size());
  check::Rng rng(7);
  for (float& v : grid) v = static_cast<float>(rng.below(1024));
  check::DeviceArray<float> first(grid), second(grid.size());
  float *in = first.get(), *out = second.get();
  for (int t = 0; t < steps; ++t) {
    heat<<<dim3((width + 31) / 32, (height + 7) / 8), dim3(32, 8)>>>(in, out, width, height);
    LAUNCH_CHECK();
    std::swap(in, out);
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x) {
        int i = y * width + x;
        bool edge = x == 0 || y == 0 || x == width - 1 || y == height - 1;
        next[i] =
            edge ? grid[i]
                 : grid[i] * 0.5f +
                       (grid[i - 1] + grid[i + 1] + grid[i - width] + grid[i + width]) * 0.125f;
      }
    std::swap(grid, next);
  }
  std::vector<float> got(grid.size());
  CUDA_CHECK(cudaMemcpy(got.data(), in, got.size() * sizeof(float), cudaMemcpyDeviceToHost));
  check::equal("heat", got.data(), grid.data(), got.size());

  int n = 10000 * s + 5;
  std::vector<int> line(n), want(n);
  for (int& v : line) v = static_cast<int>(rng.below(100000)) - 50000;
  for (int i = 0; i < n; ++i)
    for (int d = -kRadius; d <= kRadius; ++d)
      if (i + d >= 0 && i + d < n) want[i] += line[i + d] * (kRadius + 1 - std::abs(d));
  check::DeviceArray<int> dline(line), dout(n);
  blur<<<(n + kBlock - 1) / kBlock, kBlock>>>(dline.get(), dout.get(), n);
  LAUNCH_CHECK();
  check::equal("blur", dout.fetch().data(), want.data(), n);
  return check::finish();
}
