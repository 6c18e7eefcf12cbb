// A handle of cublasXt. Needs <cublasXt.h>.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

struct cublasXtContext {
  ~cublasXtContext();

  std::mutex mutex;  // one call at a time
  std::vector<int> devices;
  cublasHandle_t blas = nullptr;  // on the first of the devices
  int block_dim = 1024;           // as the library has it
  cublasXtPinnedMemMode_t pinning = CUBLASXT_PINNING_DISABLED;
};

namespace farlane::client::cudax::cublas {

// The handle's; null: it is none. It lives as long as somebody has it here.
std::shared_ptr<cublasXtContext> xt_find(cublasXtHandle_t handle);

// Makes a device the calling thread's current one while it lives.
class OnDevice {
 public:
  explicit OnDevice(int device);
  OnDevice(const OnDevice&) = delete;
  ~OnDevice();
  bool is_on() const { return is_on_; }

 private:
  bool is_on_ = false;
};

}  // namespace farlane::client::cudax::cublas
