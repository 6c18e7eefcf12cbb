// A kernel writes where nothing is. The error comes with the next synchronisation and then with
// every call that needs the device; what needs none still works.
#include "check.h"

__global__ void write_to(int* p) {
  *p = 1;
}
__global__ void harmless(int* p) {
  *p = 2;
}

int main() {
  int* good;
  CUDA_CHECK(cudaMalloc(&good, sizeof(int)));
  cudaStream_t stream;
  cudaEvent_t event;
  CUDA_CHECK(cudaStreamCreate(&stream));
  CUDA_CHECK(cudaEventCreate(&event));
  harmless<<<1, 1>>>(good);
  check::step("before", cudaDeviceSynchronize(), cudaSuccess);

  write_to<<<1, 1, 0, stream>>>(reinterpret_cast<int*>(0x700000000000ull));
  check::step("launch", cudaGetLastError(), cudaSuccess);
  check::step("cudaStreamSynchronize", cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
  check::step("cudaGetLastError", cudaGetLastError(), cudaErrorIllegalAddress);

  const cudaError_t bad = cudaErrorIllegalAddress;
  int value = 0;
  void* p = nullptr;
  check::step("cudaDeviceSynchronize", cudaDeviceSynchronize(), bad);
  check::step("cudaMalloc", cudaMalloc(&p, 1024), bad);
  check::step("cudaMemcpy to", cudaMemcpy(good, &value, sizeof value, cudaMemcpyHostToDevice), bad);
  check::step("cudaMemcpy from", cudaMemcpy(&value, good, sizeof value, cudaMemcpyDeviceToHost),
              bad);
  check::step("cudaMemcpyAsync",
              cudaMemcpyAsync(&value, good, sizeof value, cudaMemcpyDeviceToHost, stream), bad);
  check::step("cudaMemset", cudaMemset(good, 0, sizeof(int)), bad);
  harmless<<<1, 1>>>(good);
  check::step("another launch", cudaGetLastError(), bad);
  check::step("cudaStreamQuery", cudaStreamQuery(stream), bad);
  check::step("cudaEventRecord", cudaEventRecord(event, stream), bad);
  cudaStream_t another;
  check::step("cudaStreamCreate", cudaStreamCreate(&another), bad);
  check::step("cudaMallocHost", cudaMallocHost(&p, 1024), bad);
  size_t free_bytes, total;
  check::step("cudaMemGetInfo", cudaMemGetInfo(&free_bytes, &total), bad);
  check::step("cudaFree", cudaFree(good), bad);
  check::step("cudaPeekAtLastError", cudaPeekAtLastError(), bad);
  check::step("cudaGetLastError", cudaGetLastError(), bad);

  int count = 0, device = -1;
  check::step("cudaGetDeviceCount", cudaGetDeviceCount(&count), cudaSuccess);
  check::step("cudaGetDevice", cudaGetDevice(&device), cudaSuccess);
  int version = 0;
  check::step("cudaRuntimeGetVersion", cudaRuntimeGetVersion(&version), cudaSuccess);
  return check::finish();
}
