// How much memory is used, and by whom.
#include <unistd.h>

#include "client/nvml/forward.h"

using namespace farlane::nvml;

namespace {

// What CUDA says where the server has no NVML: free memory as the program's session sees it, or as
// it was when the server's first worker started.
nvmlReturn_t memory_by_cuda(Device& device, nvmlMemory_t* memory) {
  size_t free_bytes = device.told.free_bytes;
  size_t total_bytes = device.told.facts.memory_bytes;
  const int ordinal = core::session_device(device.told.facts.uuid);
  const bool known = ordinal >= 0
                         ? core::memory_info(ordinal, &free_bytes, &total_bytes) == CUDA_SUCCESS
                         : free_bytes != 0;
  if (!known) return NVML_ERROR_NOT_SUPPORTED;
  *memory = {total_bytes, free_bytes, total_bytes - free_bytes};
  return NVML_SUCCESS;
}

// The server's workers are processes there; their numbers mean nothing here. What can be told is
// this very process.
template <class Info>
nvmlReturn_t own_process(nvmlDevice_t handle, unsigned* count, Info* infos) {
  return enter_device(handle, [&](Device& device) -> nvmlReturn_t {
    if (count == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    const unsigned room = *count;
    const int ordinal = core::session_device(device.told.facts.uuid);
    *count = ordinal >= 0 ? 1 : 0;
    if (*count == 0) return NVML_SUCCESS;
    if (room == 0) return NVML_ERROR_INSUFFICIENT_SIZE;
    if (infos == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    size_t now = 0;
    size_t high = 0;
    core::memory_in_use(ordinal, &now, &high);
    infos[0] = {};
    infos[0].pid = static_cast<unsigned>(::getpid());
    infos[0].usedGpuMemory = now + core::memory_created(ordinal);
    if constexpr (requires { infos[0].gpuInstanceId; }) {
      infos[0].gpuInstanceId = 0xffffffff;
      infos[0].computeInstanceId = 0xffffffff;
    }
    return NVML_SUCCESS;
  });
}

nvmlReturn_t no_process(nvmlDevice_t handle, unsigned* count) {
  return enter_device(handle, [&](Device&) -> nvmlReturn_t {
    if (count == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *count = 0;
    return NVML_SUCCESS;
  });
}

}  // namespace

extern "C" {

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t* memory) {
  const nvmlReturn_t result = forward("nvmlDeviceGetMemoryInfo", device, memory);
  if (result != NVML_ERROR_NOT_SUPPORTED) return result;
  return enter_device(device, [&](Device& found) { return memory_by_cuda(found, memory); });
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t* memory) {
  if (memory != nullptr && memory->version != nvmlMemory_v2) {
    return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  }
  const nvmlReturn_t result = forward("nvmlDeviceGetMemoryInfo_v2", device, memory);
  if (result != NVML_ERROR_NOT_SUPPORTED) return result;
  return enter_device(device, [&](Device& found) -> nvmlReturn_t {
    nvmlMemory_t known = {};
    const nvmlReturn_t answer = memory_by_cuda(found, &known);
    if (answer != NVML_SUCCESS) return answer;
    memory->total = known.total;
    memory->reserved = 0;
    memory->free = known.free;
    memory->used = known.used;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses(nvmlDevice_t device, unsigned int* infoCount,
                                                  nvmlProcessInfo_v1_t* infos) {
  return own_process(device, infoCount, infos);
}
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v2(nvmlDevice_t device, unsigned int* infoCount,
                                                     nvmlProcessInfo_v2_t* infos) {
  return own_process(device, infoCount, infos);
}
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int* infoCount,
                                                     nvmlProcessInfo_t* infos) {
  return own_process(device, infoCount, infos);
}

nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses(nvmlDevice_t device, unsigned int* infoCount,
                                                   nvmlProcessInfo_v1_t*) {
  return no_process(device, infoCount);
}
nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v2(nvmlDevice_t device, unsigned int* infoCount,
                                                      nvmlProcessInfo_v2_t*) {
  return no_process(device, infoCount);
}
nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t device, unsigned int* infoCount,
                                                      nvmlProcessInfo_t*) {
  return no_process(device, infoCount);
}
nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses(nvmlDevice_t device, unsigned int* infoCount,
                                                     nvmlProcessInfo_v1_t*) {
  return no_process(device, infoCount);
}
nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v2(nvmlDevice_t device,
                                                        unsigned int* infoCount,
                                                        nvmlProcessInfo_v2_t*) {
  return no_process(device, infoCount);
}
nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v3(nvmlDevice_t device,
                                                        unsigned int* infoCount,
                                                        nvmlProcessInfo_t*) {
  return no_process(device, infoCount);
}

}  // extern "C"
