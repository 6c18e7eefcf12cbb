// Options for the compiler in the driver: what it makes of PTX, what it tells about that, and that
// linked images and libraries keep the options they were made with.
#include <cstring>
#include <string>

#include "driver_check.h"

namespace {

const std::string kHead = ".version 7.0\n.target sm_75\n.address_size 64\n";

// A kernel that writes what `body` makes of the 21 in %r1 to where %rd2 points.
std::string entry(const char* name, const char* body) {
  return std::string(".visible .entry ") + name + R"((.param .u64 out) {
  .reg .u64 %rd<3>;
  .reg .u32 %r<3>;
  ld.param.u64 %rd1, [out];
  cvta.to.global.u64 %rd2, %rd1;
  mov.u32 %r1, 21;
)" + body +
         "  ret;\n}\n";
}

const std::string kPlain = kHead + entry("plain", "  st.global.u32 [%rd2], %r1;\n");

const std::string kCaller =
    kHead + ".extern .func (.param .u32 result) twice(.param .u32 value);\n" + entry("doubled", R"(
  {
    .param .u32 value;
    .param .u32 answer;
    st.param.u32 [value], %r1;
    call (answer), twice, (value);
    ld.param.u32 %r2, [answer];
  }
  st.global.u32 [%rd2], %r2;
)");

const std::string kCallee = kHead + R"(
.visible .func (.param .u32 result) twice(.param .u32 value) {
  .reg .u32 %r<3>;
  ld.param.u32 %r1, [value];
  add.u32 %r2, %r1, %r1;
  st.param.u32 [result], %r2;
  ret;
}
)";

void add_ptx(CUlinkState link, std::string ptx, const char* name) {
  CU_CHECK(
      cuLinkAddData(link, CU_JIT_INPUT_PTX, ptx.data(), ptx.size() + 1, name, 0, nullptr, nullptr));
}

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

// Of a kernel with at most so many registers: what it writes.
unsigned run(CUmodule module, const char* name, int registers_max, CUdeviceptr out,
             bool* within_limit) {
  CUfunction function;
  int registers = 0;
  CU_CHECK(cuModuleGetFunction(&function, module, name));
  CU_CHECK(cuFuncGetAttribute(&registers, CU_FUNC_ATTRIBUTE_NUM_REGS, function));
  *within_limit = registers <= registers_max;
  return run(function, out);
}

}  // namespace

int main() {
  CUdeviceptr out;
  check::use_first_device();
  CU_CHECK(cuMemAlloc(&out, 4));

  // 1. Numbers in, logs out. (How long it took is 0 where the driver has compiled it before.)
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
  bool within_limit = false;
  CU_CHECK(cuModuleLoadDataEx(&module, kPlain.c_str(), count, options, values));
  const unsigned loaded = run(module, "plain", 32, out, &within_limit);
  std::printf("loaded: %u, at most 32 registers: %d, no error text: %d\n", loaded, within_limit,
              error[0] == '\0');
  CU_CHECK(cuModuleUnload(module));

  // 2. What does not compile says why.
  CUjit_option log_options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* log_values[] = {error, number(sizeof error)};
  std::string wrong(kPlain);
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
  add_ptx(link, kCaller, "caller");
  add_ptx(link, kCallee, "callee");
  CU_CHECK(cuLinkComplete(link, &linked, &bytes));
  for (int i = 0; i < 2; ++i) {
    CU_CHECK(cuModuleLoadData(&module, linked));
    const unsigned value = run(module, "doubled", 24, out, &within_limit);
    std::printf("linked: %u, at most 24 registers: %d\n", value, within_limit);
    CU_CHECK(cuModuleUnload(module));
  }
  CU_CHECK(cuLinkDestroy(link));

  // 4. A library with options.
  CUlibrary library;
  CUkernel kernel;
  CUfunction function;
  CU_CHECK(cuLibraryLoadData(&library, kPlain.c_str(), link_options, link_values, 1, nullptr,
                             nullptr, 0));
  CU_CHECK(cuLibraryGetKernel(&kernel, library, "plain"));
  CU_CHECK(cuKernelGetFunction(&function, kernel));
  std::printf("library: %u\n", run(function, out));
  CU_CHECK(cuLibraryUnload(library));
  CU_CHECK(cuMemFree(out));
  return check::finish();
}
