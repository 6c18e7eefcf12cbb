// Code loaded at run time.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstdint>

#include "client/cudart/testing/fake_core.h"

namespace farlane::client {
namespace {

void* number(uintptr_t value) {
  return reinterpret_cast<void*>(value);
}

TEST(CudartLibrary, TheCompilersNumbersTravelAndLogsStayHome) {
  reset_fake_core();
  const char code[] = ".version 7.0";
  char log[16] = "";
  cudaJitOption options[] = {cudaJitMaxRegisters, cudaJitInfoLogBuffer,
                             cudaJitInfoLogBufferSizeBytes, cudaJitOptimizationLevel};
  void* values[] = {number(32), log, number(sizeof log), number(2)};
  cudaLibrary_t library = nullptr;
  ASSERT_EQ(cudaLibraryLoadData(&library, code, options, values, 4, nullptr, nullptr, 0),
            cudaSuccess);
  ASSERT_EQ(fake_core().jit_options.size(), 2u);
  EXPECT_EQ(fake_core().jit_options[0].id, static_cast<uint32_t>(cudaJitMaxRegisters));
  EXPECT_EQ(fake_core().jit_options[0].value, 32u);
  EXPECT_EQ(fake_core().jit_options[1].id, static_cast<uint32_t>(cudaJitOptimizationLevel));
  EXPECT_EQ(fake_core().jit_options[1].value, 2u);
  EXPECT_EQ(cudaLibraryUnload(library), cudaSuccess);

  ASSERT_EQ(cudaLibraryLoadData(&library, code, nullptr, nullptr, 0, nullptr, nullptr, 0),
            cudaSuccess);
  EXPECT_TRUE(fake_core().jit_options.empty());
  EXPECT_EQ(cudaLibraryUnload(library), cudaSuccess);
}

}  // namespace
}  // namespace farlane::client
