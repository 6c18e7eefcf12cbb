// What is known about kernels: attributes, parameters, names, occupancy.
#include "client/cudart/registration.h"
#include "client/cudart/runtime.h"

using namespace farlane::cudart;

namespace {

// The attributes that may be set; the runtime's numbers are the driver's.
static_assert(static_cast<int>(cudaFuncAttributeMaxDynamicSharedMemorySize) ==
              static_cast<int>(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES));
static_assert(static_cast<int>(cudaFuncAttributeClusterSchedulingPolicyPreference) ==
              static_cast<int>(CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE));

// NOT_FOUND: the kernel is registered but not in the image.
Error function_error(CUresult result) {
  return result == CUDA_ERROR_NOT_FOUND ? Error(cudaErrorInvalidDeviceFunction) : Error(result);
}

class AttributeReader {
 public:
  explicit AttributeReader(CUfunction function) : function_(function) {}

  // 0 once anything went wrong.
  int read(CUfunction_attribute attribute) {
    int value = 0;
    if (result_ == CUDA_SUCCESS) {
      const CUresult result = core::function_attribute(function_, attribute, &value);
      // Attributes newer than the server's driver read as 0.
      if (result != CUDA_SUCCESS && result != CUDA_ERROR_INVALID_VALUE) {
        result_ = result;
      }
    }
    return value;
  }
  size_t read_size(CUfunction_attribute attribute) { return static_cast<size_t>(read(attribute)); }
  CUresult result() const { return result_; }

 private:
  CUfunction function_;
  CUresult result_ = CUDA_SUCCESS;
};

Error attributes_of(CUfunction function, cudaFuncAttributes* attributes) {
  AttributeReader in(function);
  cudaFuncAttributes a = {};
  a.sharedSizeBytes = in.read_size(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES);
  a.constSizeBytes = in.read_size(CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES);
  a.localSizeBytes = in.read_size(CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES);
  a.maxThreadsPerBlock = in.read(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
  a.numRegs = in.read(CU_FUNC_ATTRIBUTE_NUM_REGS);
  a.ptxVersion = in.read(CU_FUNC_ATTRIBUTE_PTX_VERSION);
  a.binaryVersion = in.read(CU_FUNC_ATTRIBUTE_BINARY_VERSION);
  a.cacheModeCA = in.read(CU_FUNC_ATTRIBUTE_CACHE_MODE_CA);
  a.maxDynamicSharedSizeBytes = in.read(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
  a.preferredShmemCarveout = in.read(CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT);
  a.clusterDimMustBeSet = in.read(CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET);
  a.requiredClusterWidth = in.read(CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH);
  a.requiredClusterHeight = in.read(CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT);
  a.requiredClusterDepth = in.read(CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH);
  a.clusterSchedulingPolicyPreference =
      in.read(CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE);
  a.nonPortableClusterSizeAllowed = in.read(CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED);
  if (in.result() != CUDA_SUCCESS) {
    return function_error(in.result());
  }
  *attributes = a;
  return {};
}

// Runs `body` with the handle of an entry function.
template <typename Body>
cudaError_t with_function(const void* function, Body&& body) {
  return enter_context([&](int device) -> Error {
    CUfunction handle = nullptr;
    if (Error error = kernel_or_handle(function, &handle)) {
      return error;
    }
    return body(handle, device);
  });
}

cudaError_t occupancy(int* blocks, const void* function, int block_threads, size_t shared_bytes,
                      unsigned flags) {
  return with_function(function, [&](CUfunction handle, int) -> Error {
    if (blocks == nullptr || block_threads <= 0 ||
        (flags & ~static_cast<unsigned>(cudaOccupancyDisableCachingOverride)) != 0) {
      return cudaErrorInvalidValue;
    }
    return function_error(
        core::occupancy_blocks(handle, block_threads, shared_bytes, flags, blocks));
  });
}

bool is_settable(cudaFuncAttribute attribute) {
  return attribute >= cudaFuncAttributeMaxDynamicSharedMemorySize &&
         attribute < cudaFuncAttributeMax;
}

}  // namespace

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attr, const void* func) {
  return with_function(func, [&](CUfunction handle, int) -> Error {
    return attr == nullptr ? Error(cudaErrorInvalidValue) : attributes_of(handle, attr);
  });
}

cudaError_t cudaFuncSetAttribute(const void* func, cudaFuncAttribute attr, int value) {
  return with_function(func, [&](CUfunction handle, int) -> Error {
    if (!is_settable(attr)) {
      return cudaErrorInvalidValue;
    }
    return function_error(
        core::function_set_attribute(handle, static_cast<CUfunction_attribute>(attr), value));
  });
}

cudaError_t cudaFuncSetCacheConfig(const void* func, cudaFuncCache cacheConfig) {
  return with_function(func, [&](CUfunction handle, int) -> Error {
    if (cacheConfig < cudaFuncCachePreferNone || cacheConfig > cudaFuncCachePreferEqual) {
      return cudaErrorInvalidValue;
    }
    return function_error(core::function_set_cache(handle, static_cast<CUfunc_cache>(cacheConfig)));
  });
}

// The bank size has been fixed since compute capability 5.0: a checked no-op.
cudaError_t cudaFuncSetSharedMemConfig(const void* func, cudaSharedMemConfig config) {
  return with_function(func, [&](CUfunction, int) -> Error {
    return config >= cudaSharedMemBankSizeDefault && config <= cudaSharedMemBankSizeEightByte
               ? cudaSuccess
               : cudaErrorInvalidValue;
  });
}

cudaError_t cudaFuncGetName(const char** name, const void* func) {
  return with_function(func, [&](CUfunction handle, int) -> Error {
    if (name == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (core::kernel_name(reinterpret_cast<CUkernel>(handle), name) == CUDA_SUCCESS) {
      return {};
    }
    return function_error(core::function_name(handle, name));
  });
}

cudaError_t cudaFuncGetParamInfo(const void* func, size_t paramIndex, size_t* paramOffset,
                                 size_t* paramSize) {
  return with_function(func, [&](CUfunction handle, int) -> Error {
    if (paramOffset == nullptr) {
      return cudaErrorInvalidValue;
    }
    size_t bytes = 0;
    if (const CUresult result = core::function_param(handle, paramIndex, paramOffset, &bytes);
        result != CUDA_SUCCESS) {
      return function_error(result);
    }
    if (paramSize != nullptr) {
      *paramSize = bytes;
    }
    return {};
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* numBlocks, const void* func,
                                                          int blockSize, size_t dynamicSMemSize) {
  return occupancy(numBlocks, func, blockSize, dynamicSMemSize, cudaOccupancyDefault);
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* numBlocks, const void* func,
                                                                   int blockSize,
                                                                   size_t dynamicSMemSize,
                                                                   unsigned int flags) {
  return occupancy(numBlocks, func, blockSize, dynamicSMemSize, flags);
}

cudaError_t cudaOccupancyAvailableDynamicSMemPerBlock(size_t* dynamicSmemSize, const void* func,
                                                      int numBlocks, int blockSize) {
  return with_function(func, [&](CUfunction handle, int) -> Error {
    if (dynamicSmemSize == nullptr || numBlocks <= 0 || blockSize <= 0) {
      return cudaErrorInvalidValue;
    }
    return function_error(core::occupancy_shared(handle, numBlocks, blockSize, dynamicSmemSize));
  });
}

cudaError_t cudaGetFuncBySymbol(cudaFunction_t* functionPtr, const void* symbolPtr) {
  return with_function(symbolPtr, [&](CUfunction handle, int device) -> Error {
    if (functionPtr == nullptr) {
      return cudaErrorInvalidValue;
    }
    return function_error(
        core::kernel_function(reinterpret_cast<CUkernel>(handle), device, functionPtr));
  });
}

cudaError_t cudaGetKernel(cudaKernel_t* kernelPtr, const void* entryFuncAddr) {
  return enter_context([&](int) -> Error {
    if (kernelPtr == nullptr || entryFuncAddr == nullptr) {
      return cudaErrorInvalidValue;
    }
    return registered_kernel(entryFuncAddr, kernelPtr);
  });
}

cudaError_t cudaKernelSetAttributeForDevice(cudaKernel_t kernel, cudaFuncAttribute attr, int value,
                                            int device) {
  return enter_context([&](int) -> Error {
    if (!is_settable(attr)) {
      return cudaErrorInvalidValue;
    }
    if (Error error = check_device(device)) {
      return error;
    }
    CUfunction function = nullptr;
    if (const CUresult result = core::kernel_function(kernel, device, &function);
        result != CUDA_SUCCESS) {
      return function_error(result);
    }
    return core::function_set_attribute(function, static_cast<CUfunction_attribute>(attr), value);
  });
}

namespace {

using ClusterQuestion = CUresult (*)(CUfunction, const core::Launch&, int*);

cudaError_t ask_clusters(int* value, const void* func, const cudaLaunchConfig_t* config,
                         ClusterQuestion question) {
  return with_function(func, [&](CUfunction handle, int) -> Error {
    if (value == nullptr || config == nullptr ||
        (config->numAttrs != 0 && config->attrs == nullptr)) {
      return cudaErrorInvalidValue;
    }
    core::Launch launch;
    launch.grid[0] = config->gridDim.x;
    launch.grid[1] = config->gridDim.y;
    launch.grid[2] = config->gridDim.z;
    launch.block[0] = config->blockDim.x;
    launch.block[1] = config->blockDim.y;
    launch.block[2] = config->blockDim.z;
    launch.shared_bytes = config->dynamicSmemBytes;
    launch.attributes = reinterpret_cast<const CUlaunchAttribute*>(config->attrs);
    launch.attribute_count = config->numAttrs;
    return function_error(question(handle, launch, value));
  });
}

}  // namespace

cudaError_t cudaOccupancyMaxActiveClusters(int* numClusters, const void* func,
                                           const cudaLaunchConfig_t* launchConfig) {
  return ask_clusters(numClusters, func, launchConfig, core::occupancy_clusters);
}

cudaError_t cudaOccupancyMaxPotentialClusterSize(int* clusterSize, const void* func,
                                                 const cudaLaunchConfig_t* launchConfig) {
  return ask_clusters(clusterSize, func, launchConfig, core::occupancy_cluster_size);
}
