// cuDevice*: what devices there are and what they can do.
#include <algorithm>
#include <cstring>

#include "client/cuda/driver.h"
#include "client/cudart/device_attributes.h"
#include "client/cudart/pci_bus_id.h"

using namespace farlane::cuda;

namespace {

// Copies a string as CUDA does: cut to fit, and ended.
CUresult give_text(const std::string& text, char* to, int bytes) {
  if (to == nullptr || bytes <= 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const size_t count = std::min(text.size(), static_cast<size_t>(bytes) - 1);
  std::memcpy(to, text.data(), count);
  to[count] = '\0';
  return CUDA_SUCCESS;
}

CUresult get_uuid(CUuuid* uuid, CUdevice device) {
  return enter_device(device, [&]() -> CUresult {
    if (uuid == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *uuid = core::device_facts(device)->uuid;
    return CUDA_SUCCESS;
  });
}

int attribute(CUdevice device, CUdevice_attribute name) {
  int value = 0;
  return farlane::device_attribute(device, name, &value) == CUDA_SUCCESS ? value : 0;
}

}  // namespace

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  return enter_device(ordinal, [&]() -> CUresult {
    if (device == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *device = ordinal;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetCount(int* count) {
  return enter([&]() -> CUresult {
    if (count == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *count = core::device_count();
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetName(char* name, int len, CUdevice dev) {
  return enter_device(dev, [&] { return give_text(core::device_facts(dev)->name, name, len); });
}

CUresult cuDeviceGetUuid(CUuuid* uuid, CUdevice dev) {
  return get_uuid(uuid, dev);
}
CUresult cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice dev) {
  return get_uuid(uuid, dev);
}

CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice dev) {
  return enter_device(dev, [&]() -> CUresult {
    if (bytes == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *bytes = core::device_facts(dev)->memory_bytes;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetAttribute(int* pi, CUdevice_attribute attrib, CUdevice dev) {
  return enter_device(dev, [&]() -> CUresult {
    return pi == nullptr ? CUDA_ERROR_INVALID_VALUE : farlane::device_attribute(dev, attrib, pi);
  });
}

CUresult cuDeviceComputeCapability(int* major, int* minor, CUdevice dev) {
  return enter_device(dev, [&]() -> CUresult {
    if (major == nullptr || minor == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *major = attribute(dev, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
    *minor = attribute(dev, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetProperties(CUdevprop* prop, CUdevice dev) {
  return enter_device(dev, [&]() -> CUresult {
    if (prop == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto a = [dev](CUdevice_attribute name) { return attribute(dev, name); };
    CUdevprop p = {};
    p.maxThreadsPerBlock = a(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
    p.maxThreadsDim[0] = a(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X);
    p.maxThreadsDim[1] = a(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y);
    p.maxThreadsDim[2] = a(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z);
    p.maxGridSize[0] = a(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X);
    p.maxGridSize[1] = a(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y);
    p.maxGridSize[2] = a(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z);
    p.sharedMemPerBlock = a(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK);
    p.totalConstantMemory = a(CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY);
    p.SIMDWidth = a(CU_DEVICE_ATTRIBUTE_WARP_SIZE);
    p.memPitch = a(CU_DEVICE_ATTRIBUTE_MAX_PITCH);
    p.regsPerBlock = a(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK);
    p.clockRate = a(CU_DEVICE_ATTRIBUTE_CLOCK_RATE);
    p.textureAlign = a(CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT);
    *prop = p;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetPCIBusId(char* pciBusId, int len, CUdevice dev) {
  return enter_device(
      dev, [&] { return give_text(core::device_facts(dev)->pci_bus_id, pciBusId, len); });
}

CUresult cuDeviceGetByPCIBusId(CUdevice* dev, const char* pciBusId) {
  return enter([&]() -> CUresult {
    if (dev == nullptr || pciBusId == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return farlane::device_by_pci_bus_id(pciBusId, dev);
  });
}

CUresult cuDeviceCanAccessPeer(int* canAccessPeer, CUdevice dev, CUdevice peerDev) {
  return enter_device(dev, [&]() -> CUresult {
    if (canAccessPeer == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (const CUresult result = check_device(peerDev); result != CUDA_SUCCESS) {
      return result;
    }
    *canAccessPeer = dev != peerDev && core::can_access_peer(dev, peerDev) ? 1 : 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetP2PAttribute(int* value, CUdevice_P2PAttribute attrib, CUdevice srcDevice,
                                 CUdevice dstDevice) {
  return enter_device(srcDevice, [&]() -> CUresult {
    if (value == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (const CUresult result = check_device(dstDevice); result != CUDA_SUCCESS) {
      return result;
    }
    return core::peer_attribute(srcDevice, dstDevice, attrib, value);
  });
}

CUresult cuDeviceGetExecAffinitySupport(int* pi, CUexecAffinityType, CUdevice dev) {
  return enter_device(dev, [&]() -> CUresult {
    if (pi == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *pi = 0;
    return CUDA_SUCCESS;
  });
}
