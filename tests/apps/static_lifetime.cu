// CUDA from constructors and destructors of global objects, before and after main.
#include "check.h"

__global__ void set(int* p, int value) {
  *p = value;
}
__device__ int variable = 3;

struct Owner {
  int* memory = nullptr;
  cudaStream_t stream = nullptr;
  Owner() {
    CUDA_CHECK(cudaMalloc(&memory, sizeof(int)));
    CUDA_CHECK(cudaStreamCreate(&stream));
    set<<<1, 1, 0, stream>>>(memory, 5);
    std::printf("constructed: %s\n", cudaGetErrorName(cudaGetLastError()));
  }
  ~Owner() {
    int value = 0;
    cudaError_t error = cudaMemcpy(&value, memory, sizeof value, cudaMemcpyDeviceToHost);
    std::printf("destructor: copy %s, value %d\n", cudaGetErrorName(error), value);
    std::printf("destructor: free %s\n", cudaGetErrorName(cudaFree(memory)));
    std::printf("destructor: stream %s\n", cudaGetErrorName(cudaStreamDestroy(stream)));
    std::fflush(stdout);
  }
};

void at_exit() {
  int value = 0;
  cudaError_t error = cudaMemcpyFromSymbol(&value, variable, sizeof value);
  std::printf("atexit: %s, value %d\n", cudaGetErrorName(error), value);
}

// In a function: made when first asked for, destroyed after main.
Owner& owner() {
  static Owner instance;
  return instance;
}
static Owner& early = owner();

int main() {
  std::atexit(at_exit);
  int value = 0;
  CUDA_CHECK(cudaStreamSynchronize(early.stream));
  CUDA_CHECK(cudaMemcpy(&value, early.memory, sizeof value, cudaMemcpyDeviceToHost));
  std::printf("main: %d\n", value);
  EXPECT(value == 5);
  set<<<1, 1>>>(early.memory, 6);
  LAUNCH_CHECK();
  return check::finish();
}
