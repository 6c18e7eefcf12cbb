// cudaLibrary*: code loaded at run time. Handles are the driver's.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "client/core/jit.h"
#include "client/cudart/file_bytes.h"
#include "client/cudart/runtime.h"

using namespace farlane::cudart;

namespace {

// True if the caller promises that the code stays in place until the library is unloaded.
bool is_preserved(const cudaLibraryOption* options, void* const* values, unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    if (options[i] == cudaLibraryBinaryIsPreserved) {
      return values != nullptr && values[i] != nullptr;
    }
  }
  return false;
}

// What the server's compiler is told; the runtime's options have the driver's numbers. A library is
// compiled when a device first needs it, so logs and times asked for here are not given.
static_assert(static_cast<int>(cudaJitMaxRegisters) == CU_JIT_MAX_REGISTERS &&
              static_cast<int>(cudaJitOptimizationLevel) == CU_JIT_OPTIMIZATION_LEVEL &&
              static_cast<int>(cudaJitCacheMode) == CU_JIT_CACHE_MODE &&
              static_cast<int>(cudaJitMaxThreadsPerBlock) == CU_JIT_MAX_THREADS_PER_BLOCK &&
              static_cast<int>(cudaJitOverrideDirectiveValues) == CU_JIT_OVERRIDE_DIRECTIVE_VALUES);
std::vector<core::JitOption> jit_numbers(const cudaJitOption* options, void* const* values,
                                         unsigned count) {
  std::vector<core::JitOption> numbers;
  for (unsigned i = 0; options != nullptr && values != nullptr && i < count; i++) {
    core::add_jit_number(static_cast<uint32_t>(options[i]), values[i], &numbers);
  }
  return numbers;
}

Error not_found_is(CUresult result, cudaError_t code) {
  return result == CUDA_ERROR_NOT_FOUND ? Error(code) : Error(result);
}

Error kernel_names(CUlibrary library, std::vector<std::string>* names) {
  return core::library_kernel_names(library, names);
}

}  // namespace

cudaError_t cudaLibraryLoadData(cudaLibrary_t* library, const void* code, cudaJitOption* jitOptions,
                                void** jitOptionsValues, unsigned int numJitOptions,
                                cudaLibraryOption* libraryOptions, void** libraryOptionValues,
                                unsigned int numLibraryOptions) {
  return enter_context([&](int) -> Error {
    if (library == nullptr || code == nullptr ||
        (numLibraryOptions > 0 && libraryOptions == nullptr)) {
      return cudaErrorInvalidValue;
    }
    const bool copy = !is_preserved(libraryOptions, libraryOptionValues, numLibraryOptions);
    return core::library_load_with(
        {&code, 1}, copy, jit_numbers(jitOptions, jitOptionsValues, numJitOptions), library);
  });
}

cudaError_t cudaLibraryLoadFromFile(cudaLibrary_t* library, const char* fileName,
                                    cudaJitOption* jitOptions, void** jitOptionsValues,
                                    unsigned int numJitOptions, cudaLibraryOption*, void**,
                                    unsigned int) {
  return enter_context([&](int) -> Error {
    if (library == nullptr) {
      return cudaErrorInvalidValue;
    }
    std::vector<char> image;
    if (const CUresult result = farlane::read_image_file(fileName, &image);
        result != CUDA_SUCCESS) {
      return result;
    }
    const void* code = image.data();
    return core::library_load_with({&code, 1}, /*copy=*/true,
                                   jit_numbers(jitOptions, jitOptionsValues, numJitOptions),
                                   library);
  });
}

cudaError_t cudaLibraryUnload(cudaLibrary_t library) {
  return enter_release([&](int) -> Error { return core::library_unload(library); });
}

cudaError_t cudaLibraryGetKernel(cudaKernel_t* pKernel, cudaLibrary_t library, const char* name) {
  return enter_context([&](int) -> Error {
    if (pKernel == nullptr || name == nullptr) {
      return cudaErrorInvalidValue;
    }
    return not_found_is(core::library_kernel_checked(library, name, pKernel),
                        cudaErrorSymbolNotFound);
  });
}

cudaError_t cudaLibraryGetGlobal(void** dptr, size_t* bytes, cudaLibrary_t library,
                                 const char* name) {
  return enter_context([&](int device) -> Error {
    if (name == nullptr || (dptr == nullptr && bytes == nullptr)) {
      return cudaErrorInvalidValue;
    }
    CUdeviceptr address = 0;
    size_t size = 0;
    if (const CUresult result = core::library_variable(library, device, name, &address, &size);
        result != CUDA_SUCCESS) {
      return not_found_is(result, cudaErrorSymbolNotFound);
    }
    if (dptr != nullptr) {
      *dptr = reinterpret_cast<void*>(address);
    }
    if (bytes != nullptr) {
      *bytes = size;
    }
    return {};
  });
}

cudaError_t cudaLibraryGetKernelCount(unsigned int* count, cudaLibrary_t lib) {
  return enter_context([&](int) -> Error {
    if (count == nullptr) {
      return cudaErrorInvalidValue;
    }
    std::vector<std::string> names;
    if (Error error = kernel_names(lib, &names)) {
      return error;
    }
    *count = static_cast<unsigned>(names.size());
    return {};
  });
}

cudaError_t cudaLibraryEnumerateKernels(cudaKernel_t* kernels, unsigned int numKernels,
                                        cudaLibrary_t lib) {
  return enter_context([&](int) -> Error {
    if (kernels == nullptr || numKernels == 0) {
      return cudaErrorInvalidValue;
    }
    std::vector<std::string> names;
    if (Error error = kernel_names(lib, &names)) {
      return error;
    }
    const size_t count = std::min<size_t>(numKernels, names.size());
    for (size_t i = 0; i < count; i++) {
      if (const CUresult result = core::library_kernel(lib, names[i].c_str(), &kernels[i]);
          result != CUDA_SUCCESS) {
        return result;
      }
    }
    return {};
  });
}
