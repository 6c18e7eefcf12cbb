// Pinned and registered host memory, and what the runtime knows about pointers.
#include "check.h"

__global__ void triple(int* p, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) p[i] *= 3;
}

const char* type_name(cudaMemoryType type) {
  switch (type) {
    case cudaMemoryTypeUnregistered:
      return "unregistered";
    case cudaMemoryTypeHost:
      return "host";
    case cudaMemoryTypeDevice:
      return "device";
    case cudaMemoryTypeManaged:
      return "managed";
  }
  return "?";
}

void describe(const char* what, const void* pointer, cudaMemoryType want) {
  cudaPointerAttributes a;
  std::memset(&a, 0x7f, sizeof a);
  CUDA_CHECK(cudaPointerGetAttributes(&a, pointer));
  std::printf("%s: %s", what, type_name(a.type));
  if (a.type == cudaMemoryTypeDevice)
    std::printf(", device %d, device pointer %s, host pointer %s", a.device,
                a.devicePointer == pointer ? "same" : "other", a.hostPointer ? "set" : "null");
  if (a.type == cudaMemoryTypeHost)
    std::printf(", host pointer %s", a.hostPointer == pointer ? "same" : "other");
  if (a.type == cudaMemoryTypeUnregistered)
    std::printf(", device %d, device pointer %s", a.device, a.devicePointer ? "set" : "null");
  std::printf("\n");
  EXPECT(a.type == want);
}

void round_trip(const char* what, int* host, int* device, int n, cudaStream_t stream) {
  std::vector<int> want(n);
  for (int i = 0; i < n; ++i) {
    host[i] = i - 50;
    want[i] = (i - 50) * 3;
  }
  CUDA_CHECK(cudaMemcpyAsync(device, host, n * sizeof(int), cudaMemcpyHostToDevice, stream));
  triple<<<(n + 127) / 128, 128, 0, stream>>>(device, n);
  CUDA_CHECK(cudaMemcpyAsync(host, device, n * sizeof(int), cudaMemcpyDeviceToHost, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  check::equal(what, host, want.data(), n);
}

int main() {
  const int n = 5000;
  const size_t bytes = n * sizeof(int);
  cudaStream_t stream;
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  int *device, *pinned, *combined, *portable;
  CUDA_CHECK(cudaMalloc(&device, bytes));
  CUDA_CHECK(cudaMallocHost(&pinned, bytes));
  CUDA_CHECK(cudaHostAlloc(&combined, bytes, cudaHostAllocWriteCombined));
  CUDA_CHECK(cudaHostAlloc(&portable, bytes, cudaHostAllocPortable));
  round_trip("cudaMallocHost", pinned, device, n, stream);
  round_trip("write combined", combined, device, n, stream);
  round_trip("portable", portable, device, n, stream);
  unsigned flags = 0;
  CUDA_CHECK(cudaHostGetFlags(&flags, combined));
  std::printf("write combined flag: %s\n", flags & cudaHostAllocWriteCombined ? "yes" : "no");
  EXPECT(flags & cudaHostAllocWriteCombined);

  std::vector<int> ordinary(n);
  describe("device", device, cudaMemoryTypeDevice);
  describe("inside device", device + 100, cudaMemoryTypeDevice);
  describe("pinned", pinned, cudaMemoryTypeHost);
  describe("inside pinned", pinned + n - 1, cudaMemoryTypeHost);
  describe("ordinary", ordinary.data(), cudaMemoryTypeUnregistered);
  describe("static", "text", cudaMemoryTypeUnregistered);

  // Register ordinary memory, page aligned.
  void* block = nullptr;
  if (posix_memalign(&block, 4096, 8 * 4096) != 0) return 1;
  int* registered = static_cast<int*>(block);
  check::step("register", cudaHostRegister(block, 8 * 4096, cudaHostRegisterDefault), cudaSuccess);
  describe("registered", registered + 10, cudaMemoryTypeHost);
  round_trip("registered", registered, device, n, stream);
  check::step("register again", cudaHostRegister(block, 8 * 4096, cudaHostRegisterDefault),
              cudaErrorHostMemoryAlreadyRegistered);
  check::step("unregister", cudaHostUnregister(block), cudaSuccess);
  describe("unregistered", registered, cudaMemoryTypeUnregistered);
  check::step("unregister again", cudaHostUnregister(block), cudaErrorHostMemoryNotRegistered);
  check::step("last error", cudaGetLastError(), cudaErrorHostMemoryNotRegistered);
  round_trip("ordinary memory", registered, device, n, stream);
  std::free(block);

  check::step("cudaFreeHost(nullptr)", cudaFreeHost(nullptr), cudaSuccess);
  check::step("cudaFree(nullptr)", cudaFree(nullptr), cudaSuccess);
  check::step("free pinned", cudaFreeHost(pinned), cudaSuccess);
  check::step("free pinned again", cudaFreeHost(pinned), cudaErrorInvalidValue);
  cudaGetLastError();
  CUDA_CHECK(cudaFreeHost(combined));
  CUDA_CHECK(cudaFreeHost(portable));
  CUDA_CHECK(cudaFree(device));
  describe("freed", device, cudaMemoryTypeUnregistered);
  CUDA_CHECK(cudaStreamDestroy(stream));
  return check::finish();
}
