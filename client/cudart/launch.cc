// Launches, through all of the runtime's doors.
#include <array>
#include <cstddef>

#include "client/cudart/registration.h"
#include "client/cudart/runtime.h"

namespace farlane::cudart {
namespace {

// What `<<<>>>` leaves for the stub that follows it. Kernels launched while another's arguments
// are evaluated nest, hence a stack; it is as deep as anyone could mean it.
struct CallConfiguration {
  dim3 grid;
  dim3 block;
  size_t shared_bytes;
  cudaStream_t stream;
};
constexpr size_t kNestedMax = 64;
struct CallConfigurations {
  std::array<unsigned char, kNestedMax * sizeof(CallConfiguration)> storage;
  size_t count;
  CallConfiguration* at(size_t i) {
    return reinterpret_cast<CallConfiguration*>(storage.data()) + i;
  }
};
alignas(CallConfiguration) constinit thread_local CallConfigurations configurations = {};

// The core checks the configuration, with the driver's codes; since CUDA 13 they are the runtime's
// too (cudaErrorInvalidValue, no longer cudaErrorInvalidConfiguration).
Error do_launch(CUfunction function, const core::Launch& launch) {
  const CUresult result = core::launch(function, launch);
  if (result == CUDA_ERROR_NOT_FOUND) {
    return cudaErrorInvalidDeviceFunction;  // registered, but not in the image
  }
  return result;
}

core::Launch shape(const dim3& grid, const dim3& block, void** args, size_t shared_bytes,
                   CUstream stream) {
  core::Launch launch;
  launch.grid[0] = grid.x;
  launch.grid[1] = grid.y;
  launch.grid[2] = grid.z;
  launch.block[0] = block.x;
  launch.block[1] = block.y;
  launch.block[2] = block.z;
  launch.shared_bytes = shared_bytes;
  launch.stream = stream;
  launch.params = args;
  return launch;
}

cudaError_t launch_handle(cudaKernel_t kernel, const dim3& grid, const dim3& block, void** args,
                          size_t shared_bytes, CUstream stream) {
  return enter_context([&](int) -> Error {
    if (kernel == nullptr) {
      return cudaErrorInvalidDeviceFunction;
    }
    return do_launch(reinterpret_cast<CUfunction>(kernel),
                     shape(grid, block, args, shared_bytes, stream));
  });
}

cudaError_t launch_function(const void* function, const dim3& grid, const dim3& block, void** args,
                            size_t shared_bytes, CUstream stream) {
  return enter_context([&](int) -> Error {
    CUfunction handle = nullptr;
    if (Error error = kernel_or_handle(function, &handle)) {
      return error;
    }
    return do_launch(handle, shape(grid, block, args, shared_bytes, stream));
  });
}

// The runtime's launch attributes are the driver's.
static_assert(sizeof(cudaLaunchAttribute) == sizeof(CUlaunchAttribute));
static_assert(offsetof(cudaLaunchAttribute, val) == offsetof(CUlaunchAttribute, value));
static_assert(static_cast<int>(cudaLaunchAttributeCooperative) ==
              static_cast<int>(CU_LAUNCH_ATTRIBUTE_COOPERATIVE));
static_assert(static_cast<int>(cudaLaunchAttributeClusterDimension) ==
              static_cast<int>(CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION));

cudaError_t launch_configured(const cudaLaunchConfig_t* config, const void* function, void** args,
                              DefaultStream twin) {
  return enter_context([&](int) -> Error {
    if (config == nullptr || (config->numAttrs != 0 && config->attrs == nullptr)) {
      return cudaErrorInvalidValue;
    }
    CUfunction handle = nullptr;
    if (Error error = kernel_or_handle(function, &handle)) {
      return error;
    }
    core::Launch launch = shape(config->gridDim, config->blockDim, args, config->dynamicSmemBytes,
                                stream_of(config->stream, twin));
    launch.attributes = reinterpret_cast<const CUlaunchAttribute*>(config->attrs);
    launch.attribute_count = config->numAttrs;
    return do_launch(handle, launch);
  });
}

cudaError_t launch_cooperative(const void* function, const dim3& grid, const dim3& block,
                               void** args, size_t shared_bytes, CUstream stream) {
  return enter_context([&](int) -> Error {
    CUfunction handle = nullptr;
    if (Error error = kernel_or_handle(function, &handle)) {
      return error;
    }
    CUlaunchAttribute attribute = {};
    attribute.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
    attribute.value.cooperative = 1;
    core::Launch launch = shape(grid, block, args, shared_bytes, stream);
    launch.attributes = &attribute;
    launch.attribute_count = 1;
    return do_launch(handle, launch);
  });
}

}  // namespace
}  // namespace farlane::cudart

using namespace farlane::cudart;

// Of nvcc's stubs; the headers declare some of these for device compilation only.
extern "C" {

unsigned __cudaPushCallConfiguration(dim3 gridDim, dim3 blockDim, size_t sharedMem,
                                     cudaStream_t stream) {
  if (configurations.count == kNestedMax) {
    return static_cast<unsigned>(record(cudaErrorMemoryAllocation));
  }
  *configurations.at(configurations.count) = {gridDim, blockDim, sharedMem, stream};
  configurations.count++;
  return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3* gridDim, dim3* blockDim, size_t* sharedMem,
                                       void* stream) {
  if (configurations.count == 0) {
    return record(cudaErrorMissingConfiguration);
  }
  configurations.count--;
  const CallConfiguration& top = *configurations.at(configurations.count);
  *gridDim = top.grid;
  *blockDim = top.block;
  *sharedMem = top.shared_bytes;
  *static_cast<cudaStream_t*>(stream) = top.stream;
  return cudaSuccess;
}

cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* hostFunction) {
  return enter([&]() -> Error {
    // It is asked before the launch finds out, and would wait for a lock of the parent's threads.
    return core::session_is_forked() ? Error(cudaErrorInitializationError)
                                     : registered_kernel(hostFunction, kernel);
  });
}

FARLANE_TWINS(__cudaLaunchKernel, _ptsz,
              (cudaKernel_t kernel, dim3 gridDim, dim3 blockDim, void** args, size_t sharedMem,
               cudaStream_t stream),
              launch_handle(kernel, gridDim, blockDim, args, sharedMem, stream_of(stream, twin)))

}  // extern "C"

FARLANE_TWINS(cudaLaunchKernel, _ptsz,
              (const void* func, dim3 gridDim, dim3 blockDim, void** args, size_t sharedMem,
               cudaStream_t stream),
              launch_function(func, gridDim, blockDim, args, sharedMem, stream_of(stream, twin)))
FARLANE_TWINS(cudaLaunchKernelExC, _ptsz,
              (const cudaLaunchConfig_t* config, const void* func, void** args),
              launch_configured(config, func, args, twin))
FARLANE_TWINS(cudaLaunchCooperativeKernel, _ptsz,
              (const void* func, dim3 gridDim, dim3 blockDim, void** args, size_t sharedMem,
               cudaStream_t stream),
              launch_cooperative(func, gridDim, blockDim, args, sharedMem, stream_of(stream, twin)))
