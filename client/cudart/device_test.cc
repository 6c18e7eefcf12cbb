// Devices, contexts made on the way, properties.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "client/cudart/testing/fake_core.h"

namespace farlane::client {
namespace {

class DeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    reset_fake_core();
    EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
    (void)context_set_current(nullptr);
    fake_core().calls.clear();
    (void)cudaGetLastError();
  }
};

TEST_F(DeviceTest, AskingForTheDeviceMakesNoContext) {
  int device = -1;
  EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
  EXPECT_EQ(device, 0);
  EXPECT_EQ(context_current(), nullptr);
}

TEST_F(DeviceTest, SettingItMakesItsPrimaryContextCurrent) {
  EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
  CUcontext primary = nullptr;
  ASSERT_EQ(context_primary(1, &primary), CUDA_SUCCESS);
  EXPECT_EQ(context_current(), primary);
}

TEST_F(DeviceTest, AHostFunctionMaySetItButGetsNoContext) {
  fake_core().in_host_function = true;
  EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
  int device = -1;
  EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
  EXPECT_EQ(device, 1);
  EXPECT_EQ(context_current(), nullptr);
  EXPECT_EQ(cudaSetDevice(5), cudaErrorInvalidDevice);
}

TEST_F(DeviceTest, TheFirstWorkMakesAContextOfTheChosenDevice) {
  void* p = nullptr;
  EXPECT_EQ(cudaMalloc(&p, 16), cudaSuccess);
  EXPECT_EQ(current_device(), 0);
  EXPECT_EQ(fake_core().count("make_device_current"), 1);
  EXPECT_EQ(cudaFree(p), cudaSuccess);
  EXPECT_EQ(fake_core().count("make_device_current"), 1);
}

TEST_F(DeviceTest, AContextOfTheDriverApiDecidesTheDevice) {
  CUcontext context = nullptr;
  ASSERT_EQ(context_create(1, 0, &context), CUDA_SUCCESS);
  ASSERT_EQ(context_push(context), CUDA_SUCCESS);
  int device = -1;
  EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
  EXPECT_EQ(device, 1);
}

TEST_F(DeviceTest, OtherThreadsStartWithDeviceZero) {
  EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
  std::thread([] {
    int device = -1;
    EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
    EXPECT_EQ(device, 0);
  }).join();
}

TEST_F(DeviceTest, RefusesWhatIsNoDevice) {
  int value = 0;
  cudaDeviceProp prop;
  EXPECT_EQ(cudaSetDevice(2), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaSetDevice(-1), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrWarpSize, 2), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetDeviceProperties(&prop, 2), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetDeviceProperties(nullptr, 0), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetDeviceCount(nullptr), cudaErrorInvalidValue);
}

TEST_F(DeviceTest, NoDeviceIsAnErrorOfItsOwn) {
  fake_core().devices = 0;
  int count = 5;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  EXPECT_EQ(count, 0);
}

TEST_F(DeviceTest, PropertiesComeFromFactsAndAttributes) {
  fake_core().attributes = {
      {CU_DEVICE_ATTRIBUTE_WARP_SIZE, 32},
      {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 9},
      {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 232448},
      {CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY, 65536},
      {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 2147483647},
      {CU_DEVICE_ATTRIBUTE_HOST_NUMA_ID, -1},
  };
  cudaDeviceProp prop;
  std::memset(&prop, 0x77, sizeof(prop));
  ASSERT_EQ(cudaGetDeviceProperties(&prop, 1), cudaSuccess);
  EXPECT_STREQ(prop.name, "Fake GPU 1");
  EXPECT_EQ(prop.uuid.bytes[0], 2);
  EXPECT_EQ(prop.totalGlobalMem, size_t{16} << 30);
  EXPECT_EQ(prop.warpSize, 32);
  EXPECT_EQ(prop.major, 9);
  EXPECT_EQ(prop.sharedMemPerBlockOptin, 232448U);
  EXPECT_EQ(prop.totalConstMem, 65536U);
  EXPECT_EQ(prop.maxGridSize[0], 2147483647);
  EXPECT_EQ(prop.hostNumaId, -1);
  EXPECT_EQ(prop.maxTexture1D, 0);  // not known to the server
}

// With a value of its own for every attribute, no number of the struct stays 0 but the upper halves
// of its sizes and what pads them.
TEST_F(DeviceTest, EveryFieldIsFilled) {
  for (int i = 1; i < CU_DEVICE_ATTRIBUTE_MAX; i++) {
    fake_core().attributes[i] = 1000 + i;
  }
  cudaDeviceProp prop;
  ASSERT_EQ(cudaGetDeviceProperties(&prop, 0), cudaSuccess);
  const auto* const ints = reinterpret_cast<const int*>(&prop);
  const size_t first = offsetof(cudaDeviceProp, sharedMemPerBlock) / sizeof(int);
  const size_t end = offsetof(cudaDeviceProp, reserved) / sizeof(int);
  const int honest_zeros = 17;  // fields that hold for local devices only
  size_t empty = 0;
  for (size_t i = first; i < end; i++) {
    empty += ints[i] < 1000 ? 1 : 0;
  }
  const size_t sizes = 9;
  const size_t padding = 2;
  EXPECT_EQ(empty, sizes + padding + honest_zeros);
}

TEST_F(DeviceTest, ARemoteDeviceDoesNotReachTheHost) {
  for (int i = 1; i < CU_DEVICE_ATTRIBUTE_MAX; i++) {
    fake_core().attributes[i] = 1;
  }
  for (const cudaDeviceAttr attribute :
       {cudaDevAttrManagedMemory, cudaDevAttrConcurrentManagedAccess,
        cudaDevAttrPageableMemoryAccess, cudaDevAttrCanMapHostMemory, cudaDevAttrIpcEventSupport}) {
    int value = 7;
    EXPECT_EQ(cudaDeviceGetAttribute(&value, attribute, 0), cudaSuccess);
    EXPECT_EQ(value, 0) << attribute;
  }
  int value = 7;
  EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrUnifiedAddressing, 0), cudaSuccess);
  EXPECT_EQ(value, 1);
}

TEST_F(DeviceTest, FindsADeviceByItsBusId) {
  char id[32];
  EXPECT_EQ(cudaDeviceGetPCIBusId(id, sizeof(id), 1), cudaSuccess);
  EXPECT_STREQ(id, "0000:2c:00.0");
  EXPECT_EQ(cudaDeviceGetPCIBusId(id, 5, 1), cudaErrorInvalidValue);
  EXPECT_STREQ(id, "0000");
  int device = -1;
  for (const char* name : {"0000:2c:00.0", "0000:2C:00.0", "2c:00.0", "2c:00"}) {
    device = -1;
    EXPECT_EQ(cudaDeviceGetByPCIBusId(&device, name), cudaSuccess) << name;
    EXPECT_EQ(device, 1) << name;
  }
  EXPECT_EQ(cudaDeviceGetByPCIBusId(&device, "0000:fe:1f.0"), cudaErrorInvalidDevice);
  for (const char* name : {"", "zz", "2c", "2c:00.", "2c:00.0x", "0:0:0:0"}) {
    EXPECT_EQ(cudaDeviceGetByPCIBusId(&device, name), cudaErrorInvalidValue) << name;
  }
}

TEST_F(DeviceTest, FlagsAreKeptPerDevice) {
  unsigned flags = 0;
  EXPECT_EQ(cudaSetDeviceFlags(cudaDeviceScheduleSpin), cudaSuccess);
  EXPECT_EQ(cudaGetDeviceFlags(&flags), cudaSuccess);
  EXPECT_EQ(flags, cudaDeviceScheduleSpin | cudaDeviceMapHost);
  EXPECT_EQ(cudaSetDeviceFlags(0x100), cudaErrorInvalidValue);
  EXPECT_EQ(cudaSetDeviceFlags(3), cudaErrorInvalidValue);
  EXPECT_EQ(cudaSetDeviceFlags(0), cudaSuccess);
}

}  // namespace
}  // namespace farlane::client
