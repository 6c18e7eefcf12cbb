// Modules, links, launches, entry points of the driver façade.
#include <cuda.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "client/cuda/proc_address.h"
#include "client/cudart/testing/fake_core.h"

namespace farlane::client {
namespace {

const char kPtx[] = ".version 7.0\n.target sm_52\n.address_size 64\n";

class DriverModuleTest : public testing::Test {
 protected:
  void SetUp() override {
    reset_fake_core();
    ASSERT_EQ(cuInit(0), CUDA_SUCCESS);
    CUcontext context = nullptr;
    ASSERT_EQ(cuCtxCreate(&context, nullptr, 0, 0), CUDA_SUCCESS);
  }
};

TEST_F(DriverModuleTest, LoadsAndGivesTheLogToTheBufferItIsFor) {
  CUmodule module = nullptr;
  char info[16] = "?";
  char error[3] = "?";
  CUjit_option options[] = {CU_JIT_INFO_LOG_BUFFER, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES,
                            CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
                            CU_JIT_MAX_REGISTERS};
  void* values[] = {info, reinterpret_cast<void*>(sizeof(info)), error,
                    reinterpret_cast<void*>(sizeof(error)), reinterpret_cast<void*>(32)};
  EXPECT_EQ(cuModuleLoadDataEx(&module, kPtx, 5, options, values), CUDA_SUCCESS);
  EXPECT_STREQ(info, "a log");
  EXPECT_EQ(values[1], reinterpret_cast<void*>(5));
  EXPECT_STREQ(error, "");
  EXPECT_EQ(fake_core().loaded.back(), std::vector<const void*>{kPtx});
  EXPECT_EQ(cuModuleLoadData(&module, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuModuleLoad(&module, "/no/such/file"), CUDA_ERROR_FILE_NOT_FOUND);
}

TEST_F(DriverModuleTest, FindsFunctionsAndVariables) {
  CUmodule module = nullptr;
  ASSERT_EQ(cuModuleLoadData(&module, kPtx), CUDA_SUCCESS);
  CUfunction function = nullptr;
  unsigned count = 0;
  EXPECT_EQ(cuModuleGetFunction(&function, module, "kernel"), CUDA_SUCCESS);
  EXPECT_EQ(cuModuleGetFunction(&function, module, "other"), CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(cuModuleGetFunctionCount(&count, module), CUDA_SUCCESS);
  EXPECT_EQ(count, 1U);
  fake_core().variables["variable"].resize(24);
  CUdeviceptr address = 0;
  size_t bytes = 0;
  EXPECT_EQ(cuModuleGetGlobal(nullptr, &bytes, module, "variable"), CUDA_SUCCESS);
  EXPECT_EQ(bytes, 24U);
  EXPECT_EQ(cuModuleGetGlobal(&address, nullptr, module, "variable"), CUDA_SUCCESS);
  EXPECT_EQ(cuModuleGetGlobal(&address, &bytes, module, "other"), CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(cuModuleUnload(module), CUDA_SUCCESS);
  EXPECT_EQ(cuModuleUnload(module), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(DriverModuleTest, ALinkIsASetOfImages) {
  CUlinkState link = nullptr;
  std::string first = kPtx;
  char second[] =
      "\x7f"
      "ELF and so on";
  ASSERT_EQ(cuLinkCreate(0, nullptr, nullptr, &link), CUDA_SUCCESS);
  void* set = nullptr;
  size_t bytes = 0;
  EXPECT_EQ(cuLinkComplete(link, &set, &bytes), CUDA_ERROR_INVALID_VALUE);  // nothing to link
  EXPECT_EQ(cuLinkAddData(link, CU_JIT_INPUT_PTX, first.data(), first.size(), "first", 0, nullptr,
                          nullptr),
            CUDA_SUCCESS);
  EXPECT_EQ(
      cuLinkAddData(link, CU_JIT_INPUT_CUBIN, second, sizeof(second), nullptr, 0, nullptr, nullptr),
      CUDA_SUCCESS);
  EXPECT_EQ(cuLinkAddData(link, CU_JIT_INPUT_LIBRARY, second, 4, nullptr, 0, nullptr, nullptr),
            CUDA_ERROR_INVALID_IMAGE);
  ASSERT_EQ(cuLinkComplete(link, &set, &bytes), CUDA_SUCCESS);
  // A program may keep a copy and let the link go.
  std::vector<long long> copy((bytes + 7) / 8);
  std::memcpy(copy.data(), set, bytes);
  EXPECT_EQ(cuLinkDestroy(link), CUDA_SUCCESS);
  EXPECT_EQ(cuLinkDestroy(link), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuLinkComplete(link, &set, &bytes), CUDA_ERROR_INVALID_HANDLE);
  CUmodule module = nullptr;
  ASSERT_EQ(cuModuleLoadData(&module, copy.data()), CUDA_SUCCESS);
  const auto& images = fake_core().loaded.back();
  ASSERT_EQ(images.size(), 2U);
  EXPECT_STREQ(static_cast<const char*>(images[0]), kPtx);
  EXPECT_EQ(std::memcmp(images[1], second, sizeof(second)), 0);
}

TEST_F(DriverModuleTest, WhatDoesNotLinkFailsWhereItIsLinked) {
  CUlinkState link = nullptr;
  char error[16] = "?";
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* values[] = {error, reinterpret_cast<void*>(sizeof(error))};
  std::string ptx = "nonsense";
  ASSERT_EQ(cuLinkCreate(2, options, values, &link), CUDA_SUCCESS);
  ASSERT_EQ(cuLinkAddData(link, CU_JIT_INPUT_PTX, ptx.data(), ptx.size(), "", 0, nullptr, nullptr),
            CUDA_SUCCESS);
  fake_core().fail_next["module_load"] = CUDA_ERROR_INVALID_PTX;
  void* set = nullptr;
  EXPECT_EQ(cuLinkComplete(link, &set, nullptr), CUDA_ERROR_INVALID_PTX);
  EXPECT_STREQ(error, "");
  EXPECT_EQ(cuLinkDestroy(link), CUDA_SUCCESS);
}

TEST_F(DriverModuleTest, LaunchesWithPointersOrAPackedBuffer) {
  CUmodule module = nullptr;
  CUfunction function = nullptr;
  ASSERT_EQ(cuModuleLoadData(&module, kPtx), CUDA_SUCCESS);
  ASSERT_EQ(cuModuleGetFunction(&function, module, "kernel"), CUDA_SUCCESS);
  int value = 0;
  void* params[] = {&value};
  EXPECT_EQ(cuLaunchKernel(function, 1, 2, 3, 4, 5, 6, 7, nullptr, params, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(fake_core().launches.back().launch.grid[1], 2U);
  EXPECT_EQ(fake_core().launches.back().launch.block[2], 6U);
  EXPECT_EQ(fake_core().launches.back().launch.params, params);

  char packed[24] = {};
  size_t bytes = 12;
  void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, packed, CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes,
                   CU_LAUNCH_PARAM_END};
  EXPECT_EQ(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, extra), CUDA_SUCCESS);
  EXPECT_EQ(fake_core().launches.back().launch.packed_params, packed);
  EXPECT_EQ(fake_core().launches.back().launch.packed_bytes, 12U);
  EXPECT_EQ(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, nullptr, params, extra),
            CUDA_ERROR_INVALID_VALUE);
  void* half[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, packed, CU_LAUNCH_PARAM_END};
  EXPECT_EQ(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, half),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLaunchKernel(nullptr, 1, 1, 1, 1, 1, 1, 0, nullptr, params, nullptr),
            CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuLaunchKernelEx(nullptr, function, params, nullptr), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(DriverModuleTest, LibrariesAndKernels) {
  CUlibrary library = nullptr;
  CUkernel kernel = nullptr;
  CUfunction function = nullptr;
  const char* name = nullptr;
  ASSERT_EQ(cuLibraryLoadData(&library, kPtx, nullptr, nullptr, 0, nullptr, nullptr, 0),
            CUDA_SUCCESS);
  EXPECT_EQ(cuLibraryGetKernel(&kernel, library, "other"), CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(cuLibraryGetKernel(&kernel, library, "kernel"), CUDA_SUCCESS);
  EXPECT_EQ(cuKernelGetName(&name, kernel), CUDA_SUCCESS);
  EXPECT_STREQ(name, "kernel");
  EXPECT_EQ(cuKernelGetFunction(&function, kernel), CUDA_SUCCESS);
  EXPECT_EQ(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cuLibraryUnload(library), CUDA_SUCCESS);
  EXPECT_EQ(cuLibraryUnload(library), CUDA_ERROR_INVALID_HANDLE);
}

// As an H100 with driver 580 answers.
TEST_F(DriverModuleTest, EntryPointsHaveVersions) {
  const struct {
    const char* name;
    int version;
    cuuint64_t flags;
    CUdriverProcAddressQueryResult status;
  } questions[] = {
      {"cuMemAlloc", 2000, 0, CU_GET_PROC_ADDRESS_SUCCESS},
      {"cuMemAlloc", 1000, 0, CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT},
      {"cuMemAlloc", 13000, 2, CU_GET_PROC_ADDRESS_SUCCESS},
      {"cuMemAlloc_v2", 13000, 0, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND},
      {"cuNope", 13000, 0, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND},
      {"", 13000, 0, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND},
      {"cuLibraryLoadData", 11000, 0, CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT},
      {"cuGetProcAddress", 11030, 0, CU_GET_PROC_ADDRESS_SUCCESS},
      {"cuMemcpy", 13000, 2, CU_GET_PROC_ADDRESS_SUCCESS},
      {"cuMemcpy", 4000, 2, CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT},
      {"cuInit", 2000, 3, CU_GET_PROC_ADDRESS_SUCCESS},
      {"cuGetExportTable", 13000, 0, CU_GET_PROC_ADDRESS_SUCCESS},
  };
  for (const auto& q : questions) {
    void* function = reinterpret_cast<void*>(3);
    auto status = CU_GET_PROC_ADDRESS_SUCCESS;
    EXPECT_EQ(cuGetProcAddress(q.name, &function, q.version, q.flags, &status), CUDA_SUCCESS);
    EXPECT_EQ(status, q.status) << q.name << " of " << q.version;
    EXPECT_EQ(function != nullptr, q.status == CU_GET_PROC_ADDRESS_SUCCESS) << q.name;
  }
  void* function = reinterpret_cast<void*>(3);
  EXPECT_EQ(cuGetProcAddress("cuMemAlloc", &function, 14000, 0, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGetProcAddress("cuInit", &function, 13000, 8, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(function, reinterpret_cast<void*>(3));
  EXPECT_EQ(cuGetProcAddress("cuNope", &function, 13000, 0, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(function, nullptr);
}

TEST_F(DriverModuleTest, AVersionIsTheAbiOfThatVersion) {
  const auto find = [](const char* name, int version, bool per_thread) {
    auto status = CU_GET_PROC_ADDRESS_SUCCESS;
    return cuda::find_entry_point(name, version, per_thread, &status);
  };
  EXPECT_EQ(find("cuCtxCreate", 13000, false), reinterpret_cast<void*>(&cuCtxCreate_v4));
  EXPECT_EQ(find("cuCtxCreate", 12050, false), reinterpret_cast<void*>(&cuCtxCreate_v4));
  EXPECT_NE(find("cuCtxCreate", 11040, false), find("cuCtxCreate", 12050, false));
  EXPECT_EQ(find("cuMemAlloc", 3020, false), reinterpret_cast<void*>(&cuMemAlloc_v2));
  EXPECT_NE(find("cuMemAdvise", 12000, false), find("cuMemAdvise", 12020, false));
  EXPECT_NE(find("cuEventElapsedTime", 12000, false), find("cuEventElapsedTime", 13000, false));
  EXPECT_NE(find("cuMemcpyAsync", 13000, false), find("cuMemcpyAsync", 13000, true));
  EXPECT_EQ(find("cuInit", 13000, false), find("cuInit", 13000, true));
}

}  // namespace
}  // namespace farlane::client
