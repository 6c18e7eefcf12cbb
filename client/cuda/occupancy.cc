// How many blocks of a kernel fit a multiprocessor, and which block size fills it best.
#include <algorithm>

#include "client/cuda/driver.h"

using namespace farlane::cuda;

namespace {

CUresult active_blocks(int* blocks, CUfunction function, int block_threads, size_t shared_bytes,
                       unsigned flags) {
  return enter_context([&](int) -> CUresult {
    if (blocks == nullptr || block_threads <= 0 ||
        (flags & ~static_cast<unsigned>(CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE)) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return core::occupancy_blocks(function, block_threads, shared_bytes, flags, blocks);
  });
}

struct Limits {
  int warp_threads = 0;
  int block_threads_max = 0;
  int multiprocessors = 0;
  int multiprocessor_threads_max = 0;
};

CUresult read_limits(int device, CUfunction function, Limits* limits) {
  const struct {
    CUdevice_attribute attribute;
    int* value;
  } wanted[] = {
      {CU_DEVICE_ATTRIBUTE_WARP_SIZE, &limits->warp_threads},
      {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, &limits->block_threads_max},
      {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, &limits->multiprocessors},
      {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, &limits->multiprocessor_threads_max},
  };
  for (const auto& [attribute, value] : wanted) {
    if (const CUresult result = core::device_attribute(device, attribute, value);
        result != CUDA_SUCCESS) {
      return result;
    }
  }
  int function_threads_max = 0;
  const CUresult result = core::function_attribute(
      function, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, &function_threads_max);
  limits->block_threads_max = std::min(limits->block_threads_max, function_threads_max);
  return result;
}

// Tries block sizes from the largest down in whole warps, and keeps the first that puts most
// threads on a multiprocessor.
CUresult best_block(int* grid, int* block, CUfunction function, CUoccupancyB2DSize shared_of,
                    size_t shared_bytes, int block_limit, unsigned flags) {
  return enter_context([&](int device) -> CUresult {
    if (grid == nullptr || block == nullptr ||
        (flags & ~static_cast<unsigned>(CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE)) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    Limits limits;
    if (const CUresult result = read_limits(device, function, &limits); result != CUDA_SUCCESS) {
      return result;
    }
    const int largest = block_limit > 0 ? std::min(block_limit, limits.block_threads_max)
                                        : limits.block_threads_max;
    const int warp = std::max(1, limits.warp_threads);
    int best_threads = 0;
    int best_size = 0;
    int best_blocks = 0;
    for (int aligned = (largest + warp - 1) / warp * warp; aligned > 0; aligned -= warp) {
      const int size = std::min(aligned, largest);
      const size_t shared = shared_of != nullptr ? shared_of(size) : shared_bytes;
      int blocks = 0;
      if (const CUresult result = core::occupancy_blocks(function, size, shared, flags, &blocks);
          result != CUDA_SUCCESS) {
        return result;
      }
      if (blocks * size > best_threads) {
        best_threads = blocks * size;
        best_size = size;
        best_blocks = blocks;
      }
      if (best_threads == limits.multiprocessor_threads_max) {
        break;
      }
    }
    *grid = best_blocks * limits.multiprocessors;
    *block = best_size;
    return CUDA_SUCCESS;
  });
}

}  // namespace

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* numBlocks, CUfunction func, int blockSize,
                                                     size_t dynamicSMemSize) {
  return active_blocks(numBlocks, func, blockSize, dynamicSMemSize, CU_OCCUPANCY_DEFAULT);
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* numBlocks, CUfunction func,
                                                              int blockSize, size_t dynamicSMemSize,
                                                              unsigned int flags) {
  return active_blocks(numBlocks, func, blockSize, dynamicSMemSize, flags);
}

CUresult cuOccupancyMaxPotentialBlockSize(int* minGridSize, int* blockSize, CUfunction func,
                                          CUoccupancyB2DSize blockSizeToDynamicSMemSize,
                                          size_t dynamicSMemSize, int blockSizeLimit) {
  return best_block(minGridSize, blockSize, func, blockSizeToDynamicSMemSize, dynamicSMemSize,
                    blockSizeLimit, CU_OCCUPANCY_DEFAULT);
}

CUresult cuOccupancyMaxPotentialBlockSizeWithFlags(int* minGridSize, int* blockSize,
                                                   CUfunction func,
                                                   CUoccupancyB2DSize blockSizeToDynamicSMemSize,
                                                   size_t dynamicSMemSize, int blockSizeLimit,
                                                   unsigned int flags) {
  return best_block(minGridSize, blockSize, func, blockSizeToDynamicSMemSize, dynamicSMemSize,
                    blockSizeLimit, flags);
}

CUresult cuOccupancyAvailableDynamicSMemPerBlock(size_t* dynamicSmemSize, CUfunction func,
                                                 int numBlocks, int blockSize) {
  return enter_context([&](int) -> CUresult {
    if (dynamicSmemSize == nullptr || numBlocks <= 0 || blockSize <= 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return core::occupancy_shared(func, numBlocks, blockSize, dynamicSmemSize);
  });
}

namespace {

using Question = CUresult (*)(CUfunction, const core::Launch&, int*);

CUresult ask_clusters(int* value, CUfunction function, const CUlaunchConfig* config,
                      Question question) {
  return enter_context([&](int) -> CUresult {
    if (value == nullptr || config == nullptr ||
        (config->numAttrs != 0 && config->attrs == nullptr)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    core::Launch launch;
    launch.grid[0] = config->gridDimX;
    launch.grid[1] = config->gridDimY;
    launch.grid[2] = config->gridDimZ;
    launch.block[0] = config->blockDimX;
    launch.block[1] = config->blockDimY;
    launch.block[2] = config->blockDimZ;
    launch.shared_bytes = config->sharedMemBytes;
    launch.attributes = config->attrs;
    launch.attribute_count = config->numAttrs;
    return question(function, launch, value);
  });
}

}  // namespace

CUresult cuOccupancyMaxActiveClusters(int* numClusters, CUfunction func,
                                      const CUlaunchConfig* config) {
  return ask_clusters(numClusters, func, config, core::occupancy_clusters);
}

CUresult cuOccupancyMaxPotentialClusterSize(int* clusterSize, CUfunction func,
                                            const CUlaunchConfig* config) {
  return ask_clusters(clusterSize, func, config, core::occupancy_cluster_size);
}
