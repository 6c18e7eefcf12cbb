// Libraries and kernels: code that is independent of contexts.
#include <algorithm>
#include <string>
#include <vector>

#include "client/cuda/driver.h"
#include "client/cuda/jit_options.h"
#include "client/cuda/link_set.h"
#include "client/cudart/file_bytes.h"

using namespace farlane::cuda;

namespace {

// True if the caller promises that the code stays in place until the library is unloaded.
bool is_preserved(const CUlibraryOption* options, void* const* values, unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    if (options[i] == CU_LIBRARY_BINARY_IS_PRESERVED) {
      return values != nullptr && values[i] != nullptr;
    }
  }
  return false;
}

// A library is compiled when a device first needs it, so that it can have the options but gives
// back neither log nor times.
CUresult load(CUlibrary* library, const void* code, bool copy, const JitOptions& options) {
  std::vector<core::JitOption> numbers = jit_numbers_of(code);
  numbers.insert(numbers.end(), options.numbers().begin(), options.numbers().end());
  return core::library_load_with(images_of(code), copy, std::move(numbers), library);
}

// The function of a kernel on a device. A library needs no context, its functions' facts do.
CUresult function_of(CUkernel kernel, int device, CUfunction* function) {
  return core::kernel_function(kernel, device, function);
}

}  // namespace

CUresult cuLibraryLoadData(CUlibrary* library, const void* code, CUjit_option* jitOptions,
                           void** jitOptionsValues, unsigned int numJitOptions,
                           CUlibraryOption* libraryOptions, void** libraryOptionValues,
                           unsigned int numLibraryOptions) {
  return enter([&]() -> CUresult {
    if (library == nullptr || code == nullptr ||
        (numLibraryOptions > 0 && libraryOptions == nullptr)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const bool copy = !is_preserved(libraryOptions, libraryOptionValues, numLibraryOptions);
    return load(library, code, copy, JitOptions(numJitOptions, jitOptions, jitOptionsValues));
  });
}

CUresult cuLibraryLoadFromFile(CUlibrary* library, const char* fileName, CUjit_option* jitOptions,
                               void** jitOptionsValues, unsigned int numJitOptions,
                               CUlibraryOption*, void**, unsigned int) {
  return enter([&]() -> CUresult {
    if (library == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::vector<char> image;
    if (const CUresult result = farlane::read_image_file(fileName, &image);
        result != CUDA_SUCCESS) {
      return result;
    }
    return load(library, image.data(), /*copy=*/true,
                JitOptions(numJitOptions, jitOptions, jitOptionsValues));
  });
}

CUresult cuLibraryUnload(CUlibrary library) {
  return enter_release([&] { return core::library_unload(library); });
}

CUresult cuLibraryGetKernel(CUkernel* pKernel, CUlibrary library, const char* name) {
  return enter([&]() -> CUresult {
    return pKernel == nullptr || name == nullptr
               ? CUDA_ERROR_INVALID_VALUE
               : core::library_kernel_checked(library, name, pKernel);
  });
}

CUresult cuLibraryGetKernelCount(unsigned int* count, CUlibrary lib) {
  return enter([&]() -> CUresult {
    if (count == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::vector<std::string> names;
    const CUresult result = core::library_kernel_names(lib, &names);
    if (result == CUDA_SUCCESS) {
      *count = static_cast<unsigned>(names.size());
    }
    return result;
  });
}

CUresult cuLibraryEnumerateKernels(CUkernel* kernels, unsigned int numKernels, CUlibrary lib) {
  return enter([&]() -> CUresult {
    if (kernels == nullptr || numKernels == 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::vector<std::string> names;
    if (const CUresult result = core::library_kernel_names(lib, &names); result != CUDA_SUCCESS) {
      return result;
    }
    const size_t count = std::min<size_t>(numKernels, names.size());
    for (size_t i = 0; i < count; i++) {
      if (const CUresult result = core::library_kernel(lib, names[i].c_str(), &kernels[i]);
          result != CUDA_SUCCESS) {
        return result;
      }
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuLibraryGetModule(CUmodule* pMod, CUlibrary library) {
  return enter_context([&](int device) -> CUresult {
    return pMod == nullptr ? CUDA_ERROR_INVALID_VALUE : core::library_module(library, device, pMod);
  });
}

CUresult cuLibraryGetGlobal(CUdeviceptr* dptr, size_t* bytes, CUlibrary library, const char* name) {
  return enter_context([&](int device) -> CUresult {
    if (name == nullptr || (dptr == nullptr && bytes == nullptr)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    CUdeviceptr address = 0;
    size_t size = 0;
    const CUresult result = core::library_variable(library, device, name, &address, &size);
    if (result != CUDA_SUCCESS) {
      return result;
    }
    if (dptr != nullptr) {
      *dptr = address;
    }
    if (bytes != nullptr) {
      *bytes = size;
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuKernelGetFunction(CUfunction* pFunc, CUkernel kernel) {
  return enter_context([&](int device) -> CUresult {
    return pFunc == nullptr ? CUDA_ERROR_INVALID_VALUE : function_of(kernel, device, pFunc);
  });
}

CUresult cuKernelGetLibrary(CUlibrary* pLib, CUkernel kernel) {
  return enter([&]() -> CUresult {
    return pLib == nullptr ? CUDA_ERROR_INVALID_VALUE : core::kernel_library(kernel, pLib);
  });
}

CUresult cuKernelGetName(const char** name, CUkernel hfunc) {
  return enter([&]() -> CUresult {
    return name == nullptr ? CUDA_ERROR_INVALID_VALUE : core::kernel_name(hfunc, name);
  });
}

CUresult cuKernelGetAttribute(int* pi, CUfunction_attribute attrib, CUkernel kernel, CUdevice dev) {
  return enter_device(dev, [&]() -> CUresult {
    if (pi == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    CUfunction function = nullptr;
    const CUresult result = function_of(kernel, dev, &function);
    return result == CUDA_SUCCESS ? core::function_attribute(function, attrib, pi) : result;
  });
}

CUresult cuKernelSetAttribute(CUfunction_attribute attrib, int val, CUkernel kernel, CUdevice dev) {
  return enter_device(dev, [&]() -> CUresult {
    CUfunction function = nullptr;
    const CUresult result = function_of(kernel, dev, &function);
    return result == CUDA_SUCCESS ? core::function_set_attribute(function, attrib, val) : result;
  });
}

CUresult cuKernelSetCacheConfig(CUkernel kernel, CUfunc_cache config, CUdevice dev) {
  return enter_device(dev, [&]() -> CUresult {
    CUfunction function = nullptr;
    const CUresult result = function_of(kernel, dev, &function);
    return result == CUDA_SUCCESS ? core::function_set_cache(function, config) : result;
  });
}

CUresult cuKernelGetParamInfo(CUkernel kernel, size_t paramIndex, size_t* paramOffset,
                              size_t* paramSize) {
  return enter([&]() -> CUresult {
    if (paramOffset == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    // Parameters are the same on every device, so any will do where none is current.
    const int device = core::current_device() >= 0 ? core::current_device() : 0;
    CUfunction function = nullptr;
    if (const CUresult result = function_of(kernel, device, &function); result != CUDA_SUCCESS) {
      return result;
    }
    size_t bytes = 0;
    const CUresult result = core::function_param(function, paramIndex, paramOffset, &bytes);
    if (result == CUDA_SUCCESS && paramSize != nullptr) {
      *paramSize = bytes;
    }
    return result;
  });
}
