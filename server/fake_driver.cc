#include "server/fake_driver.h"

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>

namespace farlane::server {

namespace {

struct State {
  uint64_t calls = 0;
  uint64_t handles = 0;
  std::map<CUevent, int> looks_left;  // until an event has fired; every live event is here
  uint64_t memory_bytes_left = uint64_t{1} << 30;
  std::map<CUmemGenericAllocationHandle, uint64_t> memory;
};
State g_state;
volatile unsigned char g_sink;

// Every 97th call of a kind that may fail does.
CUresult may_fail(CUresult failure) {
  return ++g_state.calls % 97 == 0 ? failure : CUDA_SUCCESS;
}

template <class H>
CUresult make(H* out) {
  if (const CUresult result = may_fail(CUDA_ERROR_INVALID_VALUE); result != CUDA_SUCCESS) {
    return result;
  }
  *out = reinterpret_cast<H>(++g_state.handles << 4);
  return CUDA_SUCCESS;
}

void read_all(const void* data, size_t bytes) {
  const auto* at = static_cast<const unsigned char*>(data);
  unsigned char sum = 0;
  for (size_t i = 0; i < bytes; ++i) sum = static_cast<unsigned char>(sum ^ at[i]);
  g_sink = sum;
}

CUresult copy_2d(const CUDA_MEMCPY2D* box, CUstream) {
  for (size_t row = 0; row < box->Height; ++row) {
    if (box->srcMemoryType == CU_MEMORYTYPE_HOST) {
      read_all(static_cast<const char*>(box->srcHost) + row * box->srcPitch, box->WidthInBytes);
    }
    if (box->dstMemoryType == CU_MEMORYTYPE_HOST) {
      std::memset(static_cast<char*>(box->dstHost) + row * box->dstPitch, 1, box->WidthInBytes);
    }
  }
  return CUDA_SUCCESS;
}

constexpr size_t kFakeParams = 3;  // of 8 bytes each

template <class... A>
CUresult succeed(A...) {
  return CUDA_SUCCESS;
}
template <class... A>
void make_succeed(CUresult (**function)(A...)) {
  *function = &succeed<A...>;
}

void add_devices(DriverTable& t) {
  make_succeed(&t.cuInit);
  t.cuDriverGetVersion = [](int* v) {
    *v = 13000;
    return CUDA_SUCCESS;
  };
  t.cuGetErrorName = [](CUresult, const char** name) {
    *name = "FAKE";
    return CUDA_SUCCESS;
  };
  t.cuGetErrorString = t.cuGetErrorName;
  t.cuDeviceGetCount = [](int* n) {
    *n = 2;
    return CUDA_SUCCESS;
  };
  t.cuDeviceGet = [](CUdevice* d, int i) {
    *d = i;
    return CUDA_SUCCESS;
  };
  t.cuDeviceGetName = [](char* name, int bytes, CUdevice) {
    std::strncpy(name, "fake", static_cast<size_t>(bytes));
    return CUDA_SUCCESS;
  };
  t.cuDeviceGetUuid = [](CUuuid* uuid, CUdevice) {
    std::memset(uuid, 7, sizeof *uuid);
    return CUDA_SUCCESS;
  };
  t.cuDeviceTotalMem = [](size_t* n, CUdevice) {
    *n = size_t{1} << 30;
    return CUDA_SUCCESS;
  };
  t.cuDeviceGetAttribute = [](int* v, CUdevice_attribute a, CUdevice) {
    *v = a;
    return CUDA_SUCCESS;
  };
  t.cuDeviceGetPCIBusId = t.cuDeviceGetName;
  t.cuDeviceCanAccessPeer = [](int* can, CUdevice, CUdevice) {
    *can = 1;
    return CUDA_SUCCESS;
  };
  t.cuDevicePrimaryCtxRetain = [](CUcontext* c, CUdevice d) {
    *c = reinterpret_cast<CUcontext>(static_cast<uintptr_t>(d + 1) << 4);
    return CUDA_SUCCESS;
  };
  make_succeed(&t.cuDevicePrimaryCtxRelease);
  make_succeed(&t.cuCtxSetCurrent);
  t.cuCtxSynchronize = []() {
    for (auto& [event, looks] : g_state.looks_left) looks = 0;
    return CUDA_SUCCESS;
  };
  t.cuCtxGetLimit = [](size_t* v, CUlimit) {
    *v = 1;
    return CUDA_SUCCESS;
  };
  t.cuCtxSetLimit = [](CUlimit, size_t) { return may_fail(CUDA_ERROR_UNSUPPORTED_LIMIT); };
  t.cuCtxGetStreamPriorityRange = [](int* a, int* b) {
    *a = 0;
    *b = -5;
    return CUDA_SUCCESS;
  };
}

void add_memory(DriverTable& t) {
  t.cuMemAddressReserve = [](CUdeviceptr* p, size_t, size_t, CUdeviceptr hint, unsigned long long) {
    *p = hint;
    return may_fail(CUDA_ERROR_OUT_OF_MEMORY);
  };
  make_succeed(&t.cuMemAddressFree);
  t.cuMemCreate = [](CUmemGenericAllocationHandle* h, size_t bytes, const CUmemAllocationProp*,
                     unsigned long long) {
    if (bytes > g_state.memory_bytes_left) return CUDA_ERROR_OUT_OF_MEMORY;
    g_state.memory_bytes_left -= bytes;
    *h = ++g_state.handles;
    g_state.memory[*h] = bytes;
    return CUDA_SUCCESS;
  };
  t.cuMemRelease = [](CUmemGenericAllocationHandle h) {
    const auto found = g_state.memory.find(h);
    if (found == g_state.memory.end()) std::abort();  // released twice
    g_state.memory_bytes_left += found->second;
    g_state.memory.erase(found);
    return CUDA_SUCCESS;
  };
  t.cuMemMap = [](CUdeviceptr, size_t, size_t, CUmemGenericAllocationHandle, unsigned long long) {
    return may_fail(CUDA_ERROR_INVALID_VALUE);
  };
  make_succeed(&t.cuMemUnmap);
  t.cuMemSetAccess = [](CUdeviceptr, size_t, const CUmemAccessDesc*, size_t) {
    return may_fail(CUDA_ERROR_INVALID_VALUE);
  };
  t.cuMemGetAllocationGranularity = [](size_t* g, const CUmemAllocationProp*,
                                       CUmemAllocationGranularity_flags) {
    *g = 2u << 20;
    return CUDA_SUCCESS;
  };
  t.cuMemGetInfo = [](size_t* free_bytes, size_t* total) {
    *free_bytes = g_state.memory_bytes_left;
    *total = size_t{1} << 30;
    return CUDA_SUCCESS;
  };
  t.cuMemHostAlloc = [](void** p, size_t n, unsigned) {
    *p = std::malloc(n);
    return *p == nullptr ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
  };
  t.cuMemFreeHost = [](void* p) {
    std::free(p);
    return CUDA_SUCCESS;
  };
  t.cuMemcpyHtoDAsync = [](CUdeviceptr, const void* from, size_t n, CUstream) {
    read_all(from, n);
    return may_fail(CUDA_ERROR_INVALID_VALUE);
  };
  t.cuMemcpyDtoHAsync = [](void* to, CUdeviceptr, size_t n, CUstream) {
    std::memset(to, 1, n);
    return may_fail(CUDA_ERROR_INVALID_VALUE);
  };
  make_succeed(&t.cuMemcpyDtoDAsync);
  t.cuMemcpy2DAsync = copy_2d;
  make_succeed(&t.cuMemsetD8Async);
  make_succeed(&t.cuMemsetD16Async);
  make_succeed(&t.cuMemsetD32Async);
  make_succeed(&t.cuMemsetD2D8Async);
  make_succeed(&t.cuMemsetD2D16Async);
  make_succeed(&t.cuMemsetD2D32Async);
}

void add_streams(DriverTable& t) {
  t.cuStreamCreate = [](CUstream* s, unsigned) {
    *s = reinterpret_cast<CUstream>(++g_state.handles << 4);
    return CUDA_SUCCESS;
  };
  t.cuStreamCreateWithPriority = [](CUstream* s, unsigned, int) { return make(s); };
  make_succeed(&t.cuStreamDestroy);
  make_succeed(&t.cuStreamSynchronize);
  t.cuStreamQuery = [](CUstream) { return may_fail(CUDA_ERROR_NOT_READY); };
  make_succeed(&t.cuStreamWaitEvent);
  t.cuEventCreate = [](CUevent* e, unsigned) {
    *e = reinterpret_cast<CUevent>(++g_state.handles << 4);
    g_state.looks_left[*e] = 0;
    return CUDA_SUCCESS;
  };
  t.cuEventDestroy = [](CUevent e) {
    if (g_state.looks_left.erase(e) != 1) std::abort();  // destroyed twice
    return CUDA_SUCCESS;
  };
  t.cuEventRecord = [](CUevent e, CUstream) {
    g_state.looks_left.at(e) = 1;
    return may_fail(CUDA_ERROR_INVALID_HANDLE);
  };
  t.cuEventQuery = [](CUevent e) {
    int& looks = g_state.looks_left.at(e);
    if (looks == 0) return may_fail(CUDA_ERROR_ILLEGAL_ADDRESS);
    --looks;
    return CUDA_ERROR_NOT_READY;
  };
  t.cuEventSynchronize = [](CUevent e) {
    g_state.looks_left.at(e) = 0;
    return CUDA_SUCCESS;
  };
  t.cuEventElapsedTime = [](float* ms, CUevent, CUevent) {
    *ms = 1;
    return CUDA_SUCCESS;
  };
}

void add_modules(DriverTable& t) {
  t.cuModuleLoadDataEx = [](CUmodule* m, const void* image, unsigned, CUjit_option*,
                            void** values) {
    read_all(image, std::strlen(static_cast<const char*>(image)));
    std::strcpy(static_cast<char*>(values[0]), "log");
    return make(m);
  };
  t.cuModuleLoadData = [](CUmodule* m, const void*) { return make(m); };
  make_succeed(&t.cuModuleUnload);
  t.cuModuleGetFunction = [](CUfunction* f, CUmodule, const char* name) {
    read_all(name, std::strlen(name));
    return make(f);
  };
  t.cuModuleGetGlobal = [](CUdeviceptr* p, size_t* n, CUmodule, const char*) {
    *p = 0x5000 + 64 * (++g_state.handles % 8);
    *n = 64;
    return may_fail(CUDA_ERROR_NOT_FOUND);
  };
  t.cuModuleGetFunctionCount = [](unsigned* n, CUmodule) {
    *n = 3;
    return CUDA_SUCCESS;
  };
  t.cuModuleEnumerateFunctions = [](CUfunction* f, unsigned n, CUmodule) {
    for (unsigned i = 0; i < n; ++i) f[i] = reinterpret_cast<CUfunction>(uintptr_t{i + 1} << 4);
    return CUDA_SUCCESS;
  };
  t.cuLinkCreate = [](unsigned, CUjit_option*, void**, CUlinkState* s) { return make(s); };
  t.cuLinkAddData = [](CUlinkState, CUjitInputType, void* data, size_t n, const char*, unsigned,
                       CUjit_option*, void**) {
    read_all(data, n);
    return may_fail(CUDA_ERROR_INVALID_PTX);
  };
  t.cuLinkComplete = [](CUlinkState, void** cubin, size_t* n) {
    static std::array<char, 64> made{};
    *cubin = made.data();
    *n = made.size();
    return CUDA_SUCCESS;
  };
  make_succeed(&t.cuLinkDestroy);
  t.cuFuncGetAttribute = [](int* v, CUfunction_attribute a, CUfunction) {
    *v = a;
    return CUDA_SUCCESS;
  };
  t.cuFuncSetAttribute = [](CUfunction, CUfunction_attribute, int) {
    return may_fail(CUDA_ERROR_INVALID_VALUE);
  };
  make_succeed(&t.cuFuncSetCacheConfig);
  t.cuFuncGetName = [](const char** name, CUfunction) {
    *name = "fake";
    return CUDA_SUCCESS;
  };
  t.cuFuncGetParamInfo = [](CUfunction, size_t i, size_t* offset, size_t* bytes) {
    if (i >= kFakeParams) return CUDA_ERROR_INVALID_VALUE;
    *offset = i * 8;
    *bytes = 8;
    return CUDA_SUCCESS;
  };
  t.cuLaunchKernel = [](CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                        unsigned, CUstream, void**, void** extra) {
    if (extra != nullptr) read_all(extra[1], *static_cast<size_t*>(extra[3]));
    return may_fail(CUDA_ERROR_LAUNCH_FAILED);
  };
  t.cuLaunchKernelEx = [](const CUlaunchConfig* config, CUfunction, void**, void** extra) {
    read_all(config->attrs, config->numAttrs * sizeof *config->attrs);
    if (extra != nullptr) read_all(extra[1], *static_cast<size_t*>(extra[3]));
    return CUDA_SUCCESS;
  };
  t.cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags = [](int* blocks, CUfunction, int, size_t,
                                                              unsigned) {
    *blocks = 1;
    return CUDA_SUCCESS;
  };
  t.cuOccupancyAvailableDynamicSMemPerBlock = [](size_t* n, CUfunction, int, int) {
    *n = 1;
    return CUDA_SUCCESS;
  };
}

}  // namespace

DriverTable fake_driver() {
  DriverTable table;
  add_devices(table);
  add_memory(table);
  add_streams(table);
  add_modules(table);
  return table;
}

void restart_fake_driver() {
  g_state = {};
}

}  // namespace farlane::server
