// cuCtx*.
#include <mutex>

#include "server/softcuda/driver_call.h"
#include "server/softcuda/driver_device.h"
#include "server/softcuda/driver_stream.h"

using namespace farlane::softcuda;

extern "C" {

CUresult cuCtxCreate_v4(CUcontext* context, CUctxCreateParams* params, unsigned int flags,
                        CUdevice device) {
  return on_device(device, [&]() -> CUresult {
    if (context == nullptr || (flags & ~unsigned{CU_CTX_FLAGS_MASK}) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (params != nullptr && params->numExecAffinityParams != 0) {
      return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY;
    }
    if (params != nullptr && params->cigParams != nullptr) {
      return CUDA_ERROR_NOT_SUPPORTED;
    }
    const ContextPtr made = make_context(device, flags, false);
    context_stack().push_back(made);
    *context = made->handle;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxDestroy_v2(CUcontext handle) {
  return initialized([&]() -> CUresult {
    const ContextPtr context = Driver::instance().contexts.find(handle);
    if (context == nullptr || context->primary) {
      return CUDA_ERROR_INVALID_CONTEXT;
    }
    if (current_context() == context) {
      context_stack().pop_back();
    }
    destroy_context(context);
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxPushCurrent_v2(CUcontext handle) {
  return initialized([&]() -> CUresult {
    ContextPtr context = Driver::instance().contexts.find(handle);
    if (context == nullptr) {
      return CUDA_ERROR_INVALID_CONTEXT;
    }
    context_stack().push_back(std::move(context));
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxPopCurrent_v2(CUcontext* handle) {
  return initialized([&]() -> CUresult {
    auto& stack = context_stack();
    if (stack.empty()) {
      return CUDA_ERROR_INVALID_CONTEXT;
    }
    if (handle != nullptr) {
      *handle = stack.back()->handle;
    }
    stack.pop_back();
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSetCurrent(CUcontext handle) {
  return initialized([&]() -> CUresult {
    auto& stack = context_stack();
    if (handle == nullptr) {
      if (!stack.empty()) {
        stack.pop_back();
      }
      return CUDA_SUCCESS;
    }
    ContextPtr context = Driver::instance().contexts.find(handle);
    if (context == nullptr) {
      return CUDA_ERROR_INVALID_CONTEXT;
    }
    if (stack.empty()) {
      stack.push_back(std::move(context));
    } else {
      stack.back() = std::move(context);
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetCurrent(CUcontext* handle) {
  return initialized([&]() -> CUresult {
    if (handle == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const ContextPtr context = current_context();
    *handle = context == nullptr ? nullptr : context->handle;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetDevice(CUdevice* device) {
  return initialized([&]() -> CUresult {
    if (device == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const ContextPtr context = current_context();
    if (context == nullptr) {
      return CUDA_ERROR_INVALID_CONTEXT;
    }
    *device = context->device;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetFlags(unsigned int* flags) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    if (flags == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *flags = context->flags;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetId(CUcontext handle, unsigned long long* id) {
  return initialized([&]() -> CUresult {
    const ContextPtr context =
        handle == nullptr ? current_context() : Driver::instance().contexts.find(handle);
    if (context == nullptr) {
      return CUDA_ERROR_INVALID_CONTEXT;
    }
    if (id == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *id = context->id;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSynchronize(void) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    synchronize_context(*context);
    return context->sticky.load();
  });
}

CUresult cuCtxSetLimit(CUlimit limit, size_t value) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    if (limit < 0 || limit >= CU_LIMIT_MAX) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (limit > CU_LIMIT_PERSISTING_L2_CACHE_SIZE) {
      return CUDA_ERROR_UNSUPPORTED_LIMIT;
    }
    const std::lock_guard lock(context->settings_mutex);
    context->limits[limit] = value;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetLimit(size_t* value, CUlimit limit) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    if (value == nullptr || limit < 0 || limit >= CU_LIMIT_MAX) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (limit > CU_LIMIT_PERSISTING_L2_CACHE_SIZE) {
      return CUDA_ERROR_UNSUPPORTED_LIMIT;
    }
    const std::lock_guard lock(context->settings_mutex);
    *value = context->limits[limit];
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetCacheConfig(CUfunc_cache* config) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    if (config == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const std::lock_guard lock(context->settings_mutex);
    *config = context->cache_config;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSetCacheConfig(CUfunc_cache config) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    if (config < CU_FUNC_CACHE_PREFER_NONE || config > CU_FUNC_CACHE_PREFER_EQUAL) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const std::lock_guard lock(context->settings_mutex);
    context->cache_config = config;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetApiVersion(CUcontext handle, unsigned int* version) {
  return initialized([&]() -> CUresult {
    if (handle != nullptr && Driver::instance().contexts.find(handle) == nullptr) {
      return CUDA_ERROR_INVALID_CONTEXT;
    }
    if (version == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *version = 3020;  // what the current driver says of every context made by cuCtxCreate_v2 and up
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  return in_context([&](const ContextPtr&) -> CUresult {
    if (least != nullptr) {
      *least = kStreamPriorityLeast;
    }
    if (greatest != nullptr) {
      *greatest = kStreamPriorityGreatest;
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxResetPersistingL2Cache(void) {
  return in_context([](const ContextPtr&) { return CUDA_SUCCESS; });
}

CUresult cuCtxEnablePeerAccess(CUcontext handle, unsigned int flags) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    const ContextPtr peer = Driver::instance().contexts.find(handle);
    if (peer == nullptr || peer == context) {
      return CUDA_ERROR_INVALID_CONTEXT;
    }
    if (flags != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (peer->device == context->device) {
      return CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;  // a device is not its own peer
    }
    const std::lock_guard lock(context->peers_mutex);
    return context->peers.insert(peer->id).second ? CUDA_SUCCESS
                                                  : CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
  });
}

CUresult cuCtxDisablePeerAccess(CUcontext handle) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    const ContextPtr peer = Driver::instance().contexts.find(handle);
    if (peer == nullptr) {
      return CUDA_ERROR_INVALID_CONTEXT;
    }
    const std::lock_guard lock(context->peers_mutex);
    return context->peers.erase(peer->id) != 0 ? CUDA_SUCCESS : CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
  });
}

}  // extern "C"
