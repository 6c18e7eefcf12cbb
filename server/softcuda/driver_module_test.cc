#include <cstring>
#include <fstream>
#include <thread>

#include "server/softcuda/driver_test_support.h"

namespace farlane::softcuda {
namespace {

std::vector<char> read_image(const std::string& name) {
  std::ifstream file(std::string(FARLANE_SOFTCUDA_TESTDATA "/") + name, std::ios::binary);
  std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
  EXPECT_FALSE(bytes.empty()) << name;
  bytes.push_back('\0');  // PTX text ends so; nothing else minds
  return bytes;
}

class Modules : public DriverTest {
 protected:
  void SetUp() override {
    DriverTest::SetUp();
    image_ = read_image("kernels.ptx");
    ASSERT_OK(cuModuleLoadData(&module_, image_.data()));
  }

  CUfunction function(const char* name) {
    CUfunction f = nullptr;
    EXPECT_OK(cuModuleGetFunction(&f, module_, name));
    return f;
  }

  CUdeviceptr allocate(size_t bytes) {
    CUdeviceptr pointer = 0;
    EXPECT_OK(cuMemAlloc(&pointer, bytes));
    EXPECT_OK(cuMemsetD8(pointer, 0, bytes));
    return pointer;
  }

  template <typename T>
  std::vector<T> read(CUdeviceptr pointer, size_t count) {
    std::vector<T> out(count);
    EXPECT_OK(cuMemcpyDtoH(out.data(), pointer, count * sizeof(T)));
    return out;
  }

  template <typename... Arguments>
  CUresult launch(CUfunction f, unsigned grid, unsigned block, unsigned shared_bytes,
                  CUstream stream, Arguments... arguments) {
    void* params[] = {&arguments..., nullptr};
    return cuLaunchKernel(f, grid, 1, 1, block, 1, 1, shared_bytes, stream, params, nullptr);
  }

  // Works only while the context has not failed.
  void expect_sticky(CUresult error) {
    EXPECT_CU(error, cuCtxSynchronize());
    CUdeviceptr pointer = 0;
    EXPECT_CU(error, cuMemAlloc(&pointer, 16));
    EXPECT_CU(error, cuStreamQuery(nullptr));
    CUevent event = nullptr;
    EXPECT_CU(error, cuEventCreate(&event, 0));
    int count = 0;
    EXPECT_OK(cuDeviceGetCount(&count));  // needs no context
    // A new context starts clean.
    EXPECT_OK(cuDevicePrimaryCtxReset(device_));
    EXPECT_OK(cuDevicePrimaryCtxRetain(&context_, device_));
    EXPECT_OK(cuCtxSetCurrent(context_));
    EXPECT_OK(cuMemAlloc(&pointer, 16));
    EXPECT_OK(cuCtxSynchronize());
  }

  std::vector<char> image_;
  CUmodule module_ = nullptr;
};

TEST_F(Modules, VectorAdd) {
  constexpr int kCount = 1000;
  std::vector<float> a(kCount), b(kCount);
  for (int i = 0; i < kCount; ++i) {
    a[static_cast<size_t>(i)] = static_cast<float>(i);
    b[static_cast<size_t>(i)] = static_cast<float>(2 * i);
  }
  const CUdeviceptr da = allocate(kCount * 4), db = allocate(kCount * 4),
                    out = allocate(kCount * 4);
  ASSERT_OK(cuMemcpyHtoD(da, a.data(), kCount * 4));
  ASSERT_OK(cuMemcpyHtoD(db, b.data(), kCount * 4));
  EXPECT_OK(launch(function("add"), 8, 128, 0, nullptr, da, db, out, kCount));
  const auto result = read<float>(out, kCount);
  for (int i = 0; i < kCount; ++i) {
    EXPECT_EQ(result[static_cast<size_t>(i)], static_cast<float>(3 * i));
  }
}

TEST_F(Modules, EveryFatBinaryFormLoads) {
  for (const char* name : {"default.fatbin", "plain.fatbin", "all.fatbin", "speed.fatbin",
                           "size.fatbin", "balance.fatbin"}) {
    const auto image = read_image(name);
    struct {
      uint32_t magic = 0x466243b1, version = 1;
      const void* data;
      void* unused = nullptr;
    } wrapper;
    wrapper.data = image.data();
    for (const void* form :
         {static_cast<const void*>(image.data()), static_cast<const void*>(&wrapper)}) {
      CUmodule module = nullptr;
      ASSERT_OK(cuModuleLoadFatBinary(&module, form)) << name;
      CUfunction f = nullptr;
      EXPECT_OK(cuModuleGetFunction(&f, module, "store"));
      const CUdeviceptr pointer = allocate(4);
      EXPECT_OK(launch(f, 1, 1, 0, nullptr, pointer, 77));
      EXPECT_EQ(read<int>(pointer, 1)[0], 77);
      EXPECT_OK(cuModuleUnload(module));
      EXPECT_CU(CUDA_ERROR_INVALID_HANDLE, launch(f, 1, 1, 0, nullptr, pointer, 77));
    }
  }
}

TEST_F(Modules, WrongImages) {
  CUmodule module = nullptr;
  const auto sass = read_image("sass.fatbin");
  EXPECT_CU(CUDA_ERROR_NO_BINARY_FOR_GPU, cuModuleLoadData(&module, sass.data()));
  EXPECT_CU(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&module, ""));
  EXPECT_CU(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&module, "not a module"));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuModuleLoadData(&module, nullptr));
  char log[200];
  std::memset(log, 'x', sizeof log);
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* values[] = {log, reinterpret_cast<void*>(sizeof log)};
  const char* broken =
      ".version 9.0\n.target sm_90\n.address_size 64\n"
      ".visible .entry k()\n{\n  frobnicate.u32 %r1, %r2;\n  ret;\n}\n";
  EXPECT_CU(CUDA_ERROR_INVALID_PTX, cuModuleLoadDataEx(&module, broken, 2, options, values));
  EXPECT_NE(std::string(log).find("frobnicate"), std::string::npos) << log;
  // A buffer that is too small is filled as far as it goes.
  values[1] = reinterpret_cast<void*>(size_t{8});
  std::memset(log, 'x', sizeof log);
  EXPECT_CU(CUDA_ERROR_INVALID_PTX, cuModuleLoadDataEx(&module, broken, 2, options, values));
  EXPECT_EQ(std::strlen(log), 7u);
}

TEST_F(Modules, Lookup) {
  CUfunction f = nullptr;
  EXPECT_CU(CUDA_ERROR_NOT_FOUND, cuModuleGetFunction(&f, module_, "nothing"));
  EXPECT_CU(CUDA_ERROR_INVALID_HANDLE,
            cuModuleGetFunction(&f, reinterpret_cast<CUmodule>(0x40), "add"));
  unsigned count = 0;
  EXPECT_OK(cuModuleGetFunctionCount(&count, module_));
  EXPECT_EQ(count, 14u);
  std::vector<CUfunction> functions(count);
  EXPECT_OK(cuModuleEnumerateFunctions(functions.data(), count, module_));
  for (const CUfunction each : functions) {
    const char* name = nullptr;
    EXPECT_OK(cuFuncGetName(&name, each));
    EXPECT_EQ(function(name), each);
  }
  CUmodule owner = nullptr;
  EXPECT_OK(cuFuncGetModule(&owner, functions[0]));
  EXPECT_EQ(owner, module_);
  CUfunctionLoadingState state;
  EXPECT_OK(cuFuncIsLoaded(&state, functions[0]));
  EXPECT_EQ(state, CU_FUNCTION_LOADING_STATE_LOADED);
  EXPECT_OK(cuFuncLoad(functions[0]));
}

TEST_F(Modules, Globals) {
  CUdeviceptr address = 0;
  size_t bytes = 0;
  EXPECT_OK(cuModuleGetGlobal(&address, &bytes, module_, "table"));
  EXPECT_EQ(bytes, 16u);
  EXPECT_EQ(read<int>(address, 4), (std::vector<int>{1, 2, 3, 4}));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemsetD8(address, 0, 17));
  EXPECT_OK(cuModuleGetGlobal(&address, &bytes, module_, "weights"));
  std::vector<float> weights(16, 1.5F);
  EXPECT_OK(cuMemcpyHtoD(address, weights.data(), 64));
  const CUdeviceptr out = allocate(64);
  EXPECT_OK(launch(function("weigh"), 1, 16, 0, nullptr, out));
  EXPECT_EQ(read<float>(out, 16), std::vector<float>(16, 3.0F));
  EXPECT_OK(cuModuleGetGlobal(&address, nullptr, module_, "counter"));
  EXPECT_OK(launch(function("count"), 5, 64, 0, nullptr));
  EXPECT_EQ(read<int>(address, 1)[0], 320);
  EXPECT_CU(CUDA_ERROR_NOT_FOUND, cuModuleGetGlobal(&address, &bytes, module_, "none"));
}

TEST_F(Modules, ParametersOfEverySize) {
  struct Pair {
    char tag;
    double value;
  };
  const CUfunction f = function("mixed");
  const size_t expected[][2] = {{0, 1}, {2, 2}, {8, 8}, {16, 16}, {32, 4}};
  for (size_t i = 0; i < 5; ++i) {
    size_t offset = 99, bytes = 99;
    EXPECT_OK(cuFuncGetParamInfo(f, i, &offset, &bytes));
    EXPECT_EQ(offset, expected[i][0]);
    EXPECT_EQ(bytes, expected[i][1]);
  }
  size_t offset = 0, bytes = 0;
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuFuncGetParamInfo(f, 5, &offset, &bytes));
  const CUdeviceptr out = allocate(40);
  const std::vector<double> values{3, -5, 7, 0.25, 1000};
  EXPECT_OK(launch(f, 1, 1, 0, nullptr, char{3}, short{-5}, out, Pair{7, 0.25}, 1000));
  EXPECT_EQ(read<double>(out, 5), values);
  // The same from one packed buffer.
  struct {
    char c = 3;
    short s = -5;
    CUdeviceptr out;
    Pair pair{7, 0.25};
    int n = 1000;
  } packed;
  packed.out = out;
  size_t packed_bytes = sizeof packed;
  void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &packed, CU_LAUNCH_PARAM_BUFFER_SIZE,
                   &packed_bytes, CU_LAUNCH_PARAM_END};
  EXPECT_OK(cuMemsetD8(out, 0, 40));
  EXPECT_OK(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, extra));
  EXPECT_EQ(read<double>(out, 5), values);
  packed_bytes = 16;
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE,
            cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, extra));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE,
            cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr));

  struct Large {
    int values[1000];
  } large;
  std::iota(large.values, large.values + 1000, 5);
  const CUdeviceptr numbers = allocate(4000);
  EXPECT_OK(launch(function("large"), 1, 1000, 0, nullptr, large, numbers));
  EXPECT_EQ(read<int>(numbers, 1000), std::vector<int>(large.values, large.values + 1000));
}

TEST_F(Modules, ConfigurationChecks) {
  const CUdeviceptr out = allocate(4096);
  const CUfunction f = function("bounded");
  void* params[] = {const_cast<CUdeviceptr*>(&out)};
  const auto shaped = [&](unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                          unsigned bz, unsigned shared_bytes) {
    return cuLaunchKernel(f, gx, gy, gz, bx, by, bz, shared_bytes, nullptr, params, nullptr);
  };
  EXPECT_OK(shaped(1, 1, 1, 128, 1, 1, 0));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, shaped(1, 1, 1, 129, 1, 1, 0));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, shaped(1, 1, 1, 1025, 1, 1, 0));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, shaped(1, 1, 1, 512, 4, 1, 0));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, shaped(1, 1, 1, 1, 1, 65, 0));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, shaped(0, 1, 1, 1, 1, 1, 0));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, shaped(1, 1, 1, 0, 1, 1, 0));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, shaped(1, 65536, 1, 1, 1, 1, 0));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, shaped(1, 1, 65536, 1, 1, 1, 0));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, shaped(1, 1, 1, 1, 1, 1, (48 << 10) + 1));
  EXPECT_CU(CUDA_ERROR_INVALID_HANDLE, cuLaunchKernel(reinterpret_cast<CUfunction>(0x123), 1, 1, 1,
                                                      1, 1, 1, 0, nullptr, params, nullptr));
  EXPECT_CU(
      CUDA_ERROR_INVALID_HANDLE,
      cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, reinterpret_cast<CUstream>(0x99), params, nullptr));
  EXPECT_OK(cuCtxSynchronize());  // refused launches leave no trace
}

TEST_F(Modules, DynamicSharedMemory) {
  const CUfunction f = function("reverse");
  std::vector<int> data(256);
  std::iota(data.begin(), data.end(), 0);
  const CUdeviceptr pointer = allocate(1024);
  ASSERT_OK(cuMemcpyHtoD(pointer, data.data(), 1024));
  EXPECT_OK(launch(f, 1, 256, 1024, nullptr, pointer));
  EXPECT_EQ(read<int>(pointer, 256), std::vector<int>(data.rbegin(), data.rend()));
  const unsigned large = 100 << 10;
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, launch(f, 1, 256, large, nullptr, pointer));
  EXPECT_OK(cuFuncSetAttribute(f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, large));
  int value = 0;
  EXPECT_OK(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, f));
  EXPECT_EQ(value, static_cast<int>(large));
  EXPECT_OK(launch(f, 1, 256, large, nullptr, pointer));
  EXPECT_EQ(read<int>(pointer, 256), data);
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE,
            cuFuncSetAttribute(f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 228 << 10));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuFuncSetAttribute(f, CU_FUNC_ATTRIBUTE_NUM_REGS, 3));
}

TEST_F(Modules, FunctionAttributesAndOccupancy) {
  const CUfunction f = function("bounded");
  int value = 0;
  EXPECT_OK(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, f));
  EXPECT_EQ(value, 128);
  EXPECT_OK(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_NUM_REGS, f));
  EXPECT_GT(value, 0);
  EXPECT_OK(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_BINARY_VERSION, f));
  EXPECT_EQ(value, 90);
  // What libraries choose their launch shapes by: the PTX that the kernel was made from.
  EXPECT_OK(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_PTX_VERSION, f));
  EXPECT_EQ(value, 90);  // of the members for 75 and 90, the newest
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE,
            cuFuncGetAttribute(&value, static_cast<CUfunction_attribute>(99), f));
  int blocks = 0, grid = 0, threads = 0;
  EXPECT_OK(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, f, 128, 0));
  EXPECT_EQ(blocks, 16);  // 2048 threads
  EXPECT_OK(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, f, 128, 40 << 10));
  EXPECT_EQ(blocks, 5);  // 228 KiB, 41 each
  EXPECT_OK(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, f, 32, 0));
  EXPECT_EQ(blocks, 32);
  EXPECT_OK(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, f, 256, 0));
  EXPECT_EQ(blocks, 0);
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE,
            cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, f, 0, 0));
  EXPECT_OK(cuOccupancyMaxPotentialBlockSize(&grid, &threads, f, nullptr, 0, 0));
  EXPECT_EQ(threads, 128);
  EXPECT_EQ(grid, 16 * static_cast<int>(std::thread::hardware_concurrency()));
  size_t bytes = 0;
  EXPECT_OK(cuOccupancyAvailableDynamicSMemPerBlock(&bytes, f, 4, 128));
  EXPECT_EQ(bytes, size_t{56} << 10);  // a quarter of 228 KiB, less 1 KiB reserved
}

TEST_F(Modules, LaunchEx) {
  const CUdeviceptr out = allocate(16);
  CUdeviceptr pointer = out;
  int value = 9;
  void* params[] = {&pointer, &value};
  CUlaunchAttribute attributes[2] = {};
  attributes[0].id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
  attributes[0].value.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  attributes[1].value.clusterDim = {1, 1, 1};
  CUlaunchConfig config{1, 1, 1, 1, 1, 1, 0, nullptr, attributes, 2};
  EXPECT_OK(cuLaunchKernelEx(&config, function("store"), params, nullptr));
  EXPECT_EQ(read<int>(out, 1)[0], 9);
  attributes[1].value.clusterDim.x = 2;
  EXPECT_CU(CUDA_ERROR_NOT_SUPPORTED,
            cuLaunchKernelEx(&config, function("store"), params, nullptr));
}

TEST_F(Modules, CooperativeLaunch) {
  const CUfunction f = function("meet");
  int per_sm = 0;
  EXPECT_OK(cuOccupancyMaxActiveBlocksPerMultiprocessor(&per_sm, f, 1024, 0));
  const unsigned blocks = static_cast<unsigned>(per_sm) * std::thread::hardware_concurrency();
  const CUdeviceptr arrived = allocate(4), done = allocate(4);
  void* params[] = {const_cast<CUdeviceptr*>(&arrived), const_cast<CUdeviceptr*>(&done)};
  EXPECT_OK(cuLaunchCooperativeKernel(f, blocks, 1, 1, 1024, 1, 1, 0, nullptr, params));
  EXPECT_EQ(read<unsigned>(done, 1)[0], blocks);
  EXPECT_CU(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE,
            cuLaunchCooperativeKernel(f, blocks + 1, 1, 1, 1024, 1, 1, 0, nullptr, params));
}

TEST_F(Modules, KernelsOfTwoStreamsRunAtOnce) {
  CUstream first = nullptr, second = nullptr;
  ASSERT_OK(cuStreamCreate(&first, CU_STREAM_NON_BLOCKING));
  ASSERT_OK(cuStreamCreate(&second, CU_STREAM_NON_BLOCKING));
  const CUdeviceptr flag = allocate(4);
  ASSERT_OK(cuCtxSynchronize());
  EXPECT_OK(launch(function("wait_for"), 1, 1, 0, first, flag));
  EXPECT_OK(launch(function("store"), 1, 1, 0, second, flag, 1));
  EXPECT_OK(cuStreamSynchronize(first));
  EXPECT_OK(cuStreamSynchronize(second));
}

TEST_F(Modules, LinkingTwoParts) {
  CUlinkState link = nullptr;
  char log[500] = "";
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* values[] = {log, reinterpret_cast<void*>(sizeof log)};
  auto one = read_image("part_one.fatbin"), two = read_image("part_two.fatbin");
  ASSERT_OK(cuLinkCreate(2, options, values, &link));
  EXPECT_OK(cuLinkAddData(link, CU_JIT_INPUT_FATBINARY, one.data(), one.size() - 1, "one", 0,
                          nullptr, nullptr));
  void* cubin = nullptr;
  size_t bytes = 0;
  EXPECT_CU(CUDA_ERROR_INVALID_PTX, cuLinkComplete(link, &cubin, &bytes));
  EXPECT_NE(std::string(log), "");
  EXPECT_OK(cuLinkAddData(link, CU_JIT_INPUT_FATBINARY, two.data(), two.size() - 1, "two", 0,
                          nullptr, nullptr));
  EXPECT_CU(CUDA_ERROR_INVALID_IMAGE, cuLinkAddData(link, CU_JIT_INPUT_FATBINARY, two.data(), 100,
                                                    "cut", 0, nullptr, nullptr));
  ASSERT_OK(cuLinkComplete(link, &cubin, &bytes)) << log;
  CUmodule module = nullptr;
  ASSERT_OK(cuModuleLoadData(&module, cubin));
  EXPECT_OK(cuLinkDestroy(link));
  EXPECT_CU(CUDA_ERROR_INVALID_HANDLE, cuLinkDestroy(link));
  CUfunction f = nullptr;
  ASSERT_OK(cuModuleGetFunction(&f, module, "linked"));
  const CUdeviceptr out = allocate(4);
  EXPECT_OK(launch(f, 1, 1, 0, nullptr, out));
  EXPECT_EQ(read<int>(out, 1)[0], 142);
}

TEST_F(Modules, WrapperOfRelocatableParts) {
  const auto one = read_image("part_one.fatbin"), two = read_image("part_two.fatbin");
  const void* parts[] = {one.data(), two.data(), nullptr};
  struct {
    uint32_t magic = 0x466243b1, version = 2;
    const void* data = nullptr;
    const void* parts = nullptr;
  } wrapper;
  wrapper.parts = parts;
  CUmodule module = nullptr;
  ASSERT_OK(cuModuleLoadData(&module, &wrapper));
  CUfunction f = nullptr;
  EXPECT_OK(cuModuleGetFunction(&f, module, "linked"));
}

TEST_F(Modules, Libraries) {
  CUlibrary library = nullptr;
  ASSERT_OK(cuLibraryLoadData(&library, image_.data(), nullptr, nullptr, 0, nullptr, nullptr, 0));
  CUkernel kernel = nullptr;
  ASSERT_OK(cuLibraryGetKernel(&kernel, library, "store"));
  EXPECT_CU(CUDA_ERROR_NOT_FOUND, cuLibraryGetKernel(&kernel, library, "none"));
  unsigned count = 0;
  EXPECT_OK(cuLibraryGetKernelCount(&count, library));
  EXPECT_EQ(count, 14u);
  std::vector<CUkernel> kernels(count);
  EXPECT_OK(cuLibraryEnumerateKernels(kernels.data(), count, library));
  const char* name = nullptr;
  EXPECT_OK(cuKernelGetName(&name, kernel));
  EXPECT_STREQ(name, "store");
  CUlibrary owner = nullptr;
  EXPECT_OK(cuKernelGetLibrary(&owner, kernel));
  EXPECT_EQ(owner, library);
  size_t offset = 0, bytes = 0;
  EXPECT_OK(cuKernelGetParamInfo(kernel, 1, &offset, &bytes));
  EXPECT_EQ(offset, 8u);
  EXPECT_EQ(bytes, 4u);
  const CUdeviceptr out = allocate(4);
  // A kernel handle is launchable as it is.
  EXPECT_OK(launch(reinterpret_cast<CUfunction>(kernel), 1, 1, 0, nullptr, out, 5));
  EXPECT_EQ(read<int>(out, 1)[0], 5);
  CUfunction f = nullptr;
  EXPECT_OK(cuKernelGetFunction(&f, kernel));
  EXPECT_OK(launch(f, 1, 1, 0, nullptr, out, 6));
  EXPECT_EQ(read<int>(out, 1)[0], 6);
  // An attribute set on the kernel is seen on the function.
  EXPECT_OK(cuKernelSetAttribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 70000, kernel,
                                 device_));
  int value = 0;
  EXPECT_OK(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, f));
  EXPECT_EQ(value, 70000);
  EXPECT_OK(cuKernelGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, kernel, device_));
  EXPECT_EQ(value, 1024);
  CUdeviceptr global = 0;
  EXPECT_OK(cuLibraryGetGlobal(&global, &bytes, library, "table"));
  EXPECT_EQ(bytes, 16u);
  CUmodule module = nullptr;
  EXPECT_OK(cuLibraryGetModule(&module, library));
  // Another context has variables of its own.
  CUcontext other = nullptr;
  CUdeviceptr other_global = 0;
  ASSERT_OK(cuCtxCreate(&other, nullptr, 0, device_));
  EXPECT_OK(cuLibraryGetGlobal(&other_global, &bytes, library, "table"));
  EXPECT_NE(global, other_global);
  EXPECT_OK(cuCtxDestroy(other));
  EXPECT_OK(cuLibraryUnload(library));
  EXPECT_CU(CUDA_ERROR_INVALID_HANDLE, cuLibraryGetKernelCount(&count, library));
  EXPECT_CU(CUDA_ERROR_INVALID_HANDLE, cuKernelGetName(&name, kernel));
  EXPECT_CU(CUDA_ERROR_INVALID_HANDLE,
            launch(reinterpret_cast<CUfunction>(kernel), 1, 1, 0, nullptr, out, 5));
}

TEST_F(Modules, PrintfComesOutWhenSynchronising) {
  testing::internal::CaptureStdout();
  EXPECT_OK(launch(function("say"), 1, 2, 0, nullptr, 42));
  EXPECT_OK(cuCtxSynchronize());
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "kernel says 42\nkernel says 42\n");
}

TEST_F(Modules, IllegalAddressIsSticky) {
  EXPECT_OK(launch(function("store"), 1, 1, 0, nullptr, CUdeviceptr{0x1000}, 1));
  expect_sticky(CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST_F(Modules, OneByteTooFarIsNoticed) {
  const CUdeviceptr pointer = allocate(1024);
  EXPECT_OK(launch(function("touch_last"), 1, 1, 0, nullptr, pointer, 1024ULL));
  EXPECT_OK(cuCtxSynchronize());
  EXPECT_OK(launch(function("touch_last"), 1, 1, 0, nullptr, pointer, 1025ULL));
  expect_sticky(CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST_F(Modules, UseAfterFreeInAKernel) {
  const CUdeviceptr pointer = allocate(4096);
  EXPECT_OK(cuMemFree(pointer));
  EXPECT_OK(launch(function("store"), 1, 1, 0, nullptr, pointer, 1));
  expect_sticky(CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST_F(Modules, MisalignedAddress) {
  const CUdeviceptr pointer = allocate(16);
  EXPECT_OK(launch(function("store"), 1, 1, 0, nullptr, pointer + 1, 1));
  expect_sticky(CUDA_ERROR_MISALIGNED_ADDRESS);
}

TEST_F(Modules, Assert) {
  EXPECT_OK(launch(function("failing_assert"), 1, 1, 0, nullptr, 1));
  EXPECT_OK(cuCtxSynchronize());
  testing::internal::CaptureStderr();
  EXPECT_OK(launch(function("failing_assert"), 1, 1, 0, nullptr, 2));
  EXPECT_CU(CUDA_ERROR_ASSERT, cuCtxSynchronize());
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("Assertion `x == 1` failed"), std::string::npos) << text;
  expect_sticky(CUDA_ERROR_ASSERT);
}

TEST_F(Modules, Trap) {
  EXPECT_OK(launch(function("trapping"), 1, 1, 0, nullptr));
  expect_sticky(CUDA_ERROR_LAUNCH_FAILED);
}

TEST_F(Modules, WorkAfterAFaultDoesNotRun) {
  CUstream stream = nullptr;
  ASSERT_OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  struct Seen {
    bool host_function = false;
    std::promise<CUresult> status;
  } seen;
  const auto mark = [](void* data) { static_cast<Seen*>(data)->host_function = true; };
  const auto callback = [](CUstream, CUresult status, void* data) {
    static_cast<Seen*>(data)->status.set_value(status);
  };
  Gate gate;
  gate.put_into(stream);
  EXPECT_OK(launch(function("store"), 1, 1, 0, stream, CUdeviceptr{0x1000}, 1));
  EXPECT_OK(cuLaunchHostFunc(stream, mark, &seen));
  EXPECT_OK(cuStreamAddCallback(stream, callback, &seen, 0));
  gate.open();
  EXPECT_EQ(seen.status.get_future().get(), CUDA_ERROR_ILLEGAL_ADDRESS);  // a callback is told
  EXPECT_FALSE(seen.host_function);
  EXPECT_CU(CUDA_ERROR_ILLEGAL_ADDRESS, cuStreamSynchronize(stream));
}

TEST_F(Modules, VirtualMemoryIsKernelMemory) {
  constexpr size_t kBytes = size_t{4} << 20;
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, device_};
  CUmemAccessDesc access{properties.location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  CUmemGenericAllocationHandle handle = 0;
  CUdeviceptr window = 0;
  ASSERT_OK(cuMemAddressReserve(&window, 2 * kBytes, 0, 0, 0));
  ASSERT_OK(cuMemCreate(&handle, kBytes, &properties, 0));
  ASSERT_OK(cuMemMap(window, kBytes, 0, handle, 0));
  ASSERT_OK(cuMemSetAccess(window, kBytes, &access, 1));
  EXPECT_OK(launch(function("touch_last"), 1, 1, 0, nullptr, window, 1ULL * kBytes));
  EXPECT_EQ(read<char>(window + kBytes - 1, 1)[0], 1);
  EXPECT_OK(cuMemUnmap(window, kBytes));
  EXPECT_OK(cuMemRelease(handle));
  EXPECT_OK(launch(function("touch_last"), 1, 1, 0, nullptr, window, 1ULL * kBytes));
  EXPECT_CU(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
  EXPECT_OK(cuMemAddressFree(window, 2 * kBytes));
}

}  // namespace
}  // namespace farlane::softcuda
