// cuModule*, cuFunc*, cuLink*.
#include <cstring>
#include <mutex>

#include "server/softcuda/driver_call.h"
#include "server/softcuda/driver_module.h"
#include "server/softcuda/driver_stream.h"

using namespace farlane::softcuda;

namespace {

template <typename Body>
CUresult on_module(CUmodule handle, Body&& body) noexcept {
  return in_context([&](const ContextPtr& context) -> CUresult {
    const auto module = Driver::instance().modules.find(handle);
    if (module == nullptr || module->context_id != context->id) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    return body(context, module);
  });
}

template <typename Body>
CUresult on_function(CUfunction handle, Body&& body) noexcept {
  return in_context([&](const ContextPtr& context) -> CUresult {
    std::shared_ptr<FunctionObject> function;
    const CUresult result = find_function(*context, handle, &function);
    return result == CUDA_SUCCESS ? body(*function) : result;
  });
}

}  // namespace

extern "C" {

CUresult cuModuleLoadDataEx(CUmodule* handle, const void* image, unsigned int option_count,
                            CUjit_option* options, void** values) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    JitLog log;
    if (handle == nullptr || image == nullptr || !log.read(option_count, options, values)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const JitClock clock(log.wall_ms());
    Image opened;
    std::string error;
    std::unique_ptr<Module> engine;
    CUresult result = open_image(image, &opened, &error);
    if (result == CUDA_SUCCESS) {
      result = load_engine(opened.texts, &engine, &error);
    }
    if (result != CUDA_SUCCESS) {
      log.write_error(error);
      return result;
    }
    *handle = add_module(*context, std::move(engine))->handle;
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleLoadData(CUmodule* handle, const void* image) {
  return cuModuleLoadDataEx(handle, image, 0, nullptr, nullptr);
}

CUresult cuModuleLoadFatBinary(CUmodule* handle, const void* image) {
  return cuModuleLoadDataEx(handle, image, 0, nullptr, nullptr);
}

CUresult cuModuleUnload(CUmodule handle) {
  return on_module(handle, [](const ContextPtr& context, const auto& module) -> CUresult {
    synchronize_context(*context);  // its code may be running
    remove_module(module);
    return context->sticky.load();
  });
}

CUresult cuModuleGetLoadingMode(CUmoduleLoadingMode* mode) {
  return initialized([&]() -> CUresult {
    if (mode == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *mode = CU_MODULE_EAGER_LOADING;
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleGetFunction(CUfunction* function, CUmodule handle, const char* name) {
  return on_module(handle, [&](const ContextPtr&, const auto& module) -> CUresult {
    if (function == nullptr || name == nullptr || *name == '\0') {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto kernels = module->engine->kernels();
    for (size_t i = 0; i < kernels.size(); ++i) {
      if (kernels[i].name == name) {
        *function = module->functions[i];
        return CUDA_SUCCESS;
      }
    }
    return CUDA_ERROR_NOT_FOUND;
  });
}

CUresult cuModuleGetFunctionCount(unsigned int* count, CUmodule handle) {
  return on_module(handle, [&](const ContextPtr&, const auto& module) -> CUresult {
    if (count == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *count = static_cast<unsigned>(module->functions.size());
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleEnumerateFunctions(CUfunction* functions, unsigned int count, CUmodule handle) {
  return on_module(handle, [&](const ContextPtr&, const auto& module) -> CUresult {
    if (functions == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    for (size_t i = 0; i < count && i < module->functions.size(); ++i) {
      functions[i] = module->functions[i];
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr* address, size_t* bytes, CUmodule handle,
                              const char* name) {
  return on_module(handle, [&](const ContextPtr&, const auto& module) -> CUresult {
    if (name == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    for (const VariableInfo& variable : module->engine->variables()) {
      if (variable.name == name) {
        if (address != nullptr) {
          *address = variable.address;
        }
        if (bytes != nullptr) {
          *bytes = variable.bytes;
        }
        return CUDA_SUCCESS;
      }
    }
    return CUDA_ERROR_NOT_FOUND;
  });
}

// --- functions

CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction handle) {
  return on_function(handle, [&](FunctionObject& function) {
    return kernel_attribute(*function.info, function.settings, attribute, value);
  });
}

CUresult cuFuncSetAttribute(CUfunction handle, CUfunction_attribute attribute, int value) {
  return on_function(handle, [&](FunctionObject& function) {
    return set_kernel_attribute(*function.info, function.settings, attribute, value);
  });
}

CUresult cuFuncSetCacheConfig(CUfunction handle, CUfunc_cache config) {
  return on_function(handle, [&](FunctionObject&) -> CUresult {
    return config < CU_FUNC_CACHE_PREFER_NONE || config > CU_FUNC_CACHE_PREFER_EQUAL
               ? CUDA_ERROR_INVALID_VALUE
               : CUDA_SUCCESS;
  });
}

CUresult cuFuncGetName(const char** name, CUfunction handle) {
  return on_function(handle, [&](FunctionObject& function) -> CUresult {
    if (name == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *name = function.info->name.c_str();
    return CUDA_SUCCESS;
  });
}

CUresult cuFuncGetModule(CUmodule* out, CUfunction handle) {
  return on_function(handle, [&](FunctionObject& function) -> CUresult {
    const auto module = function.module.lock();
    if (out == nullptr || module == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *out = module->handle;
    return CUDA_SUCCESS;
  });
}

CUresult cuFuncGetParamInfo(CUfunction handle, size_t index, size_t* offset, size_t* bytes) {
  return on_function(handle, [&](FunctionObject& function) {
    return kernel_param_info(*function.info, index, offset, bytes);
  });
}

CUresult cuFuncIsLoaded(CUfunctionLoadingState* state, CUfunction handle) {
  return on_function(handle, [&](FunctionObject&) -> CUresult {
    if (state == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *state = CU_FUNCTION_LOADING_STATE_LOADED;
    return CUDA_SUCCESS;
  });
}

CUresult cuFuncLoad(CUfunction handle) {
  return on_function(handle, [](FunctionObject&) { return CUDA_SUCCESS; });
}

// --- the linker

CUresult cuLinkCreate_v2(unsigned int option_count, CUjit_option* options, void** values,
                         CUlinkState* state) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    JitLog log;
    if (state == nullptr || !log.read(option_count, options, values)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    auto link = std::make_shared<LinkObject>();
    link->context_id = context->id;
    link->error_log = log.error_buffer();
    link->error_log_bytes = log.error_buffer_bytes();
    link->wall_ms = log.wall_ms();
    *state = Driver::instance().links.add(std::move(link));
    return CUDA_SUCCESS;
  });
}

namespace {

// The log belongs to the link: its options were given to cuLinkCreate.
CUresult link_failed(const LinkObject& link, CUresult result, const std::string& error) {
  if (link.error_log != nullptr && link.error_log_bytes > 0) {
    const size_t copied = std::min(error.size(), link.error_log_bytes - 1);
    std::memcpy(link.error_log, error.data(), copied);
    link.error_log[copied] = '\0';
  }
  return result;
}

}  // namespace

CUresult cuLinkAddData_v2(CUlinkState state, CUjitInputType type, void* data, size_t bytes,
                          const char*, unsigned int option_count, CUjit_option* options,
                          void** values) {
  return in_context([&](const ContextPtr&) -> CUresult {
    const auto link = Driver::instance().links.find(state);
    if (link == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    JitLog log;
    if (data == nullptr || bytes == 0 || type < CU_JIT_INPUT_CUBIN ||
        type >= CU_JIT_NUM_INPUT_TYPES || !log.read(option_count, options, values)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (type == CU_JIT_INPUT_NVVM) {
      return link_failed(*link, CUDA_ERROR_NOT_SUPPORTED, "the software device links no NVVM IR");
    }
    Image opened;
    std::string error;
    const std::span image(static_cast<const std::byte*>(data), bytes);
    const CUresult result = type == CU_JIT_INPUT_LIBRARY  ? open_archive(image, &opened, &error)
                            : type == CU_JIT_INPUT_OBJECT ? open_object(image, &opened, &error)
                                                          : open_image(image, &opened, &error);
    if (result != CUDA_SUCCESS) {
      return link_failed(*link, result, error);
    }
    auto& texts = type == CU_JIT_INPUT_LIBRARY ? link->archived : link->texts;
    for (std::string& text : opened.texts) {
      texts.push_back(std::move(text));
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuLinkComplete(CUlinkState state, void** cubin, size_t* bytes) {
  return in_context([&](const ContextPtr&) -> CUresult {
    const auto link = Driver::instance().links.find(state);
    if (link == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    if (cubin == nullptr || link->texts.empty()) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    // Linked here once, so that errors come out here and not when the result is loaded.
    const JitClock clock(link->wall_ms);
    std::unique_ptr<Module> engine;
    std::string error;
    CUresult result = load_engine(link->texts, &engine, &error);
    if (result != CUDA_SUCCESS && !link->archived.empty()) {
      link->texts.insert(link->texts.end(), link->archived.begin(), link->archived.end());
      link->archived.clear();
      error.clear();
      result = load_engine(link->texts, &engine, &error);
    }
    if (result != CUDA_SUCCESS) {
      return link_failed(*link, result, error);
    }
    link->result = link_container(link->texts);
    *cubin = link->result.data();
    if (bytes != nullptr) {
      *bytes = link->result.size();
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuLinkDestroy(CUlinkState state) {
  return in_context([&](const ContextPtr&) -> CUresult {
    return Driver::instance().links.take(state) == nullptr ? CUDA_ERROR_INVALID_HANDLE
                                                           : CUDA_SUCCESS;
  });
}

}  // extern "C"
