#include "server/monitor_call.h"

#include <dlfcn.h>

#include <cstring>
#include <string_view>
#include <unordered_map>

#include "protocol/record.h"

namespace farlane::server {
namespace {

using Call = nvmlReturn_t (*)(void* function, MonitorArguments& in);

// Every function that may be asked for. NVML's setters are not among them.
const std::unordered_map<std::string_view, Call>& calls() {
  static const std::unordered_map<std::string_view, Call> table = {
#define MONITOR(name, ...)                                                              \
  {#name, [](void* found, [[maybe_unused]] MonitorArguments& in) -> nvmlReturn_t {      \
     [[maybe_unused]] const auto function = reinterpret_cast<decltype(&::name)>(found); \
     __VA_ARGS__                                                                        \
   }},
#include "generated/server/monitor_table.inc"
#undef MONITOR
  };
  return table;
}

// A structure of a later version than its buffer says would be written beyond its end.
constexpr size_t kSpareBytes = 4096;

std::string uuid_text(const char* prefix, const protocol::message::DeviceUuid& uuid) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text = prefix;
  for (size_t i = 0; i < uuid.bytes.size(); ++i) {
    const auto byte = static_cast<unsigned>(uuid.bytes[i]);
    text += kDigits[byte >> 4 & 15];
    text += kDigits[byte & 15];
    if (i == 3 || i == 5 || i == 7 || i == 9) text += '-';
  }
  return text;
}

}  // namespace

bool Nvml::load(const std::string& path, std::string* error) {
  library_ = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library_ == nullptr) {
    *error = ::dlerror();
    return false;
  }
  const auto init = reinterpret_cast<decltype(&::nvmlInit_v2)>(find("nvmlInit_v2"));
  const nvmlReturn_t result = init == nullptr ? NVML_ERROR_FUNCTION_NOT_FOUND : init();
  if (result == NVML_SUCCESS) return true;
  *error = path + ": nvmlInit_v2 failed with error " + std::to_string(result);
  library_ = nullptr;
  return false;
}

void* Nvml::find(const std::string& function) const {
  return library_ == nullptr ? nullptr : ::dlsym(library_, function.c_str());
}

nvmlDevice_t Nvml::device(const protocol::message::DeviceUuid& uuid) const {
  const auto by_uuid =
      reinterpret_cast<decltype(&::nvmlDeviceGetHandleByUUID)>(find("nvmlDeviceGetHandleByUUID"));
  nvmlDevice_t found = nullptr;
  if (by_uuid == nullptr) return nullptr;
  for (const char* prefix : {"GPU-", "MIG-"}) {
    if (by_uuid(uuid_text(prefix, uuid).c_str(), &found) == NVML_SUCCESS) return found;
  }
  return nullptr;
}

MonitorArguments::MonitorArguments(const protocol::message::MonitorCall& call, const Nvml& nvml) {
  for (const auto& uuid : call.devices) {
    devices_.push_back(nvml.device(uuid));
    unknown_device_ |= devices_.back() == nullptr;
  }
  for (const auto& number : call.numbers) numbers_.push_back(number.value);
  size_t at = 0;
  for (const auto& given : call.buffers) {
    Buffer& buffer = buffers_.emplace_back();
    buffer.is_null = given.is_null != 0;
    if (buffer.is_null) continue;
    const size_t padded = protocol::padded(given.bytes);
    if (padded > call.data.size() - at) {
      well_formed_ = false;
      return;
    }
    buffer.bytes = given.bytes;
    buffer.memory.resize((padded + kSpareBytes) / sizeof(uint64_t));
    if (given.bytes > 0) std::memcpy(buffer.memory.data(), call.data.data() + at, given.bytes);
    at += padded;
  }
}

std::vector<std::byte> MonitorArguments::answer() const {
  std::vector<std::byte> data;
  for (const Buffer& buffer : buffers_) {
    if (buffer.bytes == 0) continue;
    const size_t at = data.size();
    data.resize(at + protocol::padded(buffer.bytes));
    std::memcpy(data.data() + at, buffer.memory.data(), buffer.bytes);
  }
  return data;
}

nvmlReturn_t call_nvml(const Nvml& nvml, const std::string& function, MonitorArguments& in) {
  const auto call = calls().find(function);
  void* const found = call == calls().end() ? nullptr : nvml.find(function);
  if (found == nullptr) return NVML_ERROR_FUNCTION_NOT_FOUND;
  if (!in.is_well_formed()) return NVML_ERROR_INVALID_ARGUMENT;
  if (in.names_unknown_device()) return NVML_ERROR_NOT_FOUND;
  return call->second(found, in);
}

}  // namespace farlane::server
