// What monitoring libraries stand on (NVML). They are asked by programs that do not use the GPU and
// by processes that fork afterwards, so nothing here starts a session: the server's devices are
// asked for on a connection of their own, which a forked child opens anew.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/core/api.h"

namespace farlane::client {

struct ServerDevice {
  DeviceFacts facts;
  std::vector<std::pair<int, int>> attributes;  // CUdevice_attribute and value, in ascending order
  std::vector<uint32_t> peers;                  // places in the same list
  uint64_t free_bytes = 0;  // when the server's first worker started; 0: unknown
};

// All devices, whatever CUDA_VISIBLE_DEVICES says, in the order of the session if this process has
// one, else in the server's; by PCI address if CUDA_DEVICE_ORDER says so. kServerLost: the server
// cannot be reached (said in the log, once).
FARLANE_CORE_API CUresult server_devices(std::vector<ServerDevice>* devices);

// The session's ordinal (as cudaSetDevice counts) of the device with that name; -1: there is no
// session, or it does not see the device.
FARLANE_CORE_API int session_device(const CUuuid& uuid);

// A call of the server's NVML: protocol/api/wire.api, monitor_call.
struct MonitorBuffer {
  void* memory = nullptr;  // in and out; null stays null over there
  uint32_t bytes = 0;
};
struct MonitorCall {
  std::string_view function;
  std::vector<CUuuid> devices;
  std::vector<uint64_t> numbers;
  std::vector<MonitorBuffer> buffers;
};
// CUDA_SUCCESS: `*result` is NVML's answer. CUDA_ERROR_NOT_SUPPORTED: the server has no NVML.
// kServerLost: it cannot be reached; the next call tries again.
FARLANE_CORE_API CUresult monitor_call(const MonitorCall& call, int* result);

}  // namespace farlane::client
