#include "client/nvml/library.h"

#include <pthread.h>

#include <cstring>
#include <memory>
#include <mutex>

namespace farlane::nvml {
namespace {

// Never destroyed: tools call NVML from their own destructors.
struct State {
  std::mutex mutex;  // guards the rest
  unsigned initialized = 0;
  bool from_session = false;
  std::vector<Device*> by_index;
  std::vector<std::unique_ptr<Device>> all;
};

State* g_state = nullptr;

// Held while the process forks, so that the child finds it whole, and free.
State& state() {
  static State* const made = [] {
    g_state = new State;
    pthread_atfork([] { g_state->mutex.lock(); }, [] { g_state->mutex.unlock(); },
                   [] { g_state->mutex.unlock(); });
    return g_state;
  }();
  return *made;
}

// The device with this UUID, made from what was told if it is new.
Device* device_of(State& s, core::ServerDevice&& told, unsigned place) {
  for (const auto& device : s.all) {
    if (std::memcmp(&device->told.facts.uuid, &told.facts.uuid, sizeof told.facts.uuid) == 0) {
      return device.get();
    }
  }
  auto made = std::make_unique<Device>();
  made->uuid_text = uuid_text(told.facts.uuid);
  made->told = std::move(told);
  made->first_place = place;
  return s.all.emplace_back(std::move(made)).get();
}

// With the mutex held.
CUresult refresh(State& s) {
  const bool from_session = core::session_is_started();
  std::vector<core::ServerDevice> told;
  const CUresult result = core::server_devices(&told);
  if (result != CUDA_SUCCESS) return result;
  s.by_index.clear();
  for (core::ServerDevice& one : told) {
    const auto place = static_cast<unsigned>(s.by_index.size());
    Device* const device = device_of(s, std::move(one), place);
    device->index.store(place, std::memory_order_relaxed);
    s.by_index.push_back(device);
  }
  s.from_session = from_session;
  return CUDA_SUCCESS;
}

}  // namespace

int Device::attribute(CUdevice_attribute id) const {
  for (const auto& [known, value] : told.attributes) {
    if (known == id) return value;
  }
  return 0;
}

bool is_initialized() {
  State& s = state();
  std::lock_guard lock(s.mutex);
  return s.initialized > 0;
}

nvmlReturn_t initialize() {
  State& s = state();
  std::lock_guard lock(s.mutex);
  if (s.initialized == 0 && refresh(s) != CUDA_SUCCESS) {
    return NVML_ERROR_DRIVER_NOT_LOADED;  // what there is without a GPU: callers go on without
  }
  ++s.initialized;
  return NVML_SUCCESS;
}

nvmlReturn_t shut_down() {
  State& s = state();
  std::lock_guard lock(s.mutex);
  if (s.initialized == 0) return NVML_ERROR_UNINITIALIZED;
  --s.initialized;
  return NVML_SUCCESS;
}

std::vector<Device*> devices() {
  State& s = state();
  std::lock_guard lock(s.mutex);
  if (!s.from_session && core::session_is_started()) {
    static_cast<void>(refresh(s));  // from this process's memory; the old list is the alternative
  }
  return s.by_index;
}

Device* find(nvmlDevice_t handle) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  for (const auto& device : s.all) {
    if (handle_of(device.get()) == handle) return device.get();
  }
  return nullptr;
}

std::string uuid_text(const CUuuid& uuid) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text = "GPU-";
  for (size_t i = 0; i < sizeof uuid.bytes; ++i) {
    const auto byte = static_cast<unsigned char>(uuid.bytes[i]);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
    if (i == 3 || i == 5 || i == 7 || i == 9) text += '-';
  }
  return text;
}

nvmlReturn_t give_text(const std::string& text, char* to, unsigned bytes) {
  if (to == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  if (bytes < text.size() + 1) return NVML_ERROR_INSUFFICIENT_SIZE;
  std::memcpy(to, text.c_str(), text.size() + 1);
  return NVML_SUCCESS;
}

}  // namespace farlane::nvml
