// Device and constant symbols: initial values, copies to and from them (plain, with offsets, async,
// device to device), their addresses and sizes.
#include "check.h"

struct Settings {
  int count;
  double factor;
  char tag[8];
};

__constant__ int table[64];
__constant__ Settings settings = {3, 0.5, "init"};
__device__ int counter = 17;
__device__ float weights[32] = {1, 2, 3};
__device__ long long results[64];
static __device__ unsigned hidden = 0xabcdu;
namespace inner {
__device__ short spot[5] = {-1, -2, -3, -4, -5};
}

__global__ void use() {
  int i = threadIdx.x;
  results[i] = static_cast<long long>(table[i]) * settings.count + counter +
               static_cast<long long>(weights[i % 32] * settings.factor) + hidden +
               inner::spot[i % 5] + settings.tag[i % 4];
  __syncthreads();  // everybody has read it
  if (i == 0) atomicAdd(&hidden, 1u);
}

std::vector<long long> expected(const int* t, const Settings& s, int c, const float* w, unsigned h,
                                const short* spot) {
  std::vector<long long> r(64);
  for (int i = 0; i < 64; ++i)
    r[i] = static_cast<long long>(t[i]) * s.count + c +
           static_cast<long long>(w[i % 32] * s.factor) + h + spot[i % 5] + s.tag[i % 4];
  return r;
}

int main() {
  int t[64] = {};
  Settings s = {3, 0.5, "init"};
  float w[32] = {1, 2, 3};
  short spot[5] = {-1, -2, -3, -4, -5};
  std::vector<long long> got(64);

  use<<<1, 64>>>();
  LAUNCH_CHECK();
  CUDA_CHECK(cudaMemcpyFromSymbol(got.data(), results, sizeof results));
  check::equal("initial values", got.data(), expected(t, s, 17, w, 0xabcd, spot).data(), 64);

  for (int i = 0; i < 64; ++i) t[i] = i * i - 100;
  CUDA_CHECK(cudaMemcpyToSymbol(table, t, sizeof t));
  s = {-7, 2.25, "next"};
  CUDA_CHECK(cudaMemcpyToSymbol(settings, &s, sizeof s));
  int c = 1000000;
  CUDA_CHECK(cudaMemcpyToSymbol(counter, &c, sizeof c, 0, cudaMemcpyHostToDevice));
  for (int i = 8; i < 16; ++i) w[i] = static_cast<float>(i) * 4;
  CUDA_CHECK(cudaMemcpyToSymbol(weights, w + 8, 8 * sizeof(float), 8 * sizeof(float)));
  spot[2] = 333;
  CUDA_CHECK(cudaMemcpyToSymbol(inner::spot, &spot[2], sizeof(short), 2 * sizeof(short)));
  use<<<1, 64>>>();
  LAUNCH_CHECK();
  CUDA_CHECK(cudaMemcpyFromSymbol(got.data(), results, sizeof results));
  check::equal("after copies", got.data(), expected(t, s, c, w, 0xabce, spot).data(), 64);

  // Asynchronous, ordered in a stream with the kernel between.
  cudaStream_t stream;
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  for (int i = 0; i < 64; ++i) t[i] += 1000;
  CUDA_CHECK(cudaMemcpyToSymbolAsync(table, t, sizeof t, 0, cudaMemcpyHostToDevice, stream));
  use<<<1, 64, 0, stream>>>();
  CUDA_CHECK(cudaMemcpyFromSymbolAsync(got.data() + 32, results, 32 * sizeof(long long),
                                       32 * sizeof(long long), cudaMemcpyDeviceToHost, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  std::vector<long long> want = expected(t, s, c, w, 0xabcf, spot);
  check::equal("async, upper half", got.data() + 32, want.data() + 32, 32);

  // Addresses and sizes; the address works as any device pointer.
  void* address = nullptr;
  size_t size = 0;
  CUDA_CHECK(cudaGetSymbolSize(&size, table));
  std::printf("sizes: %zu", size);
  CUDA_CHECK(cudaGetSymbolSize(&size, settings));
  std::printf(" %zu", size);
  CUDA_CHECK(cudaGetSymbolSize(&size, weights));
  std::printf(" %zu", size);
  CUDA_CHECK(cudaGetSymbolSize(&size, hidden));
  std::printf(" %zu", size);
  CUDA_CHECK(cudaGetSymbolSize(&size, inner::spot));
  std::printf(" %zu\n", size);
  CUDA_CHECK(cudaGetSymbolAddress(&address, table));
  int back[64] = {};
  CUDA_CHECK(cudaMemcpy(back, address, sizeof back, cudaMemcpyDeviceToHost));
  check::equal("table by address", back, t, 64);
  c = 5;
  CUDA_CHECK(cudaGetSymbolAddress(&address, counter));
  CUDA_CHECK(cudaMemcpy(address, &c, sizeof c, cudaMemcpyHostToDevice));
  c = 0;
  CUDA_CHECK(cudaMemcpyFromSymbol(&c, counter, sizeof c));
  std::printf("counter: %d\n", c);
  unsigned h = 0;
  CUDA_CHECK(cudaMemcpyFromSymbol(&h, hidden, sizeof h));
  std::printf("hidden: %#x\n", h);
  EXPECT(c == 5 && h == 0xabd0);

  // Device to device, both ways.
  check::DeviceArray<int> other(64);
  CUDA_CHECK(cudaMemcpyFromSymbol(other.get(), table, sizeof t, 0, cudaMemcpyDeviceToDevice));
  check::equal("symbol to device", other.fetch().data(), t, 64);
  CUDA_CHECK(cudaMemset(other.get(), 0, sizeof t));
  CUDA_CHECK(cudaMemcpyToSymbol(table, other.get(), sizeof t, 0, cudaMemcpyDefault));
  CUDA_CHECK(cudaMemcpyFromSymbol(back, table, sizeof back));
  std::memset(t, 0, sizeof t);
  check::equal("device to symbol", back, t, 64);

  // More than the symbol holds.
  check::step("past the end", cudaMemcpyToSymbol(counter, t, 2 * sizeof(int)),
              cudaErrorInvalidValue);
  check::step("bad offset", cudaMemcpyFromSymbol(t, counter, sizeof(int), sizeof(int)),
              cudaErrorInvalidValue);
  cudaGetLastError();
  CUDA_CHECK(cudaStreamDestroy(stream));
  return check::finish();
}
