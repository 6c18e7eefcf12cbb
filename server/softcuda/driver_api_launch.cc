// cuLaunch*, cuOccupancy*.
#include <algorithm>

#include "server/softcuda/driver_call.h"
#include "server/softcuda/driver_device.h"
#include "server/softcuda/driver_launch.h"
#include "server/softcuda/driver_module.h"
#include "server/softcuda/driver_stream.h"

using namespace farlane::softcuda;

namespace {

template <typename Body>
CUresult on_function(CUfunction handle, Body&& body) noexcept {
  return in_context([&](const ContextPtr& context) -> CUresult {
    std::shared_ptr<FunctionObject> function;
    const CUresult result = find_function(*context, handle, &function);
    return result == CUDA_SUCCESS ? body(*function) : result;
  });
}

CUresult record(const ContextPtr& context, CUevent handle, CUstream stream_handle) {
  const auto event = Driver::instance().events.find(handle);
  const auto stream = find_stream(context, stream_handle);
  if (event == nullptr || stream == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  record_event(context, stream, event);
  return CUDA_SUCCESS;
}

}  // namespace

extern "C" {

CUresult cuLaunchKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y,
                        unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                        unsigned int block_z, unsigned int shared_bytes, CUstream stream,
                        void** params, void** extra) {
  return in_context([&](const ContextPtr& context) {
    return launch_kernel(context, function,
                         Launch{.grid = {grid_x, grid_y, grid_z},
                                .block = {block_x, block_y, block_z},
                                .shared_dynamic_bytes = shared_bytes,
                                .stream = stream,
                                .cooperative = false,
                                .params = params,
                                .extra = extra});
  });
}

CUresult cuLaunchCooperativeKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y,
                                   unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                                   unsigned int block_z, unsigned int shared_bytes, CUstream stream,
                                   void** params) {
  return in_context([&](const ContextPtr& context) {
    return launch_kernel(context, function,
                         Launch{.grid = {grid_x, grid_y, grid_z},
                                .block = {block_x, block_y, block_z},
                                .shared_dynamic_bytes = shared_bytes,
                                .stream = stream,
                                .cooperative = true,
                                .params = params,
                                .extra = nullptr});
  });
}

CUresult cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction function, void** params,
                          void** extra) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    if (config == nullptr || (config->numAttrs > 0 && config->attrs == nullptr)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    Launch launch{.grid = {config->gridDimX, config->gridDimY, config->gridDimZ},
                  .block = {config->blockDimX, config->blockDimY, config->blockDimZ},
                  .shared_dynamic_bytes = config->sharedMemBytes,
                  .stream = config->hStream,
                  .cooperative = false,
                  .params = params,
                  .extra = extra};
    CUevent completion = nullptr;
    for (unsigned i = 0; i < config->numAttrs; ++i) {
      const CUlaunchAttribute& attribute = config->attrs[i];
      switch (attribute.id) {
        case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
          launch.cooperative = attribute.value.cooperative != 0;
          break;
        case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
          // CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH is 0; a cluster of one block is none.
          if (attribute.value.clusterDim.x != 1 || attribute.value.clusterDim.y != 1 ||
              attribute.value.clusterDim.z != 1) {
            return CUDA_ERROR_NOT_SUPPORTED;
          }
          break;
        case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT:
          completion = attribute.value.programmaticEvent.event;
          break;
        case CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT:
          completion = attribute.value.launchCompletionEvent.event;
          break;
        case CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE:
          return CUDA_ERROR_NOT_SUPPORTED;
        default:
          // The rest are hints about speed: later is always a correct time to start a kernel.
          if (attribute.id < 0 ||
              attribute.id > CU_LAUNCH_ATTRIBUTE_NVLINK_UTIL_CENTRIC_SCHEDULING) {
            return CUDA_ERROR_INVALID_VALUE;
          }
      }
    }
    const CUresult result = launch_kernel(context, function, launch);
    if (result != CUDA_SUCCESS || completion == nullptr) {
      return result;
    }
    return record(context, completion, config->hStream);
  });
}

// --- occupancy

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, CUfunction handle,
                                                              int block_threads,
                                                              size_t shared_bytes,
                                                              unsigned int flags) {
  return on_function(handle, [&](FunctionObject& function) -> CUresult {
    if (blocks == nullptr || block_threads <= 0 ||
        (flags & ~unsigned{CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE}) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *blocks = blocks_per_sm(*function.info, function.settings, static_cast<unsigned>(block_threads),
                            shared_bytes);
    return CUDA_SUCCESS;
  });
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction function,
                                                     int block_threads, size_t shared_bytes) {
  return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, block_threads,
                                                              shared_bytes, 0);
}

CUresult cuOccupancyMaxPotentialBlockSizeWithFlags(int* grid_min, int* block_threads,
                                                   CUfunction handle,
                                                   CUoccupancyB2DSize shared_bytes_of,
                                                   size_t shared_bytes, int block_threads_max,
                                                   unsigned int flags) {
  return on_function(handle, [&](FunctionObject& function) -> CUresult {
    if (grid_min == nullptr || block_threads == nullptr || block_threads_max < 0 ||
        (flags & ~unsigned{CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE}) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    int limit = static_cast<int>(kernel_threads_max(*function.info));
    if (block_threads_max > 0) {
      limit = std::min(limit, block_threads_max);
    }
    int best_threads = 0;
    *grid_min = 0;
    *block_threads = 0;
    // From the largest block down in whole warps; the first of several equally good ones stays.
    const int warp = static_cast<int>(kWarpThreads);
    for (int threads = limit; threads > 0;
         threads = threads % warp == 0 ? threads - warp : threads / warp * warp) {
      const size_t shared = shared_bytes_of != nullptr ? shared_bytes_of(threads) : shared_bytes;
      const int blocks =
          blocks_per_sm(*function.info, function.settings, static_cast<unsigned>(threads), shared);
      if (blocks * threads > best_threads) {
        best_threads = blocks * threads;
        *block_threads = threads;
        *grid_min = blocks * sm_count();
      }
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuOccupancyMaxPotentialBlockSize(int* grid_min, int* block_threads, CUfunction function,
                                          CUoccupancyB2DSize shared_bytes_of, size_t shared_bytes,
                                          int block_threads_max) {
  return cuOccupancyMaxPotentialBlockSizeWithFlags(
      grid_min, block_threads, function, shared_bytes_of, shared_bytes, block_threads_max, 0);
}

CUresult cuOccupancyAvailableDynamicSMemPerBlock(size_t* bytes, CUfunction handle, int blocks,
                                                 int block_threads) {
  return on_function(handle, [&](FunctionObject& function) -> CUresult {
    if (bytes == nullptr || blocks <= 0 || block_threads <= 0 ||
        blocks > static_cast<int>(kSmBlocksMax) ||
        blocks > blocks_per_sm(*function.info, function.settings,
                               static_cast<unsigned>(block_threads), 0)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const size_t share = kSharedBytesPerSm / static_cast<size_t>(blocks) / 128 * 128;
    const size_t taken = kSharedBytesReserved + function.info->shared_static_bytes;
    const size_t limit = kSharedBytesPerBlockOptIn - function.info->shared_static_bytes;
    *bytes = share > taken ? std::min(share - taken, limit) : 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuOccupancyMaxPotentialClusterSize(int*, CUfunction, const CUlaunchConfig*) {
  return in_context([](const ContextPtr&) { return CUDA_ERROR_NOT_SUPPORTED; });
}

CUresult cuOccupancyMaxActiveClusters(int*, CUfunction, const CUlaunchConfig*) {
  return in_context([](const ContextPtr&) { return CUDA_ERROR_NOT_SUPPORTED; });
}

}  // extern "C"
