// What the driver tests share. They are ordinary users of libsoftcuda.so through its C functions.
#pragma once

#include <cuda.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <future>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

namespace farlane::softcuda {

constexpr size_t kTestMemoryMib = 256;

inline std::string describe(CUresult result) {
  const char* name = nullptr;
  cuGetErrorName(result, &name);
  return name == nullptr ? std::to_string(static_cast<int>(result)) : name;
}

inline testing::AssertionResult returns(const char*, const char* call_text, CUresult expected,
                                        CUresult result) {
  if (expected == result) {
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure()
         << call_text << " returned " << describe(result) << " and not " << describe(expected);
}

#define EXPECT_CU(expected, call) EXPECT_PRED_FORMAT2(::farlane::softcuda::returns, expected, call)
#define ASSERT_CU(expected, call) ASSERT_PRED_FORMAT2(::farlane::softcuda::returns, expected, call)
#define EXPECT_OK(call) EXPECT_CU(CUDA_SUCCESS, call)
#define ASSERT_OK(call) ASSERT_CU(CUDA_SUCCESS, call)

// Each test begins with a fresh primary context, current on this thread.
class DriverTest : public testing::Test {
 protected:
  void SetUp() override {
    setenv("FARLANE_SOFTCUDA_MEMORY_MIB", std::to_string(kTestMemoryMib).c_str(), 1);
    ASSERT_OK(cuInit(0));
    ASSERT_OK(cuDeviceGet(&device_, 0));
    ASSERT_OK(cuDevicePrimaryCtxReset(device_));
    ASSERT_OK(cuDevicePrimaryCtxRetain(&context_, device_));
    ASSERT_OK(cuCtxSetCurrent(context_));
  }

  void TearDown() override {
    EXPECT_OK(cuDevicePrimaryCtxReset(device_));
    EXPECT_OK(cuCtxSetCurrent(nullptr));
  }

  CUdevice device_ = -1;
  CUcontext context_ = nullptr;
};

// Holds a stream at a host function until it is opened.
class Gate {
 public:
  ~Gate() { open(); }
  void put_into(CUstream stream) {
    ASSERT_OK(cuLaunchHostFunc(stream, &Gate::wait, new std::shared_future<void>(future_)));
  }
  void open() {
    if (!opened_) {
      opened_ = true;
      promise_.set_value();
    }
  }

 private:
  // Has its own share of the future: it may begin after the gate's end.
  static void wait(void* future) {
    const std::unique_ptr<std::shared_future<void>> own(
        static_cast<std::shared_future<void>*>(future));
    own->wait();
  }
  std::promise<void> promise_;
  std::shared_future<void> future_ = promise_.get_future().share();
  bool opened_ = false;
};

inline std::vector<uint8_t> counting(size_t bytes, uint8_t first = 1) {
  std::vector<uint8_t> out(bytes);
  std::iota(out.begin(), out.end(), first);
  return out;
}

}  // namespace farlane::softcuda
