// cudaMemcpy3D and cudaMemset3D on pitched linear memory.
#include "check.h"

using Bytes = std::vector<unsigned char>;

__global__ void bump(cudaPitchedPtr image, int width, int height, int depth) {
  int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, z = blockIdx.z;
  if (x < width && y < height && z < depth)
    static_cast<unsigned char*>(image.ptr)[(z * image.ysize + y) * image.pitch + x] += x + y + z;
}

int main() {
  const size_t w = 45, h = 17, d = 9;
  cudaPitchedPtr device;
  CUDA_CHECK(cudaMalloc3D(&device, make_cudaExtent(w, h, d)));
  EXPECT(device.pitch >= w && device.xsize == w && device.ysize == h);
  std::printf("xsize %zu ysize %zu\n", device.xsize, device.ysize);

  Bytes host(w * h * d), back(w * h * d, 0xcc), want(w * h * d);
  check::Rng rng(15);
  for (unsigned char& b : host) b = static_cast<unsigned char>(rng.next_u32());
  cudaMemcpy3DParms up = {};
  up.srcPtr = make_cudaPitchedPtr(host.data(), w, w, h);
  up.dstPtr = device;
  up.extent = make_cudaExtent(w, h, d);
  up.kind = cudaMemcpyHostToDevice;
  CUDA_CHECK(cudaMemcpy3D(&up));
  bump<<<dim3(2, h, d), 32>>>(device, w, h, d);
  LAUNCH_CHECK();
  for (size_t z = 0; z < d; ++z)
    for (size_t y = 0; y < h; ++y)
      for (size_t x = 0; x < w; ++x) {
        size_t i = (z * h + y) * w + x;
        want[i] = static_cast<unsigned char>(host[i] + x + y + z);
      }
  cudaMemcpy3DParms down = {};
  down.srcPtr = device;
  down.dstPtr = make_cudaPitchedPtr(back.data(), w, w, h);
  down.extent = up.extent;
  down.kind = cudaMemcpyDeviceToHost;
  CUDA_CHECK(cudaMemcpy3D(&down));
  check::equal("whole volume", back.data(), want.data(), want.size());

  // A box from the middle into the middle of another volume.
  cudaPitchedPtr other;
  CUDA_CHECK(cudaMalloc3D(&other, make_cudaExtent(60, 20, 10)));
  CUDA_CHECK(cudaMemset3D(other, 0x11, make_cudaExtent(60, 20, 10)));
  cudaMemcpy3DParms box = {};
  box.srcPtr = device;
  box.srcPos = make_cudaPos(5, 3, 2);
  box.dstPtr = other;
  box.dstPos = make_cudaPos(20, 6, 1);
  box.extent = make_cudaExtent(21, 10, 6);
  box.kind = cudaMemcpyDeviceToDevice;
  cudaStream_t stream;
  CUDA_CHECK(cudaStreamCreate(&stream));
  CUDA_CHECK(cudaMemcpy3DAsync(&box, stream));
  cudaPitchedPtr corner = make_cudaPitchedPtr(other.ptr, other.pitch, other.xsize, other.ysize);
  CUDA_CHECK(cudaMemset3DAsync(corner, 0x22, make_cudaExtent(4, 3, 2), stream));
  Bytes all(60 * 20 * 10), want_all(60 * 20 * 10, 0x11);
  cudaMemcpy3DParms fetch = {};
  fetch.srcPtr = other;
  fetch.dstPtr = make_cudaPitchedPtr(all.data(), 60, 60, 20);
  fetch.extent = make_cudaExtent(60, 20, 10);
  fetch.kind = cudaMemcpyDefault;
  CUDA_CHECK(cudaMemcpy3DAsync(&fetch, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  for (size_t z = 0; z < 6; ++z)
    for (size_t y = 0; y < 10; ++y)
      for (size_t x = 0; x < 21; ++x)
        want_all[((z + 1) * 20 + y + 6) * 60 + x + 20] = want[((z + 2) * h + y + 3) * w + x + 5];
  for (size_t z = 0; z < 2; ++z)
    for (size_t y = 0; y < 3; ++y)
      for (size_t x = 0; x < 4; ++x) want_all[(z * 20 + y) * 60 + x] = 0x22;
  check::equal("box into box", all.data(), want_all.data(), want_all.size());

  // An extent of zero copies nothing.
  box.extent = make_cudaExtent(0, 4, 4);
  CUDA_CHECK(cudaMemcpy3D(&box));
  CUDA_CHECK(cudaStreamDestroy(stream));
  CUDA_CHECK(cudaFree(device.ptr));
  CUDA_CHECK(cudaFree(other.ptr));
  return check::finish();
}
