// Dynamic shared memory: below 48 KB at once, above it only after cudaFuncSetAttribute.
#include "check.h"

extern __shared__ unsigned char arena[];

// Reverses its input through shared memory; two arrays of different type share the arena.
__global__ void reverse(const int* in, int* out, int n) {
  int* words = reinterpret_cast<int*>(arena);
  unsigned char* bytes = arena + n * sizeof(int);
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    words[i] = in[i];
    bytes[i] = static_cast<unsigned char>(in[i] & 0x7f);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < n; i += blockDim.x) out[i] = words[n - 1 - i] + bytes[i];
}

bool run(const char* what, int n, cudaError_t want_error) {
  std::vector<int> in(n), want(n);
  check::Rng rng(14);
  for (int& v : in) v = static_cast<int>(rng.below(1 << 24));
  for (int i = 0; i < n; ++i) want[i] = in[n - 1 - i] + (in[i] & 0x7f);
  check::DeviceArray<int> din(in), dout(n);
  dout.zero();
  reverse<<<1, 256, n * 5>>>(din.get(), dout.get(), n);
  check::step(what, cudaGetLastError(), want_error);
  if (want_error == cudaSuccess)
    return check::equal("  reversed", dout.fetch().data(), want.data(), n);
  CUDA_CHECK(cudaDeviceSynchronize());
  std::vector<int> zeros(n);
  return check::equal("  untouched", dout.fetch().data(), zeros.data(), n);
}

int main() {
  run("40,000 bytes", 8000, cudaSuccess);
  run("60,000 bytes, not asked for", 12000, cudaErrorInvalidValue);
  check::step("ask for 60,000",
              cudaFuncSetAttribute(reverse, cudaFuncAttributeMaxDynamicSharedMemorySize, 60000),
              cudaSuccess);
  run("60,000 bytes", 12000, cudaSuccess);
  cudaFuncAttributes attributes;
  CUDA_CHECK(cudaFuncGetAttributes(&attributes, reverse));
  std::printf("maxDynamicSharedSizeBytes: %d\n", attributes.maxDynamicSharedSizeBytes);
  EXPECT(attributes.maxDynamicSharedSizeBytes == 60000);
  run("60,005 bytes, above what was asked for", 12001, cudaErrorInvalidValue);
  check::step("ask for 100 MB",
              cudaFuncSetAttribute(reverse, cudaFuncAttributeMaxDynamicSharedMemorySize, 100000000),
              cudaErrorInvalidValue);
  check::step("last error", cudaGetLastError(), cudaErrorInvalidValue);
  run("40,000 bytes again", 8000, cudaSuccess);
  return check::finish();
}
