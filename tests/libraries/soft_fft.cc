// A libcufft.so.12 for machines without a GPU, as soft_blas.cc: the few functions that tests call.
// Plans are numbers, as the vendor's.
#include <cuda.h>
#include <cufftXt.h>
#include <dlfcn.h>

#include <complex>
#include <map>
#include <mutex>
#include <numbers>
#include <vector>

namespace {

struct Plan {
  int points = 0;
  int batch = 0;
  cudaStream_t stream = nullptr;
};

std::mutex g_mutex;
std::map<int, Plan> g_plans;  // guarded by g_mutex
int g_next = 4242;            // unlike the client's numbers
size_t g_asked = 0;           // for the size of a work area

// The number of a new plan.
int add(Plan plan) {
  const std::lock_guard lock(g_mutex);
  g_plans[g_next] = plan;
  return g_next++;
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED cufftResult cufftGetProperty(libraryPropertyType type, int* value) {
  *value = type == MAJOR_VERSION ? CUFFT_VER_MAJOR : 0;
  return CUFFT_SUCCESS;
}

EXPORTED cufftResult cufftCreate(cufftHandle* handle) {
  *handle = add({});
  return CUFFT_SUCCESS;
}

EXPORTED cufftResult cufftPlan1d(cufftHandle* plan, int nx, cufftType, int batch) {
  if (nx < 1) return CUFFT_INVALID_SIZE;
  *plan = add({nx, batch, nullptr});
  return CUFFT_SUCCESS;
}

EXPORTED cufftResult cufftMakePlanMany(cufftHandle plan, int rank, int* n, int* inembed, int, int,
                                       int* onembed, int, int, cufftType, int batch,
                                       size_t* workSize) {
  const std::lock_guard lock(g_mutex);
  const auto found = g_plans.find(plan);
  if (found == g_plans.end()) return CUFFT_INVALID_PLAN;
  if (rank != 1 || n == nullptr || inembed != nullptr || onembed == nullptr || *onembed != *n) {
    return CUFFT_INVALID_VALUE;
  }
  found->second.points = *n;
  found->second.batch = batch;
  *workSize = static_cast<size_t>(*n) * 8;
  return CUFFT_SUCCESS;
}

EXPORTED cufftResult cufftSetPlanPropertyInt64(cufftHandle plan, cufftProperty,
                                               const long long int) {
  const std::lock_guard lock(g_mutex);
  return g_plans.contains(plan) ? CUFFT_SUCCESS : CUFFT_INVALID_PLAN;
}

EXPORTED cufftResult cufftResetPlanProperty(cufftHandle plan, cufftProperty) {
  const std::lock_guard lock(g_mutex);
  return g_plans.contains(plan) ? CUFFT_SUCCESS : CUFFT_INVALID_PLAN;
}

// Another answer each time: who asks once sees one.
EXPORTED cufftResult cufftGetSize(cufftHandle plan, size_t* workSize) {
  const std::lock_guard lock(g_mutex);
  if (!g_plans.contains(plan)) return CUFFT_INVALID_PLAN;
  *workSize = ++g_asked;
  return CUFFT_SUCCESS;
}

EXPORTED cufftResult cufftSetStream(cufftHandle plan, cudaStream_t stream) {
  const std::lock_guard lock(g_mutex);
  const auto found = g_plans.find(plan);
  if (found == g_plans.end()) return CUFFT_INVALID_PLAN;
  found->second.stream = stream;
  return CUFFT_SUCCESS;
}

EXPORTED cufftResult cufftExecC2C(cufftHandle plan, cufftComplex* idata, cufftComplex* odata,
                                  int direction) {
  static const auto synchronize = reinterpret_cast<CUresult (*)(CUstream)>(
      ::dlsym(::dlopen(SOFTCUDA_SONAME, RTLD_NOW | RTLD_NOLOAD), "cuStreamSynchronize"));
  const std::lock_guard lock(g_mutex);
  const auto found = g_plans.find(plan);
  if (found == g_plans.end() || found->second.points == 0) return CUFFT_INVALID_PLAN;
  const auto [points, batch, stream] = found->second;
  if (synchronize == nullptr || synchronize(stream) != CUDA_SUCCESS) return CUFFT_EXEC_FAILED;
  for (int b = 0; b < batch; ++b, idata += points, odata += points) {
    std::vector<std::complex<double>> sums(static_cast<size_t>(points));
    for (int k = 0; k < points; ++k) {
      for (int j = 0; j < points; ++j) {
        const double turn = 2 * std::numbers::pi * direction * j * k / points;
        sums[static_cast<size_t>(k)] +=
            std::complex<double>(idata[j].x, idata[j].y) * std::polar(1.0, turn);
      }
    }
    for (int k = 0; k < points; ++k) {
      odata[k] = {static_cast<float>(sums[static_cast<size_t>(k)].real()),
                  static_cast<float>(sums[static_cast<size_t>(k)].imag())};
    }
  }
  return CUFFT_SUCCESS;
}

EXPORTED cufftResult cufftDestroy(cufftHandle plan) {
  const std::lock_guard lock(g_mutex);
  return g_plans.erase(plan) == 1 ? CUFFT_SUCCESS : CUFFT_INVALID_PLAN;
}
