// Devices: which one a thread uses, what they can do, limits and flags.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "client/cudart/device_attributes.h"
#include "client/cudart/pci_bus_id.h"
#include "client/cudart/registration.h"
#include "client/cudart/runtime.h"

using namespace farlane::cudart;

namespace {

constexpr int kDevicesMax = 64;

// cudaSetDeviceFlags is remembered per device; nothing on the way to a remote device spins, yields
// or blocks differently for it.
std::atomic<unsigned> device_flags[kDevicesMax];
std::atomic<int> device_cache_config[kDevicesMax];

bool flags_are_valid(unsigned flags) {
  const unsigned schedule = flags & cudaDeviceScheduleMask;
  return (flags & ~static_cast<unsigned>(cudaDeviceMask)) == 0 &&
         (schedule == cudaDeviceScheduleAuto || schedule == cudaDeviceScheduleSpin ||
          schedule == cudaDeviceScheduleYield || schedule == cudaDeviceScheduleBlockingSync);
}

Error set_device(int device) {
  if (Error error = check_device(device)) {
    return error;
  }
  if (core::in_host_function()) {
    // Guards set devices in destructors, where an error ends the program; a context the thread must
    // not get, because its calls would wait for work that waits for it.
    set_thread_device(device);
    return {};
  }
  if (const CUresult result = core::make_device_current(device); result != CUDA_SUCCESS) {
    return result;
  }
  set_thread_device(device);
  load_registered_if_eager(device);
  return {};
}

}  // namespace

cudaError_t cudaGetDeviceCount(int* count) {
  return enter([&]() -> Error {
    if (count == nullptr) {
      return cudaErrorInvalidValue;
    }
    *count = 0;
    if (Error error = need_session()) {
      return error;
    }
    *count = core::device_count();
    return {};
  });
}

cudaError_t cudaGetDevice(int* device) {
  return enter([&]() -> Error {
    if (device == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (Error error = need_devices()) {
      return error;
    }
    *device = thread_device();
    return {};
  });
}

cudaError_t cudaSetDevice(int device) {
  return enter([&] { return set_device(device); });
}

cudaError_t cudaInitDevice(int device, unsigned int deviceFlags, unsigned int flags) {
  return enter([&]() -> Error {
    if ((flags & ~static_cast<unsigned>(cudaInitDeviceFlagsAreValid)) != 0 ||
        ((flags & cudaInitDeviceFlagsAreValid) != 0 && !flags_are_valid(deviceFlags))) {
      return cudaErrorInvalidValue;
    }
    if (Error error = check_device(device)) {
      return error;
    }
    if ((flags & cudaInitDeviceFlagsAreValid) != 0 && device < kDevicesMax) {
      device_flags[device] = deviceFlags;
    }
    return {};
  });
}

cudaError_t cudaSetValidDevices(int* device_arr, int len) {
  return enter([&]() -> Error {
    if (len < 0 || (len > 0 && device_arr == nullptr)) {
      return cudaErrorInvalidValue;
    }
    for (int i = 0; i < len; i++) {
      if (Error error = check_device(device_arr[i])) {
        return error;
      }
    }
    if (len > 0 && core::current_device() < 0) {
      set_thread_device(device_arr[0]);
    }
    return {};
  });
}

cudaError_t cudaSetDeviceFlags(unsigned int flags) {
  return enter([&]() -> Error {
    if (!flags_are_valid(flags)) {
      return cudaErrorInvalidValue;
    }
    if (Error error = need_session()) {
      return error;
    }
    if (const int device = thread_device(); device < kDevicesMax) {
      device_flags[device] = flags;
    }
    return {};
  });
}

cudaError_t cudaGetDeviceFlags(unsigned int* flags) {
  return enter_context([&](int device) -> Error {
    if (flags == nullptr) {
      return cudaErrorInvalidValue;
    }
    // CUDA adds that host memory may be mapped, always.
    *flags = cudaDeviceMapHost | (device < kDevicesMax ? device_flags[device].load() : 0);
    return {};
  });
}

cudaError_t cudaDeviceSynchronize() {
  return enter_context([](int device) -> Error { return core::device_synchronize(device); });
}

cudaError_t cudaDeviceReset() {
  return enter([]() -> Error {
    if (Error error = need_session()) {
      return error;
    }
    return core::device_reset(thread_device());
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attr, int device) {
  return enter([&]() -> Error {
    if (value == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (Error error = check_device(device)) {
      return error;
    }
    // The runtime's attributes have the driver's numbers.
    return farlane::device_attribute(device, static_cast<CUdevice_attribute>(attr), value);
  });
}

cudaError_t cudaDeviceGetLimit(size_t* pValue, cudaLimit limit) {
  return enter_context([&](int device) -> Error {
    if (pValue == nullptr) {
      return cudaErrorInvalidValue;
    }
    return core::limit_get(device, static_cast<CUlimit>(limit), pValue);
  });
}

cudaError_t cudaDeviceSetLimit(cudaLimit limit, size_t value) {
  return enter_context([&](int device) -> Error {
    return core::limit_set(device, static_cast<CUlimit>(limit), value);
  });
}

cudaError_t cudaDeviceGetCacheConfig(cudaFuncCache* pCacheConfig) {
  return enter_context([&](int device) -> Error {
    if (pCacheConfig == nullptr) {
      return cudaErrorInvalidValue;
    }
    *pCacheConfig = static_cast<cudaFuncCache>(device < kDevicesMax
                                                   ? device_cache_config[device].load()
                                                   : static_cast<int>(cudaFuncCachePreferNone));
    return {};
  });
}

cudaError_t cudaDeviceSetCacheConfig(cudaFuncCache cacheConfig) {
  return enter_context([&](int device) -> Error {
    if (cacheConfig < cudaFuncCachePreferNone || cacheConfig > cudaFuncCachePreferEqual) {
      return cudaErrorInvalidValue;
    }
    // A preference: the architectures of CUDA 13 decide per kernel.
    if (device < kDevicesMax) {
      device_cache_config[device] = cacheConfig;
    }
    return {};
  });
}

cudaError_t cudaDeviceGetSharedMemConfig(cudaSharedMemConfig* pConfig) {
  return enter_context([&](int) -> Error {
    if (pConfig == nullptr) {
      return cudaErrorInvalidValue;
    }
    *pConfig = cudaSharedMemBankSizeFourByte;  // the only one since compute capability 5.0
    return {};
  });
}

cudaError_t cudaDeviceSetSharedMemConfig(cudaSharedMemConfig config) {
  return enter_context([&](int) -> Error {
    return config >= cudaSharedMemBankSizeDefault && config <= cudaSharedMemBankSizeEightByte
               ? cudaSuccess
               : cudaErrorInvalidValue;
  });
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* leastPriority, int* greatestPriority) {
  return enter_context([&](int device) -> Error {
    const core::DeviceFacts* facts = core::device_facts(device);
    if (facts == nullptr) {
      return cudaErrorInvalidDevice;
    }
    if (leastPriority != nullptr) {
      *leastPriority = facts->stream_priority_least;
    }
    if (greatestPriority != nullptr) {
      *greatestPriority = facts->stream_priority_greatest;
    }
    return {};
  });
}

cudaError_t cudaDeviceGetPCIBusId(char* pciBusId, int len, int device) {
  return enter([&]() -> Error {
    if (pciBusId == nullptr || len <= 0) {
      return cudaErrorInvalidValue;
    }
    if (Error error = check_device(device)) {
      return error;
    }
    const std::string& id = core::device_facts(device)->pci_bus_id;
    const size_t bytes = std::min(id.size(), static_cast<size_t>(len) - 1);
    std::memcpy(pciBusId, id.data(), bytes);
    pciBusId[bytes] = '\0';
    return bytes == id.size() ? cudaSuccess : cudaErrorInvalidValue;
  });
}

cudaError_t cudaDeviceGetByPCIBusId(int* device, const char* pciBusId) {
  return enter([&]() -> Error {
    if (device == nullptr || pciBusId == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (Error error = need_session()) {
      return error;
    }
    return farlane::device_by_pci_bus_id(pciBusId, device);
  });
}

cudaError_t cudaDeviceCanAccessPeer(int* canAccessPeer, int device, int peerDevice) {
  return enter([&]() -> Error {
    if (canAccessPeer == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (Error error = check_device(device)) {
      return error;
    }
    if (Error error = check_device(peerDevice)) {
      return error;
    }
    *canAccessPeer = device != peerDevice && core::can_access_peer(device, peerDevice) ? 1 : 0;
    return {};
  });
}

cudaError_t cudaDeviceEnablePeerAccess(int peerDevice, unsigned int flags) {
  return enter_context([&](int device) -> Error {
    if (Error error = check_device(peerDevice)) {
      return error;
    }
    if (flags != 0) {
      return cudaErrorInvalidValue;
    }
    return core::peer_access_enable(device, peerDevice);
  });
}

cudaError_t cudaDeviceDisablePeerAccess(int peerDevice) {
  return enter_context([&](int device) -> Error {
    if (Error error = check_device(peerDevice)) {
      return error;
    }
    return core::peer_access_disable(device, peerDevice);
  });
}

cudaError_t cudaDeviceGetP2PAttribute(int* value, cudaDeviceP2PAttr attr, int srcDevice,
                                      int dstDevice) {
  return enter([&]() -> Error {
    if (value == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (Error error = check_device(srcDevice)) {
      return error;
    }
    if (Error error = check_device(dstDevice)) {
      return error;
    }
    // The runtime's attributes have the driver's numbers.
    return core::peer_attribute(srcDevice, dstDevice, static_cast<CUdevice_P2PAttribute>(attr),
                                value);
  });
}

cudaError_t cudaDriverGetVersion(int* driverVersion) {
  return enter([&]() -> Error {
    if (driverVersion == nullptr) {
      return cudaErrorInvalidValue;
    }
    *driverVersion = core::driver_version();
    return {};
  });
}

cudaError_t cudaRuntimeGetVersion(int* runtimeVersion) {
  return enter([&]() -> Error {
    if (runtimeVersion == nullptr) {
      return cudaErrorInvalidValue;
    }
    *runtimeVersion = CUDART_VERSION;
    return {};
  });
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  return enter_context([&](int device) -> Error {
    if (free == nullptr || total == nullptr) {
      return cudaErrorInvalidValue;
    }
    return core::memory_info(device, free, total);
  });
}

cudaError_t cudaCtxResetPersistingL2Cache() {
  // Nothing of ours sets lines aside, so there is nothing to give back.
  return enter_context([](int) { return Error(); });
}
