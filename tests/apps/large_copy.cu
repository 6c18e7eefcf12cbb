// Copies of 64 MiB, pageable and pinned, both ways, unaligned, and two at once in different
// streams; a kernel changes the data on the way.
#include "check.h"

constexpr size_t kBytes = 64u << 20;

__global__ void invert(unsigned long long* words, size_t n) {
  for (size_t i = blockIdx.x * static_cast<size_t>(blockDim.x) + threadIdx.x; i < n;
       i += static_cast<size_t>(gridDim.x) * blockDim.x)
    words[i] = ~words[i];
}

void fill(unsigned char* bytes, size_t size, uint64_t seed) {
  check::Rng rng(seed);
  uint64_t* words = reinterpret_cast<uint64_t*>(bytes);
  for (size_t i = 0; i < size / 8; ++i) words[i] = rng.next_u64();
}

void verify(const char* what, const unsigned char* got, const unsigned char* want, size_t size) {
  bool good = std::memcmp(got, want, size) == 0;
  std::printf("%s: %s\n", what, good ? "equal" : "differs");
  if (!good) {
    size_t i = 0;
    while (got[i] == want[i]) ++i;
    check::fail("%s: byte %zu of %zu differs", what, i, size);
  }
}

int main() {
  std::vector<unsigned char> pageable(kBytes), back(kBytes);
  unsigned char *pinned, *pinned2, *device, *device2;
  CUDA_CHECK(cudaMallocHost(&pinned, kBytes));
  CUDA_CHECK(cudaMallocHost(&pinned2, kBytes));
  CUDA_CHECK(cudaMalloc(&device, kBytes));
  CUDA_CHECK(cudaMalloc(&device2, kBytes));

  fill(pageable.data(), kBytes, 30);
  CUDA_CHECK(cudaMemcpy(device, pageable.data(), kBytes, cudaMemcpyHostToDevice));
  CUDA_CHECK(cudaMemcpy(back.data(), device, kBytes, cudaMemcpyDeviceToHost));
  verify("pageable", back.data(), pageable.data(), kBytes);

  fill(pinned, kBytes, 31);
  CUDA_CHECK(cudaMemcpy(device, pinned, kBytes, cudaMemcpyHostToDevice));
  CUDA_CHECK(cudaMemcpy(device2, device, kBytes, cudaMemcpyDeviceToDevice));
  std::memset(pinned2, 0, kBytes);
  CUDA_CHECK(cudaMemcpy(pinned2, device2, kBytes, cudaMemcpyDeviceToHost));
  verify("pinned, by way of another block", pinned2, pinned, kBytes);

  // Odd sizes and offsets.
  const size_t offsets[] = {1, 4097, (1u << 20) - 3}, sizes[] = {kBytes - (2u << 20), 33554433, 3};
  for (size_t offset : offsets)
    for (size_t size : sizes) {
      CUDA_CHECK(cudaMemcpy(device + offset, pageable.data() + 5, size, cudaMemcpyHostToDevice));
      std::memset(back.data(), 0, 64);
      CUDA_CHECK(cudaMemcpy(back.data() + 3, device + offset, size, cudaMemcpyDeviceToHost));
      if (std::memcmp(back.data() + 3, pageable.data() + 5, size) != 0)
        check::fail("offset %zu size %zu differs", offset, size);
    }
  std::printf("unaligned: %s\n", check::first_failure().empty() ? "equal" : "differs");

  // Two streams at once: one up, one down, asynchronous; then the other way round.
  cudaStream_t up, down;
  CUDA_CHECK(cudaStreamCreateWithFlags(&up, cudaStreamNonBlocking));
  CUDA_CHECK(cudaStreamCreateWithFlags(&down, cudaStreamNonBlocking));
  CUDA_CHECK(cudaMemcpy(device2, pageable.data(), kBytes, cudaMemcpyHostToDevice));
  CUDA_CHECK(cudaMemcpyAsync(device, pinned, kBytes, cudaMemcpyHostToDevice, up));
  CUDA_CHECK(cudaMemcpyAsync(pinned2, device2, kBytes, cudaMemcpyDeviceToHost, down));
  CUDA_CHECK(cudaStreamSynchronize(down));
  verify("down beside up", pinned2, pageable.data(), kBytes);
  invert<<<64, 256, 0, up>>>(reinterpret_cast<unsigned long long*>(device), 1 << 18);
  LAUNCH_CHECK();
  CUDA_CHECK(cudaMemcpyAsync(pinned2, device, kBytes, cudaMemcpyDeviceToHost, up));
  CUDA_CHECK(cudaMemcpyAsync(device2, pageable.data(), kBytes, cudaMemcpyHostToDevice, down));
  std::memset(pageable.data(), 0x77, kBytes);  // pageable: taken before the call returned
  CUDA_CHECK(cudaStreamSynchronize(up));
  for (size_t i = 0; i < size_t{1} << 21; ++i) pinned[i] = static_cast<unsigned char>(~pinned[i]);
  verify("up, kernel, down", pinned2, pinned, kBytes);
  CUDA_CHECK(cudaStreamSynchronize(down));
  CUDA_CHECK(cudaMemcpy(back.data(), device2, kBytes, cudaMemcpyDeviceToHost));
  fill(pageable.data(), kBytes, 30);
  verify("pageable, asynchronous", back.data(), pageable.data(), kBytes);

  CUDA_CHECK(cudaMemset(device, 0xc3, kBytes));
  CUDA_CHECK(cudaMemcpy(back.data(), device, kBytes, cudaMemcpyDeviceToHost));
  std::memset(pageable.data(), 0xc3, kBytes);
  verify("memset", back.data(), pageable.data(), kBytes);
  CUDA_CHECK(cudaFree(device));
  CUDA_CHECK(cudaFree(device2));
  CUDA_CHECK(cudaFreeHost(pinned));
  CUDA_CHECK(cudaFreeHost(pinned2));
  CUDA_CHECK(cudaStreamDestroy(up));
  CUDA_CHECK(cudaStreamDestroy(down));
  return check::finish();
}
