// Says what became of it, by its environment or by its server's end; environment_test.py compares.
#include <cuda.h>
#include <cuda_runtime.h>

#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

__global__ void fails() {
  asm("trap;");
}

__global__ void works(int* out) {
  *out = 1;
}

// All of the server's workers, ours among them.
static void kill_workers() {
  const std::string server = std::getenv("FARLANE_TEST_SERVER_PID");
  std::ifstream children("/proc/" + server + "/task/" + server + "/children");
  for (int pid = 0; children >> pid;) ::kill(pid, SIGKILL);
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
  if (argc > 1 && std::strcmp(argv[1], "lose") == 0) {
    int* memory = nullptr;
    cudaMalloc(&memory, 4);
    kill_workers();
    cudaError_t lost = cudaSuccess;
    while (lost == cudaSuccess) lost = cudaMemset(memory, 0, 4);
    std::printf("work %s\n", cudaGetErrorName(lost));
    std::printf("malloc %s\n", cudaGetErrorName(cudaMalloc(&memory, 4)));
    int device = -1;
    std::printf("get %s\n", cudaGetErrorName(cudaGetDevice(&device)));
    std::printf("set %s\n", cudaGetErrorName(cudaSetDevice(device)));
    std::printf("wrong %s\n", cudaGetErrorName(cudaSetDevice(7)));
    cudaDeviceProp properties;
    std::printf("properties %s\n",
                cudaGetErrorName(cudaGetDeviceProperties(&properties, device)));
    char name[256] = "";
    const CUresult named = cuDeviceGetName(name, sizeof name, device);
    std::printf("name %d %s\n", named,
                std::strcmp(name, properties.name) == 0 ? "the same" : "another");
    unsigned flags = 0;
    int active = 0;
    const CUresult state = cuDevicePrimaryCtxGetState(device, &flags, &active);
    std::printf("state %d %d\n", state, active);
  }
}
