// Launches with the parameters packed in one buffer: what sizes are taken.
#include "check.h"
#include "driver_check.h"

__global__ void two(int* out, int a, int b) {
  *out = a * 100 + b;
}

__global__ void none() {}

int main() {
  check::DeviceArray<int> out(1);
  cudaFunction_t function;
  CUDA_CHECK(cudaGetFuncBySymbol(&function, reinterpret_cast<const void*>(two)));
  for (int more : {0, 1, 8, 4000, 100000, -4, -16}) {
    unsigned char buffer[4096] = {};
    int* const pointer = out.get();
    const int a = 3, b = 4;
    std::memcpy(buffer, &pointer, sizeof pointer);
    std::memcpy(buffer + 8, &a, sizeof a);
    std::memcpy(buffer + 12, &b, sizeof b);
    size_t bytes = 16 + more;
    void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, buffer, CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes,
                     CU_LAUNCH_PARAM_END};
    out.zero();
    const CUresult result = cuLaunchKernel(reinterpret_cast<CUfunction>(function), 1, 1, 1, 1, 1, 1,
                                           0, nullptr, nullptr, extra);
    std::printf("%+d bytes: %s, value %d\n", more, check::name_of(result), out.fetch()[0]);
  }
  // PyCUDA launches kernels without parameters so.
  CUDA_CHECK(cudaGetFuncBySymbol(&function, reinterpret_cast<const void*>(none)));
  unsigned char empty[1] = {};
  size_t bytes = 0;
  void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, empty, CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes,
                   CU_LAUNCH_PARAM_END};
  std::printf("no parameters, an empty buffer: %s\n",
              check::name_of(cuLaunchKernel(reinterpret_cast<CUfunction>(function), 1, 1, 1, 1, 1,
                                            1, 0, nullptr, nullptr, extra)));
  return check::finish();
}
