// Copies and fills on linear memory, one and two dimensions, of all kinds, odd sizes and offsets.
#include "check.h"

using Bytes = std::vector<unsigned char>;

Bytes random_bytes(size_t size, uint64_t seed) {
  Bytes bytes(size);
  check::Rng rng(seed);
  for (unsigned char& b : bytes) b = static_cast<unsigned char>(rng.next_u32());
  return bytes;
}

void one_dimension(bool async, cudaStream_t stream) {
  const size_t n = 100001;
  Bytes source = random_bytes(n, 1), back(n), want = source;
  unsigned char *a, *b;
  CUDA_CHECK(cudaMalloc(&a, n));
  CUDA_CHECK(cudaMalloc(&b, n));
  auto copy = [&](void* to, const void* from, size_t size, cudaMemcpyKind kind) {
    if (async) {
      CUDA_CHECK(cudaMemcpyAsync(to, from, size, kind, stream));
      CUDA_CHECK(cudaStreamSynchronize(stream));
    } else {
      CUDA_CHECK(cudaMemcpy(to, from, size, kind));
      // Device to device may return early; the default stream keeps the order.
    }
  };
  std::printf("1-D%s\n", async ? " async" : "");
  copy(a, source.data(), n, cudaMemcpyHostToDevice);
  copy(b, a, n, cudaMemcpyDeviceToDevice);
  copy(back.data(), b, n, cudaMemcpyDeviceToHost);
  check::equal("  there, across, back", back.data(), want.data(), n);

  // cudaMemcpyDefault finds out the direction.
  Bytes other = random_bytes(n, 2);
  copy(a, other.data(), n, cudaMemcpyDefault);
  copy(b, a, n, cudaMemcpyDefault);
  copy(back.data(), b, n, cudaMemcpyDefault);
  check::equal("  default", back.data(), other.data(), n);
  Bytes host(n);
  copy(host.data(), other.data(), n, cudaMemcpyHostToHost);
  check::equal("  host to host", host.data(), other.data(), n);

  // Odd pieces at odd offsets.
  want = other;
  check::Rng rng(3);
  for (int i = 0; i < 40; ++i) {
    size_t size = rng.below(3000), to = rng.below(static_cast<uint32_t>(n - 3000)),
           from = rng.below(static_cast<uint32_t>(n - 3000));
    switch (i % 3) {
      case 0:
        copy(b + to, source.data() + from, size, cudaMemcpyHostToDevice);
        std::memcpy(&want[to], &source[from], size);
        break;
      case 1:  // within one block, without overlap
        to = from < n / 2 ? n / 2 + 3000 + to / 4 : to / 4;
        copy(b + to, b + from, size, cudaMemcpyDeviceToDevice);
        std::memmove(&want[to], &want[from], size);
        break;
      default:
        copy(host.data() + to, b + from, size, cudaMemcpyDeviceToHost);
        if (std::memcmp(&host[to], &want[from], size) != 0) check::fail("piece %d differs", i);
    }
  }
  copy(back.data(), b, n, cudaMemcpyDeviceToHost);
  check::equal("  pieces", back.data(), want.data(), n);

  // Zero bytes: nothing happens.
  copy(b, source.data(), 0, cudaMemcpyHostToDevice);
  copy(back.data(), b, 0, cudaMemcpyDeviceToHost);
  copy(b, a, 0, cudaMemcpyDeviceToDevice);

  // Fills: only the low byte of the value counts.
  if (async) {
    CUDA_CHECK(cudaMemsetAsync(b + 3, 0x1a5, 1001, stream));
    CUDA_CHECK(cudaMemsetAsync(b, 1, 0, stream));
    CUDA_CHECK(cudaStreamSynchronize(stream));
  } else {
    CUDA_CHECK(cudaMemset(b + 3, 0x1a5, 1001));
    CUDA_CHECK(cudaMemset(b, 1, 0));
  }
  std::memset(&want[3], 0xa5, 1001);
  copy(back.data(), b, n, cudaMemcpyDeviceToHost);
  check::equal("  fill", back.data(), want.data(), n);
  CUDA_CHECK(cudaFree(a));
  CUDA_CHECK(cudaFree(b));
}

void two_dimensions(bool async, cudaStream_t stream) {
  const size_t width = 301, height = 57, host_pitch = 320;
  Bytes source = random_bytes(host_pitch * height, 4), back(host_pitch * height, 0xee), want;
  unsigned char *a, *b;
  size_t pitch_a = 0, pitch_b = 384;
  CUDA_CHECK(cudaMallocPitch(&a, &pitch_a, width, height));
  CUDA_CHECK(cudaMalloc(&b, pitch_b * height));
  EXPECT(pitch_a >= width);
  auto copy = [&](void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t w,
                  size_t h, cudaMemcpyKind kind) {
    if (async) {
      CUDA_CHECK(cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, w, h, kind, stream));
      CUDA_CHECK(cudaStreamSynchronize(stream));
    } else {
      CUDA_CHECK(cudaMemcpy2D(to, to_pitch, from, from_pitch, w, h, kind));
    }
  };
  std::printf("2-D%s\n", async ? " async" : "");
  for (cudaMemcpyKind kind : {cudaMemcpyHostToDevice, cudaMemcpyDefault}) {
    bool known = kind != cudaMemcpyDefault;
    copy(a, pitch_a, source.data(), host_pitch, width, height, kind);
    copy(b, pitch_b, a, pitch_a, width, height, known ? cudaMemcpyDeviceToDevice : kind);
    copy(back.data(), host_pitch, b, pitch_b, width, height, known ? cudaMemcpyDeviceToHost : kind);
    want.assign(host_pitch * height, 0xee);
    for (size_t y = 0; y < height; ++y)
      std::memcpy(&want[y * host_pitch], &source[y * host_pitch], width);
    check::equal(known ? "  there, across, back" : "  default", back.data(), want.data(),
                 back.size());
  }
  copy(back.data(), host_pitch, source.data(), host_pitch, 100, 3, cudaMemcpyHostToHost);
  for (size_t y = 0; y < 3; ++y) std::memcpy(&want[y * host_pitch], &source[y * host_pitch], 100);
  check::equal("  host to host", back.data(), want.data(), back.size());

  // A window in the middle of the pitched image; and a gather of one column.
  copy(a + 5 * pitch_a + 7, pitch_a, source.data(), 33, 33, 20, cudaMemcpyHostToDevice);
  copy(back.data(), host_pitch, a, pitch_a, width, height, cudaMemcpyDeviceToHost);
  for (size_t y = 0; y < height; ++y)
    std::memcpy(&want[y * host_pitch], &source[y * host_pitch], width);
  for (size_t y = 0; y < 20; ++y) std::memcpy(&want[(5 + y) * host_pitch + 7], &source[y * 33], 33);
  check::equal("  window", back.data(), want.data(), back.size());
  Bytes column(height), want_column(height);
  copy(column.data(), 1, a + 9, pitch_a, 1, height, cudaMemcpyDeviceToHost);
  for (size_t y = 0; y < height; ++y) want_column[y] = want[y * host_pitch + 9];
  check::equal("  column", column.data(), want_column.data(), height);

  copy(a, pitch_a, source.data(), host_pitch, 0, height, cudaMemcpyHostToDevice);
  copy(a, pitch_a, source.data(), host_pitch, width, 0, cudaMemcpyHostToDevice);

  if (async) {
    CUDA_CHECK(cudaMemset2DAsync(a + 2 * pitch_a + 11, pitch_a, 0x5a, 100, 9, stream));
    CUDA_CHECK(cudaMemset2DAsync(a, pitch_a, 1, 0, 9, stream));
    CUDA_CHECK(cudaStreamSynchronize(stream));
  } else {
    CUDA_CHECK(cudaMemset2D(a + 2 * pitch_a + 11, pitch_a, 0x5a, 100, 9));
    CUDA_CHECK(cudaMemset2D(a, pitch_a, 1, 100, 0));
  }
  for (size_t y = 2; y < 11; ++y) std::memset(&want[y * host_pitch + 11], 0x5a, 100);
  copy(back.data(), host_pitch, a, pitch_a, width, height, cudaMemcpyDeviceToHost);
  check::equal("  fill", back.data(), want.data(), back.size());

  check::step("  pitch below width",
              cudaMemcpy2D(a, 10, source.data(), host_pitch, 20, 2, cudaMemcpyHostToDevice),
              cudaErrorInvalidPitchValue);
  cudaGetLastError();
  CUDA_CHECK(cudaFree(a));
  CUDA_CHECK(cudaFree(b));
}

int main() {
  cudaStream_t stream;
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  one_dimension(false, nullptr);
  one_dimension(true, stream);
  two_dimensions(false, nullptr);
  two_dimensions(true, stream);

  // Pinned memory, and a copy named as between devices.
  int *pinned, *device, *other;
  CUDA_CHECK(cudaMallocHost(&pinned, 4096));
  CUDA_CHECK(cudaMalloc(&device, 4096));
  CUDA_CHECK(cudaMalloc(&other, 4096));
  for (int i = 0; i < 1024; ++i) pinned[i] = i * i;
  CUDA_CHECK(cudaMemcpyAsync(device, pinned, 4096, cudaMemcpyHostToDevice, stream));
  CUDA_CHECK(cudaMemcpyPeerAsync(other, 0, device, 0, 4096, stream));
  CUDA_CHECK(cudaMemcpyAsync(pinned, other, 4096, cudaMemcpyDefault, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  std::vector<int> want(1024);
  for (int i = 0; i < 1024; ++i) want[i] = i * i;
  check::equal("pinned and peer", pinned, want.data(), 1024);
  CUDA_CHECK(cudaMemcpyPeer(device, 0, other, 0, 100));
  CUDA_CHECK(cudaFreeHost(pinned));
  CUDA_CHECK(cudaFree(device));
  CUDA_CHECK(cudaFree(other));
  CUDA_CHECK(cudaStreamDestroy(stream));
  return check::finish();
}
