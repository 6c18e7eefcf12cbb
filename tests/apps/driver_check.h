// For programs on the CUDA driver API.
#pragma once

#include <cuda.h>

#include <vector>

#include "check_host.h"

namespace check {

inline const char* name_of(CUresult result) {
  const char* name = nullptr;
  return cuGetErrorName(result, &name) == CUDA_SUCCESS && name ? name : "unknown";
}

inline CUresult step(const char* what, CUresult got, CUresult want) {
  std::printf("%s: %s\n", what, name_of(got));
  if (got != want) fail("%s: %s, expected %s", what, name_of(got), name_of(want));
  return got;
}

}  // namespace check

#define CU_CHECK(call)                                                         \
  do {                                                                         \
    CUresult cu_check_result_ = (call);                                        \
    if (cu_check_result_ != CUDA_SUCCESS) {                                    \
      std::printf("FAIL: %s at %s:%d: %s\n", check::name_of(cu_check_result_), \
                  check::base_name(__FILE__), __LINE__, #call);                \
      std::fflush(stdout);                                                     \
      std::exit(1);                                                            \
    }                                                                          \
  } while (0)

namespace check {

// The first device's primary context, current for this thread.
inline void use_first_device() {
  CUdevice device;
  CUcontext context;
  CU_CHECK(cuInit(0));
  CU_CHECK(cuDeviceGet(&device, 0));
  CU_CHECK(cuDevicePrimaryCtxRetain(&context, device));
  CU_CHECK(cuCtxSetCurrent(context));
}

}  // namespace check
