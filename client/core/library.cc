// Libraries and their kernels: independent of devices and of the session until first used on a
// device.
#include <cstring>

#include "client/core/image.h"
#include "client/core/jit.h"
#include "client/core/session.h"

namespace farlane::client {
namespace {

// The module of a library on a device, loaded now if need be. With the library's lock.
CUresult module_on(Library* library, int device, CUmodule* module) {
  auto& known = library->modules[device];
  Session* s = session_if_any();
  if (known != nullptr && s != nullptr && s->modules.find(bits_of(known)) != nullptr) {
    *module = known;
    return CUDA_SUCCESS;
  }
  known = nullptr;
  std::vector<JitOption> options;
  for (const message::JitOption& one : library->jit_options) {
    options.push_back({one.id, one.value});
  }
  const CUresult result = load_module(device, library->images, options, module, nullptr);
  if (result == CUDA_SUCCESS) {
    known = *module;
  }
  return result;
}

int device_or_first() {
  return std::max(current_device(), 0);
}

}  // namespace

HandleTable<Library, LocalKind::kLibrary>& libraries() {
  static auto* const table = new HandleTable<Library, LocalKind::kLibrary>;
  return *table;
}

HandleTable<LibraryKernel, LocalKind::kLibraryKernel>& library_kernels() {
  static auto* const table = new HandleTable<LibraryKernel, LocalKind::kLibraryKernel>;
  return *table;
}

CUresult library_load(std::span<const void* const> images, bool copy, CUlibrary* library) {
  return library_load_with(images, copy, {}, library);
}

CUresult library_load_with(std::span<const void* const> images, bool copy,
                           std::vector<JitOption> options, CUlibrary* library) {
  if (images.empty()) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  uint64_t bits = 0;
  Library* made = libraries().create(&bits);
  if (made == nullptr) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  for (const void* image : images) {
    if (!copy) {
      made->images.push_back(image);
      continue;
    }
    const std::span<const std::byte> bytes = image_bytes(image);
    if (bytes.empty()) {
      libraries().destroy(bits);
      return CUDA_ERROR_INVALID_IMAGE;
    }
    made->owned.emplace_back(bytes.begin(), bytes.end());
    made->images.push_back(made->owned.back().data());
  }
  for (const JitOption& one : options) {
    made->jit_options.push_back({one.id, one.value});
  }
  *library = handle_of<CUlibrary>(bits);
  return CUDA_SUCCESS;
}

CUresult library_unload(CUlibrary library) {
  Library* found = libraries().find(bits_of(library));
  if (found == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  {
    std::lock_guard lock(found->mutex);
    Session* s = session_if_any();
    for (const auto& [device, module] : found->modules) {
      if (s != nullptr && module != nullptr && s->modules.find(bits_of(module)) != nullptr) {
        module_unload(module);
      }
    }
    for (const auto& [name, kernel] : found->kernels) {
      library_kernels().destroy(bits_of(kernel));
    }
  }
  libraries().destroy(bits_of(library));
  return CUDA_SUCCESS;
}

CUresult library_module(CUlibrary library, int device, CUmodule* module) {
  Library* found = libraries().find(bits_of(library));
  if (found == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  std::lock_guard lock(found->mutex);
  return module_on(found, device, module);
}

CUresult library_kernel(CUlibrary library, const char* name, CUkernel* kernel) {
  Library* found = libraries().find(bits_of(library));
  if (found == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  std::lock_guard lock(found->mutex);
  auto known = found->kernels.find(std::string_view(name));
  if (known == found->kernels.end()) {
    uint64_t bits = 0;
    LibraryKernel* made = library_kernels().create(&bits);
    if (made == nullptr) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    made->library = library;
    made->name = name;
    library_kernels().publish(bits);
    known = found->kernels.emplace(name, handle_of<CUkernel>(bits)).first;
  }
  *kernel = known->second;
  return CUDA_SUCCESS;
}

CUresult library_kernel_checked(CUlibrary library, const char* name, CUkernel* kernel) {
  CUmodule module = nullptr;
  if (const CUresult result = library_module(library, device_or_first(), &module);
      result != CUDA_SUCCESS) {
    return result;
  }
  CUfunction function = nullptr;
  if (const CUresult result = module_function(module, name, &function); result != CUDA_SUCCESS) {
    return result;
  }
  return library_kernel(library, name, kernel);
}

CUresult library_kernel_names(CUlibrary library, std::vector<std::string>* names) {
  CUmodule module = nullptr;
  if (const CUresult result = library_module(library, device_or_first(), &module);
      result != CUDA_SUCCESS) {
    return result;
  }
  return module_function_names(module, names);
}

CUresult library_variable(CUlibrary library, int device, const char* name, CUdeviceptr* address,
                          size_t* bytes) {
  CUmodule module = nullptr;
  if (const CUresult result = library_module(library, device, &module); result != CUDA_SUCCESS) {
    return result;
  }
  return module_variable(module, name, address, bytes);
}

CUresult kernel_library(CUkernel kernel, CUlibrary* library) {
  const LibraryKernel* found = library_kernels().find(bits_of(kernel));
  if (found == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  *library = found->library;
  return CUDA_SUCCESS;
}

CUresult kernel_name(CUkernel kernel, const char** name) {
  const LibraryKernel* found = library_kernels().find(bits_of(kernel));
  if (found == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  *name = found->name.c_str();
  return CUDA_SUCCESS;
}

CUresult kernel_function(CUkernel kernel, int device, CUfunction* function) {
  LibraryKernel* found = library_kernels().find(bits_of(kernel));
  if (found == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  if (device < 0 || device >= LibraryKernel::kDevicesMax) {
    return CUDA_ERROR_INVALID_DEVICE;
  }
  Session* s = session_if_any();
  const CUfunction known = found->functions[device].load(std::memory_order_acquire);
  if (known != nullptr && s != nullptr && s->functions.find(bits_of(known)) != nullptr) {
    *function = known;
    return CUDA_SUCCESS;
  }
  CUmodule module = nullptr;
  if (const CUresult result = library_module(found->library, device, &module);
      result != CUDA_SUCCESS) {
    return result;
  }
  if (const CUresult result = module_function(module, found->name.c_str(), function);
      result != CUDA_SUCCESS) {
    return result;
  }
  found->functions[device].store(*function, std::memory_order_release);
  return CUDA_SUCCESS;
}

}  // namespace farlane::client
