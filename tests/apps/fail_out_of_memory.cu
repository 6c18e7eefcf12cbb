// Out of memory is refused at once, hurts nothing, and is over when memory is given back.
#include "check.h"

__global__ void fill(int* p, int n, int value) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    p[i] = value + i;
}

void works(const char* what, int value) {
  const int n = 10000;
  check::DeviceArray<int> p(n);
  fill<<<4, 128>>>(p.get(), n, value);
  LAUNCH_CHECK();
  std::vector<int> want(n);
  for (int i = 0; i < n; ++i) want[i] = value + i;
  check::equal(what, p.fetch().data(), want.data(), n);
}

int main() {
  void* p = nullptr;
  works("before", 1);
  check::step("cudaMalloc of 2^60", cudaMalloc(&p, size_t{1} << 60), cudaErrorMemoryAllocation);
  check::step("last error", cudaGetLastError(), cudaErrorMemoryAllocation);
  check::step("last error again", cudaGetLastError(), cudaSuccess);
  size_t pitch = 0;
  check::step("cudaMallocPitch of 2^60", cudaMallocPitch(&p, &pitch, size_t{1} << 30, 1 << 30),
              cudaErrorMemoryAllocation);
  check::step("cudaMallocAsync of 2^60", cudaMallocAsync(&p, size_t{1} << 60, nullptr),
              cudaErrorMemoryAllocation);
  check::step("cudaMallocHost of 2^60", cudaMallocHost(&p, size_t{1} << 60),
              cudaErrorMemoryAllocation);
  cudaGetLastError();
  works("after refusals", 2);

  // Fill the memory in pieces of a sixteenth of all of it, then with smaller ones.
  size_t free_bytes = 0, total = 0;
  CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total));
  std::vector<void*> pieces;
  size_t taken = 0;
  cudaError_t error = cudaSuccess;
  for (size_t size = total / 16; size >= total / 256; size /= 4) {
    while ((error = cudaMalloc(&p, size)) == cudaSuccess) {
      pieces.push_back(p);
      taken += size;
      if (taken > total) break;
    }
    if (error != cudaErrorMemoryAllocation) break;
  }
  check::step("filled until", error, cudaErrorMemoryAllocation);
  std::printf("got more than a quarter, no more than all: %s\n",
              taken > total / 4 && taken <= total ? "yes" : "no");
  EXPECT(taken > total / 4 && taken <= total);
  size_t left = 0;
  CUDA_CHECK(cudaMemGetInfo(&left, &total));
  std::printf("less is free now: %s\n", left < free_bytes ? "yes" : "no");
  EXPECT(left < free_bytes);
  cudaGetLastError();
  works("with little left", 3);

  // The first and the last byte of the first and the last piece are real.
  for (void* piece : {pieces.front(), pieces.back()}) {
    CUDA_CHECK(cudaMemset(piece, 0x5a, 1));
    unsigned char byte = 0;
    CUDA_CHECK(cudaMemcpy(&byte, piece, 1, cudaMemcpyDeviceToHost));
    EXPECT(byte == 0x5a);
  }

  // A piece given back can be had again.
  CUDA_CHECK(cudaFree(pieces.front()));
  pieces.erase(pieces.begin());
  check::step("again after a free", cudaMalloc(&p, total / 32), cudaSuccess);
  pieces.push_back(p);
  for (void* piece : pieces) CUDA_CHECK(cudaFree(piece));
  size_t back = 0;
  CUDA_CHECK(cudaMemGetInfo(&back, &total));
  std::printf("all is free again: %s\n", back + (64u << 20) >= free_bytes ? "yes" : "no");
  EXPECT(back + (64u << 20) >= free_bytes);
  works("in the end", 4);
  check::step("last error", cudaGetLastError(), cudaSuccess);
  return check::finish();
}
