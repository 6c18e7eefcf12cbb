// Contexts. A device has one primary context; created ones are further names that share its
// resources, and take with them what was made while they were current. The stack of current
// contexts is the core's, so that all façades see the same one.
#include <atomic>

#include "client/cuda/driver.h"

using namespace farlane::cuda;

namespace {

constexpr int kDevicesMax = 64;

struct Primary {
  std::atomic<unsigned> flags = 0;  // hints; nothing on the way to a remote device differs for them
  std::atomic<int> retained = 0;
  std::atomic<int> cache_config = CU_FUNC_CACHE_PREFER_NONE;
};
Primary primaries[kDevicesMax];

Primary& primary_of(int device) {
  return primaries[device % kDevicesMax];
}

bool flags_are_valid(unsigned flags) {
  const unsigned schedule = flags & CU_CTX_SCHED_MASK;
  return (flags & ~static_cast<unsigned>(CU_CTX_FLAGS_MASK)) == 0 &&
         (schedule == CU_CTX_SCHED_AUTO || schedule == CU_CTX_SCHED_SPIN ||
          schedule == CU_CTX_SCHED_YIELD || schedule == CU_CTX_SCHED_BLOCKING_SYNC);
}

bool is_primary(CUcontext context, int device) {
  CUcontext primary = nullptr;
  return core::context_primary(device, &primary) == CUDA_SUCCESS && primary == context;
}

// Makes a context and pushes it.
CUresult create(CUcontext* context, unsigned flags, CUdevice device) {
  return enter_device(device, [&]() -> CUresult {
    if (context == nullptr || !flags_are_valid(flags)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    CUcontext made = nullptr;
    if (const CUresult result = core::context_create(device, flags, &made);
        result != CUDA_SUCCESS) {
      return result;
    }
    if (const CUresult result = core::context_push(made); result != CUDA_SUCCESS) {
      (void)core::context_destroy(made);
      return result;
    }
    *context = made;
    return CUDA_SUCCESS;
  });
}

CUresult destroy(CUcontext context) {
  return enter([&]() -> CUresult {
    return context == nullptr ? CUDA_ERROR_INVALID_VALUE : core::context_destroy(context);
  });
}

CUresult push(CUcontext context) {
  return enter([&]() -> CUresult {
    return context == nullptr ? CUDA_ERROR_INVALID_VALUE : core::context_push(context);
  });
}

CUresult pop(CUcontext* context) {
  return enter([&] { return core::context_pop(context); });
}

CUresult primary_release(CUdevice device) {
  return enter_device(device, [&]() -> CUresult {
    std::atomic<int>& retained = primary_of(device).retained;
    int count = retained.load();
    do {
      if (count == 0) {
        return CUDA_ERROR_INVALID_CONTEXT;
      }
    } while (!retained.compare_exchange_weak(count, count - 1));
    return CUDA_SUCCESS;
  });
}

CUresult primary_reset(CUdevice device) {
  return enter_device(device, [&] { return core::device_reset(device); });
}

CUresult primary_set_flags(CUdevice device, unsigned flags) {
  return enter_device(device, [&]() -> CUresult {
    if (!flags_are_valid(flags)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    primary_of(device).flags = flags;
    return CUDA_SUCCESS;
  });
}

// The device of a context, or of the current one for null.
CUresult device_of(CUcontext context, int* device) {
  if (context == nullptr) {
    context = core::context_current();
  }
  return context == nullptr ? CUDA_ERROR_INVALID_CONTEXT : core::context_device(context, device);
}

}  // namespace

CUresult cuCtxCreate(CUcontext* pctx, unsigned int flags, CUdevice dev) {
  return create(pctx, flags, dev);
}
CUresult cuCtxCreate_v2(CUcontext* pctx, unsigned int flags, CUdevice dev) {
  return create(pctx, flags, dev);
}
CUresult cuCtxCreate_v3(CUcontext* pctx, CUexecAffinityParam*, int numParams, unsigned int flags,
                        CUdevice dev) {
  return numParams != 0 ? not_supported("cuCtxCreate with execution affinity")
                        : create(pctx, flags, dev);
}
CUresult cuCtxCreate_v4(CUcontext* pctx, CUctxCreateParams* ctxCreateParams, unsigned int flags,
                        CUdevice dev) {
  if (ctxCreateParams != nullptr &&
      (ctxCreateParams->numExecAffinityParams != 0 || ctxCreateParams->cigParams != nullptr)) {
    return not_supported("cuCtxCreate with execution affinity or graphics sharing");
  }
  return create(pctx, flags, dev);
}

CUresult cuCtxDestroy(CUcontext ctx) {
  return destroy(ctx);
}
CUresult cuCtxDestroy_v2(CUcontext ctx) {
  return destroy(ctx);
}
CUresult cuCtxPushCurrent(CUcontext ctx) {
  return push(ctx);
}
CUresult cuCtxPushCurrent_v2(CUcontext ctx) {
  return push(ctx);
}
CUresult cuCtxPopCurrent(CUcontext* pctx) {
  return pop(pctx);
}
CUresult cuCtxPopCurrent_v2(CUcontext* pctx) {
  return pop(pctx);
}

CUresult cuCtxSetCurrent(CUcontext ctx) {
  return enter([&] { return core::context_set_current(ctx); });
}

CUresult cuCtxGetCurrent(CUcontext* pctx) {
  return enter_any([&]() -> CUresult {
    if (pctx == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *pctx = core::context_current();
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetDevice(CUdevice* device) {
  return enter_context([&](int current) -> CUresult {
    if (device == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *device = current;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetDevice_v2(CUdevice* device, CUcontext ctx) {
  return enter([&]() -> CUresult {
    return device == nullptr ? CUDA_ERROR_INVALID_VALUE : device_of(ctx, device);
  });
}

CUresult cuCtxGetFlags(unsigned int* flags) {
  return enter_context([&](int device) -> CUresult {
    if (flags == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const CUcontext current = core::context_current();
    if (is_primary(current, device)) {
      *flags = primary_of(device).flags;
      return CUDA_SUCCESS;
    }
    return core::context_flags(current, flags);
  });
}

CUresult cuCtxSetFlags(unsigned int flags) {
  return enter_context([&](int device) -> CUresult {
    if (!flags_are_valid(flags)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (is_primary(core::context_current(), device)) {
      primary_of(device).flags = flags;
      return CUDA_SUCCESS;
    }
    return not_supported("cuCtxSetFlags of a context made by cuCtxCreate");
  });
}

CUresult cuCtxGetId(CUcontext ctx, unsigned long long* ctxId) {
  return enter([&]() -> CUresult {
    if (ctxId == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const CUcontext context = ctx != nullptr ? ctx : core::context_current();
    int device = 0;
    if (const CUresult result = device_of(context, &device); result != CUDA_SUCCESS) {
      return result == CUDA_ERROR_INVALID_CONTEXT ? CUDA_ERROR_CONTEXT_IS_DESTROYED : result;
    }
    *ctxId = reinterpret_cast<unsigned long long>(context);  // handles are not used twice
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetApiVersion(CUcontext ctx, unsigned int* version) {
  return enter([&]() -> CUresult {
    if (version == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    int device = 0;
    if (const CUresult result = device_of(ctx, &device); result != CUDA_SUCCESS) {
      return result;
    }
    *version = 3020;  // the version of the context ABI, unchanged since CUDA 3.2
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSynchronize() {
  return enter_context([](int device) { return core::device_synchronize(device); });
}

CUresult cuCtxSynchronize_v2(CUcontext ctx) {
  return enter([&]() -> CUresult {
    int device = 0;
    const CUresult result = device_of(ctx, &device);
    return result == CUDA_SUCCESS ? core::device_synchronize(device) : result;
  });
}

CUresult cuCtxGetLimit(size_t* pvalue, CUlimit limit) {
  return enter_context([&](int device) -> CUresult {
    return pvalue == nullptr ? CUDA_ERROR_INVALID_VALUE : core::limit_get(device, limit, pvalue);
  });
}

CUresult cuCtxSetLimit(CUlimit limit, size_t value) {
  return enter_context([&](int device) { return core::limit_set(device, limit, value); });
}

CUresult cuCtxGetCacheConfig(CUfunc_cache* pconfig) {
  return enter_context([&](int device) -> CUresult {
    if (pconfig == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *pconfig = static_cast<CUfunc_cache>(primary_of(device).cache_config.load());
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSetCacheConfig(CUfunc_cache config) {
  return enter_context([&](int device) -> CUresult {
    if (config < CU_FUNC_CACHE_PREFER_NONE || config > CU_FUNC_CACHE_PREFER_EQUAL) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    primary_of(device).cache_config = config;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetSharedMemConfig(CUsharedconfig* pConfig) {
  return enter_context([&](int) -> CUresult {
    if (pConfig == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *pConfig = CU_SHARED_MEM_CONFIG_FOUR_BYTE_BANK_SIZE;  // the only one since capability 5.0
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSetSharedMemConfig(CUsharedconfig config) {
  return enter_context([&](int) -> CUresult {
    return config >= CU_SHARED_MEM_CONFIG_DEFAULT_BANK_SIZE &&
                   config <= CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE
               ? CUDA_SUCCESS
               : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuCtxGetStreamPriorityRange(int* leastPriority, int* greatestPriority) {
  return enter_context([&](int device) -> CUresult {
    const core::DeviceFacts* facts = core::device_facts(device);
    if (facts == nullptr) {
      return CUDA_ERROR_INVALID_DEVICE;
    }
    if (leastPriority != nullptr) {
      *leastPriority = facts->stream_priority_least;
    }
    if (greatestPriority != nullptr) {
      *greatestPriority = facts->stream_priority_greatest;
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxEnablePeerAccess(CUcontext peerContext, unsigned int Flags) {
  return enter_context([&](int device) -> CUresult {
    int peer = 0;
    if (peerContext == nullptr || peerContext == core::context_current() ||
        core::context_device(peerContext, &peer) != CUDA_SUCCESS) {
      return CUDA_ERROR_INVALID_CONTEXT;
    }
    return Flags != 0 ? CUDA_ERROR_INVALID_VALUE : core::peer_access_enable(device, peer);
  });
}

CUresult cuCtxDisablePeerAccess(CUcontext peerContext) {
  return enter_context([&](int device) -> CUresult {
    int peer = 0;
    if (peerContext == nullptr || core::context_device(peerContext, &peer) != CUDA_SUCCESS) {
      return CUDA_ERROR_INVALID_CONTEXT;
    }
    return core::peer_access_disable(device, peer);
  });
}

CUresult cuCtxResetPersistingL2Cache() {
  // Nothing of ours sets lines aside, so there is nothing to give back.
  return enter_context([](int) { return CUDA_SUCCESS; });
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* pctx, CUdevice dev) {
  return enter_device(dev, [&]() -> CUresult {
    if (pctx == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const CUresult result = core::context_primary(dev, pctx);
    if (result == CUDA_SUCCESS) {
      primary_of(dev).retained++;
    }
    return result;
  });
}

CUresult cuDevicePrimaryCtxRelease(CUdevice dev) {
  return primary_release(dev);
}
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice dev) {
  return primary_release(dev);
}
CUresult cuDevicePrimaryCtxReset(CUdevice dev) {
  return primary_reset(dev);
}
CUresult cuDevicePrimaryCtxReset_v2(CUdevice dev) {
  return primary_reset(dev);
}
CUresult cuDevicePrimaryCtxSetFlags(CUdevice dev, unsigned int flags) {
  return primary_set_flags(dev, flags);
}
CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice dev, unsigned int flags) {
  return primary_set_flags(dev, flags);
}

CUresult cuDevicePrimaryCtxGetState(CUdevice dev, unsigned int* flags, int* active) {
  return enter_device(dev, [&]() -> CUresult {
    if (flags == nullptr || active == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const Primary& primary = primary_of(dev);
    *flags = primary.flags;
    // The runtime makes it current without retaining it here.
    *active = primary.retained > 0 || core::device_is_used(dev) ? 1 : 0;
    return CUDA_SUCCESS;
  });
}
