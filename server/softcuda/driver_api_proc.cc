// cuGetProcAddress.
#include <algorithm>
#include <cstring>
#include <iterator>

#include "server/softcuda/driver_call.h"

using namespace farlane::softcuda;

extern "C" CUresult cuGetProcAddress_v2(const char* symbol, void** function, int version,
                                        cuuint64_t flags, CUdriverProcAddressQueryResult* status);

namespace {

struct Entry {
  const char* name;
  void* function;
  int version;     // from which CUDA version on this name means this function (cudaTypedefs.h)
  bool on_stream;  // has a variant for the per-thread default stream, which is not implemented
};

// cuda.h's macros turn the plain name into the one with the version's suffix.
#define PLAIN(name, version) \
  { #name, reinterpret_cast < void*>(&name), version, false }
#define STREAM(name, version) \
  { #name, reinterpret_cast < void*>(&name), version, true }
const Entry kEntries[] = {
    PLAIN(cuCtxCreate, 12050),
    PLAIN(cuCtxDestroy, 4000),
    PLAIN(cuCtxDisablePeerAccess, 4000),
    PLAIN(cuCtxEnablePeerAccess, 4000),
    PLAIN(cuCtxGetApiVersion, 3020),
    PLAIN(cuCtxGetCacheConfig, 3020),
    PLAIN(cuCtxGetCurrent, 4000),
    PLAIN(cuCtxGetDevice, 13000),
    PLAIN(cuCtxGetFlags, 7000),
    PLAIN(cuCtxGetId, 12000),
    PLAIN(cuCtxGetLimit, 3010),
    PLAIN(cuCtxGetStreamPriorityRange, 5050),
    PLAIN(cuCtxPopCurrent, 4000),
    PLAIN(cuCtxPushCurrent, 4000),
    PLAIN(cuCtxResetPersistingL2Cache, 11000),
    PLAIN(cuCtxSetCacheConfig, 3020),
    PLAIN(cuCtxSetCurrent, 4000),
    PLAIN(cuCtxSetLimit, 3010),
    PLAIN(cuCtxSynchronize, 13000),
    PLAIN(cuDeviceCanAccessPeer, 4000),
    PLAIN(cuDeviceGet, 2000),
    PLAIN(cuDeviceGetAttribute, 2000),
    PLAIN(cuDeviceGetByPCIBusId, 4010),
    PLAIN(cuDeviceGetCount, 2000),
    PLAIN(cuDeviceGetDefaultMemPool, 11020),
    PLAIN(cuDeviceGetExecAffinitySupport, 11040),
    PLAIN(cuDeviceGetMemPool, 11020),
    PLAIN(cuDeviceGetName, 2000),
    PLAIN(cuDeviceGetP2PAttribute, 8000),
    PLAIN(cuDeviceGetPCIBusId, 4010),
    PLAIN(cuDeviceGetUuid, 9020),
    PLAIN(cuDevicePrimaryCtxGetState, 7000),
    PLAIN(cuDevicePrimaryCtxRelease, 11000),
    PLAIN(cuDevicePrimaryCtxReset, 11000),
    PLAIN(cuDevicePrimaryCtxRetain, 7000),
    PLAIN(cuDevicePrimaryCtxSetFlags, 11000),
    PLAIN(cuDeviceSetMemPool, 11020),
    PLAIN(cuDeviceTotalMem, 3020),
    PLAIN(cuDriverGetVersion, 2020),
    PLAIN(cuEventCreate, 2000),
    PLAIN(cuEventDestroy, 4000),
    PLAIN(cuEventElapsedTime, 2000),
    PLAIN(cuEventQuery, 2000),
    STREAM(cuEventRecord, 2000),
    STREAM(cuEventRecordWithFlags, 11010),
    PLAIN(cuEventSynchronize, 2000),
    PLAIN(cuFuncGetAttribute, 2020),
    PLAIN(cuFuncGetModule, 11000),
    PLAIN(cuFuncGetName, 12030),
    PLAIN(cuFuncGetParamInfo, 12040),
    PLAIN(cuFuncIsLoaded, 12040),
    PLAIN(cuFuncLoad, 12040),
    PLAIN(cuFuncSetAttribute, 9000),
    PLAIN(cuFuncSetCacheConfig, 3000),
    PLAIN(cuGetErrorName, 6000),
    PLAIN(cuGetErrorString, 6000),
    PLAIN(cuGetProcAddress, 12000),
    PLAIN(cuGraphAddChildGraphNode, 10000),
    PLAIN(cuGraphAddDependencies, 12030),
    PLAIN(cuGraphAddEmptyNode, 10000),
    PLAIN(cuGraphAddEventRecordNode, 11010),
    PLAIN(cuGraphAddEventWaitNode, 11010),
    PLAIN(cuGraphAddHostNode, 10000),
    PLAIN(cuGraphAddKernelNode, 12000),
    PLAIN(cuGraphAddMemcpyNode, 10000),
    PLAIN(cuGraphAddMemsetNode, 10000),
    PLAIN(cuGraphChildGraphNodeGetGraph, 10000),
    PLAIN(cuGraphClone, 10000),
    PLAIN(cuGraphCreate, 10000),
    PLAIN(cuGraphDebugDotPrint, 11030),
    PLAIN(cuGraphDestroy, 10000),
    PLAIN(cuGraphDestroyNode, 10000),
    PLAIN(cuGraphEventRecordNodeGetEvent, 11010),
    PLAIN(cuGraphEventRecordNodeSetEvent, 11010),
    PLAIN(cuGraphEventWaitNodeGetEvent, 11010),
    PLAIN(cuGraphEventWaitNodeSetEvent, 11010),
    PLAIN(cuGraphExecChildGraphNodeSetParams, 11010),
    PLAIN(cuGraphExecDestroy, 10000),
    PLAIN(cuGraphExecEventRecordNodeSetEvent, 11010),
    PLAIN(cuGraphExecEventWaitNodeSetEvent, 11010),
    PLAIN(cuGraphExecHostNodeSetParams, 10020),
    PLAIN(cuGraphExecKernelNodeSetParams, 12000),
    PLAIN(cuGraphExecMemcpyNodeSetParams, 10020),
    PLAIN(cuGraphExecMemsetNodeSetParams, 10020),
    PLAIN(cuGraphExecUpdate, 12000),
    PLAIN(cuGraphGetEdges, 12030),
    PLAIN(cuGraphGetNodes, 10000),
    PLAIN(cuGraphHostNodeGetParams, 10000),
    PLAIN(cuGraphHostNodeSetParams, 10000),
    PLAIN(cuGraphInstantiateWithFlags, 11040),
    STREAM(cuGraphInstantiateWithParams, 12000),
    PLAIN(cuGraphKernelNodeCopyAttributes, 11000),
    PLAIN(cuGraphKernelNodeGetAttribute, 11000),
    PLAIN(cuGraphKernelNodeGetParams, 12000),
    PLAIN(cuGraphKernelNodeSetAttribute, 11000),
    PLAIN(cuGraphKernelNodeSetParams, 12000),
    STREAM(cuGraphLaunch, 10000),
    PLAIN(cuGraphMemcpyNodeGetParams, 10000),
    PLAIN(cuGraphMemcpyNodeSetParams, 10000),
    PLAIN(cuGraphMemsetNodeGetParams, 10000),
    PLAIN(cuGraphMemsetNodeSetParams, 10000),
    PLAIN(cuGraphNodeFindInClone, 10000),
    PLAIN(cuGraphNodeGetType, 10000),
    PLAIN(cuGraphNodeSetEnabled, 11060),
    PLAIN(cuGraphRemoveDependencies, 12030),
    STREAM(cuGraphUpload, 11010),
    PLAIN(cuInit, 2000),
    PLAIN(cuIpcGetEventHandle, 4010),
    PLAIN(cuIpcOpenEventHandle, 4010),
    PLAIN(cuKernelGetAttribute, 12000),
    PLAIN(cuKernelGetFunction, 12000),
    PLAIN(cuKernelGetLibrary, 12050),
    PLAIN(cuKernelGetName, 12030),
    PLAIN(cuKernelGetParamInfo, 12040),
    PLAIN(cuKernelSetAttribute, 12000),
    PLAIN(cuKernelSetCacheConfig, 12000),
    STREAM(cuLaunchCooperativeKernel, 9000),
    STREAM(cuLaunchHostFunc, 10000),
    STREAM(cuLaunchKernel, 4000),
    STREAM(cuLaunchKernelEx, 11060),
    PLAIN(cuLibraryEnumerateKernels, 12040),
    PLAIN(cuLibraryGetGlobal, 12000),
    PLAIN(cuLibraryGetKernel, 12000),
    PLAIN(cuLibraryGetKernelCount, 12040),
    PLAIN(cuLibraryGetModule, 12000),
    PLAIN(cuLibraryLoadData, 12000),
    PLAIN(cuLibraryUnload, 12000),
    PLAIN(cuLinkAddData, 6050),
    PLAIN(cuLinkComplete, 5050),
    PLAIN(cuLinkCreate, 6050),
    PLAIN(cuLinkDestroy, 5050),
    PLAIN(cuMemAddressFree, 10020),
    PLAIN(cuMemAddressReserve, 10020),
    PLAIN(cuMemAlloc, 3020),
    STREAM(cuMemAllocAsync, 11020),
    STREAM(cuMemAllocFromPoolAsync, 11020),
    PLAIN(cuMemAllocHost, 3020),
    PLAIN(cuMemAllocManaged, 6000),
    PLAIN(cuMemAllocPitch, 3020),
    PLAIN(cuMemCreate, 10020),
    PLAIN(cuMemExportToShareableHandle, 10020),
    PLAIN(cuMemFree, 3020),
    STREAM(cuMemFreeAsync, 11020),
    PLAIN(cuMemFreeHost, 2000),
    PLAIN(cuMemGetAccess, 10020),
    PLAIN(cuMemGetAddressRange, 3020),
    PLAIN(cuMemGetAllocationGranularity, 10020),
    PLAIN(cuMemGetAllocationPropertiesFromHandle, 10020),
    PLAIN(cuMemGetInfo, 3020),
    PLAIN(cuMemHostAlloc, 2020),
    PLAIN(cuMemHostGetDevicePointer, 3020),
    PLAIN(cuMemHostGetFlags, 2030),
    PLAIN(cuMemHostRegister, 6050),
    PLAIN(cuMemHostUnregister, 4000),
    PLAIN(cuMemImportFromShareableHandle, 10020),
    PLAIN(cuMemMap, 10020),
    PLAIN(cuMemPoolCreate, 11020),
    PLAIN(cuMemPoolDestroy, 11020),
    PLAIN(cuMemPoolGetAccess, 11020),
    PLAIN(cuMemPoolGetAttribute, 11020),
    PLAIN(cuMemPoolSetAccess, 11020),
    PLAIN(cuMemPoolSetAttribute, 11020),
    PLAIN(cuMemPoolTrimTo, 11020),
    PLAIN(cuMemRelease, 10020),
    PLAIN(cuMemRetainAllocationHandle, 11000),
    PLAIN(cuMemSetAccess, 10020),
    PLAIN(cuMemUnmap, 10020),
    STREAM(cuMemcpy, 4000),
    STREAM(cuMemcpy2D, 3020),
    STREAM(cuMemcpy2DAsync, 3020),
    STREAM(cuMemcpy2DUnaligned, 3020),
    STREAM(cuMemcpy3D, 3020),
    STREAM(cuMemcpy3DAsync, 3020),
    STREAM(cuMemcpy3DPeer, 4000),
    STREAM(cuMemcpy3DPeerAsync, 4000),
    STREAM(cuMemcpyAsync, 4000),
    STREAM(cuMemcpyDtoD, 3020),
    STREAM(cuMemcpyDtoDAsync, 3020),
    STREAM(cuMemcpyDtoH, 3020),
    STREAM(cuMemcpyDtoHAsync, 3020),
    STREAM(cuMemcpyHtoD, 3020),
    STREAM(cuMemcpyHtoDAsync, 3020),
    STREAM(cuMemcpyPeer, 4000),
    STREAM(cuMemcpyPeerAsync, 4000),
    STREAM(cuMemsetD16, 3020),
    STREAM(cuMemsetD16Async, 3020),
    STREAM(cuMemsetD2D16, 3020),
    STREAM(cuMemsetD2D16Async, 3020),
    STREAM(cuMemsetD2D32, 3020),
    STREAM(cuMemsetD2D32Async, 3020),
    STREAM(cuMemsetD2D8, 3020),
    STREAM(cuMemsetD2D8Async, 3020),
    STREAM(cuMemsetD32, 3020),
    STREAM(cuMemsetD32Async, 3020),
    STREAM(cuMemsetD8, 3020),
    STREAM(cuMemsetD8Async, 3020),
    PLAIN(cuModuleEnumerateFunctions, 12040),
    PLAIN(cuModuleGetFunction, 2000),
    PLAIN(cuModuleGetFunctionCount, 12040),
    PLAIN(cuModuleGetGlobal, 3020),
    PLAIN(cuModuleGetLoadingMode, 11070),
    PLAIN(cuModuleLoadData, 2000),
    PLAIN(cuModuleLoadDataEx, 2010),
    PLAIN(cuModuleLoadFatBinary, 2000),
    PLAIN(cuModuleUnload, 2000),
    PLAIN(cuOccupancyAvailableDynamicSMemPerBlock, 10020),
    PLAIN(cuOccupancyMaxActiveBlocksPerMultiprocessor, 6050),
    PLAIN(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags, 7000),
    PLAIN(cuOccupancyMaxActiveClusters, 11070),
    PLAIN(cuOccupancyMaxPotentialBlockSize, 6050),
    PLAIN(cuOccupancyMaxPotentialBlockSizeWithFlags, 7000),
    PLAIN(cuOccupancyMaxPotentialClusterSize, 11070),
    PLAIN(cuPointerGetAttribute, 4000),
    PLAIN(cuPointerGetAttributes, 7000),
    PLAIN(cuPointerSetAttribute, 6000),
    STREAM(cuStreamAddCallback, 5000),
    STREAM(cuStreamBeginCapture, 10010),
    STREAM(cuStreamBeginCaptureToGraph, 12030),
    PLAIN(cuStreamCreate, 2000),
    PLAIN(cuStreamCreateWithPriority, 5050),
    PLAIN(cuStreamDestroy, 4000),
    STREAM(cuStreamEndCapture, 10000),
    STREAM(cuStreamGetCaptureInfo, 12030),
    STREAM(cuStreamGetCtx, 12050),
    STREAM(cuStreamGetDevice, 12080),
    STREAM(cuStreamGetFlags, 5050),
    STREAM(cuStreamGetId, 12000),
    STREAM(cuStreamGetPriority, 5050),
    STREAM(cuStreamIsCapturing, 10000),
    STREAM(cuStreamQuery, 2000),
    STREAM(cuStreamSynchronize, 2000),
    STREAM(cuStreamUpdateCaptureDependencies, 12030),
    STREAM(cuStreamWaitEvent, 3020),
    PLAIN(cuThreadExchangeStreamCaptureMode, 10010),
};
#undef PLAIN
#undef STREAM

}  // namespace

extern "C" {

CUresult cuGetProcAddress_v2(const char* symbol, void** function, int version, cuuint64_t flags,
                             CUdriverProcAddressQueryResult* status) {
  return guarded([&]() -> CUresult {
    constexpr cuuint64_t kKnown =
        CU_GET_PROC_ADDRESS_LEGACY_STREAM | CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
    if (symbol == nullptr || function == nullptr || (flags & ~kKnown) != 0 || flags == kKnown) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *function = nullptr;
    const auto* entry = std::find_if(std::begin(kEntries), std::end(kEntries), [&](const Entry& e) {
      return std::strcmp(e.name, symbol) == 0;
    });
    const bool per_thread = (flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM) != 0;
    CUdriverProcAddressQueryResult found = CU_GET_PROC_ADDRESS_SUCCESS;
    if (entry == std::end(kEntries) || (per_thread && entry->on_stream)) {
      found = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    } else if (version < entry->version) {
      found = CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT;
    } else {
      *function = entry->function;
    }
    if (status != nullptr) {
      *status = found;
      return CUDA_SUCCESS;
    }
    return found == CU_GET_PROC_ADDRESS_SUCCESS ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
  });
}

// The form before CUDA 12.0.
#undef cuGetProcAddress
CUresult cuGetProcAddress(const char* symbol, void** function, int version, cuuint64_t flags) {
  return cuGetProcAddress_v2(symbol, function, version, flags, nullptr);
}

}  // extern "C"
