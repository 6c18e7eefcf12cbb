// cuLink* with what nvcc makes of relocatable device code: an archive, as libcudadevrt.a is one,
// and an object. They lie in .build beside this program.
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>

#include "driver_check.h"

namespace {

// Calls twice(), which it does not have.
const std::string kCaller = R"(.version 7.0
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

std::string beside(const char* name) {
  char path[4096] = "";
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
  std::string folder(path, length > 0 ? static_cast<size_t>(length) : 0);
  return folder.substr(0, folder.rfind('/')) + "/.build/" + name;
}

CUlinkState begin() {
  CUlinkState link;
  std::string caller = kCaller;
  CU_CHECK(cuLinkCreate(0, nullptr, nullptr, &link));
  CU_CHECK(cuLinkAddData(link, CU_JIT_INPUT_PTX, caller.data(), caller.size() + 1, "caller", 0,
                         nullptr, nullptr));
  return link;
}

void finish(const char* what, CUlinkState link, CUdeviceptr out) {
  void* linked = nullptr;
  size_t bytes = 0;
  CUmodule module;
  CUlibrary library;
  CUfunction function;
  CUkernel kernel;
  CU_CHECK(cuLinkComplete(link, &linked, &bytes));
  CU_CHECK(cuModuleLoadData(&module, linked));
  CU_CHECK(cuLibraryLoadData(&library, linked, nullptr, nullptr, 0, nullptr, nullptr, 0));
  CU_CHECK(cuLinkDestroy(link));
  CU_CHECK(cuModuleGetFunction(&function, module, "doubled"));
  CU_CHECK(cuLibraryGetKernel(&kernel, library, "doubled"));
  for (CUfunction one : {function, reinterpret_cast<CUfunction>(kernel)}) {
    void* arguments[] = {&out};
    unsigned value = 0;
    CU_CHECK(cuMemsetD32(out, 0, 1));
    CU_CHECK(cuLaunchKernel(one, 1, 1, 1, 1, 1, 1, 0, nullptr, arguments, nullptr));
    CU_CHECK(cuMemcpyDtoH(&value, out, sizeof value));
    std::printf("%s: %u\n", what, value);
    EXPECT(value == 42);
  }
  CU_CHECK(cuModuleUnload(module));
  CU_CHECK(cuLibraryUnload(library));
}

}  // namespace

int main() {
  CUdeviceptr out;
  check::use_first_device();
  CU_CHECK(cuMemAlloc(&out, 4));

  CUlinkState link = begin();
  const std::string archive = beside("link_library_part.a");
  CU_CHECK(cuLinkAddFile(link, CU_JIT_INPUT_LIBRARY, archive.c_str(), 0, nullptr, nullptr));
  finish("an archive's file", link, out);

  link = begin();
  std::ifstream file(archive, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), {});
  CU_CHECK(cuLinkAddData(link, CU_JIT_INPUT_LIBRARY, bytes.data(), bytes.size(), "archive", 0,
                         nullptr, nullptr));
  finish("an archive's bytes", link, out);

  link = begin();
  CU_CHECK(cuLinkAddFile(link, CU_JIT_INPUT_OBJECT, beside("link_library_part.o").c_str(), 0,
                         nullptr, nullptr));
  finish("an object's file", link, out);

  // Without, it does not link.
  link = begin();
  void* linked = nullptr;
  size_t size = 0;
  const CUresult incomplete = cuLinkComplete(link, &linked, &size);
  std::printf("alone: %s\n", incomplete == CUDA_SUCCESS ? "linked" : "refused");
  EXPECT(incomplete != CUDA_SUCCESS);
  CU_CHECK(cuLinkDestroy(link));
  return check::finish();
}
