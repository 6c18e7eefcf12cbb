// What cudaGetLastError remembers, and the names and texts of errors.
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "client/cudart/error_table.h"
#include "client/cudart/testing/fake_core.h"

namespace farlane::client {
namespace {

class ErrorTest : public testing::Test {
 protected:
  void SetUp() override {
    reset_fake_core();
    (void)cudaGetLastError();
  }
};

TEST_F(ErrorTest, IsKeptUntilAskedForAndSuccessDoesNotClearIt) {
  EXPECT_EQ(cudaMalloc(nullptr, 16), cudaErrorInvalidValue);
  void* p = nullptr;
  EXPECT_EQ(cudaMalloc(&p, 16), cudaSuccess);
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(cudaFree(p), cudaSuccess);
}

TEST_F(ErrorTest, TheLaterOfTwoIsTheLastOne) {
  EXPECT_EQ(cudaMalloc(nullptr, 16), cudaErrorInvalidValue);
  EXPECT_EQ(cudaSetDevice(99), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
}

TEST_F(ErrorTest, NotReadyIsAnAnswerAndNoError) {
  fake_core().fail_next["stream_query"] = CUDA_ERROR_NOT_READY;
  EXPECT_EQ(cudaStreamQuery(nullptr), cudaErrorNotReady);
  EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess);
}

TEST_F(ErrorTest, EachThreadHasItsOwn) {
  EXPECT_EQ(cudaMalloc(nullptr, 16), cudaErrorInvalidValue);
  std::thread([] { EXPECT_EQ(cudaGetLastError(), cudaSuccess); }).join();
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
}

TEST_F(ErrorTest, AnEarlierAsynchronousErrorComesFirstAndNothingHappens) {
  ASSERT_EQ(cudaFree(nullptr), cudaSuccess);
  fake_core().fail_next["session_error"] = CUDA_ERROR_ILLEGAL_ADDRESS;
  void* p = nullptr;
  EXPECT_EQ(cudaMalloc(&p, 16), cudaErrorIllegalAddress);
  EXPECT_EQ(fake_core().count("memory_allocate"), 0);
  EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST_F(ErrorTest, FreeingHappensWhateverThereIsToReport) {
  void* p = nullptr;
  ASSERT_EQ(cudaMalloc(&p, 16), cudaSuccess);
  fake_core().fail_next["session_error"] = CUDA_ERROR_ILLEGAL_ADDRESS;
  EXPECT_EQ(cudaFree(p), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaFree(p), cudaErrorInvalidValue);  // it is gone
}

TEST_F(ErrorTest, ADriverCodeWithoutATwinIsUnknown) {
  ASSERT_EQ(cudaFree(nullptr), cudaSuccess);
  fake_core().fail_next["device_synchronize"] = CUDA_ERROR_CONTEXT_ALREADY_CURRENT;
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorUnknown);
}

TEST_F(ErrorTest, ALostServerIsTheSameErrorEverywhere) {
  fake_core().session = kServerLost;
  void* p = nullptr;
  int count = 7;
  EXPECT_EQ(cudaMalloc(&p, 16), cudaErrorSystemNotReady);
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorSystemNotReady);
  EXPECT_EQ(count, 0);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorSystemNotReady);
  EXPECT_EQ(cudaGetLastError(), cudaErrorSystemNotReady);
  EXPECT_STREQ(cudaGetErrorString(cudaErrorSystemNotReady), "system not yet initialized");
  fake_core().loss = "system not yet initialized: the server is gone";
  EXPECT_STREQ(cudaGetErrorString(cudaErrorSystemNotReady), fake_core().loss);
  EXPECT_STREQ(cudaGetErrorString(cudaErrorInvalidValue), "invalid argument");
}

TEST_F(ErrorTest, UnwrittenFunctionsSayThatTheyAreNotThere) {
  EXPECT_EQ(cudaGraphicsUnregisterResource(nullptr), cudaErrorNotSupported);
  EXPECT_EQ(fake_core().count("unsupported cudaGraphicsUnregisterResource"), 1);
  EXPECT_EQ(cudaGetLastError(), cudaErrorNotSupported);
}

TEST(ErrorTableTest, IsSorted) {
  for (size_t i = 1; i < std::size(error_table::kEntries); i++) {
    EXPECT_LT(error_table::kEntries[i - 1].code, error_table::kEntries[i].code);
  }
}

// The vendor's library needs no driver for this.
TEST(ErrorTableTest, SaysWhatTheInstalledRuntimeSays) {
  void* const vendor = dlopen(FARLANE_VENDOR_CUDART, RTLD_NOW | RTLD_LOCAL);
  if (vendor == nullptr) {
    GTEST_SKIP() << "no " << FARLANE_VENDOR_CUDART;
  }
  using Text = const char* (*)(cudaError_t);
  const auto name = reinterpret_cast<Text>(dlsym(vendor, "cudaGetErrorName"));
  const auto text = reinterpret_cast<Text>(dlsym(vendor, "cudaGetErrorString"));
  ASSERT_NE(name, nullptr);
  ASSERT_NE(text, nullptr);
  for (int code = -1; code <= 10001; code++) {
    const auto error = static_cast<cudaError_t>(code);
    EXPECT_STREQ(cudaGetErrorName(error), name(error)) << code;
    EXPECT_STREQ(cudaGetErrorString(error), text(error)) << code;
  }
}

}  // namespace
}  // namespace farlane::client
