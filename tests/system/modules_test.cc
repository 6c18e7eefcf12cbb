// Modules: how their images get to the server, and what is asked only once.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>

#include "tests/system/rig.h"

namespace farlane::system_test {
namespace {

constexpr char kSource[] = R"(.version 7.0
.target sm_75
.address_size 64
.visible .global .align 4 .u32 number = 42;
.visible .entry nothing() { ret; }
)";

CUresult load(const std::string& source, CUmodule* module) {
  const void* image = source.c_str();
  return client::module_load(0, {&image, 1}, module, nullptr);
}

// Both are told that the image is missing before either can send it.
TEST(Modules, AnImageThatTwoThreadsMissIsSentOnce) {
  RigOptions options;
  options.by_hand = true;
  options.client.copy_chunk_bytes = 64;
  Rig rig(options);
  client::Session* const session = client::session_if_any();
  for (int round = 0; round < 20; ++round) {
    const std::string source = kSource + std::string(4096, '\n') + "// " + std::to_string(round);
    const uint64_t uploads = session->uploads;
    const uint64_t asked = session->asked();
    std::array<CUmodule, 2> modules{};
    std::array<std::future<CUresult>, 2> loads;
    for (int i = 0; i < 2; ++i) {
      loads[i] = rig.start([&source, &modules, i] { return load(source, &modules[i]); });
    }
    while (session->asked() < asked + 2) std::this_thread::yield();
    const std::array<CUresult, 2> results = rig.pumped([&] {
      return std::array{loads[0].get(), loads[1].get()};
    });
    ASSERT_EQ(results[0], CUDA_SUCCESS) << session->loss_sentence();
    ASSERT_EQ(results[1], CUDA_SUCCESS) << session->loss_sentence();
    EXPECT_EQ(session->uploads, uploads + 1);
    for (const CUmodule module : modules) {
      CUfunction function = nullptr;
      EXPECT_EQ(client::module_function(module, "nothing", &function), CUDA_SUCCESS);
      EXPECT_EQ(client::module_unload(module), CUDA_SUCCESS);
    }
  }
}

// Where the addresses of a module's variables are asked for.
class ModuleVariables : public testing::TestWithParam<bool> {};

TEST_P(ModuleVariables, AreAskedForOnce) {
  RigOptions options;
  options.client.local_answers = GetParam();
  Rig rig(options);
  client::Session* const session = client::session_if_any();
  for (int round = 0; round < 2; ++round) {
    CUmodule module = nullptr;
    ASSERT_EQ(load(kSource, &module), CUDA_SUCCESS);
    const uint64_t asked = session->asked();
    CUdeviceptr first = 0;
    for (int i = 0; i < 5; ++i) {
      CUdeviceptr address = 0;
      size_t bytes = 0;
      ASSERT_EQ(client::module_variable(module, "number", &address, &bytes), CUDA_SUCCESS);
      EXPECT_EQ(bytes, 4u);
      first = i == 0 ? address : first;
      EXPECT_EQ(address, first);
      EXPECT_TRUE(client::pointer_facts(address).variable);
    }
    EXPECT_EQ(session->asked() - asked, GetParam() ? 1u : 5u);
    EXPECT_EQ(client::module_variable(module, "other", &first, nullptr), CUDA_ERROR_NOT_FOUND);
    uint32_t value = 0;
    EXPECT_EQ(to_host(&value, first, sizeof value, nullptr, false), CUDA_SUCCESS);
    EXPECT_EQ(value, 42u);
    EXPECT_EQ(client::module_unload(module), CUDA_SUCCESS);
    EXPECT_EQ(client::module_variable(module, "number", &first, nullptr),
              CUDA_ERROR_INVALID_HANDLE);
    EXPECT_FALSE(client::pointer_facts(first).variable);
  }
}

INSTANTIATE_TEST_SUITE_P(LocalAnswers, ModuleVariables, testing::Bool());

// A host function's thread has no context, and does not get one.
TEST(Modules, AHostFunctionGetsNoContext) {
  Rig rig;
  CUresult made = CUDA_SUCCESS;
  int device = 0;
  ASSERT_EQ(client::host_function(nullptr,
                                  [&](CUresult) {
                                    made = client::make_device_current(0);
                                    device = client::current_device();
                                  }),
            CUDA_SUCCESS);
  ASSERT_EQ(client::stream_synchronize(nullptr), CUDA_SUCCESS);
  EXPECT_EQ(made, CUDA_ERROR_NOT_PERMITTED);
  EXPECT_EQ(device, -1);
}

}  // namespace
}  // namespace farlane::system_test
