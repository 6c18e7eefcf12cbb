// Bad arguments that CUDA documents as errors, one after another; the device stays usable.
#include "check.h"

__global__ void set(int* p, int value) {
  *p = value;
}
__device__ int symbol;

int main() {
  using check::step;
  int* device;
  CUDA_CHECK(cudaMalloc(&device, 1024));
  int host[64] = {};

  // Devices.
  cudaDeviceProp prop;
  int value = 0;
  step("cudaSetDevice(1000)", cudaSetDevice(1000), cudaErrorInvalidDevice);
  step("cudaSetDevice(-1)", cudaSetDevice(-1), cudaErrorInvalidDevice);
  step("cudaGetDeviceProperties(1000)", cudaGetDeviceProperties(&prop, 1000),
       cudaErrorInvalidDevice);
  step("cudaDeviceGetAttribute of device 1000",
       cudaDeviceGetAttribute(&value, cudaDevAttrWarpSize, 1000), cudaErrorInvalidDevice);
  step("cudaDeviceGetAttribute 9999",
       cudaDeviceGetAttribute(&value, static_cast<cudaDeviceAttr>(9999), 0), cudaErrorInvalidValue);
  step("cudaDeviceGetAttribute null", cudaDeviceGetAttribute(nullptr, cudaDevAttrWarpSize, 0),
       cudaErrorInvalidValue);
  step("cudaGetDeviceCount null", cudaGetDeviceCount(nullptr), cudaErrorInvalidValue);
  step("cudaGetDevice null", cudaGetDevice(nullptr), cudaErrorInvalidValue);
  step("cudaDeviceCanAccessPeer 1000", cudaDeviceCanAccessPeer(&value, 0, 1000),
       cudaErrorInvalidDevice);
  step("cudaDeviceGetLimit 999",
       cudaDeviceGetLimit(reinterpret_cast<size_t*>(host), static_cast<cudaLimit>(999)),
       cudaErrorInvalidValue);

  // Memory.
  step("cudaMalloc null", cudaMalloc(static_cast<void**>(nullptr), 16), cudaErrorInvalidValue);
  step("cudaMemcpy kind 77", cudaMemcpy(device, host, 16, static_cast<cudaMemcpyKind>(77)),
       cudaErrorInvalidMemcpyDirection);
  step("cudaMemcpy to null", cudaMemcpy(nullptr, host, 16, cudaMemcpyHostToDevice),
       cudaErrorInvalidValue);
  step("cudaMemcpy from null", cudaMemcpy(host, nullptr, 16, cudaMemcpyDeviceToHost),
       cudaErrorInvalidValue);
  step("cudaMemset null", cudaMemset(nullptr, 0, 16), cudaErrorInvalidValue);
  step("cudaMemset past the end", cudaMemset(device, 0, size_t{1} << 40), cudaErrorInvalidValue);
  step("cudaMemcpy2D pitch", cudaMemcpy2D(device, 8, host, 16, 16, 2, cudaMemcpyHostToDevice),
       cudaErrorInvalidPitchValue);
  step("cudaFree of host memory", cudaFree(host), cudaErrorInvalidValue);
  step("cudaFree inside a block", cudaFree(device + 1), cudaErrorInvalidValue);
  step("cudaFreeHost of device memory", cudaFreeHost(device), cudaErrorInvalidValue);
  step("cudaHostUnregister", cudaHostUnregister(host), cudaErrorHostMemoryNotRegistered);
  step("cudaHostRegister of nothing", cudaHostRegister(host, 0, 0), cudaErrorInvalidValue);
  step("cudaHostAlloc flags", cudaHostAlloc(reinterpret_cast<void**>(&host), 16, 0xff00),
       cudaErrorInvalidValue);
  cudaPointerAttributes attributes;
  step("cudaPointerGetAttributes null result", cudaPointerGetAttributes(nullptr, device),
       cudaErrorInvalidValue);
  step("cudaPointerGetAttributes(nullptr)", cudaPointerGetAttributes(&attributes, nullptr),
       cudaSuccess);

  // Symbols and functions.
  void* address;
  size_t size;
  step("cudaMemcpyToSymbol of a host variable", cudaMemcpyToSymbol(value, host, 4),
       cudaErrorInvalidSymbol);
  step("cudaGetSymbolAddress of a host variable", cudaGetSymbolAddress(&address, value),
       cudaErrorInvalidSymbol);
  step("cudaGetSymbolSize of a host variable", cudaGetSymbolSize(&size, value),
       cudaErrorInvalidSymbol);
  step("cudaMemcpyToSymbol direction",
       cudaMemcpyToSymbol(symbol, host, 4, 0, cudaMemcpyDeviceToHost),
       cudaErrorInvalidMemcpyDirection);
  cudaFuncAttributes function;
  step("cudaFuncGetAttributes of no kernel", cudaFuncGetAttributes(&function, host),
       cudaErrorInvalidResourceHandle);
  step("cudaFuncSetAttribute 99", cudaFuncSetAttribute(set, static_cast<cudaFuncAttribute>(99), 1),
       cudaErrorInvalidValue);

  // Streams and events.
  cudaStream_t stream;
  cudaEvent_t a, b, quiet;
  step("cudaStreamCreate null", cudaStreamCreate(nullptr), cudaErrorInvalidValue);
  step("cudaStreamCreateWithFlags", cudaStreamCreateWithFlags(&stream, 0x80),
       cudaErrorInvalidValue);
  step("cudaEventCreateWithFlags", cudaEventCreateWithFlags(&a, 0x80), cudaErrorInvalidValue);
  step("cudaStreamDestroy(nullptr)", cudaStreamDestroy(nullptr), cudaErrorInvalidResourceHandle);
  step("cudaEventRecord(nullptr)", cudaEventRecord(nullptr), cudaErrorInvalidResourceHandle);
  step("cudaEventQuery(nullptr)", cudaEventQuery(nullptr), cudaErrorInvalidResourceHandle);
  step("cudaEventDestroy(nullptr)", cudaEventDestroy(nullptr), cudaErrorInvalidResourceHandle);
  CUDA_CHECK(cudaEventCreate(&a));
  CUDA_CHECK(cudaEventCreate(&b));
  CUDA_CHECK(cudaEventCreateWithFlags(&quiet, cudaEventDisableTiming));
  float ms;
  step("elapsed, not recorded", cudaEventElapsedTime(&ms, a, b), cudaErrorInvalidResourceHandle);
  CUDA_CHECK(cudaEventRecord(a));
  step("elapsed, one recorded", cudaEventElapsedTime(&ms, a, b), cudaErrorInvalidResourceHandle);
  CUDA_CHECK(cudaEventRecord(quiet));
  CUDA_CHECK(cudaDeviceSynchronize());
  step("elapsed, timing disabled", cudaEventElapsedTime(&ms, a, quiet),
       cudaErrorInvalidResourceHandle);
  CUDA_CHECK(cudaEventRecord(b));
  CUDA_CHECK(cudaDeviceSynchronize());
  step("elapsed, null result", cudaEventElapsedTime(nullptr, a, b), cudaErrorInvalidValue);
  step("elapsed", cudaEventElapsedTime(&ms, a, b), cudaSuccess);

  // All is well still; the last error is the last of those above.
  step("last error", cudaGetLastError(), cudaErrorInvalidValue);
  set<<<1, 1>>>(device, 77);
  LAUNCH_CHECK();
  CUDA_CHECK(cudaMemcpy(&value, device, sizeof value, cudaMemcpyDeviceToHost));
  std::printf("a kernel works: %d\n", value);
  EXPECT(value == 77);
  CUDA_CHECK(cudaEventDestroy(a));
  CUDA_CHECK(cudaEventDestroy(b));
  CUDA_CHECK(cudaEventDestroy(quiet));
  CUDA_CHECK(cudaFree(device));
  return check::finish();
}
