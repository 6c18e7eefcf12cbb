// What the bench's CUDA programs share: a failed call ends the process with a message.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#define BENCH_CUDA(call) farlane::bench::must(call, #call)

namespace farlane::bench {

void must(cudaError_t error, const char* call);
void synchronize();

// Device memory for the time of a measurement.
class DeviceBuffer {
 public:
  explicit DeviceBuffer(size_t bytes) { BENCH_CUDA(cudaMalloc(&data_, bytes)); }
  ~DeviceBuffer() { BENCH_CUDA(cudaFree(data_)); }
  DeviceBuffer(const DeviceBuffer&) = delete;
  float* floats() { return static_cast<float*>(data_); }

 private:
  void* data_ = nullptr;
};

class PinnedBuffer {
 public:
  explicit PinnedBuffer(size_t bytes) { BENCH_CUDA(cudaMallocHost(&data_, bytes)); }
  ~PinnedBuffer() { BENCH_CUDA(cudaFreeHost(data_)); }
  PinnedBuffer(const PinnedBuffer&) = delete;
  void* data() { return data_; }

 private:
  void* data_ = nullptr;
};

// Median over rounds; synchronised.
double copy_gb_per_s(int rounds, void* to, const void* from, size_t bytes, cudaMemcpyKind kind);

}  // namespace farlane::bench
