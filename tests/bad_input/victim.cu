// A CUDA program that things are done to. `victim MODE [ARGUMENT]` prints "ready" when it is in the
// middle of what MODE says, and at the end "result NAME", the first CUDA error or cudaSuccess. Exit
// status 0 with cudaSuccess, 3 with an error.
#include <cuda_runtime.h>
#include <sys/select.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

__global__ void spin(volatile int* flag) {
  while (*flag == 0) {
  }
}

__global__ void add_one(int* data, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) data[i] += 1;
}

__global__ void say(int rounds) {
  for (int i = 0; i < rounds; ++i) printf("a line of device text, number %d\n", i);
}

namespace {

void ready() {
  std::printf("ready\n");
  std::fflush(stdout);
}

#define TRY(call)                           \
  do {                                      \
    const cudaError_t tried = (call);       \
    if (tried != cudaSuccess) return tried; \
  } while (false)

constexpr size_t kBytes = size_t{64} << 20;

// Copies in both directions until something is wrong.
cudaError_t copy_for_ever() {
  std::vector<char> host(kBytes, 1);
  void* device = nullptr;
  TRY(cudaMalloc(&device, kBytes));
  for (bool first = true;; first = false) {
    TRY(cudaMemcpy(device, host.data(), kBytes, cudaMemcpyHostToDevice));
    if (first) ready();
    TRY(cudaMemcpy(host.data(), device, kBytes, cudaMemcpyDeviceToHost));
  }
}

// Waits for a kernel that never ends.
cudaError_t wait_for_ever() {
  int* flag = nullptr;
  TRY(cudaMalloc(&flag, sizeof *flag));
  TRY(cudaMemset(flag, 0, sizeof *flag));
  spin<<<1, 1>>>(flag);
  TRY(cudaGetLastError());
  ready();
  return cudaDeviceSynchronize();
}

// Holds ARGUMENT MiB, and works on once standard input says so or ends.
cudaError_t hold(size_t mib) {
  void* block = nullptr;
  TRY(cudaMalloc(&block, mib << 20));
  TRY(cudaMemset(block, 1, mib << 20));
  TRY(cudaDeviceSynchronize());
  ready();
  std::getchar();
  char last = 0;
  TRY(cudaMemcpy(&last, static_cast<char*>(block) + (mib << 20) - 1, 1, cudaMemcpyDeviceToHost));
  std::printf("last byte %d\n", last);
  return cudaFree(block);
}

cudaError_t print_free() {
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  TRY(cudaMemGetInfo(&free_bytes, &total_bytes));
  std::printf("free %zu of %zu MiB\n", free_bytes >> 20, total_bytes >> 20);
  return cudaSuccess;
}

// Works and checks, ARGUMENT rounds; 0: until standard input ends.
cudaError_t work(size_t rounds) {
  constexpr int kCount = 100'000;
  std::vector<int> host(kCount, 1);
  int* device = nullptr;
  TRY(cudaMalloc(&device, kCount * sizeof(int)));
  TRY(cudaMemcpy(device, host.data(), kCount * sizeof(int), cudaMemcpyHostToDevice));
  ready();
  for (size_t round = 1; rounds == 0 || round <= rounds; ++round) {
    add_one<<<(kCount + 255) / 256, 256>>>(device, kCount);
    TRY(cudaMemcpy(host.data(), device, kCount * sizeof(int), cudaMemcpyDeviceToHost));
    for (int value : host) {
      if (value != static_cast<int>(round) + 1) {
        std::printf("wrong: %d in round %zu\n", value, round);
        std::exit(1);
      }
    }
    if (rounds == 0) {
      fd_set set;
      FD_ZERO(&set);
      FD_SET(0, &set);
      timeval none{};
      if (select(1, &set, nullptr, nullptr, &none) > 0) break;
    }
  }
  return cudaFree(device);
}

// Ends without waiting for anything that it started.
cudaError_t leave() {
  static std::vector<char> host(kBytes);
  char* device = nullptr;
  char* pinned = nullptr;
  TRY(cudaMalloc(&device, kBytes));
  TRY(cudaHostAlloc(&pinned, kBytes, cudaHostAllocDefault));
  TRY(cudaMemcpyAsync(device, host.data(), kBytes, cudaMemcpyHostToDevice));
  add_one<<<1000, 256>>>(reinterpret_cast<int*>(device), 256'000);
  TRY(cudaMemcpyAsync(pinned, device, kBytes, cudaMemcpyDeviceToHost));
  ready();
  return cudaSuccess;
}

// Has no standard output when the device's text comes.
cudaError_t close_output() {
  ready();
  close(1);
  say<<<1, 32>>>(10);
  return cudaDeviceSynchronize();
}

// Calls of every kind; all of them must say the same when the server is lost. Prints how many did.
cudaError_t every_call() {
  void* device = nullptr;
  const cudaError_t first = cudaMalloc(&device, 4096);
  if (first == cudaSuccess) return first;
  int count = 0;
  int same = 0;
  const auto call = [&](cudaError_t error) {
    ++count;
    same += error == first;
  };
  cudaStream_t stream = nullptr;
  cudaEvent_t event = nullptr;
  char byte = 0;
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  int devices = 0;
  cudaDeviceProp properties;
  call(cudaSetDevice(0));
  call(cudaGetDeviceCount(&devices));
  call(cudaGetDeviceProperties(&properties, 0));
  call(cudaStreamCreate(&stream));
  call(cudaEventCreate(&event));
  call(cudaMemcpy(&byte, device, 1, cudaMemcpyDeviceToHost));
  call(cudaMemset(device, 0, 1));
  call(cudaMemGetInfo(&free_bytes, &total_bytes));
  call(cudaDeviceSynchronize());
  add_one<<<1, 1>>>(nullptr, 0);
  call(cudaGetLastError());
  std::printf("the same from %d of %d\n", same, count);
  return first;
}

}  // namespace

int main(int argc, char** argv) {
  const char* mode = argc > 1 ? argv[1] : "";
  const size_t argument = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0;
  const auto start = std::chrono::steady_clock::now();
  cudaError_t error = cudaErrorInvalidValue;
  if (std::strcmp(mode, "copy_for_ever") == 0) error = copy_for_ever();
  if (std::strcmp(mode, "wait_for_ever") == 0) error = wait_for_ever();
  if (std::strcmp(mode, "hold") == 0) error = hold(argument);
  if (std::strcmp(mode, "print_free") == 0) error = print_free();
  if (std::strcmp(mode, "work") == 0) error = work(argument);
  if (std::strcmp(mode, "leave") == 0) error = leave();
  if (std::strcmp(mode, "close_output") == 0) error = close_output();
  if (std::strcmp(mode, "every_call") == 0) error = every_call();
  const auto took = std::chrono::steady_clock::now() - start;
  std::printf(
      "took %lld ms\n",
      static_cast<long long>(std::chrono::duration_cast<std::chrono::milliseconds>(took).count()));
  std::printf("result %s\n", cudaGetErrorName(error));
  return error == cudaSuccess ? 0 : 3;
}
