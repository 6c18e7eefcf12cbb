// A fork after CUDA was used: the child cannot use it and is told so; the parent goes on. A child
// forked before is free to use it.
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

__global__ void set(int* p, int value) {
  *p = value;
}

int use(int number) {
  int *p = nullptr, value = 0;
  cudaError_t error = cudaMalloc(&p, sizeof(int));
  if (error != cudaSuccess) {
    std::printf("cudaMalloc: %s\n", cudaGetErrorName(error));
    return -1;
  }
  set<<<1, 1>>>(p, number);
  CUDA_CHECK(cudaMemcpy(&value, p, sizeof value, cudaMemcpyDeviceToHost));
  CUDA_CHECK(cudaFree(p));
  std::printf("used: %d\n", value);
  return value;
}

int in_child(int number) {
  std::fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    std::printf("child: ");
    int value = use(number);
    std::fflush(stdout);
    _exit(value == number ? 0 : 3);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main() {
  int code = in_child(1);
  std::printf("before CUDA was used, the child ended with %d\n", code);
  EXPECT(code == 0);
  std::printf("parent: ");
  EXPECT(use(2) == 2);
  code = in_child(3);
  std::printf("after, with %d\n", code);
  EXPECT(code == 3);
  std::printf("parent: ");
  EXPECT(use(4) == 4);
  return check::finish();
}
