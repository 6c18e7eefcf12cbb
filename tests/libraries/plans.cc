// Handles that are numbers, from end to end: façade, log, worker, and a library on the server. Says
// what failed; exits with 0 when all is well.
#include <cuda_runtime_api.h>
#include <cufftXt.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "tests/libraries/expect.h"

namespace {

constexpr int kPoints = 8;

// One point, at 1: its transform turns once around.
void transforms(cufftHandle plan) {
  std::vector<cufftComplex> values(kPoints, cufftComplex{0, 0});
  values[1] = {1, 0};
  cufftComplex* data = nullptr;
  OK(cudaMalloc(reinterpret_cast<void**>(&data), kPoints * sizeof *data));
  OK(cudaMemcpy(data, values.data(), kPoints * sizeof *data, cudaMemcpyHostToDevice));
  OK(cufftExecC2C(plan, data, data, CUFFT_FORWARD));
  OK(cudaDeviceSynchronize());
  OK(cudaMemcpy(values.data(), data, kPoints * sizeof *data, cudaMemcpyDeviceToHost));
  for (int k = 0; k < kPoints; ++k) {
    const auto& value = values[static_cast<size_t>(k)];
    EXPECT(std::fabs(value.x - std::cos(2 * 3.14159265358979 * k / kPoints)) < 1e-6);
    EXPECT(std::fabs(value.y + std::sin(2 * 3.14159265358979 * k / kPoints)) < 1e-6);
  }
  OK(cudaFree(data));
}

}  // namespace

int main() {
  cufftHandle plan = 0;
  OK(cufftPlan1d(&plan, kPoints, CUFFT_C2C, 1));
  EXPECT(plan > 0);
  cudaStream_t stream = nullptr;
  OK(cudaStreamCreate(&stream));
  OK(cufftSetStream(plan, stream));
  transforms(plan);

  // Two at once are two numbers; one is made by a call that tells nothing.
  cufftHandle second = 0;
  OK(cufftCreate(&second));
  EXPECT(second > 0 && second != plan);
  int n = kPoints, bad = kPoints + 1;
  size_t work = 0;
  EXPECT(cufftMakePlanMany(second, 1, &n, nullptr, 1, n, &bad, 1, n, CUFFT_C2C, 1, &work) ==
         CUFFT_INVALID_VALUE);
  EXPECT(cufftMakePlanMany(second, -1, &n, nullptr, 1, n, &n, 1, n, CUFFT_C2C, 1, &work) ==
         CUFFT_INVALID_VALUE);
  OK(cufftMakePlanMany(second, 1, &n, nullptr, 1, n, &n, 1, n, CUFFT_C2C, 1, &work));
  EXPECT(work == kPoints * 8);
  transforms(second);

  // The size of the work area is asked once, and another plan's again.
  size_t size = 0;
  OK(cufftGetSize(plan, &size));
  EXPECT(size == 1);
  OK(cufftGetSize(plan, &size));
  EXPECT(size == 1);
  OK(cufftGetSize(second, &size));
  EXPECT(size == 2);

  // A property that was taken back counts no longer, and counts again when it is set once more.
  size_t with = 0, without = 0;
  OK(cufftSetPlanPropertyInt64(second, NVFFT_PLAN_PROPERTY_INT64_MAX_NUM_HOST_THREADS, 2));
  OK(cufftGetSize(second, &with));
  OK(cufftResetPlanProperty(second, NVFFT_PLAN_PROPERTY_INT64_MAX_NUM_HOST_THREADS));
  OK(cufftGetSize(second, &without));
  EXPECT(with > 2 && without > with);
  OK(cufftSetPlanPropertyInt64(second, NVFFT_PLAN_PROPERTY_INT64_MAX_NUM_HOST_THREADS, 2));
  OK(cufftGetSize(second, &size));
  EXPECT(size == with);

  // A number that is no plan's, or no longer.
  OK(cufftDestroy(plan));
  EXPECT(cufftExecC2C(plan, nullptr, nullptr, CUFFT_FORWARD) == CUFFT_INVALID_PLAN);
  EXPECT(cufftDestroy(plan) == CUFFT_INVALID_PLAN);
  EXPECT(cufftDestroy(0) == CUFFT_INVALID_PLAN);
  EXPECT(cufftDestroy(-1) == CUFFT_INVALID_PLAN);
  EXPECT(cufftGetSize(123456, &size) == CUFFT_INVALID_PLAN);
  transforms(second);

  // A plan that could not be made leaves none.
  plan = 77;
  EXPECT(cufftPlan1d(&plan, 0, CUFFT_C2C, 1) == CUFFT_INVALID_SIZE);
  EXPECT(cufftPlan1d(nullptr, kPoints, CUFFT_C2C, 1) == CUFFT_INVALID_VALUE);
  OK(cufftDestroy(second));
  return 0;
}
