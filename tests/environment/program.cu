// Says what CUDA's environment variables made of it; environment_test.py compares.
#include <cuda.h>
#include <cuda_runtime.h>

#include <cstdio>
#include <cstring>

__global__ void fails() {
  asm("trap;");
}

__global__ void works(int* out) {
  *out = 1;
}

int main(int argc, char** argv) {
  int count = 0;
  const cudaError_t counted = cudaGetDeviceCount(&count);
  std::printf("count %d %s\n", count, cudaGetErrorName(counted));
  if (count == 0) {
    int* memory = nullptr;
    std::printf("malloc %s\n", cudaGetErrorName(cudaMalloc(&memory, 4)));
    return 0;
  }
  cudaFree(nullptr);
  CUmoduleLoadingMode mode = {};
  cuModuleGetLoadingMode(&mode);
  std::printf("loading %s\n", mode == CU_MODULE_EAGER_LOADING ? "eager" : "lazy");
  if (argc > 1 && std::strcmp(argv[1], "fail") == 0) {
    fails<<<1, 1>>>();
    std::printf("launched %s\n", cudaGetErrorName(cudaGetLastError()));
    std::printf("finished %s\n", cudaGetErrorName(cudaDeviceSynchronize()));
  }
  if (argc > 1 && std::strcmp(argv[1], "work") == 0) {
    int* out = nullptr;
    cudaMalloc(&out, 4);
    works<<<1, 1>>>(out);
    int back = 0;
    cudaMemcpy(&back, out, 4, cudaMemcpyDefault);
    std::printf("kernel says %d\n", back);
  }
}
