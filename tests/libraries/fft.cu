// cuFFT: plans by every way there is, streams, work areas, and what is wrong. Prints checksums; the
// same natively and through Farlane.
#include <cufftXt.h>

#include "common.h"

int main() {
  constexpr int kN = 64, kBatch = 5;
  const std::vector<double> values = numbers(2 * kN * kBatch, 1);
  const std::vector<float> floats(values.begin(), values.end());
  cudaStream_t stream = nullptr;
  CHECK(cudaStreamCreate(&stream));
  auto* data = reinterpret_cast<cufftComplex*>(device(floats));
  auto* out = room<cufftComplex>(kN * kBatch);
  auto* real = room<float>(2 * kN * kBatch);
  auto* doubles = reinterpret_cast<cufftDoubleComplex*>(device(values));

  // There and back is the same times kN.
  cufftHandle plan = 0;
  CHECK(cufftPlan1d(&plan, kN, CUFFT_C2C, kBatch));
  CHECK(cufftSetStream(plan, stream));
  CHECK(cufftExecC2C(plan, data, out, CUFFT_FORWARD));
  CHECK(cudaStreamSynchronize(stream));
  print("c2c", reinterpret_cast<float*>(out), 2 * kN * kBatch);
  CHECK(cufftExecC2C(plan, out, out, CUFFT_INVERSE));
  CHECK(cudaStreamSynchronize(stream));
  std::vector<float> scaled = floats;
  for (float& x : scaled) x *= kN;
  expect("there and back", reinterpret_cast<float*>(out), scaled, 1e-3);
  size_t size = 0, again = 0;
  CHECK(cufftGetSize(plan, &size));
  CHECK(cufftGetSize(plan, &again));
  std::printf("work area %zu %zu\n", size, again);
  CHECK(cufftDestroy(plan));
  std::printf("a plan that is gone: %d\n", cufftExecC2C(plan, data, out, CUFFT_FORWARD));

  // Two plans at once, real to complex, with a layout, and the caller's work area.
  int n[2] = {16, 8}, inembed[2] = {16, 8}, onembed[2] = {16, 5};
  cufftHandle forward = 0, back = 0;
  CHECK(cufftCreate(&forward));
  CHECK(cufftSetAutoAllocation(forward, 0));
  size_t work = 0;
  CHECK(cufftMakePlanMany(forward, 2, n, inembed, 1, 128, onembed, 1, 80, CUFFT_R2C, 4, &work));
  void* area = room<char>(work + 1);
  CHECK(cufftSetWorkArea(forward, area));
  CHECK(cufftPlanMany(&back, 2, n, onembed, 1, 80, inembed, 1, 128, CUFFT_C2R, 4));
  CHECK(cufftExecR2C(forward, reinterpret_cast<float*>(data), out));
  CHECK(cufftExecC2R(back, out, real));
  std::vector<float> grown(floats.begin(), floats.begin() + 4 * 128);
  for (float& x : grown) x *= 128;
  expect("real, there and back", real, grown, 1e-3);
  CHECK(cufftDestroy(forward));
  CHECK(cufftDestroy(back));

  // As PyTorch makes plans.
  long long n64[1] = {kN};
  CHECK(cufftCreate(&plan));
  CHECK(cufftXtMakePlanMany(plan, 1, n64, nullptr, 1, kN, CUDA_C_64F, nullptr, 1, kN, CUDA_C_64F,
                            kBatch, &work, CUDA_C_64F));
  CHECK(cufftXtExec(plan, doubles, doubles, CUFFT_FORWARD));
  print("xt double", reinterpret_cast<double*>(doubles), 2 * kN * kBatch);
  CHECK(cufftDestroy(plan));
  CHECK(cufftPlan3d(&plan, 4, 8, 2, CUFFT_Z2Z));
  CHECK(cufftExecZ2Z(plan, doubles, doubles, CUFFT_INVERSE));
  print("3d double", reinterpret_cast<double*>(doubles), 2 * 64);
  CHECK(cufftDestroy(plan));

  CHECK(cufftEstimate1d(kN, CUFFT_C2C, kBatch, &size));
  std::printf("estimate %zu\n", size);
  int major = 0;
  CHECK(cufftGetProperty(MAJOR_VERSION, &major));
  std::printf("version %d\n", major);
  std::printf("no size: %d\n", cufftPlan1d(&plan, 0, CUFFT_C2C, 1));
  std::printf("no plan: %d\n", cufftDestroy(123456));
  return 0;
}
