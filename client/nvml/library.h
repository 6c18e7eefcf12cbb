// What every function of the NVML façade is made of: whether the library is initialised, and which
// devices there are.
#pragma once

#include <nvml.h>

#include <atomic>
#include <exception>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "client/core/monitor.h"

namespace farlane::nvml {

namespace core = farlane::client;

// What an nvmlDevice_t points at. Made once for each UUID and never freed, so that a handle stays
// what it is whatever order the devices come in.
// Any thread reads it: only `index` changes, when the order does.
struct Device {
  core::ServerDevice told;
  std::string uuid_text;            // "GPU-…"
  unsigned first_place = 0;         // the index when it was first told: what `told.peers` means
  std::atomic<unsigned> index = 0;  // as nvmlDeviceGetHandleByIndex counts

  int attribute(CUdevice_attribute id) const;  // 0 if the server's driver did not know it
};

bool is_initialized();
// Asks for the server's devices the first time. NVML_SUCCESS counts one more.
nvmlReturn_t initialize();
nvmlReturn_t shut_down();

// All of them, by index. As soon as this process has a session, in its order: NVML's numbers are
// then CUDA's without CUDA_VISIBLE_DEVICES.
std::vector<Device*> devices();
// Null: not a handle of this library.
Device* find(nvmlDevice_t handle);
inline nvmlDevice_t handle_of(Device* device) {
  return reinterpret_cast<nvmlDevice_t>(device);
}
// "GPU-…" in lower case.
std::string uuid_text(const CUuuid& uuid);

// Cut never: NVML says when a text does not fit. `bytes` counts the end.
nvmlReturn_t give_text(const std::string& text, char* to, unsigned bytes);

// Runs `body` for a function that works before nvmlInit. Nothing is thrown across the C ABI.
template <typename Body>
nvmlReturn_t enter_any(Body&& body) noexcept {
  try {
    return std::forward<Body>(body)();
  } catch (const std::bad_alloc&) {
    return NVML_ERROR_MEMORY;
  } catch (const std::exception&) {
    return NVML_ERROR_UNKNOWN;
  }
}

template <typename Body>
nvmlReturn_t enter(Body&& body) noexcept {
  return enter_any([&]() -> nvmlReturn_t {
    return is_initialized() ? std::forward<Body>(body)() : NVML_ERROR_UNINITIALIZED;
  });
}

// For those of one device: `body` gets it.
template <typename Body>
nvmlReturn_t enter_device(nvmlDevice_t handle, Body&& body) noexcept {
  return enter([&]() -> nvmlReturn_t {
    Device* const device = find(handle);
    return device == nullptr ? NVML_ERROR_INVALID_ARGUMENT : std::forward<Body>(body)(*device);
  });
}

}  // namespace farlane::nvml
