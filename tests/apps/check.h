// For programs on the CUDA runtime.
#pragma once

#include <cuda_runtime.h>

#include <vector>

#include "check_host.h"

namespace check {

[[noreturn]] inline void cuda_failed(cudaError_t error, const char* call, const char* file,
                                     int line) {
  std::printf("FAIL: %s at %s:%d: %s\n", cudaGetErrorName(error), base_name(file), line, call);
  std::fflush(stdout);
  std::exit(1);
}

// For programs about errors: prints the name and holds it against the one CUDA gives.
inline cudaError_t step(const char* what, cudaError_t got, cudaError_t want) {
  std::printf("%s: %s\n", what, cudaGetErrorName(got));
  if (got != want) fail("%s: %s, expected %s", what, cudaGetErrorName(got), cudaGetErrorName(want));
  return got;
}

// Device memory for one array, freed at the end of its scope.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count) : count_(count) { allocate(); }
  explicit DeviceArray(const std::vector<T>& values) : count_(values.size()) {
    allocate();
    put(values);
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* get() const { return data_; }
  size_t size() const { return count_; }
  void put(const std::vector<T>& values) {
    must(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
  }
  std::vector<T> fetch() const {
    std::vector<T> values(count_);
    must(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
  }
  void zero() { must(cudaMemset(data_, 0, count_ * sizeof(T))); }

 private:
  static void must(cudaError_t error) {
    if (error != cudaSuccess) cuda_failed(error, "DeviceArray", __FILE__, __LINE__);
  }
  void allocate() { must(cudaMalloc(reinterpret_cast<void**>(&data_), count_ * sizeof(T))); }
  T* data_ = nullptr;
  size_t count_;
};

}  // namespace check

#define CUDA_CHECK(call)                                                \
  do {                                                                  \
    cudaError_t cuda_check_error_ = (call);                             \
    if (cuda_check_error_ != cudaSuccess)                               \
      check::cuda_failed(cuda_check_error_, #call, __FILE__, __LINE__); \
  } while (0)

// After <<<>>>: the launch itself.
#define LAUNCH_CHECK() CUDA_CHECK(cudaGetLastError())
