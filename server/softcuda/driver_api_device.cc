// cuInit, cuDevice*, cuDevicePrimaryCtx*, cuProfiler*.
#include <pthread.h>

#include <cstdio>
#include <cstring>
#include <mutex>
#include <utility>

#include "server/softcuda/driver_call.h"
#include "server/softcuda/driver_device.h"

using namespace farlane::softcuda;

namespace {

// The executor threads stay with the parent, so the child has no driver: CUDA says the same.
void after_fork_in_child() {
  Driver::instance().forked.store(true);
  Driver::instance().initialized.store(false);
}

}  // namespace

extern "C" {

CUresult cuInit(unsigned int flags) {
  return guarded([&]() -> CUresult {
    if (flags != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    Driver& driver = Driver::instance();
    if (driver.forked.load()) {
      return CUDA_ERROR_NOT_INITIALIZED;
    }
    static const int handler_result = pthread_atfork(nullptr, nullptr, &after_fork_in_child);
    if (handler_result != 0) {
      return CUDA_ERROR_OPERATING_SYSTEM;
    }
    DeviceMemory::instance();
    driver.initialized.store(true);
    return CUDA_SUCCESS;
  });
}

CUresult cuDriverGetVersion(int* version) {
  if (version == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *version = kDriverVersion;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  return initialized([&]() -> CUresult {
    if (device == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (!is_our_device(ordinal)) {
      return CUDA_ERROR_INVALID_DEVICE;
    }
    *device = ordinal;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetCount(int* count) {
  return initialized([&]() -> CUresult {
    if (count == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *count = device_count();
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetName(char* name, int len, CUdevice device) {
  return on_device(device, [&]() -> CUresult {
    if (name == nullptr || len <= 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::snprintf(name, static_cast<size_t>(len), "%s", kDeviceName);
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice device) {
  return on_device(device, [&]() -> CUresult {
    if (uuid == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *uuid = device_uuid(device);
    return CUDA_SUCCESS;
  });
}

#undef cuDeviceGetUuid
CUresult cuDeviceGetUuid(CUuuid* uuid, CUdevice device) {
  return cuDeviceGetUuid_v2(uuid, device);
}

CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice device) {
  return on_device(device, [&]() -> CUresult {
    if (bytes == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *bytes = DeviceMemory::instance().total_bytes();
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  return on_device(device, [&]() -> CUresult {
    return value != nullptr && device_attribute(attribute, device, value)
               ? CUDA_SUCCESS
               : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuDeviceGetPCIBusId(char* text, int len, CUdevice device) {
  return on_device(device, [&]() -> CUresult {
    const std::string id = device_pci_bus_id(device);
    if (text == nullptr || len <= static_cast<int>(id.size())) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::memcpy(text, id.c_str(), id.size() + 1);
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetByPCIBusId(CUdevice* device, const char* text) {
  return initialized([&]() -> CUresult {
    if (device == nullptr || text == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    // [domain]:[bus]:[device].[function], [domain]:[bus]:[device] or [bus]:[device].[function]
    unsigned domain = 0, bus = 0, slot = 0, function = 0;
    const bool understood =
        std::sscanf(text, "%x:%x:%x.%x", &domain, &bus, &slot, &function) >= 3 ||
        (domain = 0, std::sscanf(text, "%x:%x.%x", &bus, &slot, &function)) >= 2;
    if (!understood) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (domain != 0 || bus != kPciBus || slot >= static_cast<unsigned>(device_count())) {
      return CUDA_ERROR_INVALID_DEVICE;
    }
    *device = static_cast<CUdevice>(slot);
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceCanAccessPeer(int* can, CUdevice device, CUdevice peer) {
  return on_device(device, [&]() -> CUresult {
    if (can == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (!is_our_device(peer)) {
      return CUDA_ERROR_INVALID_DEVICE;
    }
    *can = device != peer ? 1 : 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetP2PAttribute(int* value, CUdevice_P2PAttribute attribute, CUdevice source,
                                 CUdevice destination) {
  return on_device(source, [&]() -> CUresult {
    if (value == nullptr || attribute < CU_DEVICE_P2P_ATTRIBUTE_PERFORMANCE_RANK ||
        attribute > CU_DEVICE_P2P_ATTRIBUTE_ONLY_PARTIAL_NATIVE_ATOMIC_SUPPORTED) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (!is_our_device(destination) || source == destination) {
      return CUDA_ERROR_INVALID_DEVICE;  // they are of two different ones
    }
    *value = attribute == CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED ||
                     attribute == CU_DEVICE_P2P_ATTRIBUTE_NATIVE_ATOMIC_SUPPORTED
                 ? 1
                 : 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetExecAffinitySupport(int* value, CUexecAffinityType, CUdevice device) {
  return on_device(device, [&]() -> CUresult {
    if (value == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *value = 0;
    return CUDA_SUCCESS;
  });
}

// --- primary context

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  return on_device(device, [&]() -> CUresult {
    if (context == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    Driver& driver = Driver::instance();
    const std::lock_guard lock(driver.primary_mutex);
    PrimaryContext& primary = driver.primaries[static_cast<size_t>(device)];
    if (primary.context == nullptr) {
      primary.context = make_context(device, primary.flags, true);
    }
    ++primary.references;
    *context = primary.context->handle;
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  return on_device(device, [&]() -> CUresult {
    Driver& driver = Driver::instance();
    ContextPtr last;
    {
      const std::lock_guard lock(driver.primary_mutex);
      PrimaryContext& primary = driver.primaries[static_cast<size_t>(device)];
      if (primary.references == 0) {
        return CUDA_ERROR_INVALID_CONTEXT;
      }
      if (--primary.references == 0) {
        last = std::move(primary.context);
      }
    }
    if (last != nullptr) {
      destroy_context(last);
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice device) {
  return on_device(device, [&]() -> CUresult {
    Driver& driver = Driver::instance();
    ContextPtr old;
    {
      const std::lock_guard lock(driver.primary_mutex);
      old = std::exchange(driver.primaries[static_cast<size_t>(device)], {}).context;
    }
    if (old != nullptr) {
      destroy_context(old);
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned int flags) {
  return on_device(device, [&]() -> CUresult {
    if ((flags & ~unsigned{CU_CTX_FLAGS_MASK}) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    Driver& driver = Driver::instance();
    const std::lock_guard lock(driver.primary_mutex);
    PrimaryContext& primary = driver.primaries[static_cast<size_t>(device)];
    primary.flags = flags;
    if (primary.context != nullptr) {
      primary.context->flags = flags;
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned int* flags, int* active) {
  return on_device(device, [&]() -> CUresult {
    if (flags == nullptr || active == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    Driver& driver = Driver::instance();
    const std::lock_guard lock(driver.primary_mutex);
    const PrimaryContext& primary = driver.primaries[static_cast<size_t>(device)];
    *flags = primary.flags;
    *active = primary.context != nullptr ? 1 : 0;
    return CUDA_SUCCESS;
  });
}

// --- profiler: there is nothing to switch

CUresult cuProfilerStart(void) {
  return in_context([](const ContextPtr&) { return CUDA_SUCCESS; });
}
CUresult cuProfilerStop(void) {
  return in_context([](const ContextPtr&) { return CUDA_SUCCESS; });
}

}  // extern "C"
