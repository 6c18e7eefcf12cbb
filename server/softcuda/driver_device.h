// What the software device claims to be: modelled on compute capability 9.0, with "no" wherever
// this device cannot do what an H100 can.
#pragma once

#include <cstdint>

#include "server/softcuda/driver_cuda.h"

namespace farlane::softcuda {

constexpr int kDriverVersion = 13000;
constexpr uint32_t kArch = 90;
constexpr char kDeviceName[] = "Farlane Software Device";
constexpr char kPciBusId[] = "0000:FA:00.0";

constexpr unsigned kWarpThreads = 32;
constexpr unsigned kBlockThreadsMax = 1024;
constexpr unsigned kBlockDimMax[3] = {1024, 1024, 64};
constexpr unsigned kGridDimMax[3] = {0x7fffffff, 65535, 65535};
constexpr unsigned kSmThreadsMax = 2048;
constexpr unsigned kSmBlocksMax = 32;
constexpr unsigned kSmRegisters = 65536;
constexpr unsigned kBlockRegistersMax = 65536;
constexpr unsigned kSharedBytesPerBlock = 48 << 10;
constexpr unsigned kSharedBytesPerBlockOptIn = 227 << 10;
constexpr unsigned kSharedBytesPerSm = 228 << 10;
constexpr unsigned kSharedBytesReserved = 1 << 10;  // per resident block
constexpr int kParamBytesMax = 32764;
constexpr int kStreamPriorityLeast = 0;
constexpr int kStreamPriorityGreatest = -5;

int sm_count();  // the machine's hardware threads
const CUuuid& device_uuid();

// False for an attribute that cuda.h does not name.
bool device_attribute(CUdevice_attribute attribute, int* value);

}  // namespace farlane::softcuda
