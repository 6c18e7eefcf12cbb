#include "client/cudart/registration.h"

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <span>
#include <unordered_map>
#include <vector>

namespace farlane::cudart {
namespace {

// nvcc's __fatBinC_Wrapper_t. In version 2 (-rdc=true) `parts` is a NULL-terminated list of the fat
// binaries that were linked into `linked`.
struct Wrapper {
  uint32_t magic;
  uint32_t version;
  const void* linked;
  const void* const* parts;
};
constexpr uint32_t kSeparatelyCompiled = 2;

// What to hand to the core as the images of one library. Of a separately compiled program these are
// the parts: unlike the result of linking them at build time they also have PTX, so that any device
// can link them for itself.
std::vector<const void*> images_of(const void* registered) {
  const auto* const wrapper = static_cast<const Wrapper*>(registered);
  std::vector<const void*> images;
  if (wrapper->version >= kSeparatelyCompiled && wrapper->parts != nullptr) {
    for (const void* const* part = wrapper->parts; *part != nullptr; part++) {
      images.push_back(*part);
    }
  }
  if (images.empty()) {
    images.push_back(wrapper->linked);
  }
  return images;
}

// A fat binary as registered: `wrapper` is nvcc's __fatBinC_Wrapper_t in the program's own data,
// so it stays as long as the registration.
struct FatBinary {
  explicit FatBinary(const void* registered_wrapper) : wrapper(registered_wrapper) {}

  const void* const wrapper;
  std::vector<const void*> functions;  // host addresses, to be forgotten with it
  std::vector<const void*> variables;
  bool has_managed_variables = false;
  std::atomic<CUlibrary> library = nullptr;
};

struct Function {
  FatBinary* binary = nullptr;
  const char* name = nullptr;  // in the program's own data, like all names here
  CUkernel kernel = nullptr;
};

struct RegisteredVariable {
  FatBinary* binary = nullptr;
  const char* name = nullptr;
  size_t bytes = 0;
};

class Registry {
 public:
  FatBinary* add(const void* wrapper) {
    const std::unique_lock lock(mutex_);
    return binaries_.emplace_back(std::make_unique<FatBinary>(wrapper)).get();
  }

  void add_function(FatBinary* binary, const void* host, const char* name) {
    const std::unique_lock lock(mutex_);
    functions_[host] = Function{binary, name, nullptr};
    binary->functions.push_back(host);
  }

  void add_variable(FatBinary* binary, const void* host, const char* name, size_t bytes) {
    const std::unique_lock lock(mutex_);
    variables_[host] = RegisteredVariable{binary, name, bytes};
    binary->variables.push_back(host);
  }

  // Forgets the binary and everything in it. Returns its library, if it came to that.
  CUlibrary remove(FatBinary* binary) {
    const std::unique_lock lock(mutex_);
    for (const void* host : binary->functions) {
      // A second program part may have registered the same host address later; that one stays.
      const auto found = functions_.find(host);
      if (found != functions_.end() && found->second.binary == binary) {
        functions_.erase(found);
      }
    }
    for (const void* host : binary->variables) {
      const auto found = variables_.find(host);
      if (found != variables_.end() && found->second.binary == binary) {
        variables_.erase(found);
      }
    }
    const CUlibrary library = binary->library;
    std::erase_if(binaries_, [binary](const auto& held) { return held.get() == binary; });
    return library;
  }

  Error kernel(const void* host, CUkernel* out) {
    {
      const std::shared_lock lock(mutex_);
      const auto found = functions_.find(host);
      if (found == functions_.end()) {
        return cudaErrorInvalidDeviceFunction;
      }
      if (found->second.kernel != nullptr) {
        *out = found->second.kernel;
        return {};
      }
    }
    const std::unique_lock lock(mutex_);
    const auto found = functions_.find(host);
    if (found == functions_.end()) {
      return cudaErrorInvalidDeviceFunction;
    }
    Function& function = found->second;
    if (function.kernel == nullptr) {
      CUlibrary library = nullptr;
      if (Error error = library_of(function.binary, &library)) {
        return error;
      }
      if (const CUresult result = core::library_kernel(library, function.name, &function.kernel);
          result != CUDA_SUCCESS) {
        return result;
      }
    }
    *out = function.kernel;
    return {};
  }

  const void* host_of(CUfunction function, const char* name) {
    const std::shared_lock lock(mutex_);
    for (const auto& [host, candidate] : functions_) {
      if (candidate.kernel == nullptr || std::strcmp(candidate.name, name) != 0) {
        continue;
      }
      CUfunction same = nullptr;
      const int device = core::current_device();
      if (core::kernel_function(candidate.kernel, device, &same) == CUDA_SUCCESS &&
          same == function) {
        return host;
      }
    }
    return nullptr;
  }

  void load_all(int device) {
    const std::unique_lock lock(mutex_);
    if (!loaded_devices_.insert(device).second) {
      return;
    }
    for (const auto& binary : binaries_) {
      CUlibrary library = nullptr;
      CUmodule module = nullptr;
      if (Error error = library_of(binary.get(), &library); !error) {
        static_cast<void>(core::library_module(library, device, &module));
      }
    }
  }

  Error variable(const void* host, RegisteredVariable* out, CUlibrary* library) {
    const std::unique_lock lock(mutex_);
    const auto found = variables_.find(host);
    if (found == variables_.end()) {
      return cudaErrorInvalidSymbol;
    }
    *out = found->second;
    return library_of(out->binary, library);
  }

 private:
  // The images are read at first use, and the program's data outlives that: nothing is copied.
  static Error library_of(FatBinary* binary, CUlibrary* library) {
    *library = binary->library;
    if (*library != nullptr) {
      return {};
    }
    const std::vector<const void*> images = images_of(binary->wrapper);
    if (const CUresult result = core::library_load(images, /*copy=*/false, library);
        result != CUDA_SUCCESS) {
      return result;
    }
    binary->library = *library;
    return {};
  }

  std::shared_mutex mutex_;
  std::vector<std::unique_ptr<FatBinary>> binaries_;
  std::set<int> loaded_devices_;  // with everything on them, see load_all()
  std::unordered_map<const void*, Function> functions_;
  std::unordered_map<const void*, RegisteredVariable> variables_;
};

// Never destroyed: programs unregister after this library's own destructors have run.
Registry& registry() {
  static auto* const the_registry = new Registry;
  return *the_registry;
}

// Handles given to the program are the records themselves; it only ever hands them back.
FatBinary* binary_of(void** handle) {
  return reinterpret_cast<FatBinary*>(handle);
}

// Registration functions cannot fail: a program that is out of memory here ends, as by `new`
// before main.
template <typename Body>
void registering(Body&& body) noexcept {
  body();
}

}  // namespace

void load_registered_if_eager(int device) {
  static const bool eager = [] {
    const char* const wish = std::getenv("CUDA_MODULE_LOADING");
    return wish != nullptr && std::strcmp(wish, "EAGER") == 0;
  }();
  if (eager) [[unlikely]] {
    registry().load_all(device);
  }
}

Error registered_kernel(const void* host_function, CUkernel* kernel) {
  return registry().kernel(host_function, kernel);
}

const void* host_function_of(CUfunction function) {
  const char* name = nullptr;
  return core::function_name(function, &name) == CUDA_SUCCESS ? registry().host_of(function, name)
                                                              : nullptr;
}

Error kernel_or_handle(const void* function, CUfunction* out) {
  if (function == nullptr) {
    return cudaErrorInvalidDeviceFunction;
  }
  CUkernel kernel = nullptr;
  const Error error = registry().kernel(function, &kernel);
  if (error.code() == cudaErrorInvalidDeviceFunction) {
    auto* const handle = static_cast<CUfunction>(const_cast<void*>(function));
    const char* name = nullptr;
    if (core::kernel_name(reinterpret_cast<CUkernel>(handle), &name) != CUDA_SUCCESS &&
        core::function_name(handle, &name) != CUDA_SUCCESS) {
      return cudaErrorInvalidResourceHandle;
    }
    *out = handle;
    return {};
  }
  *out = reinterpret_cast<CUfunction>(kernel);
  return error;
}

Error registered_variable(const void* host_variable, int device, Variable* variable) {
  RegisteredVariable registered;
  CUlibrary library = nullptr;
  if (Error error = registry().variable(host_variable, &registered, &library)) {
    return error;
  }
  const CUresult result = core::library_variable(library, device, registered.name,
                                                 &variable->address, &variable->bytes);
  return result == CUDA_ERROR_NOT_FOUND ? Error(cudaErrorInvalidSymbol) : Error(result);
}

}  // namespace farlane::cudart

using namespace farlane::cudart;

extern "C" {

void** __cudaRegisterFatBinary(void* fatCubin) {
  void** handle = nullptr;
  registering([&] { handle = reinterpret_cast<void**>(registry().add(fatCubin)); });
  return handle;
}

// Everything was written down as it came.
void __cudaRegisterFatBinaryEnd(void**) {}

void __cudaUnregisterFatBinary(void** fatCubinHandle) {
  if (core::session_is_forked()) {
    return;  // a child that ends by exit() must not wait for its parent's threads
  }
  registering([&] {
    const CUlibrary library = registry().remove(binary_of(fatCubinHandle));
    if (library != nullptr) {
      // Best effort: the process is usually on its way out.
      (void)core::library_unload(library);
    }
  });
}

void __cudaRegisterFunction(void** fatCubinHandle, const char* hostFun, char*,
                            const char* deviceName, int, uint3*, uint3*, dim3*, dim3*, int*) {
  registering([&] { registry().add_function(binary_of(fatCubinHandle), hostFun, deviceName); });
}

void __cudaRegisterVar(void** fatCubinHandle, char* hostVar, char*, const char* deviceName, int,
                       size_t size, int, int) {
  registering(
      [&] { registry().add_variable(binary_of(fatCubinHandle), hostVar, deviceName, size); });
}

// A variable of the host that device code refers to by name. Device code of ours cannot reach the
// host, so there is nothing to bind; its address is found like any symbol's.
void __cudaRegisterHostVar(void** fatCubinHandle, const char* deviceName, char* hostVar,
                           size_t size) {
  registering(
      [&] { registry().add_variable(binary_of(fatCubinHandle), hostVar, deviceName, size); });
}

void __cudaRegisterManagedVar(void** fatCubinHandle, void** hostVarPtrAddress, char*,
                              const char* deviceName, int, size_t size, int, int) {
  registering([&] {
    FatBinary* const binary = binary_of(fatCubinHandle);
    registry().add_variable(binary, hostVarPtrAddress, deviceName, size);
    binary->has_managed_variables = true;
  });
}

// Called before a program part with managed variables first uses one.
char __cudaInitModule(void** fatCubinHandle) {
  registering([&] {
    if (binary_of(fatCubinHandle)->has_managed_variables) {
      core::unsupported("__managed__ variables");
    }
  });
  return 1;
}

// Device-side function tables across libraries (-rdc with unified function pointers): not there.
void __cudaRegisterUnifiedTable(void**, void*) {
  registering([] { core::unsupported("__cudaRegisterUnifiedTable"); });
}

}  // extern "C"
