// An ordinary CUDA program that knows nothing of Farlane: it draws the Mandelbrot set on whatever
// GPU the CUDA runtime gives it.
//
//   nvcc -cudart shared mandelbrot.cu -o mandelbrot
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

constexpr int kColumns = 76;
constexpr int kRows = 24;
constexpr int kStepsMax = 1000;

#define CHECK(call)                                                                         \
  do {                                                                                      \
    const cudaError_t code = (call);                                                        \
    if (code != cudaSuccess) {                                                              \
      std::fprintf(stderr, "%s: %s (%s)\n", #call, cudaGetErrorString(code),                \
                   cudaGetErrorName(code));                                                 \
      std::exit(1);                                                                         \
    }                                                                                       \
  } while (0)

__global__ void mandelbrot(int* steps, int columns, int rows) {
  const int x = blockIdx.x * blockDim.x + threadIdx.x;
  const int y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x >= columns || y >= rows) return;
  const float real = -2.2f + 3.2f * x / (columns - 1);
  const float imaginary = -1.2f + 2.4f * y / (rows - 1);
  float a = 0, b = 0;
  int step = 0;
  while (step < kStepsMax && a * a + b * b < 4) {
    const float next = a * a - b * b + real;
    b = 2 * a * b + imaginary;
    a = next;
    ++step;
  }
  steps[y * columns + x] = step;
}

int main() {
  cudaDeviceProp properties;
  CHECK(cudaGetDeviceProperties(&properties, 0));
  int* device_steps = nullptr;
  const size_t bytes = sizeof(int) * kColumns * kRows;
  CHECK(cudaMalloc(&device_steps, bytes));
  const dim3 block(16, 8);
  const dim3 grid((kColumns + block.x - 1) / block.x, (kRows + block.y - 1) / block.y);
  mandelbrot<<<grid, block>>>(device_steps, kColumns, kRows);
  CHECK(cudaGetLastError());
  std::vector<int> steps(kColumns * kRows);
  CHECK(cudaMemcpy(steps.data(), device_steps, bytes, cudaMemcpyDeviceToHost));
  CHECK(cudaFree(device_steps));

  int inside = 0;
  for (int y = 0; y < kRows; ++y) {
    for (int x = 0; x < kColumns; ++x) {
      const int step = steps[y * kColumns + x];
      if (step == kStepsMax) ++inside;
      const char shades[] = " .:-=+*%@";
      int shade = 0;
      for (int left = step; left > 1 && shade < 8; left /= 2) ++shade;
      std::putchar(step == kStepsMax ? '#' : shades[shade]);
    }
    std::putchar('\n');
  }
  std::printf("%d of %d points are in the Mandelbrot set, says %s\n", inside, kColumns * kRows,
              properties.name);
  // Known from the CPU; a few points on the edge may fall either way with another rounding.
  return inside > 300 && inside < 500 ? 0 : 1;
}
