// Driver functions found at run time: cudaGetDriverEntryPointByVersion, cuGetProcAddress and
// dlopen, and called through the pointers.
#include <cuda.h>
#include <dlfcn.h>

#include "check.h"

static const char kPtx[] =
#include "driver_kernels.ptx.h"
    ;

template <typename F>
F by_runtime(const char* name, unsigned version = 13000) {
  void* pointer = nullptr;
  cudaDriverEntryPointQueryResult status;
  CUDA_CHECK(cudaGetDriverEntryPointByVersion(name, &pointer, version, cudaEnableDefault, &status));
  std::printf("%s: %s\n", name,
              status == cudaDriverEntryPointSuccess && pointer ? "found" : "not found");
  return reinterpret_cast<F>(pointer);
}

#define MUST(call) EXPECT((call) == CUDA_SUCCESS)

int main() {
  CUDA_CHECK(cudaFree(nullptr));  // makes the context
  auto module_load = by_runtime<CUresult (*)(CUmodule*, const void*)>("cuModuleLoadData");
  auto get_function =
      by_runtime<CUresult (*)(CUfunction*, CUmodule, const char*)>("cuModuleGetFunction");
  auto launch =
      by_runtime<CUresult (*)(CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned,
                              unsigned, unsigned, CUstream, void**, void**)>("cuLaunchKernel");
  auto allocate = by_runtime<CUresult (*)(CUdeviceptr*, size_t)>("cuMemAlloc");
  auto release = by_runtime<CUresult (*)(CUdeviceptr)>("cuMemFree");
  auto up = by_runtime<CUresult (*)(CUdeviceptr, const void*, size_t)>("cuMemcpyHtoD");
  auto down = by_runtime<CUresult (*)(void*, CUdeviceptr, size_t)>("cuMemcpyDtoH");
  auto get_proc = by_runtime<CUresult (*)(const char*, void**, int, cuuint64_t,
                                          CUdriverProcAddressQueryResult*)>("cuGetProcAddress");
  if (!check::first_failure().empty() || !module_load || !get_function || !launch || !allocate ||
      !release || !up || !down || !get_proc) {
    check::fail("an entry point is missing");
    return check::finish();
  }

  // A name that does not exist, and one newer than the version asked for.
  void* pointer = &pointer;
  cudaDriverEntryPointQueryResult status;
  CUDA_CHECK(cudaGetDriverEntryPointByVersion("cuNoSuchFunction", &pointer, 13000,
                                              cudaEnableDefault, &status));
  std::printf("unknown name: %s, pointer %s\n",
              status == cudaDriverEntryPointSymbolNotFound ? "symbol not found" : "other",
              pointer ? "set" : "null");
  EXPECT(status == cudaDriverEntryPointSymbolNotFound && !pointer);
  CUDA_CHECK(cudaGetDriverEntryPointByVersion("cuLibraryLoadData", &pointer, 11000,
                                              cudaEnableDefault, &status));
  std::printf("too new for 11.0: %s\n", status == cudaDriverEntryPointVersionNotSufficent
                                            ? "version not sufficient"
                                            : "other");
  EXPECT(status == cudaDriverEntryPointVersionNotSufficent);

  CUmodule module;
  CUfunction scale;
  MUST(module_load(&module, kPtx));
  MUST(get_function(&scale, module, "scale"));
  const int n = 256;
  CUdeviceptr in, out;
  MUST(allocate(&in, n * sizeof(float)));
  MUST(allocate(&out, n * sizeof(float)));
  std::vector<float> host(n), got(n), want(n);
  for (int i = 0; i < n; ++i) {
    host[i] = static_cast<float>(i);
    want[i] = static_cast<float>(i) * 3 * static_cast<float>((i & 3) + 1) + 5;
  }
  MUST(up(in, host.data(), n * sizeof(float)));
  float factor = 3;
  int count = n;
  void* arguments[] = {&out, &in, &factor, &count};
  MUST(launch(scale, 1, 1, 1, n, 1, 1, 0, nullptr, arguments, nullptr));
  MUST(down(got.data(), out, n * sizeof(float)));
  check::equal("through cudaGetDriverEntryPointByVersion", got.data(), want.data(), n);

  // cuGetProcAddress by itself: the same function, and the per-thread variant on request.
  CUdriverProcAddressQueryResult query;
  void *plain = nullptr, *per_thread = nullptr;
  MUST(get_proc("cuLaunchKernel", &plain, 13000, CU_GET_PROC_ADDRESS_DEFAULT, &query));
  EXPECT(query == CU_GET_PROC_ADDRESS_SUCCESS && plain != nullptr);
  MUST(get_proc("cuLaunchKernel", &per_thread, 13000, CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM,
                nullptr));
  std::printf("per-thread variant: %s\n", per_thread && per_thread != plain ? "its own" : "same");
  EXPECT(per_thread && per_thread != plain);
  void* missing = nullptr;
  CUresult result = get_proc("cuNoSuchFunction", &missing, 13000, 0, &query);
  std::printf("unknown by cuGetProcAddress: %d, %s\n", static_cast<int>(result),
              query == CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND ? "symbol not found" : "other");
  factor = 7;
  for (int i = 0; i < n; ++i)
    want[i] = static_cast<float>(i) * 7 * static_cast<float>((i & 3) + 1) + 5;
  MUST(reinterpret_cast<decltype(launch)>(per_thread)(scale, 1, 1, 1, n, 1, 1, 0, nullptr,
                                                      arguments, nullptr));
  MUST(down(got.data(), out, n * sizeof(float)));
  check::equal("through cuGetProcAddress", got.data(), want.data(), n);

  // The version of an interface: cuCtxCreate takes four parameters from 13.0 on, three before.
  void *ctx_old = nullptr, *ctx_new = nullptr;
  MUST(get_proc("cuCtxCreate", &ctx_old, 3020, 0, &query));
  MUST(get_proc("cuCtxCreate", &ctx_new, 13000, 0, &query));
  std::printf("cuCtxCreate of 3.2 and 13.0: %s\n", ctx_old != ctx_new ? "different" : "same");
  EXPECT(ctx_old && ctx_new && ctx_old != ctx_new);

  // As Triton and others do it.
  void* library = dlopen("libcuda.so.1", RTLD_NOW);
  std::printf("dlopen libcuda.so.1: %s\n", library ? "ok" : "failed");
  if (library) {
    auto version = reinterpret_cast<CUresult (*)(int*)>(dlsym(library, "cuDriverGetVersion"));
    auto by_name = reinterpret_cast<decltype(launch)>(dlsym(library, "cuLaunchKernel"));
    EXPECT(version && by_name);
    int driver = 0, through_runtime = -1;
    if (version) MUST(version(&driver));
    CUDA_CHECK(cudaDriverGetVersion(&through_runtime));
    EXPECT(driver == through_runtime);
    if (by_name) MUST(by_name(scale, 1, 1, 1, n, 1, 1, 0, nullptr, arguments, nullptr));
    CUDA_CHECK(cudaDeviceSynchronize());
  } else {
    check::fail("dlopen: %s", dlerror());
  }
  MUST(release(in));
  MUST(release(out));
  return check::finish();
}
