// What the software device claims to be: modelled on compute capability 9.0, with "no" wherever
// this device cannot do what an H100 can. A machine has FARLANE_SOFTCUDA_DEVICES of them (1 by
// default); they are alike, and reach each other's memory as over NVLink.
#pragma once

#include <cstdint>
#include <string>

#include "server/softcuda/driver_cuda.h"

namespace farlane::softcuda {

constexpr int kDriverVersion = 13000;
constexpr uint32_t kArch = 90;
constexpr char kDeviceName[] = "Farlane Software Device";
constexpr int kDevicesMax = 8;
constexpr int kPciBus = 0xfa;  // a device's place on it is its number

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
int device_count();
CUuuid device_uuid(CUdevice device);
std::string device_pci_bus_id(CUdevice device);  // "0000:FA:00.0"

// False for an attribute that cuda.h does not name.
bool device_attribute(CUdevice_attribute attribute, CUdevice device, int* value);

// A number from the environment, within [1, max]; a line on stderr and `otherwise` when it is none.
uint64_t number_setting(const char* name, uint64_t otherwise, uint64_t max);

}  // namespace farlane::softcuda
