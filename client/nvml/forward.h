// A call that the server's NVML answers: packs the arguments as monitor_call carries them.
#pragma once

#include <nvml.h>

#include <concepts>
#include <cstdint>
#include <type_traits>

#include "client/nvml/library.h"

namespace farlane::nvml {

// `count` elements at `at`.
struct Many {
  void* at = nullptr;
  uint64_t bytes = 0;
};
template <class T, std::integral Count>
Many many(T* at, Count count) {
  return {at, count < 0 ? 0 : static_cast<uint64_t>(count) * sizeof(T)};
}
template <class T, std::integral Count>
Many many(T* at, const Count* count) {
  return many(at, count == nullptr ? Count{0} : *count);
}

// A structure that says in its first member how large it is: programs may have another version of
// it than this library was built with.
template <class T>
concept Versioned = requires(T value) {
  { value.version } -> std::same_as<unsigned int&>;
};

class Call {
 public:
  explicit Call(const char* function) { call_.function = function; }

  void add(nvmlDevice_t handle) {
    const Device* const device = find(handle);
    if (device == nullptr) return refuse(NVML_ERROR_INVALID_ARGUMENT);
    call_.devices.push_back(device->told.facts.uuid);
  }
  template <class T>
  requires(std::is_integral_v<T> || std::is_enum_v<T>) void add(T number) {
    call_.numbers.push_back(static_cast<uint64_t>(number));
  }
  template <class T>
  void add(T* one) {
    if (one == nullptr) return refuse(NVML_ERROR_INVALID_ARGUMENT);
    uint32_t bytes = sizeof(T);
    if constexpr (Versioned<T>) {
      bytes = one->version & 0xffffff;
      if (bytes < sizeof(unsigned) || bytes > kVersionedBytesMax) {
        return refuse(NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
      }
    }
    call_.buffers.push_back({one, bytes});
  }
  void add(Many many) {
    if (many.bytes > UINT32_MAX) return refuse(NVML_ERROR_INVALID_ARGUMENT);
    call_.buffers.push_back({many.at, static_cast<uint32_t>(many.bytes)});
  }

  nvmlReturn_t run() const {
    if (refused_ != NVML_SUCCESS) return refused_;
    int result = NVML_SUCCESS;
    switch (core::monitor_call(call_, &result)) {
      case CUDA_SUCCESS:
        return static_cast<nvmlReturn_t>(result);
      case CUDA_ERROR_NOT_SUPPORTED:
        return NVML_ERROR_NOT_SUPPORTED;
      case CUDA_ERROR_INVALID_VALUE:
        return NVML_ERROR_INVALID_ARGUMENT;
      default:
        return NVML_ERROR_GPU_IS_LOST;
    }
  }

 private:
  static constexpr uint32_t kVersionedBytesMax = 16 * 1024;

  void refuse(nvmlReturn_t why) {
    if (refused_ == NVML_SUCCESS) refused_ = why;
  }

  core::MonitorCall call_;
  nvmlReturn_t refused_ = NVML_SUCCESS;
};

template <class... Arguments>
nvmlReturn_t forward(const char* function, Arguments... arguments) noexcept {
  return enter([&]() -> nvmlReturn_t {
    Call call(function);
    (call.add(arguments), ...);
    return call.run();
  });
}

}  // namespace farlane::nvml
