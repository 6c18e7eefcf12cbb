// Escape times in fixed point: divergent loops, and integers make every pixel exact. Then the
// same in double with separately rounded operations, which the CPU repeats exactly.
#include "check.h"

constexpr int kMax = 64;

__host__ __device__ int escape_fixed(int cx, int cy) {  // 12 fractional bits
  long long x = 0, y = 0;
  for (int i = 0; i < kMax; ++i) {
    long long x2 = (x * x) >> 12, y2 = (y * y) >> 12;
    if (x2 + y2 > (4 << 12)) return i;
    y = ((x * y) >> 11) + cy;
    x = x2 - y2 + cx;
  }
  return kMax;
}

__global__ void fixed_point(unsigned char* out, int width, int height) {
  int px = blockIdx.x * blockDim.x + threadIdx.x, py = blockIdx.y * blockDim.y + threadIdx.y;
  if (px >= width || py >= height) return;
  int cx = -9000 + px * 12500 / width, cy = -5000 + py * 10000 / height;
  out[py * width + px] = static_cast<unsigned char>(escape_fixed(cx, cy));
}

// Results that are not contracted into fused operations: rounded as on the CPU.
__global__ void in_double(unsigned char* out, int width, int height) {
  int px = blockIdx.x * blockDim.x + threadIdx.x, py = blockIdx.y * blockDim.y + threadIdx.y;
  if (px >= width || py >= height) return;
  double cx = __dadd_rn(-2.2, __ddiv_rn(__dmul_rn(3.0, px), width));
  double cy = __dadd_rn(-1.2, __ddiv_rn(__dmul_rn(2.4, py), height));
  double x = 0, y = 0;
  int i = 0;
  for (; i < kMax; ++i) {
    double x2 = __dmul_rn(x, x), y2 = __dmul_rn(y, y);
    if (__dadd_rn(x2, y2) > 4.0) break;
    y = __dadd_rn(__dmul_rn(__dmul_rn(2.0, x), y), cy);
    x = __dadd_rn(__dadd_rn(x2, -y2), cx);
  }
  out[py * width + px] = static_cast<unsigned char>(i);
}

int main(int argc, char** argv) {
  int s = check::scale(argc, argv), width = 96 * s, height = 64 * s;
  dim3 block(16, 8), grid((width + 15) / 16, (height + 7) / 8);
  check::DeviceArray<unsigned char> dout(width * height);
  std::vector<unsigned char> want(width * height);
  for (int py = 0; py < height; ++py)
    for (int px = 0; px < width; ++px)
      want[py * width + px] = static_cast<unsigned char>(
          escape_fixed(-9000 + px * 12500 / width, -5000 + py * 10000 / height));
  fixed_point<<<grid, block>>>(dout.get(), width, height);
  LAUNCH_CHECK();
  std::vector<unsigned char> got = dout.fetch();
  for (int row = 0; row < height && s == 1; row += 4) {
    for (int col = 0; col < width; col += 2) {
      int t = got[row * width + col];
      std::putchar(t == kMax ? '#' : t > 12 ? '+' : t > 6 ? '-' : t > 3 ? '.' : ' ');
    }
    std::putchar('|');
    std::putchar('\n');
  }
  check::equal("fixed point", got.data(), want.data(), want.size());

  for (int py = 0; py < height; ++py)
    for (int px = 0; px < width; ++px) {
      volatile double cx = 3.0 * px, cy = 2.4 * py, x = 0, y = 0;
      cx = cx / width;
      cy = cy / height;
      cx = -2.2 + cx;
      cy = -1.2 + cy;
      int i = 0;
      for (; i < kMax; ++i) {
        volatile double x2 = x * x, y2 = y * y, t = 2.0 * x;
        if (x2 + y2 > 4.0) break;
        t = t * y;
        y = t + cy;
        t = x2 - y2;
        x = t + cx;
      }
      want[py * width + px] = static_cast<unsigned char>(i);
    }
  in_double<<<grid, block>>>(dout.get(), width, height);
  LAUNCH_CHECK();
  check::equal("double", dout.fetch().data(), want.data(), want.size());
  return check::finish();
}
