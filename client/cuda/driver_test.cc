// Initialisation, errors, devices and contexts of the driver façade.
#include <cuda.h>
#include <gtest/gtest.h>

#include <thread>

#include "client/cudart/error_table.h"
#include "client/cudart/testing/fake_core.h"

namespace farlane::client {
namespace {

// First in this program: initialisation is for the process.
TEST(DriverInitTest, IsNeededFirst) {
  reset_fake_core();
  int value = 0;
  CUdevice device = 0;
  CUdeviceptr address = 0;
  CUcontext context = reinterpret_cast<CUcontext>(1);
  CUmemoryPool pool = nullptr;
  EXPECT_EQ(cuDeviceGetCount(&value), CUDA_ERROR_NOT_INITIALIZED);
  EXPECT_EQ(cuDeviceGet(&device, 0), CUDA_ERROR_NOT_INITIALIZED);
  EXPECT_EQ(cuDevicePrimaryCtxRetain(&context, 0), CUDA_ERROR_NOT_INITIALIZED);
  EXPECT_EQ(cuDeviceGetDefaultMemPool(&pool, 0), CUDA_ERROR_NOT_INITIALIZED);
  EXPECT_EQ(cuMemAlloc(&address, 16), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(cuCtxGetCurrent(&context), CUDA_SUCCESS);
  EXPECT_EQ(context, nullptr);
  EXPECT_TRUE(fake_core().calls.empty());  // no network for any of these

  EXPECT_EQ(cuInit(1), CUDA_ERROR_INVALID_VALUE);
  fake_core().session = kServerLost;
  EXPECT_EQ(cuDriverGetVersion(&value), CUDA_SUCCESS);  // also without a server
  EXPECT_EQ(value, 13000);
  EXPECT_EQ(cuInit(0), kServerLost);
  const char* text = nullptr;
  fake_core().loss = "system not yet initialized: the server is gone";
  EXPECT_EQ(cuGetErrorString(kServerLost, &text), CUDA_SUCCESS);
  EXPECT_STREQ(text, fake_core().loss);
  EXPECT_EQ(cuDeviceGetCount(&value), CUDA_ERROR_NOT_INITIALIZED);
  fake_core().session = CUDA_SUCCESS;
  fake_core().devices = 0;
  EXPECT_EQ(cuInit(0), CUDA_ERROR_NO_DEVICE);
  fake_core().devices = 2;
  EXPECT_EQ(cuInit(0), CUDA_SUCCESS);
  EXPECT_EQ(cuDeviceGetCount(&value), CUDA_SUCCESS);
  EXPECT_EQ(value, 2);
}

class DriverTest : public testing::Test {
 protected:
  void SetUp() override {
    reset_fake_core();
    ASSERT_EQ(cuInit(0), CUDA_SUCCESS);
  }
};

TEST_F(DriverTest, EventsOfSeveralProcessesHaveNoTimes) {
  CUcontext context = nullptr;
  ASSERT_EQ(cuDevicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSetCurrent(context), CUDA_SUCCESS);
  CUevent event = nullptr;
  EXPECT_EQ(cuEventCreate(&event, CU_EVENT_INTERPROCESS), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuEventCreate(&event, CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
  EXPECT_EQ(cuEventDestroy(event), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxSetCurrent(nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cuDevicePrimaryCtxRelease(0), CUDA_SUCCESS);
}

TEST_F(DriverTest, ErrorsHaveNamesAndTexts) {
  const char* text = nullptr;
  EXPECT_EQ(cuGetErrorName(CUDA_ERROR_INVALID_VALUE, &text), CUDA_SUCCESS);
  EXPECT_STREQ(text, "CUDA_ERROR_INVALID_VALUE");
  EXPECT_EQ(cuGetErrorString(CUDA_ERROR_INVALID_VALUE, &text), CUDA_SUCCESS);
  EXPECT_STREQ(text, "invalid argument");
  for (const int code : {55, 9, -1, 9999}) {  // 9 is the runtime's only
    text = "left";
    EXPECT_EQ(cuGetErrorName(static_cast<CUresult>(code), &text), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(text, nullptr);
  }
  EXPECT_EQ(cuGetErrorString(CUDA_SUCCESS, nullptr), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(DriverTest, NullIsNoPlaceForAnAnswer) {
  EXPECT_EQ(cuDriverGetVersion(nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuDeviceGetCount(nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuDeviceGet(nullptr, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuDeviceGetName(nullptr, 10, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuDeviceGetUuid(nullptr, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuDeviceTotalMem(nullptr, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuDeviceGetAttribute(nullptr, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 0),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuCtxGetCurrent(nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuCtxCreate(nullptr, nullptr, 0, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuDevicePrimaryCtxRetain(nullptr, 0), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(DriverTest, DevicesAreNumberedAndNamed) {
  CUdevice device = -1;
  char name[32];
  EXPECT_EQ(cuDeviceGet(&device, 1), CUDA_SUCCESS);
  EXPECT_EQ(device, 1);
  EXPECT_EQ(cuDeviceGet(&device, 2), CUDA_ERROR_INVALID_DEVICE);
  EXPECT_EQ(cuDeviceGet(&device, -1), CUDA_ERROR_INVALID_DEVICE);
  EXPECT_EQ(cuDeviceGetName(name, sizeof(name), 1), CUDA_SUCCESS);
  EXPECT_STREQ(name, "Fake GPU 1");
  EXPECT_EQ(cuDeviceGetName(name, 5, 1), CUDA_SUCCESS);
  EXPECT_STREQ(name, "Fake");
}

TEST_F(DriverTest, ContextsMakeAStack) {
  CUcontext a = nullptr;
  CUcontext b = nullptr;
  CUcontext current = nullptr;
  CUdevice device = -1;
  EXPECT_EQ(cuCtxCreate(&a, nullptr, 0, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxCreate(&b, nullptr, CU_CTX_SCHED_SPIN, 1), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxGetDevice(&device), CUDA_SUCCESS);
  EXPECT_EQ(device, 1);
  unsigned flags = 0;
  EXPECT_EQ(cuCtxGetFlags(&flags), CUDA_SUCCESS);
  EXPECT_EQ(flags, static_cast<unsigned>(CU_CTX_SCHED_SPIN));
  EXPECT_EQ(cuCtxPopCurrent(&current), CUDA_SUCCESS);
  EXPECT_EQ(current, b);
  EXPECT_EQ(cuCtxGetCurrent(&current), CUDA_SUCCESS);
  EXPECT_EQ(current, a);
  EXPECT_EQ(cuCtxPushCurrent(nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuCtxSetCurrent(nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxPopCurrent(&current), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(cuCtxGetDevice(&device), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(cuCtxDestroy(b), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxDestroy(b), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(cuCtxDestroy(nullptr), CUDA_ERROR_INVALID_VALUE);
  unsigned version = 0;
  EXPECT_EQ(cuCtxGetApiVersion(a, &version), CUDA_SUCCESS);
  EXPECT_EQ(version, 3020U);
  EXPECT_EQ(cuCtxCreate(&a, nullptr, 0x100000, 0), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(DriverTest, ThePrimaryContextIsAlwaysTheSame) {
  CUcontext first = nullptr;
  CUcontext second = nullptr;
  unsigned flags = 0;
  int active = -1;
  EXPECT_EQ(cuDevicePrimaryCtxGetState(1, &flags, &active), CUDA_SUCCESS);
  EXPECT_EQ(active, 0);
  EXPECT_EQ(cuDevicePrimaryCtxRetain(&first, 1), CUDA_SUCCESS);
  EXPECT_EQ(cuDevicePrimaryCtxRetain(&second, 1), CUDA_SUCCESS);
  EXPECT_EQ(first, second);
  EXPECT_EQ(cuDevicePrimaryCtxGetState(1, &flags, &active), CUDA_SUCCESS);
  EXPECT_EQ(active, 1);
  EXPECT_EQ(cuDevicePrimaryCtxRelease(1), CUDA_SUCCESS);
  EXPECT_EQ(cuDevicePrimaryCtxRelease(1), CUDA_SUCCESS);
  EXPECT_EQ(cuDevicePrimaryCtxRelease(1), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(cuDevicePrimaryCtxRelease(5), CUDA_ERROR_INVALID_DEVICE);
}

TEST_F(DriverTest, TheRuntimesContextIsInitialisationEnough) {
  EXPECT_EQ(make_device_current(1), CUDA_SUCCESS);
  CUdevice device = -1;
  EXPECT_EQ(cuCtxGetDevice(&device), CUDA_SUCCESS);
  EXPECT_EQ(device, 1);
  // And the device's context is there for all threads.
  std::thread([] {
    unsigned flags = 0;
    int active = -1;
    EXPECT_EQ(cuDevicePrimaryCtxGetState(1, &flags, &active), CUDA_SUCCESS);
    EXPECT_EQ(active, 1);
    EXPECT_EQ(cuDevicePrimaryCtxGetState(0, &flags, &active), CUDA_SUCCESS);
    EXPECT_EQ(active, 0);
  }).join();
}

TEST_F(DriverTest, AForkedChildIsNotInitialised) {
  int count = 0;
  EXPECT_EQ(cuDeviceGetCount(&count), CUDA_SUCCESS);
  fake_core().forked = true;
  EXPECT_EQ(cuDeviceGetCount(&count), CUDA_ERROR_NOT_INITIALIZED);
}

TEST_F(DriverTest, EachThreadHasItsOwnStack) {
  CUcontext context = nullptr;
  ASSERT_EQ(cuCtxCreate(&context, nullptr, 0, 0), CUDA_SUCCESS);
  std::thread([] {
    CUcontext current = reinterpret_cast<CUcontext>(1);
    EXPECT_EQ(cuCtxGetCurrent(&current), CUDA_SUCCESS);
    EXPECT_EQ(current, nullptr);
  }).join();
}

TEST_F(DriverTest, AnEarlierAsynchronousErrorComesFirst) {
  CUcontext context = nullptr;
  ASSERT_EQ(cuCtxCreate(&context, nullptr, 0, 0), CUDA_SUCCESS);
  CUdeviceptr address = 0;
  fake_core().fail_next["session_error"] = CUDA_ERROR_ILLEGAL_ADDRESS;
  EXPECT_EQ(cuMemAlloc(&address, 16), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_EQ(fake_core().count("memory_allocate"), 0);
}

TEST_F(DriverTest, UnwrittenFunctionsSayThatTheyAreNotThere) {
  EXPECT_EQ(cuGraphicsUnregisterResource(nullptr), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(fake_core().count("unsupported cuGraphicsUnregisterResource"), 1);
}

}  // namespace
}  // namespace farlane::client
