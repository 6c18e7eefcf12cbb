// Which devices there are: they are the CUDA façades' devices, under NVML's names.
#include <strings.h>
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "client/nvml/forward.h"

using namespace farlane::nvml;

namespace {

struct PciAddress {
  unsigned domain = 0;
  unsigned bus = 0;
  unsigned device = 0;
  bool operator==(const PciAddress&) const = default;
};

// "0000:1b:00.0", with a domain of 4 or 8 digits or none.
bool parse_pci(const char* text, PciAddress* address) {
  unsigned function = 0;
  char rest = 0;
  for (const char* format : {"%8x:%2x:%2x.%1x%c", "%8x:%2x:%2x%c"}) {
    PciAddress found;
    const int count =
        std::strchr(text, '.') != nullptr
            ? std::sscanf(text, format, &found.domain, &found.bus, &found.device, &function, &rest)
            : std::sscanf(text, format, &found.domain, &found.bus, &found.device, &rest);
    if (count == (std::strchr(text, '.') != nullptr ? 4 : 3)) {
      *address = found;
      return true;
    }
  }
  PciAddress found;
  if (std::sscanf(text, "%2x:%2x.%1x%c", &found.bus, &found.device, &function, &rest) == 3) {
    *address = found;
    return true;
  }
  return false;
}

nvmlReturn_t count_devices(unsigned* count) {
  if (count == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  *count = static_cast<unsigned>(devices().size());
  return NVML_SUCCESS;
}

nvmlReturn_t by_index(unsigned index, nvmlDevice_t* handle) {
  const std::vector<Device*> all = devices();
  if (handle == nullptr || index >= all.size()) return NVML_ERROR_INVALID_ARGUMENT;
  *handle = handle_of(all[index]);
  return NVML_SUCCESS;
}

template <class Match>
nvmlReturn_t first_that(Match&& match, nvmlDevice_t* handle) {
  if (handle == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  const std::vector<Device*> all = devices();
  const auto found = std::find_if(all.begin(), all.end(), match);
  if (found == all.end()) return NVML_ERROR_NOT_FOUND;
  *handle = handle_of(*found);
  return NVML_SUCCESS;
}

nvmlReturn_t by_uuid(const char* uuid, nvmlDevice_t* handle) {
  if (uuid == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  return first_that(
      [&](const Device* device) { return ::strcasecmp(device->uuid_text.c_str(), uuid) == 0; },
      handle);
}

nvmlReturn_t by_pci(const char* bus_id, nvmlDevice_t* handle) {
  PciAddress wanted;
  if (bus_id == nullptr || !parse_pci(bus_id, &wanted)) return NVML_ERROR_INVALID_ARGUMENT;
  return first_that(
      [&](const Device* device) {
        PciAddress address;
        return parse_pci(device->told.facts.pci_bus_id.c_str(), &address) && address == wanted;
      },
      handle);
}

// The device's address as CUDA tells it; vendor and board numbers where the server's NVML knows.
// Older callers have smaller structures: `members` says how far theirs goes.
enum class PciMembers { kToDeviceId, kToSubsystem, kAll };

nvmlReturn_t pci_info(nvmlDevice_t handle, nvmlPciInfo_t* pci, PciMembers members) {
  return enter_device(handle, [&](Device& device) -> nvmlReturn_t {
    if (pci == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    PciAddress address;
    if (!parse_pci(device.told.facts.pci_bus_id.c_str(), &address)) return NVML_ERROR_UNKNOWN;
    nvmlPciInfo_t told = {};
    if (forward("nvmlDeviceGetPciInfo_v3", handle, &told) != NVML_SUCCESS) told = {};
    std::snprintf(pci->busIdLegacy, sizeof pci->busIdLegacy, "%04X:%02X:%02X.0",
                  address.domain & 0xffff, address.bus & 0xff, address.device & 0xff);
    pci->domain = address.domain;
    pci->bus = address.bus;
    pci->device = address.device;
    pci->pciDeviceId = told.pciDeviceId;
    if (members == PciMembers::kToDeviceId) return NVML_SUCCESS;
    pci->pciSubSystemId = told.pciSubSystemId;
    if (members == PciMembers::kToSubsystem) return NVML_SUCCESS;
    std::snprintf(pci->busId, sizeof pci->busId, "%08X:%02X:%02X.0", address.domain,
                  address.bus & 0xff, address.device & 0xff);
    return NVML_SUCCESS;
  });
}

unsigned architecture_of(int major, int minor) {
  switch (major) {
    case 3:
      return NVML_DEVICE_ARCH_KEPLER;
    case 5:
      return NVML_DEVICE_ARCH_MAXWELL;
    case 6:
      return NVML_DEVICE_ARCH_PASCAL;
    case 7:
      return minor < 5 ? NVML_DEVICE_ARCH_VOLTA : NVML_DEVICE_ARCH_TURING;
    case 8:
      return minor == 9 ? NVML_DEVICE_ARCH_ADA : NVML_DEVICE_ARCH_AMPERE;
    case 9:
      return NVML_DEVICE_ARCH_HOPPER;
    case 10:
    case 12:
      return NVML_DEVICE_ARCH_BLACKWELL;
    default:
      return NVML_DEVICE_ARCH_UNKNOWN;
  }
}

}  // namespace

extern "C" {

nvmlReturn_t nvmlDeviceGetCount(unsigned int* deviceCount) {
  return enter([&] { return count_devices(deviceCount); });
}
nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int* deviceCount) {
  return enter([&] { return count_devices(deviceCount); });
}

nvmlReturn_t nvmlDeviceGetHandleByIndex(unsigned int index, nvmlDevice_t* device) {
  return enter([&] { return by_index(index, device); });
}
nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t* device) {
  return enter([&] { return by_index(index, device); });
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char* uuid, nvmlDevice_t* device) {
  return enter([&] { return by_uuid(uuid, device); });
}

nvmlReturn_t nvmlDeviceGetHandleByUUIDV(const nvmlUUID_t* uuid, nvmlDevice_t* device) {
  return enter([&]() -> nvmlReturn_t {
    if (uuid == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if (uuid->type == NVML_UUID_TYPE_ASCII) return by_uuid(uuid->value.str, device);
    if (uuid->type != NVML_UUID_TYPE_BINARY) return NVML_ERROR_INVALID_ARGUMENT;
    CUuuid wanted;
    static_assert(sizeof wanted == sizeof uuid->value.bytes);
    std::memcpy(&wanted, uuid->value.bytes, sizeof wanted);
    return by_uuid(uuid_text(wanted).c_str(), device);
  });
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId(const char* pciBusId, nvmlDevice_t* device) {
  return enter([&] { return by_pci(pciBusId, device); });
}
nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char* pciBusId, nvmlDevice_t* device) {
  return enter([&] { return by_pci(pciBusId, device); });
}

nvmlReturn_t nvmlDeviceGetHandleBySerial(const char* serial, nvmlDevice_t* device) {
  return enter([&]() -> nvmlReturn_t {
    if (serial == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    return first_that(
        [&](Device* one) {
          char text[NVML_DEVICE_SERIAL_BUFFER_SIZE] = "";
          return nvmlDeviceGetSerial(handle_of(one), text, sizeof text) == NVML_SUCCESS &&
                 std::strcmp(text, serial) == 0;
        },
        device);
  });
}

nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned int* index) {
  return enter_device(device, [&](Device& found) -> nvmlReturn_t {
    if (index == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    static_cast<void>(devices());  // the session may have come meanwhile, with its order
    *index = found.index;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char* name, unsigned int length) {
  return enter_device(
      device, [&](Device& found) { return give_text(found.told.facts.name, name, length); });
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char* uuid, unsigned int length) {
  return enter_device(device,
                      [&](Device& found) { return give_text(found.uuid_text, uuid, length); });
}

nvmlReturn_t nvmlDeviceGetPciInfo(nvmlDevice_t device, nvmlPciInfo_t* pci) {
  return pci_info(device, pci, PciMembers::kToDeviceId);
}
nvmlReturn_t nvmlDeviceGetPciInfo_v2(nvmlDevice_t device, nvmlPciInfo_t* pci) {
  return pci_info(device, pci, PciMembers::kToSubsystem);
}
nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t* pci) {
  return pci_info(device, pci, PciMembers::kAll);
}

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int* major, int* minor) {
  return enter_device(device, [&](Device& found) -> nvmlReturn_t {
    if (major == nullptr || minor == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *major = found.attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
    *minor = found.attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetArchitecture(nvmlDevice_t device, nvmlDeviceArchitecture_t* arch) {
  const nvmlReturn_t result = forward("nvmlDeviceGetArchitecture", device, arch);
  if (result != NVML_ERROR_NOT_SUPPORTED) return result;
  return enter_device(device, [&](Device& found) -> nvmlReturn_t {
    *arch = architecture_of(found.attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR),
                            found.attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR));
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetMemoryBusWidth(nvmlDevice_t device, unsigned int* busWidth) {
  return enter_device(device, [&](Device& found) -> nvmlReturn_t {
    if (busWidth == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *busWidth = static_cast<unsigned>(found.attribute(CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH));
    return NVML_SUCCESS;
  });
}

// A handle to a part of a GPU is never given out: CUDA's devices are NVML's.
nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned int* isMigDevice) {
  return enter_device(device, [&](Device&) -> nvmlReturn_t {
    if (isMigDevice == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *isMigDevice = 0;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceOnSameBoard(nvmlDevice_t device1, nvmlDevice_t device2, int* onSameBoard) {
  const nvmlReturn_t result = forward("nvmlDeviceOnSameBoard", device1, device2, onSameBoard);
  if (result != NVML_ERROR_NOT_SUPPORTED) return result;
  *onSameBoard = device1 == device2 ? 1 : 0;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetP2PStatus(nvmlDevice_t device1, nvmlDevice_t device2,
                                    nvmlGpuP2PCapsIndex_t p2pIndex, nvmlGpuP2PStatus_t* p2pStatus) {
  const nvmlReturn_t result =
      forward("nvmlDeviceGetP2PStatus", device1, device2, p2pIndex, p2pStatus);
  if (result != NVML_ERROR_NOT_SUPPORTED) return result;
  return enter([&]() -> nvmlReturn_t {
    const std::vector<uint32_t>& peers = find(device1)->told.peers;
    const bool reaches =
        std::find(peers.begin(), peers.end(), find(device2)->first_place) != peers.end();
    *p2pStatus = reaches ? NVML_P2P_STATUS_OK : NVML_P2P_STATUS_NOT_SUPPORTED;
    return NVML_SUCCESS;
  });
}

}  // extern "C"
