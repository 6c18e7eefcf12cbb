// Options for the compiler in the driver: what it makes of PTX, what it tells about that, and that
// linked images and libraries keep the options they were made with.
#include <cstring>
#include <string>

#include "driver_check.h"

namespace {

const char kPtx[] = R"(
.version 7.0
.target sm_75
.address_size 64
.extern .func (.param .u32 result) twice(.param .u32 value);
.visible .entry plain(.param .u64 out) {
  .reg .u64 %rd<3>;
  .reg .u32 %r<3>;
  ld.param.u64 %rd1, [out];
  cvta.to.global.u64 %rd2, %rd1;
  mov.u32 %r1, 21;
  st.global.u32 [%rd2], %r1;
  ret;
}
)";

const char kCaller[] = R"(
.version 7.0
.target sm_75
.address_size 64
.extern .func (.param .u32 result) twice(.param .u32 value);
.visible .entry doubled(.param .u64 out) {
  .reg .u64 %rd<3>;
  .reg .u32 %r<3>;
  ld.param.u64 %rd1, [out];
  cvta.to.global.u64 %rd2, %rd1;
  mov.u32 %r1, 21;
  {
    .param .u32 value;
    .param .u32 answer;
    st.param.u32 [value], %r1;
    call (answer), twice, (value);
    ld.param.u32 %r2, [answer];
  }
  st.global.u32 [%rd2], %r2;
  ret;
}
)";

const char kCallee[] = R"(
.version 7.0
.target sm_75
.address_size 64
.visible .func (.param .u32 result) twice(.param .u32 value) {
  .reg .u32 %r<3>;
  ld.param.u32 %r1, [value];
  add.u32 %r2, %r1, %r1;
  st.param.u32 [result], %r2;
  ret;
}
)";

void* number(unsigned value) {
  return reinterpret_cast<void*>(static_cast<uintptr_t>(value));
}

unsigned run(CUfunction function, CUdeviceptr out) {
  void* arguments[] = {&out};
  unsigned value = 0;
  CU_CHECK(cuMemsetD32(out, 0, 1));
  CU_CHECK(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, nullptr, arguments, nullptr));
  CU_CHECK(cuMemcpyDtoH(&value, out, sizeof value));
  return value;
}

}  // namespace

int main() {
  CUdevice device;
  CUcontext context;
  CUdeviceptr out;
  CU_CHECK(cuInit(0));
  CU_CHECK(cuDeviceGet(&device, 0));
  CU_CHECK(cuDevicePrimaryCtxRetain(&context, device));
  CU_CHECK(cuCtxSetCurrent(context));
  CU_CHECK(cuMemAlloc(&out, 4));

  // 1. Numbers in, logs out. (How long it took is 0 where the driver has compiled it before.)
  std::string plain(kPtx);
  plain.erase(plain.find(".extern"),
              plain.find('\n', plain.find(".extern")) - plain.find(".extern"));
  char info[4096] = "x";
  char error[4096] = "x";
  CUjit_option options[] = {CU_JIT_MAX_REGISTERS,
                            CU_JIT_OPTIMIZATION_LEVEL,
                            CU_JIT_WALL_TIME,
                            CU_JIT_GENERATE_LINE_INFO,
                            CU_JIT_LOG_VERBOSE,
                            CU_JIT_INFO_LOG_BUFFER,
                            CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES,
                            CU_JIT_ERROR_LOG_BUFFER,
                            CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
                            CU_JIT_CACHE_MODE};
  void* values[] = {number(32),
                    number(2),
                    nullptr,
                    number(1),
                    number(1),
                    info,
                    number(sizeof info),
                    error,
                    number(sizeof error),
                    number(CU_JIT_CACHE_OPTION_NONE)};
  constexpr unsigned count = sizeof options / sizeof *options;
  CUmodule module;
  CUfunction function;
  int registers = 0;
  CU_CHECK(cuModuleLoadDataEx(&module, plain.c_str(), count, options, values));
  CU_CHECK(cuModuleGetFunction(&function, module, "plain"));
  CU_CHECK(cuFuncGetAttribute(&registers, CU_FUNC_ATTRIBUTE_NUM_REGS, function));
  std::printf("loaded: %u, at most 32 registers: %d, no error text: %d\n", run(function, out),
              registers <= 32, error[0] == '\0');
  CU_CHECK(cuModuleUnload(module));

  // 2. What does not compile says why.
  CUjit_option log_options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* log_values[] = {error, number(sizeof error)};
  std::string wrong(plain);
  wrong.replace(wrong.find("mov.u32"), 7, "nov.u32");
  const CUresult refused = cuModuleLoadDataEx(&module, wrong.c_str(), 2, log_options, log_values);
  std::printf("wrong PTX is refused: %d, with a text: %d\n", refused == CUDA_ERROR_INVALID_PTX,
              std::strlen(error) > 10);

  // 3. Two pieces are linked, with options, and loaded twice.
  CUjit_option link_options[] = {CU_JIT_MAX_REGISTERS, CU_JIT_WALL_TIME};
  void* link_values[] = {number(24), nullptr};
  CUlinkState link;
  void* linked = nullptr;
  size_t bytes = 0;
  CU_CHECK(cuLinkCreate(2, link_options, link_values, &link));
  CU_CHECK(cuLinkAddData(link, CU_JIT_INPUT_PTX, const_cast<char*>(kCaller), sizeof kCaller,
                         "caller", 0, nullptr, nullptr));
  CU_CHECK(cuLinkAddData(link, CU_JIT_INPUT_PTX, const_cast<char*>(kCallee), sizeof kCallee,
                         "callee", 0, nullptr, nullptr));
  CU_CHECK(cuLinkComplete(link, &linked, &bytes));
  for (int i = 0; i < 2; ++i) {
    CU_CHECK(cuModuleLoadData(&module, linked));
    CU_CHECK(cuModuleGetFunction(&function, module, "doubled"));
    CU_CHECK(cuFuncGetAttribute(&registers, CU_FUNC_ATTRIBUTE_NUM_REGS, function));
    std::printf("linked: %u, at most 24 registers: %d\n", run(function, out), registers <= 24);
    CU_CHECK(cuModuleUnload(module));
  }
  CU_CHECK(cuLinkDestroy(link));

  // 4. A library with options.
  CUlibrary library;
  CUkernel kernel;
  CU_CHECK(cuLibraryLoadData(&library, plain.c_str(), link_options, link_values, 1, nullptr,
                             nullptr, 0));
  CU_CHECK(cuLibraryGetKernel(&kernel, library, "plain"));
  CU_CHECK(cuKernelGetFunction(&function, kernel));
  std::printf("library: %u\n", run(function, out));
  CU_CHECK(cuLibraryUnload(library));
  CU_CHECK(cuMemFree(out));
  return check::finish();
}
