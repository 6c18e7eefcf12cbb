#include "server/host.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "generated/protocol/control.pb.h"
#include "protocol/limits.h"
#include "server/driver_text.h"

namespace farlane::server {

namespace {

// Attributes and limits have numbers without gaps worth naming; those a driver does not know are
// left out.
void add_attributes(const DriverTable& driver, CUdevice device, control::Device* out) {
  for (int id = 1; id < CU_DEVICE_ATTRIBUTE_MAX; ++id) {
    int value = 0;
    if (driver.cuDeviceGetAttribute(&value, static_cast<CUdevice_attribute>(id), device) !=
        CUDA_SUCCESS) {
      continue;
    }
    control::Attribute* attribute = out->add_attributes();
    attribute->set_id(id);
    attribute->set_value(value);
  }
}

void add_limits(const DriverTable& driver, control::Device* out) {
  for (int id = 0; id < CU_LIMIT_MAX; ++id) {
    size_t value = 0;
    if (driver.cuCtxGetLimit(&value, static_cast<CUlimit>(id)) != CUDA_SUCCESS) continue;
    control::Limit* limit = out->add_limits();
    limit->set_id(id);
    limit->set_value(value);
  }
}

void add_identity(const DriverTable& driver, CUdevice device, control::Device* out) {
  std::array<char, 256> name{};
  if (driver.cuDeviceGetName(name.data(), name.size() - 1, device) == CUDA_SUCCESS) {
    out->set_name(name.data());
  }
  CUuuid uuid{};
  if (driver.cuDeviceGetUuid(&uuid, device) == CUDA_SUCCESS) {
    out->set_uuid(uuid.bytes, sizeof uuid.bytes);
  }
  std::array<char, 64> bus{};
  if (driver.cuDeviceGetPCIBusId(bus.data(), static_cast<int>(bus.size()) - 1, device) ==
      CUDA_SUCCESS) {
    out->set_pci_bus_id(bus.data());
  }
  size_t total = 0;
  if (driver.cuDeviceTotalMem(&total, device) == CUDA_SUCCESS) out->set_memory_bytes(total);
}

}  // namespace

CUresult reserve_windows(Host& host, uint32_t count, uint64_t base, uint64_t bytes_per_device) {
  if (base != 0 && base == host.window_base && bytes_per_device == host.window_bytes) {
    return CUDA_SUCCESS;
  }
  // The new windows may lie across the old ones.
  for (const auto& device : host.devices) {
    if (device->space.has_extents()) return CUDA_ERROR_ILLEGAL_STATE;
  }
  host.window_base = host.window_bytes = 0;
  for (const auto& device : host.devices) device->space.reserve(0, 0);
  if (base == 0 || bytes_per_device == 0 || bytes_per_device > (UINT64_MAX - base) / count) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  for (uint32_t i = 0; i < count; ++i) {
    const CUresult result =
        host.devices[i]->space.reserve(base + i * bytes_per_device, bytes_per_device);
    if (result == CUDA_SUCCESS) continue;
    for (const auto& device : host.devices) device->space.reserve(0, 0);
    return result;
  }
  host.window_base = base;
  host.window_bytes = bytes_per_device;
  return CUDA_SUCCESS;
}

void Host::choose(uint32_t count) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return devices[a]->handle() < devices[b]->handle(); });
  if (std::is_sorted(order.begin(), order.end())) return;
  // Windows go by the order.
  for (const auto& device : devices) device->space.reserve(0, 0);
  std::vector<std::unique_ptr<Device>> sorted_devices;
  std::vector<std::string> sorted_messages;
  for (const size_t index : order) {
    sorted_devices.push_back(std::move(devices[index]));
    sorted_messages.push_back(std::move(device_messages[index]));
  }
  std::move(sorted_devices.begin(), sorted_devices.end(), devices.begin());
  std::move(sorted_messages.begin(), sorted_messages.end(), device_messages.begin());
  const uint64_t base = window_base;
  const uint64_t bytes = window_bytes;
  window_base = window_bytes = 0;
  if (base != 0) static_cast<void>(reserve_windows(*this, count, base, bytes));
}

bool Host::can_access_peer(uint32_t device, uint32_t peer) const {
  int can = 0;
  return device != peer &&
         driver.cuDeviceCanAccessPeer(&can, devices[device]->handle(), devices[peer]->handle()) ==
             CUDA_SUCCESS &&
         can != 0;
}

std::unique_ptr<Host> Host::start(const DriverTable& driver, const ServerSettings& settings,
                                  uint32_t first_device, std::string* error) {
  const auto failed = [&](const char* what, CUresult result) {
    *error = fmt::format("driver: {} failed: {}", what, result_name(driver, result));
    return nullptr;
  };
  std::unique_ptr<Host> host(new Host(driver));
  CUresult result = driver.cuInit(0);
  if (result != CUDA_SUCCESS) return failed("cuInit", result);
  result = driver.cuDriverGetVersion(&host->driver_version);
  if (result != CUDA_SUCCESS) return failed("cuDriverGetVersion", result);
  int count = 0;
  result = driver.cuDeviceGetCount(&count);
  if (result != CUDA_SUCCESS) return failed("cuDeviceGetCount", result);
  if (count <= 0) {
    *error = "driver: it finds no device";
    return nullptr;
  }
  const uint32_t devices = std::min(static_cast<uint32_t>(count), protocol::limits::devices_max);
  if (first_device >= devices) {
    *error = fmt::format("driver: there is no device {} ({} in all)", first_device, devices);
    return nullptr;
  }
  for (uint32_t i = 0; i < devices; ++i) {
    CUdevice handle = 0;
    result = driver.cuDeviceGet(&handle, static_cast<int>((first_device + i) % devices));
    if (result != CUDA_SUCCESS) return failed("cuDeviceGet", result);
    host->devices.push_back(std::make_unique<Device>(driver, handle));
  }
  result = host->devices[0]->activate();
  if (result != CUDA_SUCCESS) return failed("making a context", result);

  // A session that wants other windows says so; one that cannot have any fails its first malloc.
  static_cast<void>(reserve_windows(*host, devices, static_cast<uint64_t>(settings.window_base),
                                    static_cast<uint64_t>(settings.window_bytes)));

  // Priorities and limits need a context. Devices of one machine are mostly alike, and a session
  // that uses another device asks for its limits then.
  int least = 0;
  int greatest = 0;
  driver.cuCtxGetStreamPriorityRange(&least, &greatest);
  for (uint32_t i = 0; i < devices; ++i) {
    control::Device message;
    const CUdevice handle = host->devices[i]->handle();
    add_identity(driver, handle, &message);
    add_attributes(driver, handle, &message);
    message.set_stream_priority_least(least);
    message.set_stream_priority_greatest(greatest);
    if (i == 0) {
      add_limits(driver, &message);
      size_t free_bytes = 0;
      size_t total = 0;
      if (driver.cuMemGetInfo(&free_bytes, &total) == CUDA_SUCCESS) {
        message.set_free_bytes(free_bytes);
      }
    }
    host->device_messages.push_back(message.SerializeAsString());
  }
  return host;
}

}  // namespace farlane::server
