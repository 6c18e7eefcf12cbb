#include "server/softcuda/driver_device.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace farlane::softcuda {
namespace {

struct Attribute {
  CUdevice_attribute name;
  int value;
};

#define ATTRIBUTE(name, value) \
  { CU_DEVICE_ATTRIBUTE_##name, static_cast<int>(value) }

// Everything that is not listed is 0: this device cannot do it or does not have it.
constexpr Attribute kAttributes[] = {
    ATTRIBUTE(MAX_THREADS_PER_BLOCK, kBlockThreadsMax),
    ATTRIBUTE(MAX_BLOCK_DIM_X, kBlockDimMax[0]),
    ATTRIBUTE(MAX_BLOCK_DIM_Y, kBlockDimMax[1]),
    ATTRIBUTE(MAX_BLOCK_DIM_Z, kBlockDimMax[2]),
    ATTRIBUTE(MAX_GRID_DIM_X, kGridDimMax[0]),
    ATTRIBUTE(MAX_GRID_DIM_Y, kGridDimMax[1]),
    ATTRIBUTE(MAX_GRID_DIM_Z, kGridDimMax[2]),
    ATTRIBUTE(MAX_SHARED_MEMORY_PER_BLOCK, kSharedBytesPerBlock),
    ATTRIBUTE(TOTAL_CONSTANT_MEMORY, 65536),
    ATTRIBUTE(WARP_SIZE, kWarpThreads),
    ATTRIBUTE(MAX_PITCH, 0x7fffffff),
    ATTRIBUTE(MAX_REGISTERS_PER_BLOCK, kBlockRegistersMax),
    ATTRIBUTE(CLOCK_RATE, 1980000),
    ATTRIBUTE(TEXTURE_ALIGNMENT, 512),
    ATTRIBUTE(GPU_OVERLAP, 1),
    ATTRIBUTE(COMPUTE_MODE, CU_COMPUTEMODE_DEFAULT),
    ATTRIBUTE(SURFACE_ALIGNMENT, 512),
    ATTRIBUTE(CONCURRENT_KERNELS, 1),
    ATTRIBUTE(PCI_BUS_ID, kPciBus),
    ATTRIBUTE(MEMORY_CLOCK_RATE, 2619000),
    ATTRIBUTE(GLOBAL_MEMORY_BUS_WIDTH, 64),
    ATTRIBUTE(L2_CACHE_SIZE, 32 << 20),
    ATTRIBUTE(MAX_THREADS_PER_MULTIPROCESSOR, kSmThreadsMax),
    ATTRIBUTE(ASYNC_ENGINE_COUNT, 2),
    ATTRIBUTE(UNIFIED_ADDRESSING, 1),
    ATTRIBUTE(TEXTURE_PITCH_ALIGNMENT, 32),
    ATTRIBUTE(COMPUTE_CAPABILITY_MAJOR, kArch / 10),
    ATTRIBUTE(COMPUTE_CAPABILITY_MINOR, kArch % 10),
    ATTRIBUTE(STREAM_PRIORITIES_SUPPORTED, 1),
    ATTRIBUTE(GLOBAL_L1_CACHE_SUPPORTED, 1),
    ATTRIBUTE(LOCAL_L1_CACHE_SUPPORTED, 1),
    ATTRIBUTE(MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, kSharedBytesPerSm),
    ATTRIBUTE(MAX_REGISTERS_PER_MULTIPROCESSOR, kSmRegisters),
    ATTRIBUTE(SINGLE_TO_DOUBLE_PRECISION_PERF_RATIO, 2),
    ATTRIBUTE(COMPUTE_PREEMPTION_SUPPORTED, 1),
    ATTRIBUTE(COOPERATIVE_LAUNCH, 1),
    ATTRIBUTE(MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, kSharedBytesPerBlockOptIn),
    ATTRIBUTE(HOST_REGISTER_SUPPORTED, 1),
    ATTRIBUTE(VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 1),
    ATTRIBUTE(HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, 1),
    ATTRIBUTE(IPC_EVENT_SUPPORTED, 1),
    ATTRIBUTE(MAX_BLOCKS_PER_MULTIPROCESSOR, kSmBlocksMax),
    ATTRIBUTE(RESERVED_SHARED_MEMORY_PER_BLOCK, kSharedBytesReserved),
    ATTRIBUTE(MEMORY_POOLS_SUPPORTED, 1),
    ATTRIBUTE(MEM_SYNC_DOMAIN_COUNT, 1),
    ATTRIBUTE(NUMA_CONFIG, CU_DEVICE_NUMA_CONFIG_NONE),
    ATTRIBUTE(NUMA_ID, -1),
    ATTRIBUTE(HOST_NUMA_ID, -1),
};
#undef ATTRIBUTE

}  // namespace

int sm_count() {
  static const int count = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  return count;
}

uint64_t number_setting(const char* name, uint64_t otherwise, uint64_t max) {
  const char* text = std::getenv(name);
  if (text == nullptr) {
    return otherwise;
  }
  uint64_t value = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, value);
  if (error == std::errc() && stop == end && value > 0 && value <= max) {
    return value;
  }
  std::fprintf(stderr, "softcuda: %s is \"%s\"; it must be a number from 1 to %llu; using %llu\n",
               name, text, static_cast<unsigned long long>(max),
               static_cast<unsigned long long>(otherwise));
  return otherwise;
}

int device_count() {
  static const int count =
      static_cast<int>(number_setting("FARLANE_SOFTCUDA_DEVICES", 1, kDevicesMax));
  return count;
}

CUuuid device_uuid(CUdevice device) {
  // The same on every machine; the last byte tells a machine's devices apart.
  std::array<unsigned char, 16> bytes = {0xfa, 0x71, 0xa2, 0xe0, 0x50, 0xf7, 0x4d, 0xe1,
                                         0x9c, 0xe0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01};
  bytes.back() = static_cast<unsigned char>(bytes.back() + device);
  CUuuid made;
  static_assert(sizeof made == sizeof bytes);
  std::memcpy(&made, bytes.data(), sizeof made);
  return made;
}

std::string device_pci_bus_id(CUdevice device) {
  char text[16];
  std::snprintf(text, sizeof text, "0000:%02X:%02X.0", kPciBus, static_cast<unsigned>(device));
  return text;
}

bool device_attribute(CUdevice_attribute attribute, CUdevice device, int* value) {
  if (attribute <= 0 || attribute >= CU_DEVICE_ATTRIBUTE_MAX) {
    return false;
  }
  if (attribute == CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT) {
    *value = sm_count();
    return true;
  }
  if (attribute == CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID) {
    *value = device;
    return true;
  }
  const auto* it = std::find_if(std::begin(kAttributes), std::end(kAttributes),
                                [&](const Attribute& entry) { return entry.name == attribute; });
  *value = it == std::end(kAttributes) ? 0 : it->value;
  return true;
}

}  // namespace farlane::softcuda
