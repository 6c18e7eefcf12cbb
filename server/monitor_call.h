// One call of NVML as it came from a client: its arguments, taken apart without trusting them.
#pragma once

#include <nvml.h>

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "generated/protocol/messages.h"

namespace farlane::server {

// The functions of a libnvidia-ml.so.1.
class Nvml {
 public:
  // False: `*error` says why there is none.
  bool load(const std::string& path, std::string* error);
  void* find(const std::string& function) const;
  // "GPU-..." or "MIG-...". Null: NVML knows no such device.
  nvmlDevice_t device(const protocol::message::DeviceUuid& uuid) const;

 private:
  void* library_ = nullptr;
};

// What tells its own size: the first member of most newer structures of NVML.
template <class T>
concept Versioned = requires(T value) {
  { value.version } -> std::same_as<unsigned int&>;
};
inline uint32_t versioned_bytes(unsigned int version) {
  return version & 0xffffff;
}

class MonitorArguments {
 public:
  MonitorArguments(const protocol::message::MonitorCall& call, const Nvml& nvml);

  bool is_well_formed() const { return well_formed_; }
  // A device that the call names and NVML does not know.
  bool names_unknown_device() const { return unknown_device_; }

  nvmlDevice_t device(size_t place) {
    if (place >= devices_.size()) return malformed<nvmlDevice_t>();
    return devices_[place];
  }
  template <class T>
  T number(size_t place) {
    if (place >= numbers_.size()) return malformed<T>();
    return static_cast<T>(numbers_[place]);
  }
  // A pointer at one T; null if the client gave null.
  template <class T>
  T* one(size_t place) {
    T* const at = static_cast<T*>(buffer(place));
    if (at == nullptr) return nullptr;
    if constexpr (Versioned<T>) {
      // NVML writes as much as the version says.
      if (bytes(place) < sizeof(unsigned int) || bytes(place) != versioned_bytes(at->version)) {
        return malformed<T*>();
      }
    } else if (bytes(place) < sizeof(T)) {
      return malformed<T*>();
    }
    return at;
  }
  // A pointer at `count` of them, the count being given by value or by address.
  template <class T, class Count>
  T* many(size_t place, Count count) {
    int64_t elements = 0;
    if constexpr (std::is_pointer_v<Count>) {
      elements = count == nullptr ? 0 : static_cast<int64_t>(*count);
    } else {
      elements = static_cast<int64_t>(count);
    }
    T* const at = static_cast<T*>(buffer(place));
    if (at == nullptr) return nullptr;
    if (elements < 0 || static_cast<uint64_t>(elements) > bytes(place) / sizeof(T)) {
      return malformed<T*>();
    }
    return at;
  }

  // The buffers after the call, as they go back.
  std::vector<std::byte> answer() const;

 private:
  struct Buffer {
    std::vector<uint64_t> memory;  // aligned for everything NVML has
    uint32_t bytes = 0;
    bool is_null = true;
  };

  void* buffer(size_t place) {
    if (place >= buffers_.size()) return malformed<void*>();
    return buffers_[place].is_null ? nullptr : buffers_[place].memory.data();
  }
  uint32_t bytes(size_t place) const { return buffers_[place].bytes; }
  template <class T>
  T malformed() {
    well_formed_ = false;
    return T{};
  }

  std::vector<nvmlDevice_t> devices_;
  std::vector<uint64_t> numbers_;
  std::vector<Buffer> buffers_;
  bool well_formed_ = true;
  bool unknown_device_ = false;
};

// Calls it. Everything is an nvmlReturn_t: a function that may not be called from afar, or that
// this NVML does not have, is NVML_ERROR_FUNCTION_NOT_FOUND.
nvmlReturn_t call_nvml(const Nvml& nvml, const std::string& function, MonitorArguments& in);

}  // namespace farlane::server
