// Relocatable device code: device functions, variables, constants, templates and function pointers
// used across translation units.
#include "../check.h"
#include "shared.h"

__global__ void areas(const Shape* shapes, float* out, int n) {
  int i = threadIdx.x;
  if (i < n) out[i] = clamp_to(area(shapes[i]), 0.0f, 100.0f);
}

__global__ void steps(int* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = collatz_steps(i + 1) + global_bias;
}

__global__ void transformed(float* out) {
  out[threadIdx.x] = transforms[threadIdx.x % 3](static_cast<float>(threadIdx.x));
}

template <int N>
__global__ void powers(long long* out) {
  long long v = 1;
  for (int i = 0; i < N; ++i) v *= threadIdx.x;
  out[threadIdx.x] = clamp_to(v, 0LL, 100000LL);
}

int collatz(unsigned n) {
  int count = 0;
  for (; n > 1; ++count) n = n & 1 ? 3 * n + 1 : n / 2;
  return count;
}

int main() {
  // The default stack of a thread is too small for a hundred nested calls.
  CUDA_CHECK(cudaDeviceSetLimit(cudaLimitStackSize, 16384));
  std::vector<Shape> shapes;
  std::vector<float> want_areas;
  for (int i = 0; i < 20; ++i) {
    shapes.push_back({i % 9, static_cast<float>(i) * 0.5f});
    float a = static_cast<float>(i % 9) * (static_cast<float>(i) * 0.5f) *
              static_cast<float>((i % 9 & 7) + 1);
    want_areas.push_back(a > 100 ? 100 : a);
  }
  check::DeviceArray<Shape> dshapes(shapes);
  check::DeviceArray<float> dareas(20);
  areas<<<1, 32>>>(dshapes.get(), dareas.get(), 20);
  LAUNCH_CHECK();
  check::equal("device function of another unit", dareas.fetch().data(), want_areas.data(), 20);

  int bias = 1000;
  CUDA_CHECK(cudaMemcpyToSymbol(global_bias, &bias, sizeof bias));
  std::vector<int> want(97);
  for (int i = 0; i < 97; ++i) want[i] = collatz(i + 1) + bias;
  check::DeviceArray<int> dsteps(97);
  steps<<<2, 64>>>(dsteps.get(), 97);
  LAUNCH_CHECK();
  check::equal("recursion and extern variable", dsteps.fetch().data(), want.data(), 97);

  launch_library_kernel(dsteps.get(), 97);
  for (int i = 0; i < 97; ++i) want[i] = (i < 10 ? 0 : i > 60 ? 50 : i - 10) + bias;
  check::equal("kernel of another unit", dsteps.fetch().data(), want.data(), 97);

  std::vector<float> want_transforms(12);
  for (int i = 0; i < 12; ++i) {
    float x = static_cast<float>(i);
    want_transforms[i] = i % 3 == 0 ? x * 2 : i % 3 == 1 ? -x : x + 1000;
  }
  check::DeviceArray<float> dtransforms(12);
  transformed<<<1, 12>>>(dtransforms.get());
  LAUNCH_CHECK();
  check::equal("function pointers", dtransforms.fetch().data(), want_transforms.data(), 12);

  std::vector<long long> want_powers(16);
  for (int i = 0; i < 16; ++i) {
    long long v = 1LL * i * i * i * i * i;
    want_powers[i] = v > 100000 ? 100000 : v;
  }
  check::DeviceArray<long long> dpowers(16);
  powers<5><<<1, 16>>>(dpowers.get());
  LAUNCH_CHECK();
  check::equal("template kernel", dpowers.fetch().data(), want_powers.data(), 16);

  float factors[8] = {};
  CUDA_CHECK(cudaMemcpyFromSymbol(factors, global_factors, sizeof factors));
  const float want_factors[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  check::equal("extern constant", factors, want_factors, 8);
  return check::finish();
}
