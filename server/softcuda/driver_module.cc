#include "server/softcuda/driver_module.h"

#include <algorithm>
#include <cstring>

#include "server/softcuda/driver_device.h"

namespace farlane::softcuda {
namespace {

constexpr unsigned kRegisterUnit = 8;  // a thread's registers are given out in eights

}  // namespace

bool JitLog::read(unsigned count, const CUjit_option* options, void** values) {
  if (count > 0 && (options == nullptr || values == nullptr)) {
    return false;
  }
  for (unsigned i = 0; i < count; ++i) {
    const auto number = reinterpret_cast<uintptr_t>(values[i]);
    // The enumeration's other values are for the vendor's compiler; naming them here would only say
    // "nothing to do" thirty times.
    if (options[i] == CU_JIT_ERROR_LOG_BUFFER) {
      error_ = static_cast<char*>(values[i]);
    } else if (options[i] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES) {
      error_bytes_ = static_cast<unsigned>(number);
    } else if (options[i] == CU_JIT_INFO_LOG_BUFFER) {
      info_ = static_cast<char*>(values[i]);
    } else if (options[i] == CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES) {
      info_bytes_ = static_cast<unsigned>(number);
    } else if (options[i] == CU_JIT_WALL_TIME) {
      wall_ms_ = &values[i];
    } else if (options[i] < 0 || options[i] >= CU_JIT_NUM_OPTIONS) {
      return false;
    }
  }
  write(error_, error_bytes_, "");
  write(info_, info_bytes_, "");
  return true;
}

JitClock::~JitClock() {
  if (wall_ms_ != nullptr) {
    const std::chrono::duration<float, std::milli> passed =
        std::chrono::steady_clock::now() - begin_;
    const float value = passed.count();
    std::memcpy(wall_ms_, &value, sizeof value);
  }
}

void JitLog::write(char* buffer, size_t bytes, const std::string& text) {
  if (buffer == nullptr || bytes == 0) {
    return;
  }
  const size_t copied = std::min(text.size(), bytes - 1);
  std::memcpy(buffer, text.data(), copied);
  buffer[copied] = '\0';
}

CUresult load_engine(const std::vector<std::string>& texts, std::unique_ptr<Module>* engine,
                     std::string* error) {
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  *engine = load_ptx(views, error);
  return *engine == nullptr ? CUDA_ERROR_INVALID_PTX : CUDA_SUCCESS;
}

std::shared_ptr<ModuleObject> add_module(const Context& context, std::unique_ptr<Module> engine) {
  Driver& driver = Driver::instance();
  auto module = std::make_shared<ModuleObject>();
  module->context_id = context.id;
  module->engine = std::move(engine);
  for (const VariableInfo& variable : module->engine->variables()) {
    DeviceMemory::instance().add_variable(context.device, variable.address, variable.bytes,
                                          context.id);
  }
  const auto kernels = module->engine->kernels();
  for (size_t i = 0; i < kernels.size(); ++i) {
    auto function = std::make_shared<FunctionObject>();
    function->module = module;
    function->context_id = context.id;
    function->index = i;
    function->info = &kernels[i];
    function->settings.shared_dynamic_bytes_max = default_shared_dynamic_bytes(kernels[i]);
    function->handle = driver.functions.add(function);
    module->functions.push_back(function->handle);
  }
  module->handle = driver.modules.add(module);
  return module;
}

void remove_module(const std::shared_ptr<ModuleObject>& module) {
  Driver& driver = Driver::instance();
  driver.modules.take(module->handle);
  for (const CUfunction function : module->functions) {
    driver.functions.take(function);
  }
}

CUresult library_module(const Context& context, LibraryObject& library,
                        std::shared_ptr<ModuleObject>* module) {
  Driver& driver = Driver::instance();
  const std::lock_guard lock(library.mutex);
  const auto it = library.modules.find(context.id);
  if (it != library.modules.end()) {
    *module = driver.modules.find(it->second);
    if (*module != nullptr) {
      return CUDA_SUCCESS;
    }
  }
  std::unique_ptr<Module> engine = std::move(library.first);
  if (engine == nullptr) {
    std::string error;
    if (const CUresult result = load_engine(library.texts, &engine, &error);
        result != CUDA_SUCCESS) {
      return result;
    }
  }
  *module = add_module(context, std::move(engine));
  library.modules[context.id] = (*module)->handle;
  // Attributes set on the kernels before the module existed hold for it.
  for (size_t i = 0; i < library.kernels.size(); ++i) {
    const auto kernel = driver.kernels.find(library.kernels[i]);
    const auto function = driver.functions.find((*module)->functions[i]);
    if (kernel != nullptr && function != nullptr) {
      function->settings.shared_dynamic_bytes_max =
          kernel->settings.shared_dynamic_bytes_max.load();
      function->settings.shared_carveout = kernel->settings.shared_carveout.load();
    }
  }
  return CUDA_SUCCESS;
}

CUresult kernel_function(const Context& context, KernelObject& kernel,
                         std::shared_ptr<FunctionObject>* function) {
  const auto library = Driver::instance().libraries.find(kernel.library);
  if (library == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  std::shared_ptr<ModuleObject> module;
  if (const CUresult result = library_module(context, *library, &module); result != CUDA_SUCCESS) {
    return result;
  }
  *function = Driver::instance().functions.find(module->functions[kernel.index]);
  return *function == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_SUCCESS;
}

CUresult find_function(const Context& context, CUfunction handle,
                       std::shared_ptr<FunctionObject>* function) {
  Driver& driver = Driver::instance();
  *function = driver.functions.find(handle);
  if (*function != nullptr) {
    return (*function)->context_id == context.id ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
  }
  const auto kernel = driver.kernels.find(reinterpret_cast<CUkernel>(handle));
  return kernel == nullptr ? CUDA_ERROR_INVALID_HANDLE
                           : kernel_function(context, *kernel, function);
}

unsigned kernel_threads_max(const KernelInfo& info) {
  const unsigned registers =
      std::max(1u, (info.registers + kRegisterUnit - 1) / kRegisterUnit) * kRegisterUnit;
  const unsigned by_registers = kBlockRegistersMax / registers / kWarpThreads * kWarpThreads;
  return std::min({kBlockThreadsMax, info.max_threads_per_block, by_registers});
}

int default_shared_dynamic_bytes(const KernelInfo& info) {
  return info.shared_static_bytes >= kSharedBytesPerBlock
             ? 0
             : static_cast<int>(kSharedBytesPerBlock - info.shared_static_bytes);
}

CUresult kernel_attribute(const KernelInfo& info, const KernelSettings& settings,
                          CUfunction_attribute attribute, int* value) {
  if (value == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
      *value = static_cast<int>(kernel_threads_max(info));
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
      *value = static_cast<int>(info.shared_static_bytes);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES:
      *value = static_cast<int>(info.const_bytes);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
      *value = static_cast<int>(info.local_bytes);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_NUM_REGS:
      *value = static_cast<int>(info.registers);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
      *value = static_cast<int>(info.ptx_version);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
      *value = kArch;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      *value = settings.shared_dynamic_bytes_max.load();
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
      *value = settings.shared_carveout.load();
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CACHE_MODE_CA:
    case CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
      *value = 0;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_MAX:
      break;
  }
  return CUDA_ERROR_INVALID_VALUE;
}

CUresult set_kernel_attribute(const KernelInfo& info, KernelSettings& settings,
                              CUfunction_attribute attribute, int value) {
  if (attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) {
    const int bytes_max =
        static_cast<int>(kSharedBytesPerBlockOptIn) - static_cast<int>(info.shared_static_bytes);
    if (value < 0 || value > bytes_max) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    settings.shared_dynamic_bytes_max = value;
    return CUDA_SUCCESS;
  }
  if (attribute == CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT) {
    if (value < -1 || value > 100) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    settings.shared_carveout = value;
    return CUDA_SUCCESS;
  }
  return CUDA_ERROR_INVALID_VALUE;  // all others are facts
}

CUresult kernel_param_info(const KernelInfo& info, size_t index, size_t* offset, size_t* bytes) {
  if (offset == nullptr || index >= info.params.size()) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *offset = info.params[index].offset;
  if (bytes != nullptr) {
    *bytes = info.params[index].bytes;
  }
  return CUDA_SUCCESS;
}

}  // namespace farlane::softcuda
