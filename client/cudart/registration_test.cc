// Registration and launches: of records made by hand, and of what nvcc really emits (testdata, in
// two separately compiled parts that are linked into this program).
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include "client/cudart/testing/fake_core.h"

void launch_first_kernel(int* out, int offset, cudaStream_t stream);
const void* first_kernel_address();
const void* second_kernel_address();
const void* device_variable_address();
const void* constant_table_address();

extern "C" {
void** __cudaRegisterFatBinary(void*);
void __cudaRegisterFatBinaryEnd(void**);
void __cudaUnregisterFatBinary(void**);
void __cudaRegisterFunction(void**, const char*, char*, const char*, int, uint3*, uint3*, dim3*,
                            dim3*, int*);
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int);
unsigned __cudaPushCallConfiguration(dim3, dim3, size_t, cudaStream_t);
cudaError_t __cudaPopCallConfiguration(dim3*, dim3*, size_t*, void*);
cudaError_t __cudaGetKernel(cudaKernel_t*, const void*);
cudaError_t __cudaLaunchKernel(cudaKernel_t, dim3, dim3, void**, size_t, cudaStream_t);
cudaError_t __cudaLaunchKernel_ptsz(cudaKernel_t, dim3, dim3, void**, size_t, cudaStream_t);
}

namespace farlane::client {
namespace {

// As nvcc's fatbinary_section.h has it.
struct Wrapper {
  int magic = 0x466243b1;
  int version = 1;
  const void* data = nullptr;
  void* parts = nullptr;
};

// Registers one fat binary with one kernel and one variable, each known by a byte of its own.
struct Program {
  Program() {
    wrapper.data = image;
    handle = __cudaRegisterFatBinary(&wrapper);
    __cudaRegisterFunction(handle, host_function, nullptr, "kernel", -1, nullptr, nullptr, nullptr,
                           nullptr, nullptr);
    __cudaRegisterVar(handle, host_variable, nullptr, "variable", 0, 16, 0, 0);
    __cudaRegisterFatBinaryEnd(handle);
  }
  ~Program() {
    if (handle != nullptr) {
      __cudaUnregisterFatBinary(handle);
    }
  }
  char image[16] = {};
  Wrapper wrapper;
  char host_function[1];
  char host_variable[16];
  void** handle = nullptr;
};

class RegistrationTest : public testing::Test {
 protected:
  void SetUp() override {
    reset_fake_core();
    ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
    fake_core().calls.clear();
    (void)cudaGetLastError();
  }
};

TEST_F(RegistrationTest, OnlyWritesDown) {
  { Program program; }
  EXPECT_TRUE(fake_core().calls.empty());
}

TEST_F(RegistrationTest, TheFirstUseLoadsTheImageOnce) {
  Program program;
  void* args[] = {nullptr};
  EXPECT_EQ(cudaLaunchKernel(program.host_function, dim3(1), dim3(1), args, 0, nullptr),
            cudaSuccess);
  EXPECT_EQ(cudaLaunchKernel(program.host_function, dim3(1), dim3(1), args, 0, nullptr),
            cudaSuccess);
  ASSERT_EQ(fake_core().loaded.size(), 1U);
  EXPECT_EQ(fake_core().loaded[0], std::vector<const void*>{program.image});
  EXPECT_EQ(fake_core().count("library_kernel"), 1);
  EXPECT_EQ(fake_core().launches.size(), 2U);
}

TEST_F(RegistrationTest, NothingIsLeftAfterUnregistering) {
  Program program;
  cudaKernel_t kernel = nullptr;
  ASSERT_EQ(__cudaGetKernel(&kernel, program.host_function), cudaSuccess);
  __cudaUnregisterFatBinary(program.handle);
  program.handle = nullptr;
  EXPECT_EQ(fake_core().count("library_unload"), 1);
  EXPECT_EQ(__cudaGetKernel(&kernel, program.host_function), cudaErrorInvalidDeviceFunction);
  void* address = nullptr;
  EXPECT_EQ(cudaGetSymbolAddress(&address, program.host_variable), cudaErrorInvalidSymbol);
}

TEST_F(RegistrationTest, SymbolsAreFoundAndTheirBoundsHeld) {
  Program program;
  fake_core().variables["variable"].resize(16);
  const char text[] = "fifteen letters";
  char back[16] = {};
  size_t bytes = 0;
  EXPECT_EQ(cudaMemcpyToSymbol(program.host_variable, text, 16, 0, cudaMemcpyHostToDevice),
            cudaSuccess);
  EXPECT_EQ(cudaMemcpyFromSymbol(back, program.host_variable, 7, 8, cudaMemcpyDeviceToHost),
            cudaSuccess);
  EXPECT_STREQ(back, "letters");
  EXPECT_EQ(cudaGetSymbolSize(&bytes, program.host_variable), cudaSuccess);
  EXPECT_EQ(bytes, 16U);
  EXPECT_EQ(cudaMemcpyToSymbol(program.host_variable, text, 16, 1, cudaMemcpyHostToDevice),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyToSymbol(program.host_variable, text, 4, SIZE_MAX, cudaMemcpyHostToDevice),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyToSymbol(program.host_variable, text, 4, 0, cudaMemcpyDeviceToHost),
            cudaErrorInvalidMemcpyDirection);
  EXPECT_EQ(cudaMemcpyToSymbol(back, text, 4, 0, cudaMemcpyHostToDevice), cudaErrorInvalidSymbol);
  fake_core().variables.clear();
  EXPECT_EQ(cudaGetSymbolSize(&bytes, program.host_variable), cudaErrorInvalidSymbol);
}

TEST_F(RegistrationTest, WhatIsNoKernelIsRefused) {
  Program program;
  char other = 0;
  cudaFuncAttributes attributes;
  EXPECT_EQ(cudaLaunchKernel(&other, dim3(1), dim3(1), nullptr, 0, nullptr),
            cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaLaunchKernel(nullptr, dim3(1), dim3(1), nullptr, 0, nullptr),
            cudaErrorInvalidDeviceFunction);
  EXPECT_EQ(cudaFuncGetAttributes(&attributes, &other), cudaErrorInvalidResourceHandle);
  fake_core().kernels.clear();  // registered, but not in the image
  EXPECT_EQ(cudaLaunchKernel(program.host_function, dim3(1), dim3(1), nullptr, 0, nullptr),
            cudaErrorInvalidDeviceFunction);
  EXPECT_EQ(cudaFuncGetAttributes(&attributes, program.host_function),
            cudaErrorInvalidDeviceFunction);
}

TEST_F(RegistrationTest, HandlesStandForKernels) {
  Program program;
  cudaKernel_t kernel = nullptr;
  cudaFunction_t function = nullptr;
  ASSERT_EQ(cudaGetKernel(&kernel, program.host_function), cudaSuccess);
  ASSERT_EQ(cudaGetFuncBySymbol(&function, program.host_function), cudaSuccess);
  EXPECT_EQ(
      cudaLaunchKernel(reinterpret_cast<void*>(kernel), dim3(1), dim3(1), nullptr, 0, nullptr),
      cudaSuccess);
  EXPECT_EQ(
      cudaLaunchKernel(reinterpret_cast<void*>(function), dim3(1), dim3(1), nullptr, 0, nullptr),
      cudaSuccess);
  EXPECT_EQ(fake_core().launches.size(), 2U);
  const char* name = nullptr;
  EXPECT_EQ(cudaFuncGetName(&name, program.host_function), cudaSuccess);
  EXPECT_STREQ(name, "kernel");
}

TEST_F(RegistrationTest, LaunchesThroughEveryDoor) {
  Program program;
  int value = 5;
  void* args[] = {&value};
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreate(&stream), cudaSuccess);
  cudaKernel_t kernel = nullptr;
  ASSERT_EQ(__cudaGetKernel(&kernel, program.host_function), cudaSuccess);
  EXPECT_EQ(__cudaLaunchKernel(kernel, dim3(2, 3, 4), dim3(5, 6, 7), args, 8, stream), cudaSuccess);
  const auto& launched = fake_core().launches.back();
  EXPECT_EQ(launched.kernel, "kernel");
  EXPECT_EQ(launched.launch.grid[2], 4U);
  EXPECT_EQ(launched.launch.block[0], 5U);
  EXPECT_EQ(launched.launch.shared_bytes, 8U);
  EXPECT_EQ(launched.launch.stream, stream);
  EXPECT_EQ(launched.launch.params, args);
  EXPECT_EQ(__cudaLaunchKernel_ptsz(kernel, dim3(1), dim3(1), args, 0, nullptr), cudaSuccess);
  EXPECT_EQ(fake_core().launches.back().launch.stream, CU_STREAM_PER_THREAD);
  EXPECT_EQ(__cudaLaunchKernel(nullptr, dim3(1), dim3(1), args, 0, nullptr),
            cudaErrorInvalidDeviceFunction);

  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {2, 1, 1};
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(4);
  config.blockDim = dim3(32);
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  EXPECT_EQ(cudaLaunchKernelExC(&config, program.host_function, args), cudaSuccess);
  ASSERT_EQ(fake_core().launches.back().attributes.size(), 1U);
  EXPECT_EQ(fake_core().launches.back().attributes[0].value.clusterDim.x, 2U);
  config.attrs = nullptr;
  EXPECT_EQ(cudaLaunchKernelExC(&config, program.host_function, args), cudaErrorInvalidValue);
  EXPECT_EQ(cudaLaunchKernelExC(nullptr, program.host_function, args), cudaErrorInvalidValue);
  EXPECT_EQ(cudaLaunchCooperativeKernel(program.host_function, dim3(1), dim3(1), args, 0, nullptr),
            cudaSuccess);
  EXPECT_EQ(fake_core().launches.back().attributes[0].id, CU_LAUNCH_ATTRIBUTE_COOPERATIVE);
}

TEST_F(RegistrationTest, CallConfigurationsNest) {
  dim3 grid;
  dim3 block;
  size_t shared = 0;
  cudaStream_t stream = nullptr;
  EXPECT_EQ(__cudaPopCallConfiguration(&grid, &block, &shared, &stream),
            cudaErrorMissingConfiguration);
  EXPECT_EQ(__cudaPushCallConfiguration(dim3(1), dim3(2), 3, nullptr), 0U);
  EXPECT_EQ(__cudaPushCallConfiguration(dim3(4), dim3(5), 6, cudaStreamPerThread), 0U);
  EXPECT_EQ(__cudaPopCallConfiguration(&grid, &block, &shared, &stream), cudaSuccess);
  EXPECT_EQ(grid.x, 4U);
  EXPECT_EQ(stream, cudaStreamPerThread);
  EXPECT_EQ(__cudaPopCallConfiguration(&grid, &block, &shared, &stream), cudaSuccess);
  EXPECT_EQ(block.x, 2U);
  EXPECT_EQ(shared, 3U);
  EXPECT_EQ(__cudaPopCallConfiguration(&grid, &block, &shared, &stream),
            cudaErrorMissingConfiguration);
  unsigned pushed = 0;
  while (pushed < 1000 && __cudaPushCallConfiguration(dim3(1), dim3(1), 0, nullptr) == 0) {
    pushed++;
  }
  EXPECT_LT(pushed, 1000U);
  while (__cudaPopCallConfiguration(&grid, &block, &shared, &stream) == cudaSuccess) {
    pushed--;
  }
  EXPECT_EQ(pushed, 0U);
}

// PyTorch 2.11 registers 21,504 kernels and 12,955 variables before main.
TEST_F(RegistrationTest, TensOfThousandsAreRegisteredAtOnce) {
  constexpr size_t kFunctions = 21'504;
  constexpr size_t kVariables = 12'955;
  std::vector<char> functions(kFunctions);
  std::vector<char> variables(kVariables);
  Wrapper wrapper;
  wrapper.data = &wrapper;
  const auto start = std::chrono::steady_clock::now();
  void** const handle = __cudaRegisterFatBinary(&wrapper);
  for (char& function : functions) {
    __cudaRegisterFunction(handle, &function, nullptr, "kernel", -1, nullptr, nullptr, nullptr,
                           nullptr, nullptr);
  }
  for (char& variable : variables) {
    __cudaRegisterVar(handle, &variable, nullptr, "variable", 0, 4, 0, 0);
  }
  const auto took = std::chrono::steady_clock::now() - start;
  cudaKernel_t kernel = nullptr;
  EXPECT_EQ(__cudaGetKernel(&kernel, &functions.back()), cudaSuccess);
  __cudaUnregisterFatBinary(handle);
  // A few milliseconds on an idle machine; the bound leaves room for a busy one and sanitizers.
  EXPECT_LT(std::chrono::duration<double>(took).count(), 2.0);
  RecordProperty("microseconds",
                 static_cast<int>(std::chrono::duration<double, std::micro>(took).count()));
}

TEST_F(RegistrationTest, SeparatelyCompiledPartsMakeOneLibrary) {
  fake_core().kernels = {"_Z12first_kernelPii", "_Z13second_kernelPi"};
  int* out = reinterpret_cast<int*>(0x1234000);
  launch_first_kernel(out, 7, nullptr);
  ASSERT_EQ(cudaGetLastError(), cudaSuccess);
  ASSERT_EQ(fake_core().launches.size(), 1U);
  const auto& launched = fake_core().launches[0];
  EXPECT_EQ(launched.kernel, "_Z12first_kernelPii");
  EXPECT_EQ(launched.launch.grid[0], 2U);
  EXPECT_EQ(launched.launch.block[0], 32U);
  EXPECT_EQ(launched.launch.shared_bytes, 16U);
  // Both parts, each a fat binary of its own with PTX in it, and not what they were linked to.
  ASSERT_EQ(fake_core().loaded.size(), 1U);
  ASSERT_EQ(fake_core().loaded[0].size(), 2U);
  for (const void* part : fake_core().loaded[0]) {
    uint32_t magic = 0;
    std::memcpy(&magic, part, sizeof(magic));
    EXPECT_EQ(magic, 0xba55ed50U);
  }
  // The other part's kernel and the variables belong to the same library.
  cudaKernel_t kernel = nullptr;
  EXPECT_EQ(__cudaGetKernel(&kernel, second_kernel_address()), cudaSuccess);
  fake_core().variables["device_variable"].resize(4);
  fake_core().variables["constant_table"].resize(16);
  size_t bytes = 0;
  EXPECT_EQ(cudaGetSymbolSize(&bytes, device_variable_address()), cudaSuccess);
  EXPECT_EQ(bytes, 4U);
  EXPECT_EQ(cudaGetSymbolSize(&bytes, constant_table_address()), cudaSuccess);
  EXPECT_EQ(bytes, 16U);
  EXPECT_EQ(fake_core().loaded.size(), 1U);
  const char* name = nullptr;
  EXPECT_EQ(cudaFuncGetName(&name, first_kernel_address()), cudaSuccess);
  EXPECT_STREQ(name, "_Z12first_kernelPii");
}

}  // namespace
}  // namespace farlane::client
