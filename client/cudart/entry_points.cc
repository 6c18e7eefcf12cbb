// Driver functions by name. The pointers lead into the libcuda.so.1 that lies beside this library,
// whatever other one the process may have.
#include <dlfcn.h>

#include <string>

#include "client/cudart/runtime.h"

using namespace farlane::cudart;

namespace {

using GetProcAddress = CUresult (*)(const char*, void**, int, cuuint64_t,
                                    CUdriverProcAddressQueryResult*);

GetProcAddress open_driver() {
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&cudaRuntimeGetVersion), &info) == 0 ||
      info.dli_fname == nullptr) {
    return nullptr;
  }
  std::string path = info.dli_fname;
  const size_t slash = path.rfind('/');
  path.replace(slash == std::string::npos ? 0 : slash + 1, std::string::npos, "libcuda.so.1");
  // Never closed: pointers into it are out.
  void* const driver = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  return driver == nullptr ? nullptr
                           : reinterpret_cast<GetProcAddress>(dlsym(driver, "cuGetProcAddress_v2"));
}

GetProcAddress driver_get_proc_address() {
  static const GetProcAddress function = open_driver();
  return function;
}

static_assert(static_cast<int>(cudaEnableLegacyStream) == CU_GET_PROC_ADDRESS_LEGACY_STREAM);
static_assert(static_cast<int>(cudaEnablePerThreadDefaultStream) ==
              CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM);
static_assert(static_cast<int>(cudaDriverEntryPointVersionNotSufficent) ==
              CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT);

cudaError_t entry_point(const char* symbol, void** function, unsigned version,
                        unsigned long long flags, cudaDriverEntryPointQueryResult* status,
                        DefaultStream twin) {
  return enter([&]() -> Error {
    if (symbol == nullptr || function == nullptr ||
        (flags & ~static_cast<unsigned long long>(cudaEnableLegacyStream |
                                                  cudaEnablePerThreadDefaultStream)) != 0) {
      return cudaErrorInvalidValue;
    }
    const GetProcAddress get = driver_get_proc_address();
    if (get == nullptr) {
      core::unsupported("cudaGetDriverEntryPoint without libcuda.so.1 beside libcudart.so.13");
      return cudaErrorSharedObjectInitFailed;
    }
    if (flags == cudaEnableDefault && twin == DefaultStream::kPerThread) {
      flags = cudaEnablePerThreadDefaultStream;
    }
    auto found = CU_GET_PROC_ADDRESS_SUCCESS;
    const CUresult result = get(symbol, function, static_cast<int>(version), flags, &found);
    if (result != CUDA_SUCCESS) {
      return result;
    }
    if (status != nullptr) {
      *status = static_cast<cudaDriverEntryPointQueryResult>(found);
    }
    return {};
  });
}

}  // namespace

FARLANE_TWINS(cudaGetDriverEntryPoint, _ptsz,
              (const char* symbol, void** funcPtr, unsigned long long flags,
               cudaDriverEntryPointQueryResult* driverStatus),
              entry_point(symbol, funcPtr, CUDART_VERSION, flags, driverStatus, twin))
FARLANE_TWINS(cudaGetDriverEntryPointByVersion, _ptsz,
              (const char* symbol, void** funcPtr, unsigned int cudaVersion,
               unsigned long long flags, cudaDriverEntryPointQueryResult* driverStatus),
              entry_point(symbol, funcPtr, cudaVersion, flags, driverStatus, twin))

// Exported by CUDA 13's runtime, declared by no header, and answers null there.
extern "C" void* __cudaGetProcAddress() {
  return nullptr;
}
