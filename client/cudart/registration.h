// What nvcc's start-up code registers: fat binaries, and the kernels and variables in them, known
// by the address of their host-side twin. Registering only writes down; it happens before main and
// tens of thousands of times in big programs. A fat binary becomes a library of the core when one
// of its kernels or variables is first used.
#pragma once

#include <cstddef>
#include <optional>

#include "client/cudart/runtime.h"

namespace farlane::cudart {

// The kernel behind a host function's address. cudaErrorInvalidDeviceFunction: not registered.
Error registered_kernel(const void* host_function, CUkernel* kernel);

// With CUDA_MODULE_LOADING=EAGER: loads everything registered onto the device, the first time it is
// named. What has no code for it shows at its first use, as without. Otherwise nothing happens.
void load_registered_if_eager(int device);

// For functions that take "an entry function" in any of its shapes: the address of a registered
// host function, or a cudaKernel_t or cudaFunction_t. Null is cudaErrorInvalidDeviceFunction,
// anything else that is none of these cudaErrorInvalidResourceHandle.
Error kernel_or_handle(const void* function, CUfunction* out);

// The host function of a kernel; null: it has none, because the program loaded it itself.
const void* host_function_of(CUfunction function);

struct Variable {
  CUdeviceptr address = 0;
  size_t bytes = 0;
};
// The variable of the current device behind a host variable's address. cudaErrorInvalidSymbol: not
// registered, or not in the image.
Error registered_variable(const void* host_variable, int device, Variable* variable);

}  // namespace farlane::cudart
