// A program on the driver API alone: contexts, modules from PTX text, launches in every form,
// memory, streams, events, libraries and kernels.
#include <sys/mman.h>

#include <cstring>

#include "driver_check.h"

static const char kPtx[] =
#include "driver_kernels.ptx.h"
    ;

static float expected(int i, float factor, int bias) {
  return static_cast<float>(i) * factor * static_cast<float>((i & 3) + 1) +
         static_cast<float>(bias);
}

static void verify_scale(const char* what, CUdeviceptr out, int n, float factor, int bias) {
  std::vector<float> got(n), want(n);
  CU_CHECK(cuMemcpyDtoH(got.data(), out, n * sizeof(float)));
  for (int i = 0; i < n; ++i) want[i] = expected(i, factor, bias);
  check::equal(what, got.data(), want.data(), n);
  CU_CHECK(cuMemsetD8(out, 0, n * sizeof(float)));
}

// A variable's address is the driver's choice. Where that is another machine's, this program may
// have memory of its own there; where it is not, there is nothing to try.
static bool copies_from_where(CUdeviceptr variable, CUdeviceptr to, const void* data,
                              size_t bytes) {
  const CUdeviceptr page = variable & ~CUdeviceptr{4095};
  void* const mine = mmap(reinterpret_cast<void*>(page), 8192, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (mine == MAP_FAILED) return true;
  bool equal = false;
  if (mine == reinterpret_cast<void*>(page)) {
    const auto host = reinterpret_cast<void*>(variable);
    std::memcpy(host, data, bytes);
    std::vector<char> got(bytes);
    equal = cuMemcpyHtoD(to, host, bytes) == CUDA_SUCCESS &&
            cuMemcpyDtoH(got.data(), to, bytes) == CUDA_SUCCESS &&
            std::memcmp(got.data(), data, bytes) == 0;
  }
  munmap(mine, 8192);
  return equal;
}

int main() {
  int count_before = 0;
  check::step("before cuInit", cuDeviceGetCount(&count_before), CUDA_ERROR_NOT_INITIALIZED);
  CU_CHECK(cuInit(0));
  int devices = 0, version = 0;
  CU_CHECK(cuDeviceGetCount(&devices));
  CU_CHECK(cuDriverGetVersion(&version));
  EXPECT(devices >= 1 && version >= 13000);
  CUdevice device;
  CU_CHECK(cuDeviceGet(&device, 0));
  check::step("device 1000", cuDeviceGet(&device, 1000), CUDA_ERROR_INVALID_DEVICE);
  CU_CHECK(cuDeviceGet(&device, 0));
  char name[100] = {};
  size_t total = 0;
  CU_CHECK(cuDeviceGetName(name, sizeof name, device));
  CU_CHECK(cuDeviceTotalMem(&total, device));
  EXPECT(name[0] && total > 0);
  int warp = 0;
  CU_CHECK(cuDeviceGetAttribute(&warp, CU_DEVICE_ATTRIBUTE_WARP_SIZE, device));
  std::printf("warp size %d\n", warp);

  CUcontext none = nullptr, context, primary, current;
  CU_CHECK(cuCtxGetCurrent(&none));
  std::printf("current context before: %s\n", none ? "set" : "none");
  CUdeviceptr no_context;
  check::step("no context", cuMemAlloc(&no_context, 16), CUDA_ERROR_INVALID_CONTEXT);
  CU_CHECK(cuDevicePrimaryCtxRetain(&primary, device));
  CU_CHECK(cuCtxSetCurrent(primary));
  CU_CHECK(cuCtxCreate(&context, nullptr, 0, device));
  CU_CHECK(cuCtxGetCurrent(&current));
  EXPECT(current == context && context != primary);
  CUdevice of_context = -1;
  CU_CHECK(cuCtxGetDevice(&of_context));
  EXPECT(of_context == device);

  // Modules.
  CUmodule module;
  check::step("load garbage", cuModuleLoadData(&module, "this is no module"),
              CUDA_ERROR_INVALID_IMAGE);
  CU_CHECK(cuModuleLoadData(&module, kPtx));
  CUfunction scale, parameters, reverse, nothing;
  CU_CHECK(cuModuleGetFunction(&scale, module, "scale"));
  CU_CHECK(cuModuleGetFunction(&parameters, module, "parameters"));
  CU_CHECK(cuModuleGetFunction(&reverse, module, "reverse"));
  CU_CHECK(cuModuleGetFunction(&nothing, module, "nothing"));
  CUfunction missing;
  check::step("missing function", cuModuleGetFunction(&missing, module, "missing"),
              CUDA_ERROR_NOT_FOUND);
  CUdeviceptr bias, factors;
  size_t bytes = 0;
  CU_CHECK(cuModuleGetGlobal(&bias, &bytes, module, "bias"));
  std::printf("bias: %zu bytes\n", bytes);
  CU_CHECK(cuModuleGetGlobal(&factors, &bytes, module, "factors"));
  std::printf("factors: %zu bytes\n", bytes);
  check::step("missing global", cuModuleGetGlobal(&bias, &bytes, module, "scale_"),
              CUDA_ERROR_NOT_FOUND);
  CU_CHECK(cuModuleGetGlobal(&bias, nullptr, module, "bias"));
  int value = 0;
  CU_CHECK(cuMemcpyDtoH(&value, bias, sizeof value));
  std::printf("bias is %d\n", value);

  // What a kernel takes.
  size_t offset = 0, size = 0;
  for (size_t i = 0; cuFuncGetParamInfo(parameters, i, &offset, &size) == CUDA_SUCCESS; ++i)
    std::printf("parameter %zu: offset %zu size %zu\n", i, offset, size);

  // Launches.
  const int n = 1000;
  CUdeviceptr in, out;
  CU_CHECK(cuMemAlloc(&in, n * sizeof(float)));
  CU_CHECK(cuMemAlloc(&out, n * sizeof(float)));
  std::vector<float> host(n);
  for (int i = 0; i < n; ++i) host[i] = static_cast<float>(i);
  CU_CHECK(cuMemcpyHtoD(in, host.data(), n * sizeof(float)));
  float factor = 2.5f;
  int count = n;
  void* arguments[] = {&out, &in, &factor, &count};
  CU_CHECK(cuLaunchKernel(scale, 4, 1, 1, 256, 1, 1, 0, nullptr, arguments, nullptr));
  verify_scale("kernelParams", out, n, 2.5f, 5);

  struct Packed {
    CUdeviceptr out, in;
    float factor;
    int count;
  } packed = {out, in, -1.5f, n};
  size_t packed_size = sizeof packed;
  void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &packed, CU_LAUNCH_PARAM_BUFFER_SIZE,
                   &packed_size, CU_LAUNCH_PARAM_END};
  CU_CHECK(cuLaunchKernel(scale, 8, 1, 1, 128, 1, 1, 0, nullptr, nullptr, extra));
  verify_scale("extra", out, n, -1.5f, 5);

  CUstream stream;
  CU_CHECK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  value = 100;
  CU_CHECK(cuMemcpyHtoDAsync(bias, &value, sizeof value, stream));
  CUlaunchConfig config = {};
  config.gridDimX = 10;
  config.gridDimY = config.gridDimZ = 1;
  config.blockDimX = 100;
  config.blockDimY = config.blockDimZ = 1;
  config.hStream = stream;
  factor = 4;
  CU_CHECK(cuLaunchKernelEx(&config, scale, arguments, nullptr));
  CU_CHECK(cuStreamSynchronize(stream));
  verify_scale("cuLaunchKernelEx", out, n, 4, 100);

  char c = -7;
  struct {
    char a;
    double b;
    short c;
  } mixed = {3, 0.5, -300};
  long long l = 1LL << 35;
  CUdeviceptr results;
  CU_CHECK(cuMemAlloc(&results, 5 * sizeof(double)));
  void* mixed_arguments[] = {&c, &mixed, &l, &results};
  CU_CHECK(cuLaunchKernel(parameters, 1, 1, 1, 1, 1, 1, 0, stream, mixed_arguments, nullptr));
  double got[5];
  CU_CHECK(cuMemcpyDtoHAsync(got, results, sizeof got, stream));
  CU_CHECK(cuStreamSynchronize(stream));
  const double want[5] = {-7, 3, 0.5, -300, 34359738368.0};
  check::equal("mixed parameters", got, want, 5);

  std::vector<int> numbers(64), reversed(64);
  for (int i = 0; i < 64; ++i) {
    numbers[i] = i * i;
    reversed[63 - i] = i * i;
  }
  std::printf("host memory at a variable's address: %s\n",
              copies_from_where(factors, in, numbers.data(), 256) ? "copied" : "REFUSED");
  CU_CHECK(cuMemcpyHtoD(in, numbers.data(), 256));
  void* reverse_arguments[] = {&in};
  CU_CHECK(cuLaunchKernel(reverse, 1, 1, 1, 64, 1, 1, 256, nullptr, reverse_arguments, nullptr));
  CU_CHECK(cuMemcpyDtoH(numbers.data(), in, 256));
  check::equal("dynamic shared memory", numbers.data(), reversed.data(), 64);
  CU_CHECK(cuLaunchKernel(nothing, 1, 1, 1, 32, 1, 1, 0, nullptr, nullptr, nullptr));

  check::step("2,000 threads",
              cuLaunchKernel(nothing, 1, 1, 1, 2000, 1, 1, 0, nullptr, nullptr, nullptr),
              CUDA_ERROR_INVALID_VALUE);
  check::step("empty grid",
              cuLaunchKernel(nothing, 0, 1, 1, 32, 1, 1, 0, nullptr, nullptr, nullptr),
              CUDA_ERROR_INVALID_VALUE);

  // Fills of 8, 16 and 32 bits, two dimensions, offsets in allocations.
  CU_CHECK(cuMemsetD32(out, 0x01020304, 16));
  CU_CHECK(cuMemsetD16Async(out + 4, 0xabcd, 2, stream));
  CU_CHECK(cuMemsetD8Async(out + 12, 0x5a, 3, stream));
  CU_CHECK(cuStreamSynchronize(stream));
  unsigned words[5];
  CU_CHECK(cuMemcpyDtoH(words, out, sizeof words));
  std::printf("filled: %08x %08x %08x %08x %08x\n", words[0], words[1], words[2], words[3],
              words[4]);
  EXPECT(words[1] == 0xabcdabcd && words[3] == 0x015a5a5a);
  CU_CHECK(cuMemsetD2D32(out, 64, 0x77, 3, 4));
  CU_CHECK(cuMemcpyDtoD(in, out, 256));
  CU_CHECK(cuMemcpy(in + 256, in, 64));
  CU_CHECK(cuMemcpyDtoH(words, in + 256, sizeof words));
  std::printf("row: %x %x %x %x\n", words[0], words[1], words[2], words[3]);
  CUdeviceptr base = 0;
  CU_CHECK(cuMemGetAddressRange(&base, &size, out + 100));
  std::printf("range: base %s, size %zu\n", base == out ? "found" : "wrong", size);
  EXPECT(base == out && size == n * sizeof(float));
  CUmemorytype type;
  CU_CHECK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, out + 8));
  std::printf("memory type: %s\n", type == CU_MEMORYTYPE_DEVICE ? "device" : "other");
  CUDA_MEMCPY2D copy = {};
  int image[4][6] = {}, cut[2][3] = {};
  for (int i = 0; i < 24; ++i) image[i / 6][i % 6] = i;
  copy.srcMemoryType = CU_MEMORYTYPE_HOST;
  copy.srcHost = image;
  copy.srcPitch = sizeof image[0];
  copy.srcXInBytes = 8;
  copy.srcY = 1;
  copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.dstDevice = out;
  copy.dstPitch = 12;
  copy.WidthInBytes = 12;
  copy.Height = 2;
  CU_CHECK(cuMemcpy2D(&copy));
  CU_CHECK(cuMemcpyDtoH(cut, out, sizeof cut));
  std::printf("2-D: %d %d %d %d %d %d\n", cut[0][0], cut[0][1], cut[0][2], cut[1][0], cut[1][1],
              cut[1][2]);
  EXPECT(cut[0][0] == 8 && cut[1][2] == 16);

  // Events.
  CUevent start, stop;
  CU_CHECK(cuEventCreate(&start, CU_EVENT_DEFAULT));
  CU_CHECK(cuEventCreate(&stop, CU_EVENT_DEFAULT));
  CU_CHECK(cuEventRecord(start, stream));
  CU_CHECK(cuLaunchKernel(nothing, 1, 1, 1, 32, 1, 1, 0, stream, nullptr, nullptr));
  CU_CHECK(cuEventRecord(stop, stream));
  CU_CHECK(cuStreamWaitEvent(nullptr, stop, 0));
  CU_CHECK(cuEventSynchronize(stop));
  float ms = -1;
  CU_CHECK(cuEventElapsedTime(&ms, start, stop));
  EXPECT(ms >= 0);
  EXPECT(cuEventQuery(stop) == CUDA_SUCCESS && cuStreamQuery(stream) == CUDA_SUCCESS);

  // Libraries and kernels, without a module.
  CUlibrary library;
  CU_CHECK(cuLibraryLoadData(&library, kPtx, nullptr, nullptr, 0, nullptr, nullptr, 0));
  CUkernel kernel;
  CU_CHECK(cuLibraryGetKernel(&kernel, library, "scale"));
  unsigned kernels = 0;
  CU_CHECK(cuLibraryGetKernelCount(&kernels, library));
  std::printf("kernels: %u\n", kernels);
  CUfunction from_kernel;
  CU_CHECK(cuKernelGetFunction(&from_kernel, kernel));
  for (size_t i = 0; cuKernelGetParamInfo(kernel, i, &offset, &size) == CUDA_SUCCESS; ++i)
    std::printf("kernel parameter %zu: offset %zu size %zu\n", i, offset, size);
  CU_CHECK(cuMemcpyHtoD(in, host.data(), n * sizeof(float)));
  factor = 0.5f;
  CU_CHECK(cuLaunchKernel(from_kernel, 4, 1, 1, 256, 1, 1, 0, nullptr, arguments, nullptr));
  verify_scale("kernel's function", out, n, 0.5f, 5);  // the library has its own variables
  CU_CHECK(cuLaunchKernel(reinterpret_cast<CUfunction>(kernel), 4, 1, 1, 256, 1, 1, 0, stream,
                          arguments, nullptr));
  CU_CHECK(cuStreamSynchronize(stream));
  verify_scale("kernel itself", out, n, 0.5f, 5);
  CUdeviceptr library_bias;
  CU_CHECK(cuLibraryGetGlobal(&library_bias, &bytes, library, "bias"));
  EXPECT(library_bias != bias && bytes == 4);
  check::step("missing kernel", cuLibraryGetKernel(&kernel, library, "missing"),
              CUDA_ERROR_NOT_FOUND);
  int threads = 0;
  CU_CHECK(cuFuncGetAttribute(&threads, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, scale));
  std::printf("threads per block: %d\n", threads);
  CU_CHECK(cuLibraryUnload(library));

  CU_CHECK(cuMemFree(results));
  CU_CHECK(cuMemFree(in));
  CU_CHECK(cuMemFree(out));
  check::step("free again", cuMemFree(out), CUDA_ERROR_INVALID_VALUE);
  CU_CHECK(cuEventDestroy(start));
  CU_CHECK(cuEventDestroy(stop));
  CU_CHECK(cuStreamDestroy(stream));
  CU_CHECK(cuModuleUnload(module));
  CU_CHECK(cuCtxDestroy(context));
  CU_CHECK(cuCtxGetCurrent(&current));
  std::printf("current after destroy: %s\n", current == primary ? "primary" : "other");
  CU_CHECK(cuDevicePrimaryCtxRelease(device));
  return check::finish();
}
