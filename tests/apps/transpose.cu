// Transposition: naive, and through a padded shared tile with several rows per thread.
#include "check.h"

constexpr int kTile = 32, kRows = 8;

template <typename T>
__global__ void transpose_naive(const T* in, T* out, int width, int height) {
  int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x < width && y < height) out[x * height + y] = in[y * width + x];
}

template <typename T>
__global__ void transpose_tiled(const T* in, T* out, int width, int height) {
  __shared__ T tile[kTile][kTile + 1];
  int x = blockIdx.x * kTile + threadIdx.x, y = blockIdx.y * kTile + threadIdx.y;
  for (int j = 0; j < kTile; j += kRows)
    if (x < width && y + j < height) tile[threadIdx.y + j][threadIdx.x] = in[(y + j) * width + x];
  __syncthreads();
  x = blockIdx.y * kTile + threadIdx.x;
  y = blockIdx.x * kTile + threadIdx.y;
  for (int j = 0; j < kTile; j += kRows)
    if (x < height && y + j < width) out[(y + j) * height + x] = tile[threadIdx.x][threadIdx.y + j];
}

template <typename T>
void run(const char* what, int width, int height) {
  std::vector<T> in(width * height), want(width * height);
  check::Rng rng(6);
  for (T& v : in) v = static_cast<T>(rng.next_u64());
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) want[x * height + y] = in[y * width + x];
  check::DeviceArray<T> din(in), dout(in.size());
  dim3 grid((width + kTile - 1) / kTile, (height + kTile - 1) / kTile);
  std::printf("%s\n", what);
  dout.zero();
  transpose_naive<T><<<dim3((width + 15) / 16, (height + 15) / 16), dim3(16, 16)>>>(
      din.get(), dout.get(), width, height);
  LAUNCH_CHECK();
  check::equal("  naive", dout.fetch().data(), want.data(), want.size());
  dout.zero();
  transpose_tiled<T><<<grid, dim3(kTile, kRows)>>>(din.get(), dout.get(), width, height);
  LAUNCH_CHECK();
  check::equal("  tiled", dout.fetch().data(), want.data(), want.size());
}

int main(int argc, char** argv) {
  int s = check::scale(argc, argv);
  run<float>("float", 200 * s, 133 * s);
  run<unsigned char>("byte", 97 * s, 161 * s);
  run<unsigned long long>("64 bit", 64 * s, 96 * s);
  return check::finish();
}
