// cuLibrary*, cuKernel*: code that belongs to no context and becomes a module of each one that uses
// it.
#include <cstring>
#include <mutex>

#include "server/softcuda/driver_call.h"
#include "server/softcuda/driver_module.h"
#include "server/softcuda/driver_stream.h"

using namespace farlane::softcuda;

namespace {

template <typename Body>
CUresult on_library(CUlibrary handle, Body&& body) noexcept {
  return initialized([&]() -> CUresult {
    const auto library = Driver::instance().libraries.find(handle);
    return library == nullptr ? CUDA_ERROR_INVALID_HANDLE : body(*library);
  });
}

template <typename Body>
CUresult on_kernel(CUkernel handle, Body&& body) noexcept {
  return initialized([&]() -> CUresult {
    const auto kernel = Driver::instance().kernels.find(handle);
    return kernel == nullptr ? CUDA_ERROR_INVALID_HANDLE : body(*kernel);
  });
}

// The library's module in the current context.
template <typename Body>
CUresult on_library_module(CUlibrary handle, Body&& body) noexcept {
  return in_context([&](const ContextPtr& context) -> CUresult {
    const auto library = Driver::instance().libraries.find(handle);
    if (library == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    std::shared_ptr<ModuleObject> module;
    const CUresult result = library_module(*context, *library, &module);
    return result == CUDA_SUCCESS ? body(*module) : result;
  });
}

}  // namespace

extern "C" {

CUresult cuLibraryLoadData(CUlibrary* handle, const void* code, CUjit_option* jit_options,
                           void** jit_values, unsigned int jit_count, CUlibraryOption* options,
                           void** values, unsigned int count) {
  return initialized([&]() -> CUresult {
    JitLog log;
    if (handle == nullptr || code == nullptr || !log.read(jit_count, jit_options, jit_values) ||
        (count > 0 && (options == nullptr || values == nullptr))) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    for (unsigned i = 0; i < count; ++i) {
      // CU_LIBRARY_BINARY_IS_PRESERVED asks for nothing: the image is copied here.
      if (options[i] != CU_LIBRARY_BINARY_IS_PRESERVED) {
        return CUDA_ERROR_NOT_SUPPORTED;
      }
    }
    Image opened;
    std::string error;
    std::unique_ptr<Module> engine;
    CUresult result = open_image(code, &opened, &error);
    if (result == CUDA_SUCCESS) {
      result = load_engine(opened.texts, &engine, &error);
    }
    if (result != CUDA_SUCCESS) {
      log.write_error(error);
      return result;
    }
    Driver& driver = Driver::instance();
    auto library = std::make_shared<LibraryObject>();
    library->texts = std::move(opened.texts);
    library->kernel_infos.assign(engine->kernels().begin(), engine->kernels().end());
    library->first = std::move(engine);
    library->handle = driver.libraries.add(library);
    for (size_t i = 0; i < library->kernel_infos.size(); ++i) {
      auto kernel = std::make_shared<KernelObject>();
      kernel->library = library->handle;
      kernel->index = i;
      kernel->info = &library->kernel_infos[i];
      kernel->settings.shared_dynamic_bytes_max = default_shared_dynamic_bytes(*kernel->info);
      kernel->handle = driver.kernels.add(kernel);
      library->kernels.push_back(kernel->handle);
    }
    *handle = library->handle;
    return CUDA_SUCCESS;
  });
}

CUresult cuLibraryUnload(CUlibrary handle) {
  return initialized([&]() -> CUresult {
    Driver& driver = Driver::instance();
    const auto library = driver.libraries.take(handle);
    if (library == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    for (const CUkernel kernel : library->kernels) {
      driver.kernels.take(kernel);
    }
    const std::lock_guard lock(library->mutex);
    for (const auto& [context_id, module_handle] : library->modules) {
      if (const auto module = driver.modules.find(module_handle)) {
        // A launch holds its module, so code that is running is not taken away.
        remove_module(module);
      }
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuLibraryGetKernel(CUkernel* kernel, CUlibrary handle, const char* name) {
  return on_library(handle, [&](LibraryObject& library) -> CUresult {
    if (kernel == nullptr || name == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    for (size_t i = 0; i < library.kernel_infos.size(); ++i) {
      if (library.kernel_infos[i].name == name) {
        *kernel = library.kernels[i];
        return CUDA_SUCCESS;
      }
    }
    return CUDA_ERROR_NOT_FOUND;
  });
}

CUresult cuLibraryGetKernelCount(unsigned int* count, CUlibrary handle) {
  return on_library(handle, [&](LibraryObject& library) -> CUresult {
    if (count == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *count = static_cast<unsigned>(library.kernels.size());
    return CUDA_SUCCESS;
  });
}

CUresult cuLibraryEnumerateKernels(CUkernel* kernels, unsigned int count, CUlibrary handle) {
  return on_library(handle, [&](LibraryObject& library) -> CUresult {
    if (kernels == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    for (size_t i = 0; i < count && i < library.kernels.size(); ++i) {
      kernels[i] = library.kernels[i];
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuLibraryGetModule(CUmodule* out, CUlibrary handle) {
  return on_library_module(handle, [&](ModuleObject& module) -> CUresult {
    if (out == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *out = module.handle;
    return CUDA_SUCCESS;
  });
}

CUresult cuLibraryGetGlobal(CUdeviceptr* address, size_t* bytes, CUlibrary handle,
                            const char* name) {
  return on_library_module(handle, [&](ModuleObject& module) {
    return cuModuleGetGlobal_v2(address, bytes, module.handle, name);
  });
}

CUresult cuKernelGetFunction(CUfunction* out, CUkernel handle) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    const auto kernel = Driver::instance().kernels.find(handle);
    if (kernel == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    if (out == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::shared_ptr<FunctionObject> function;
    const CUresult result = kernel_function(*context, *kernel, &function);
    if (result == CUDA_SUCCESS) {
      *out = function->handle;
    }
    return result;
  });
}

CUresult cuKernelGetLibrary(CUlibrary* library, CUkernel handle) {
  return on_kernel(handle, [&](KernelObject& kernel) -> CUresult {
    if (library == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *library = kernel.library;
    return CUDA_SUCCESS;
  });
}

CUresult cuKernelGetName(const char** name, CUkernel handle) {
  return on_kernel(handle, [&](KernelObject& kernel) -> CUresult {
    if (name == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *name = kernel.info->name.c_str();
    return CUDA_SUCCESS;
  });
}

CUresult cuKernelGetParamInfo(CUkernel handle, size_t index, size_t* offset, size_t* bytes) {
  return on_kernel(handle, [&](KernelObject& kernel) {
    return kernel_param_info(*kernel.info, index, offset, bytes);
  });
}

CUresult cuKernelGetAttribute(int* value, CUfunction_attribute attribute, CUkernel handle,
                              CUdevice device) {
  return on_kernel(handle, [&](KernelObject& kernel) -> CUresult {
    return is_our_device(device) ? kernel_attribute(*kernel.info, kernel.settings, attribute, value)
                                 : CUDA_ERROR_INVALID_DEVICE;
  });
}

CUresult cuKernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel handle,
                              CUdevice device) {
  return on_kernel(handle, [&](KernelObject& kernel) -> CUresult {
    if (!is_our_device(device)) {
      return CUDA_ERROR_INVALID_DEVICE;
    }
    const CUresult result = set_kernel_attribute(*kernel.info, kernel.settings, attribute, value);
    Driver& driver = Driver::instance();
    const auto library = driver.libraries.find(kernel.library);
    if (result != CUDA_SUCCESS || library == nullptr) {
      return result;
    }
    const std::lock_guard lock(library->mutex);
    for (const auto& [context_id, module_handle] : library->modules) {
      const auto module = driver.modules.find(module_handle);
      const auto function =
          module == nullptr ? nullptr : driver.functions.find(module->functions[kernel.index]);
      if (function != nullptr) {
        set_kernel_attribute(*kernel.info, function->settings, attribute, value);
      }
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuKernelSetCacheConfig(CUkernel handle, CUfunc_cache config, CUdevice device) {
  return on_kernel(handle, [&](KernelObject&) -> CUresult {
    if (!is_our_device(device)) {
      return CUDA_ERROR_INVALID_DEVICE;
    }
    return config < CU_FUNC_CACHE_PREFER_NONE || config > CU_FUNC_CACHE_PREFER_EQUAL
               ? CUDA_ERROR_INVALID_VALUE
               : CUDA_SUCCESS;
  });
}

}  // extern "C"
