// Runtime and driver API in one program: the same context, streams, events, pointers, kernels.
#include "check.h"
#include "driver_check.h"

__device__ int offset = 3;

__global__ void triple_plus(int* p, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) p[i] = p[i] * 3 + offset;
}

int main() {
  const int n = 700;
  // The runtime first: it makes the primary context current.
  int* from_runtime;
  CUDA_CHECK(cudaMalloc(&from_runtime, n * sizeof(int)));
  CUcontext current = nullptr, primary = nullptr;
  CU_CHECK(cuCtxGetCurrent(&current));
  CU_CHECK(cuDevicePrimaryCtxRetain(&primary, 0));
  std::printf("runtime uses the primary context: %s\n", current == primary ? "yes" : "no");
  EXPECT(current == primary && current);

  // Memory of each, seen by the other.
  CUdeviceptr from_driver;
  CU_CHECK(cuMemAlloc(&from_driver, n * sizeof(int)));
  std::vector<int> host(n), got(n), want(n);
  for (int i = 0; i < n; ++i) host[i] = i - 100;
  CUDA_CHECK(cudaMemcpy(reinterpret_cast<void*>(from_driver), host.data(), n * sizeof(int),
                        cudaMemcpyHostToDevice));
  CU_CHECK(cuMemcpyDtoD(reinterpret_cast<CUdeviceptr>(from_runtime), from_driver, n * sizeof(int)));
  // Between device memories nobody waits for a copy, and the streams below do not either.
  CU_CHECK(cuCtxSynchronize());
  cudaPointerAttributes attributes;
  CUDA_CHECK(cudaPointerGetAttributes(&attributes, reinterpret_cast<void*>(from_driver)));
  EXPECT(attributes.type == cudaMemoryTypeDevice);

  // A driver stream for the runtime, a runtime stream for the driver; events both ways.
  CUstream driver_stream;
  CU_CHECK(cuStreamCreate(&driver_stream, CU_STREAM_NON_BLOCKING));
  cudaStream_t runtime_stream;
  CUDA_CHECK(cudaStreamCreateWithFlags(&runtime_stream, cudaStreamNonBlocking));
  CUevent driver_event;
  CU_CHECK(cuEventCreate(&driver_event, CU_EVENT_DISABLE_TIMING));
  cudaEvent_t runtime_event;
  CUDA_CHECK(cudaEventCreateWithFlags(&runtime_event, cudaEventDisableTiming));

  triple_plus<<<6, 128, 0, driver_stream>>>(from_runtime, n);
  LAUNCH_CHECK();
  CUDA_CHECK(cudaEventRecord(driver_event, driver_stream));
  CU_CHECK(cuStreamWaitEvent(runtime_stream, driver_event, 0));
  int ten = 10;
  void* symbol = nullptr;
  CUDA_CHECK(cudaGetSymbolAddress(&symbol, offset));
  CU_CHECK(
      cuMemcpyHtoDAsync(reinterpret_cast<CUdeviceptr>(symbol), &ten, sizeof ten, runtime_stream));

  // The runtime's kernel as a driver function.
  cudaFunction_t function;
  CUDA_CHECK(cudaGetFuncBySymbol(&function, reinterpret_cast<const void*>(triple_plus)));
  int count = n;
  void* arguments[] = {&from_runtime, &count};
  CU_CHECK(cuLaunchKernel(reinterpret_cast<CUfunction>(function), 6, 1, 1, 128, 1, 1, 0,
                          runtime_stream, arguments, nullptr));
  CU_CHECK(cuEventRecord(runtime_event, runtime_stream));
  CUDA_CHECK(cudaStreamWaitEvent(driver_stream, runtime_event));
  CU_CHECK(cuMemcpyDtoHAsync(got.data(), reinterpret_cast<CUdeviceptr>(from_runtime),
                             n * sizeof(int), driver_stream));
  CUDA_CHECK(cudaStreamSynchronize(driver_stream));
  for (int i = 0; i < n; ++i) want[i] = (host[i] * 3 + 3) * 3 + 10;
  check::equal("one chain through both", got.data(), want.data(), n);

  // The default streams are the same one.
  CU_CHECK(cuMemsetD32Async(from_driver, 5, n, CU_STREAM_LEGACY));
  triple_plus<<<6, 128>>>(reinterpret_cast<int*>(from_driver), n);
  CUDA_CHECK(cudaMemcpyAsync(got.data(), reinterpret_cast<void*>(from_driver), n * sizeof(int),
                             cudaMemcpyDeviceToHost, cudaStreamLegacy));
  CU_CHECK(cuStreamSynchronize(nullptr));
  want.assign(n, 25);
  check::equal("default stream", got.data(), want.data(), n);

  // Each frees what the other made.
  CU_CHECK(cuMemFree(reinterpret_cast<CUdeviceptr>(from_runtime)));
  CUDA_CHECK(cudaFree(reinterpret_cast<void*>(from_driver)));
  CUDA_CHECK(cudaStreamDestroy(driver_stream));
  CU_CHECK(cuStreamDestroy(runtime_stream));
  CUDA_CHECK(cudaEventDestroy(driver_event));
  CU_CHECK(cuEventDestroy(runtime_event));
  CU_CHECK(cuDevicePrimaryCtxRelease(0));
  return check::finish();
}
