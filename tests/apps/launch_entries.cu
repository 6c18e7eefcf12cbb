// One kernel through every entry of the runtime that launches.
#include "check.h"

struct Pair {
  short a;
  double b;
};

__global__ void record(int* out, int n, char c, Pair pair, float f) {
  extern __shared__ int scratch[];
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  scratch[threadIdx.x] = i;
  __syncthreads();
  if (i < n)
    out[i] += scratch[blockDim.x - 1 - threadIdx.x] * c + static_cast<int>(pair.a * pair.b + f);
}

template <typename T>
__global__ void tagged(T* out, T value) {
  out[threadIdx.x] = value;
}

void must_match(const char* what, check::DeviceArray<int>& out, int block, int c, int add) {
  std::vector<int> want(out.size());
  for (int i = 0; i < static_cast<int>(out.size()); ++i) {
    int base = i / block * block;
    want[i] = (base + block - 1 - (i - base)) * c + add;
  }
  check::equal(what, out.fetch().data(), want.data(), want.size());
  out.zero();
}

int main() {
  const int n = 300;
  check::DeviceArray<int> out(n);
  out.zero();
  cudaStream_t stream;
  CUDA_CHECK(cudaStreamCreate(&stream));
  Pair pair{-4, 2.5};
  int* p = out.get();

  record<<<3, 128, 128 * sizeof(int), stream>>>(p, n, 2, pair, 1.0f);
  LAUNCH_CHECK();
  must_match("<<<>>>", out, 128, 2, -9);

  int count = n;
  char c = 3;
  float f = 20;
  void* args[] = {&p, &count, &c, &pair, &f};
  CUDA_CHECK(cudaLaunchKernel(reinterpret_cast<const void*>(record), dim3(5), dim3(64), args,
                              64 * sizeof(int), stream));
  c = 99;  // the arguments were taken by the call
  must_match("cudaLaunchKernel", out, 64, 3, 10);

  c = 5;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(10);
  config.blockDim = dim3(32);
  config.dynamicSmemBytes = 32 * sizeof(int);
  config.stream = stream;
  CUDA_CHECK(cudaLaunchKernelExC(&config, reinterpret_cast<const void*>(record), args));
  must_match("cudaLaunchKernelExC", out, 32, 5, 10);

  // With attributes: a priority, and cooperative.
  int least, greatest;
  CUDA_CHECK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  cudaLaunchAttribute attributes[2] = {};
  attributes[0].id = cudaLaunchAttributePriority;
  attributes[0].val.priority = greatest;
  attributes[1].id = cudaLaunchAttributeCooperative;
  attributes[1].val.cooperative = 1;
  config.attrs = attributes;
  config.numAttrs = 2;
  CUDA_CHECK(cudaLaunchKernelExC(&config, reinterpret_cast<const void*>(record), args));
  must_match("cudaLaunchKernelExC with attributes", out, 32, 5, 10);

  config.numAttrs = 0;
  CUDA_CHECK(cudaLaunchKernelEx(&config, record, p, count, c, pair, 0.5f));
  must_match("cudaLaunchKernelEx", out, 32, 5, -9);

  CUDA_CHECK(cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(record), dim3(3), dim3(100),
                                         args, 100 * sizeof(int), stream));
  must_match("cudaLaunchCooperativeKernel", out, 100, 5, 10);

  // A template instance by address, and through a function object of the library.
  check::DeviceArray<double> doubles(40);
  double* d = doubles.get();
  double value = 0.125;
  void* tagged_args[] = {&d, &value};
  CUDA_CHECK(cudaLaunchKernel(tagged<double>, dim3(1), dim3(40), tagged_args, 0, nullptr));
  std::vector<double> want(40, 0.125);
  check::equal("template instance", doubles.fetch().data(), want.data(), 40);

  cudaFunction_t function;
  CUDA_CHECK(cudaGetFuncBySymbol(&function, reinterpret_cast<const void*>(tagged<double>)));
  value = -7;
  CUDA_CHECK(cudaLaunchKernel(reinterpret_cast<const void*>(function), dim3(1), dim3(40),
                              tagged_args, 0, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  want.assign(40, -7);
  check::equal("cudaFunction_t", doubles.fetch().data(), want.data(), 40);
  CUDA_CHECK(cudaStreamDestroy(stream));
  return check::finish();
}
