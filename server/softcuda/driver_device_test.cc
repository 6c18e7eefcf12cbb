#include <cudaProfiler.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <set>
#include <thread>

#include "server/softcuda/driver_test_support.h"

namespace farlane::softcuda {
namespace {

class Device : public DriverTest {};

TEST_F(Device, Identity) {
  int count = 0, version = 0;
  EXPECT_OK(cuDeviceGetCount(&count));
  EXPECT_EQ(count, 1);
  EXPECT_OK(cuDriverGetVersion(&version));
  EXPECT_EQ(version, 13000);
  char name[64];
  EXPECT_OK(cuDeviceGetName(name, sizeof name, device_));
  EXPECT_STREQ(name, "Farlane Software Device");
  EXPECT_OK(cuDeviceGetName(name, 8, device_));
  EXPECT_STREQ(name, "Farlane");
  CUuuid first, second;
  EXPECT_OK(cuDeviceGetUuid(&first, device_));
  EXPECT_OK(cuDeviceGetUuid(&second, device_));
  EXPECT_EQ(std::memcmp(&first, &second, sizeof first), 0);
  size_t bytes = 0;
  EXPECT_OK(cuDeviceTotalMem(&bytes, device_));
  EXPECT_EQ(bytes, kTestMemoryMib << 20);
  char bus[32];
  EXPECT_OK(cuDeviceGetPCIBusId(bus, sizeof bus, device_));
  CUdevice found = -1;
  EXPECT_OK(cuDeviceGetByPCIBusId(&found, bus));
  EXPECT_EQ(found, device_);
  EXPECT_CU(CUDA_ERROR_INVALID_DEVICE, cuDeviceGetByPCIBusId(&found, "0000:01:00.0"));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuDeviceGetByPCIBusId(&found, "nonsense"));
}

TEST_F(Device, WrongArguments) {
  CUdevice device = -1;
  EXPECT_CU(CUDA_ERROR_INVALID_DEVICE, cuDeviceGet(&device, 1));
  EXPECT_CU(CUDA_ERROR_INVALID_DEVICE, cuDeviceGet(&device, -1));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuDeviceGet(nullptr, 0));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuInit(1));
  int value = 0;
  EXPECT_CU(CUDA_ERROR_INVALID_DEVICE,
            cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 1));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE,
            cuDeviceGetAttribute(&value, static_cast<CUdevice_attribute>(9999), device_));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE,
            cuDeviceGetAttribute(nullptr, CU_DEVICE_ATTRIBUTE_WARP_SIZE, device_));
}

TEST_F(Device, Attributes) {
  const std::map<CUdevice_attribute, int> expected = {
      {CU_DEVICE_ATTRIBUTE_WARP_SIZE, 32},
      {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1024},
      {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, 64},
      {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 0x7fffffff},
      {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 65535},
      {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, 48 << 10},
      {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 227 << 10},
      {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 9},
      {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 0},
      {CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY, 0},
      {CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY, 0},
      {CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS, 0},
      {CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS, 0},
      {CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, 1},
      {CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, 1},
      {CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 1},
      {CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT, 2},
      {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
       static_cast<int>(std::thread::hardware_concurrency())},
  };
  for (const auto& [attribute, value] : expected) {
    int got = -1;
    EXPECT_OK(cuDeviceGetAttribute(&got, attribute, device_));
    EXPECT_EQ(got, value) << "attribute " << attribute;
  }
  // Every attribute of the header has an answer.
  for (int i = 1; i < CU_DEVICE_ATTRIBUTE_MAX; ++i) {
    int got = -1;
    EXPECT_OK(cuDeviceGetAttribute(&got, static_cast<CUdevice_attribute>(i), device_)) << i;
  }
}

TEST_F(Device, ErrorTexts) {
  const char* text = nullptr;
  EXPECT_OK(cuGetErrorName(CUDA_ERROR_ILLEGAL_ADDRESS, &text));
  EXPECT_STREQ(text, "CUDA_ERROR_ILLEGAL_ADDRESS");
  EXPECT_OK(cuGetErrorString(CUDA_ERROR_OUT_OF_MEMORY, &text));
  EXPECT_STREQ(text, "out of memory");
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuGetErrorName(static_cast<CUresult>(12345), &text));
  EXPECT_EQ(text, nullptr);
}

TEST_F(Device, PrimaryContextCountsItsUsers) {
  unsigned flags = 0;
  int active = 0;
  CUcontext again = nullptr;
  EXPECT_OK(cuDevicePrimaryCtxRetain(&again, device_));
  EXPECT_EQ(again, context_);
  EXPECT_OK(cuDevicePrimaryCtxSetFlags(device_, CU_CTX_SCHED_SPIN));
  EXPECT_OK(cuDevicePrimaryCtxRelease(device_));
  EXPECT_OK(cuDevicePrimaryCtxGetState(device_, &flags, &active));
  EXPECT_EQ(active, 1);
  EXPECT_EQ(flags, unsigned{CU_CTX_SCHED_SPIN});
  EXPECT_OK(cuDevicePrimaryCtxRelease(device_));
  EXPECT_OK(cuDevicePrimaryCtxGetState(device_, &flags, &active));
  EXPECT_EQ(active, 0);
  EXPECT_CU(CUDA_ERROR_INVALID_CONTEXT, cuDevicePrimaryCtxRelease(device_));
  // It is still current on this thread, but gone.
  CUdeviceptr pointer = 0;
  EXPECT_CU(CUDA_ERROR_CONTEXT_IS_DESTROYED, cuMemAlloc(&pointer, 16));
}

TEST_F(Device, ContextStack) {
  CUcontext current = nullptr, own = nullptr, popped = nullptr;
  EXPECT_OK(cuCtxCreate(&own, nullptr, 0, device_));
  EXPECT_OK(cuCtxGetCurrent(&current));
  EXPECT_EQ(current, own);
  EXPECT_OK(cuCtxPopCurrent(&popped));
  EXPECT_EQ(popped, own);
  EXPECT_OK(cuCtxGetCurrent(&current));
  EXPECT_EQ(current, context_);
  EXPECT_OK(cuCtxPushCurrent(own));
  EXPECT_OK(cuCtxDestroy(own));
  EXPECT_OK(cuCtxGetCurrent(&current));
  EXPECT_EQ(current, context_);
  EXPECT_CU(CUDA_ERROR_INVALID_CONTEXT, cuCtxSetCurrent(own));
  EXPECT_CU(CUDA_ERROR_INVALID_CONTEXT, cuCtxDestroy(own));
  // Another thread has no context until it sets one.
  std::thread([&] {
    CUcontext none = context_;
    EXPECT_OK(cuCtxGetCurrent(&none));
    EXPECT_EQ(none, nullptr);
    CUdeviceptr pointer = 0;
    EXPECT_CU(CUDA_ERROR_INVALID_CONTEXT, cuMemAlloc(&pointer, 16));
    EXPECT_CU(CUDA_ERROR_INVALID_CONTEXT, cuCtxSynchronize());
    EXPECT_OK(cuCtxSetCurrent(context_));
    EXPECT_OK(cuMemAlloc(&pointer, 16));
    EXPECT_OK(cuMemFree(pointer));
  }).join();
}

TEST_F(Device, ContextOwnsItsObjects) {
  CUcontext own = nullptr;
  CUstream stream = nullptr;
  CUevent event = nullptr;
  CUdeviceptr pointer = 0;
  size_t before = 0, after = 0, total = 0;
  EXPECT_OK(cuMemGetInfo(&before, &total));
  EXPECT_OK(cuCtxCreate(&own, nullptr, 0, device_));
  EXPECT_OK(cuStreamCreate(&stream, 0));
  EXPECT_OK(cuEventCreate(&event, 0));
  EXPECT_OK(cuMemAlloc(&pointer, 1 << 20));
  EXPECT_OK(cuCtxSetCurrent(context_));
  EXPECT_OK(cuStreamQuery(stream));  // whatever context is current
  EXPECT_CU(CUDA_ERROR_INVALID_HANDLE, cuEventRecord(event, nullptr));
  EXPECT_OK(cuCtxDestroy(own));
  EXPECT_OK(cuMemGetInfo(&after, &total));
  EXPECT_EQ(before, after);
  EXPECT_CU(CUDA_ERROR_INVALID_HANDLE, cuEventQuery(event));
}

TEST_F(Device, ContextSettings) {
  size_t value = 0;
  EXPECT_OK(cuCtxSetLimit(CU_LIMIT_STACK_SIZE, 4096));
  EXPECT_OK(cuCtxGetLimit(&value, CU_LIMIT_STACK_SIZE));
  EXPECT_EQ(value, 4096u);
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuCtxGetLimit(&value, static_cast<CUlimit>(999)));
  CUfunc_cache config;
  EXPECT_OK(cuCtxSetCacheConfig(CU_FUNC_CACHE_PREFER_L1));
  EXPECT_OK(cuCtxGetCacheConfig(&config));
  EXPECT_EQ(config, CU_FUNC_CACHE_PREFER_L1);
  int least = 1, greatest = 1;
  EXPECT_OK(cuCtxGetStreamPriorityRange(&least, &greatest));
  EXPECT_EQ(least, 0);
  EXPECT_LT(greatest, least);
  CUdevice device = -1;
  EXPECT_OK(cuCtxGetDevice(&device));
  EXPECT_EQ(device, device_);
  unsigned version = 0;
  EXPECT_OK(cuCtxGetApiVersion(nullptr, &version));
  EXPECT_GE(version, 3020u);
}

TEST_F(Device, Peers) {
  int value = 1;
  EXPECT_OK(cuDeviceCanAccessPeer(&value, device_, device_));
  EXPECT_EQ(value, 0);
  EXPECT_CU(CUDA_ERROR_INVALID_DEVICE, cuDeviceCanAccessPeer(&value, device_, 1));
  EXPECT_CU(CUDA_ERROR_INVALID_DEVICE,
            cuDeviceGetP2PAttribute(&value, CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED, 0, 1));
}

TEST_F(Device, ProcAddress) {
  void* function = nullptr;
  CUdriverProcAddressQueryResult status;
  EXPECT_OK(cuGetProcAddress("cuMemAlloc", &function, 13000, 0, &status));
  EXPECT_EQ(status, CU_GET_PROC_ADDRESS_SUCCESS);
  EXPECT_EQ(function, reinterpret_cast<void*>(&cuMemAlloc));
  EXPECT_OK(cuGetProcAddress("cuNoSuchThing", &function, 13000, 0, &status));
  EXPECT_EQ(status, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
  EXPECT_EQ(function, nullptr);
  EXPECT_CU(CUDA_ERROR_NOT_FOUND, cuGetProcAddress("cuNoSuchThing", &function, 13000, 0, nullptr));
  // The context functions changed at 12.5: an older caller must not get the newer ABI.
  EXPECT_OK(cuGetProcAddress("cuCtxCreate", &function, 11000, 0, &status));
  EXPECT_EQ(status, CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT);
  // The per-thread variant of a stream function is not there, and nothing stands in for it.
  EXPECT_OK(cuGetProcAddress("cuStreamSynchronize", &function, 13000,
                             CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM, &status));
  EXPECT_EQ(status, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
  EXPECT_OK(cuGetProcAddress("cuInit", &function, 13000,
                             CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM, &status));
  EXPECT_EQ(status, CU_GET_PROC_ADDRESS_SUCCESS);
}

TEST_F(Device, Profiler) {
  EXPECT_OK(cuProfilerStart());
  EXPECT_OK(cuProfilerStop());
}

TEST_F(Device, AForkedChildHasNoDriver) {
  const pid_t child = fork();
  if (child == 0) {
    CUdeviceptr pointer = 0;
    const bool refused = cuMemAlloc(&pointer, 16) == CUDA_ERROR_NOT_INITIALIZED &&
                         cuInit(0) == CUDA_ERROR_NOT_INITIALIZED &&
                         cuCtxSynchronize() == CUDA_ERROR_NOT_INITIALIZED;
    _exit(refused ? 0 : 1);
  }
  ASSERT_GT(child, 0);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_OK(cuCtxSynchronize());  // and the parent goes on
}

}  // namespace
}  // namespace farlane::softcuda
