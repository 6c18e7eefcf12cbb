// Launches.
#include "client/cuda/driver.h"

using namespace farlane::cuda;

namespace {

// `extra`: name and value pairs that give all parameters packed.
CUresult read_extra(void** extra, core::Launch* launch) {
  const size_t* bytes = nullptr;
  for (void** at = extra; *at != CU_LAUNCH_PARAM_END; at += 2) {
    if (*at == CU_LAUNCH_PARAM_BUFFER_POINTER) {
      launch->packed_params = at[1];
    } else if (*at == CU_LAUNCH_PARAM_BUFFER_SIZE) {
      bytes = static_cast<const size_t*>(at[1]);
    } else {
      return CUDA_ERROR_INVALID_VALUE;
    }
  }
  if ((launch->packed_params == nullptr) != (bytes == nullptr)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  launch->packed_bytes = bytes == nullptr ? 0 : *bytes;
  return CUDA_SUCCESS;
}

CUresult do_launch(CUfunction function, core::Launch launch, void** params, void** extra) {
  return enter_context([&](int) -> CUresult {
    if (function == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    if (params != nullptr && extra != nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    launch.params = params;
    if (extra != nullptr) {
      if (const CUresult result = read_extra(extra, &launch); result != CUDA_SUCCESS) {
        return result;
      }
    }
    return core::launch(function, launch);
  });
}

core::Launch shape(unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                   unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream) {
  core::Launch launch;
  launch.grid[0] = grid_x;
  launch.grid[1] = grid_y;
  launch.grid[2] = grid_z;
  launch.block[0] = block_x;
  launch.block[1] = block_y;
  launch.block[2] = block_z;
  launch.shared_bytes = shared_bytes;
  launch.stream = stream;
  return launch;
}

CUresult launch_cooperative(CUfunction function, core::Launch launch, void** params) {
  CUlaunchAttribute attribute = {};
  attribute.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
  attribute.value.cooperative = 1;
  launch.attributes = &attribute;
  launch.attribute_count = 1;
  return do_launch(function, launch, params, nullptr);
}

CUresult launch_configured(const CUlaunchConfig* config, CUfunction function, void** params,
                           void** extra, DefaultStream twin) {
  if (config == nullptr || (config->numAttrs != 0 && config->attrs == nullptr)) {
    return is_initialized() ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_NOT_INITIALIZED;
  }
  core::Launch launch = shape(config->gridDimX, config->gridDimY, config->gridDimZ,
                              config->blockDimX, config->blockDimY, config->blockDimZ,
                              config->sharedMemBytes, stream_of(config->hStream, twin));
  launch.attributes = config->attrs;
  launch.attribute_count = config->numAttrs;
  return do_launch(function, launch, params, extra);
}

}  // namespace

FARLANE_TWINS(cuLaunchKernel, _ptsz,
              (CUfunction f, unsigned int gridDimX, unsigned int gridDimY, unsigned int gridDimZ,
               unsigned int blockDimX, unsigned int blockDimY, unsigned int blockDimZ,
               unsigned int sharedMemBytes, CUstream hStream, void** kernelParams, void** extra),
              do_launch(f,
                        shape(gridDimX, gridDimY, gridDimZ, blockDimX, blockDimY, blockDimZ,
                              sharedMemBytes, stream_of(hStream, twin)),
                        kernelParams, extra))
FARLANE_TWINS(cuLaunchKernelEx, _ptsz,
              (const CUlaunchConfig* config, CUfunction f, void** kernelParams, void** extra),
              launch_configured(config, f, kernelParams, extra, twin))
FARLANE_TWINS(cuLaunchCooperativeKernel, _ptsz,
              (CUfunction f, unsigned int gridDimX, unsigned int gridDimY, unsigned int gridDimZ,
               unsigned int blockDimX, unsigned int blockDimY, unsigned int blockDimZ,
               unsigned int sharedMemBytes, CUstream hStream, void** kernelParams),
              launch_cooperative(f,
                                 shape(gridDimX, gridDimY, gridDimZ, blockDimX, blockDimY,
                                       blockDimZ, sharedMemBytes, stream_of(hStream, twin)),
                                 kernelParams))
