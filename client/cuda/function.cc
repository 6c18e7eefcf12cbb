// Functions: attributes, names, parameters. A CUkernel may stand for one.
#include "client/cuda/driver.h"

using namespace farlane::cuda;

CUresult cuFuncGetAttribute(int* pi, CUfunction_attribute attrib, CUfunction hfunc) {
  return enter_context([&](int) -> CUresult {
    return pi == nullptr ? CUDA_ERROR_INVALID_VALUE : core::function_attribute(hfunc, attrib, pi);
  });
}

CUresult cuFuncSetAttribute(CUfunction hfunc, CUfunction_attribute attrib, int value) {
  return enter_context([&](int) { return core::function_set_attribute(hfunc, attrib, value); });
}

CUresult cuFuncSetCacheConfig(CUfunction hfunc, CUfunc_cache config) {
  return enter_context([&](int) { return core::function_set_cache(hfunc, config); });
}

// The bank size has been fixed since compute capability 5.0: a checked no-op.
CUresult cuFuncSetSharedMemConfig(CUfunction hfunc, CUsharedconfig config) {
  return enter_context([&](int) -> CUresult {
    const char* name = nullptr;
    if (const CUresult result = core::function_name(hfunc, &name); result != CUDA_SUCCESS) {
      return result;
    }
    return config >= CU_SHARED_MEM_CONFIG_DEFAULT_BANK_SIZE &&
                   config <= CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE
               ? CUDA_SUCCESS
               : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuFuncGetModule(CUmodule* hmod, CUfunction hfunc) {
  return enter_context([&](int) -> CUresult {
    return hmod == nullptr ? CUDA_ERROR_INVALID_VALUE : core::function_module(hfunc, hmod);
  });
}

CUresult cuFuncGetName(const char** name, CUfunction hfunc) {
  return enter_context([&](int) -> CUresult {
    return name == nullptr ? CUDA_ERROR_INVALID_VALUE : core::function_name(hfunc, name);
  });
}

CUresult cuFuncGetParamInfo(CUfunction func, size_t paramIndex, size_t* paramOffset,
                            size_t* paramSize) {
  return enter_context([&](int) -> CUresult {
    if (paramOffset == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    size_t bytes = 0;
    const CUresult result = core::function_param(func, paramIndex, paramOffset, &bytes);
    if (result == CUDA_SUCCESS && paramSize != nullptr) {
      *paramSize = bytes;
    }
    return result;
  });
}

// Modules arrive whole: a function that exists is loaded.
CUresult cuFuncIsLoaded(CUfunctionLoadingState* state, CUfunction function) {
  return enter_context([&](int) -> CUresult {
    if (state == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const char* name = nullptr;
    const CUresult result = core::function_name(function, &name);
    if (result == CUDA_SUCCESS) {
      *state = CU_FUNCTION_LOADING_STATE_LOADED;
    }
    return result;
  });
}

CUresult cuFuncLoad(CUfunction function) {
  return enter_context([&](int) -> CUresult {
    const char* name = nullptr;
    return core::function_name(function, &name);
  });
}
