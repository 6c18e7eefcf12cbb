// printf in kernels. One thread prints at a time, so the order is defined.
#include "check.h"

struct Item {
  int id;
  double value;
};

__global__ void formats(const Item* items, int count) {
  printf("plain text\n");
  printf("signed %d %i %5d|%-5d|%05d %+d\n", -42, 7, 42, 42, 42, 42);
  printf("unsigned %u %x %X %#x %o\n", 4000000000u, 48879u, 48879u, 255u, 8u);
  printf("long %ld %lu %lld %llu %llx\n", -1234567890123L, 1234567890123UL, -9000000000000000000LL,
         18000000000000000000ULL, 0xfeedfacecafebeefULL);
  printf("float %f %.3f %10.2f|%-10.1f|%e %g %G\n", 3.25, 2.0 / 3.0, 1234.5678, 9.99, 12345.678,
         0.0001, 1e20);
  printf("char %c%c%c string %s %10s|%-10s|\n", 'a', 'b', 'c', "hello", "right", "left");
  printf("percent %% done\n");
  printf("float argument %f, short %d, bool %d\n", 1.5f, static_cast<short>(-3), true);
  for (int i = 0; i < count; ++i)
    printf("item %d: id %d value %.2f\n", i, items[i].id, items[i].value);
  printf("%d %d %d %d %d %d %d %d %d %d %d %d %d %d %d %d\n", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
         13, 14, 15, 16);
  int n = printf("three arguments %d %d %d\n", 1, 2, 3);
  printf("printf returned %d\n", n);
}

__global__ void from_block(int turn) {
  if (blockIdx.x == turn && threadIdx.x == turn)
    printf("block %d thread %d of %d\n", blockIdx.x, threadIdx.x, blockDim.x);
}

__global__ void count_lines(int lines) {
  for (int i = 0; i < lines; ++i)
    if (i % 100 == 99) printf("line %d\n", i);
}

int main() {
  check::DeviceArray<Item> items(std::vector<Item>{{1, 0.5}, {-2, 1e6}, {3, -0.125}});
  std::printf("host before\n");
  std::fflush(stdout);
  formats<<<1, 1>>>(items.get(), 3);
  LAUNCH_CHECK();
  CUDA_CHECK(cudaDeviceSynchronize());
  std::fflush(stdout);
  std::printf("host between\n");
  std::fflush(stdout);
  cudaStream_t stream;
  CUDA_CHECK(cudaStreamCreate(&stream));
  for (int turn = 0; turn < 3; ++turn) {
    from_block<<<4, 40, 0, stream>>>(turn);
    LAUNCH_CHECK();
  }
  CUDA_CHECK(cudaStreamSynchronize(stream));
  CUDA_CHECK(cudaDeviceSynchronize());
  std::fflush(stdout);
  count_lines<<<1, 1>>>(500);
  CUDA_CHECK(cudaDeviceSynchronize());
  std::fflush(stdout);
  size_t size = 0;
  CUDA_CHECK(cudaDeviceGetLimit(&size, cudaLimitPrintfFifoSize));
  EXPECT(size >= 65536);
  std::printf("host after\n");
  return check::finish();
}
