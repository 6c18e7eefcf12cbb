// The first CUDA program: c = a + b, with a ragged last block.
#include "check.h"

__global__ void add(const float* a, const float* b, float* c, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) c[i] = a[i] + b[i];
}

// The same with a grid-stride loop and float4 loads.
__global__ void add4(const float4* a, const float4* b, float4* c, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    float4 x = a[i], y = b[i];
    c[i] = make_float4(x.x + y.x, x.y + y.y, x.z + y.z, x.w + y.w);
  }
}

int main(int argc, char** argv) {
  const int n = 100004 * check::scale(argc, argv);
  std::vector<float> a(n), b(n), want(n);
  check::Rng rng(1);
  for (int i = 0; i < n; ++i) {
    a[i] = rng.next_float() * 100;
    b[i] = rng.next_float() - 0.5f;
    want[i] = a[i] + b[i];  // one rounding: exact on every device
  }
  check::DeviceArray<float> da(a), db(b), dc(n);
  dc.zero();
  add<<<(n + 255) / 256, 256>>>(da.get(), db.get(), dc.get(), n);
  LAUNCH_CHECK();
  check::equal("add", dc.fetch().data(), want.data(), n);

  dc.zero();
  add4<<<32, 128>>>(reinterpret_cast<float4*>(da.get()), reinterpret_cast<float4*>(db.get()),
                    reinterpret_cast<float4*>(dc.get()), n / 4);
  LAUNCH_CHECK();
  CUDA_CHECK(cudaDeviceSynchronize());
  check::equal("add4", dc.fetch().data(), want.data(), n);
  return check::finish();
}
