// Commands about modules, kernels and launches.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "protocol/limits.h"
#include "server/driver_text.h"
#include "server/executor.h"

namespace farlane::server {

namespace limits = protocol::limits;

namespace {
// A client loads soon what it has set options for; its threads may be at it at once.
constexpr size_t kJitOptionsWaitingMax = 4096;
}  // namespace

bool Executor::on(const RecordHeader& header, const message::ImagePart& part,
                  std::span<std::byte> body) {
  std::string why;
  if (images_.add_part(part, body, &why) == ImageCache::Part::kRefused) return fault(header, why);
  return true;
}

bool Executor::on(const RecordHeader& header, const message::ModuleLoad& load) {
  if (!modules_.can_create(load.module)) {
    return fault(header, describe(load.module) + " cannot be created");
  }
  if (load.images.empty()) return fault(header, "a module of no images");
  message::ModuleLoadReply reply;
  std::vector<message::ImageHash> missing;
  std::vector<ImageRef> images;
  for (const message::ImageHash& hash : load.images) {
    images.push_back(images_.find(hash));
    if (images.back() == nullptr &&
        std::find(missing.begin(), missing.end(), hash) == missing.end()) {
      missing.push_back(hash);
    }
  }
  if (!missing.empty()) {
    reply.missing = missing;
    return answer(header.sequence, reply, CUDA_SUCCESS);
  }

  CUresult result = CUDA_SUCCESS;
  std::string log;
  KernelFactsPage page;
  auto module = std::make_unique<Module>();
  Device* device = find_device(header, load.device, &result);
  if (device == nullptr) return answer(header.sequence, reply, result);
  module->device = device;
  std::vector<message::JitOption> options;
  if (const auto found = jit_options_.find(load.module); found != jit_options_.end()) {
    options = std::move(found->second);
    jit_options_.erase(found);
  }
  result = load_module(driver_, images, options, module.get(), &log);
  if (result == CUDA_SUCCESS) {
    reply.kernels_total = static_cast<uint32_t>(module->functions.size());
    result = kernel_facts_page(driver_, *module, 0, &page);
    if (result != CUDA_SUCCESS) driver_.cuModuleUnload(module->handle);
  }
  if (result == CUDA_SUCCESS) {
    device->prints |= std::any_of(images.begin(), images.end(),
                                  [](const ImageRef& image) { return may_print(image->bytes()); });
    reply.kernels = std::move(page.kernels);
    modules_.create(load.module, std::move(module));
  } else {
    modules_.create_failed(load.module);
  }
  reply.log = std::string_view(log).substr(0, limits::log_bytes_max);
  return answer(header.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::JitOptions& options) {
  if (!modules_.can_create(options.module)) {
    return fault(header, describe(options.module) + " cannot be created");
  }
  if (jit_options_.size() >= kJitOptionsWaitingMax) {
    return fault(header, "options of too many modules that are not loaded");
  }
  jit_options_[options.module].assign(options.options.begin(), options.options.end());
  return true;
}

bool Executor::on(const RecordHeader& header, const message::JitOutcome& outcome) {
  message::JitOutcomeReply reply;
  CUresult result = CUDA_SUCCESS;
  const Module* module = find_module(header, outcome.module, &result);
  if (module != nullptr) {
    reply.wall_ms = module->jit_wall_ms;
    reply.block_threads = module->jit_block_threads;
  }
  return answer(header.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::KernelsMore& more) {
  CUresult result = CUDA_SUCCESS;
  message::KernelsMoreReply reply;
  KernelFactsPage page;
  const Module* module = find_module(header, more.module, &result);
  if (module != nullptr) result = kernel_facts_page(driver_, *module, more.first, &page);
  if (result == CUDA_SUCCESS) reply.kernels = std::move(page.kernels);
  return answer(header.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::ModuleUnload& unload) {
  std::unique_ptr<Module>* found = nullptr;
  CUresult result = CUDA_SUCCESS;
  const Lookup lookup = modules_.find(unload.module, &found);
  if (lookup == Lookup::kUnknown) return fault(header, describe(unload.module) + " does not exist");
  if (lookup == Lookup::kLive) {
    const Module& module = **found;
    result = make_current(*module.device);
    for (const protocol::KernelId id : module.kernels) {
      Kernel* kernel = nullptr;
      if (kernels_.find(id, &kernel) == Lookup::kLive) kernels_.fail(id);
    }
    for (const uint64_t address : module.variables) module.device->space.remove_variable(address);
    if (result == CUDA_SUCCESS) result = driver_.cuModuleUnload(module.handle);
  }
  modules_.destroy(unload.module);
  return posted(header, result, [&] { return describe(unload.module); });
}

bool Executor::on(const RecordHeader& header, const message::KernelBind& bind) {
  if (!kernels_.can_create(bind.kernel)) {
    return fault(header, describe(bind.kernel) + " cannot be created");
  }
  CUresult result = CUDA_SUCCESS;
  Kernel kernel;
  Module* module = find_module(header, bind.module, &result);
  if (module != nullptr) {
    kernel.device = module->device;
    result = driver_.cuModuleGetFunction(&kernel.function, module->handle,
                                         std::string(bind.name).c_str());
    if (result == CUDA_SUCCESS) {
      result = param_bytes(driver_, kernel.function, &kernel.param_bytes);
    }
  }
  if (result == CUDA_SUCCESS) {
    module->kernels.push_back(bind.kernel);
    kernels_.create(bind.kernel, kernel);
  } else if (end_ == SessionEnd::kNotYet) {
    kernels_.create_failed(bind.kernel);
  }
  return posted(header, result, [&] {
    return fmt::format("{} to {} of {}", describe(bind.kernel), bind.name, describe(bind.module));
  });
}

bool Executor::on(const RecordHeader& header, const message::KernelSet& set) {
  CUresult result = CUDA_SUCCESS;
  Kernel* kernel = find_kernel(header, set.kernel, &result);
  // A number outside of the enumeration must not become one of its type.
  if (kernel != nullptr && (set.attribute < 0 || set.attribute >= CU_FUNC_ATTRIBUTE_MAX)) {
    result = CUDA_ERROR_INVALID_VALUE;
  } else if (kernel != nullptr) {
    result = driver_.cuFuncSetAttribute(
        kernel->function, static_cast<CUfunction_attribute>(set.attribute), set.value);
  }
  return posted(header, result, [&] {
    return fmt::format("attribute {} of {} to {}", set.attribute, describe(set.kernel), set.value);
  });
}

bool Executor::on(const RecordHeader& header, const message::KernelCache& cache) {
  CUresult result = CUDA_SUCCESS;
  Kernel* kernel = find_kernel(header, cache.kernel, &result);
  if (kernel != nullptr && (cache.config < 0 || cache.config > CU_FUNC_CACHE_PREFER_EQUAL)) {
    result = CUDA_ERROR_INVALID_VALUE;
  } else if (kernel != nullptr) {
    result =
        driver_.cuFuncSetCacheConfig(kernel->function, static_cast<CUfunc_cache>(cache.config));
  }
  return posted(header, result, [&] { return describe(cache.kernel); });
}

namespace {

CUresult launch_kernel(const DriverTable& driver, const Kernel& kernel, CUstream stream,
                       const message::Launch& launch, std::vector<CUlaunchAttribute>* attributes) {
  // The driver reads as many bytes as the kernel has parameters, whatever the size says.
  if (launch.params.size() != kernel.param_bytes) return CUDA_ERROR_INVALID_VALUE;
  size_t bytes = launch.params.size();
  void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, const_cast<std::byte*>(launch.params.data()),
                   CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes, CU_LAUNCH_PARAM_END};
  void** packed = bytes == 0 ? nullptr : extra;
  if (launch.attributes.empty()) [[likely]] {
    return driver.cuLaunchKernel(kernel.function, launch.grid_x, launch.grid_y, launch.grid_z,
                                 launch.block_x, launch.block_y, launch.block_z,
                                 launch.shared_bytes, stream, nullptr, packed);
  }
  CUlaunchConfig config{};
  config.gridDimX = launch.grid_x;
  config.gridDimY = launch.grid_y;
  config.gridDimZ = launch.grid_z;
  config.blockDimX = launch.block_x;
  config.blockDimY = launch.block_y;
  config.blockDimZ = launch.block_z;
  config.sharedMemBytes = launch.shared_bytes;
  config.hStream = stream;
  config.attrs = attributes->data();
  config.numAttrs = static_cast<unsigned>(attributes->size());
  return driver.cuLaunchKernelEx(&config, kernel.function, nullptr, packed);
}

}  // namespace

bool Executor::on(const RecordHeader& header, const message::Launch& launch) {
  CUresult result = CUDA_SUCCESS;
  const Kernel* kernel = find_kernel(header, launch.kernel, &result);
  if (kernel != nullptr) {
    const StreamRef* stream = find_stream(header, launch.stream, &result);
    if (stream != nullptr && (*stream)->device != kernel->device) {
      result = CUDA_ERROR_INVALID_HANDLE;
    } else if (stream != nullptr) {
      if (communicators_ != nullptr && is_far_ahead(**stream)) [[unlikely]] return false;
      result = kernel->device->use(**stream);
      if (result == CUDA_SUCCESS) {
        if (!launch.attributes.empty()) {
          launch_attributes_.clear();
          result = translate(header, launch.attributes, &launch_attributes_);
          if (end_ != SessionEnd::kNotYet) return false;
        }
        if (result == CUDA_SUCCESS) {
          result = launch_kernel(driver_, *kernel, (*stream)->handle, launch, &launch_attributes_);
        }
      }
    }
  }
  return posted(header, result, [&] {
    const char* name = nullptr;
    if (kernel != nullptr) driver_.cuFuncGetName(&name, kernel->function);
    return fmt::format(
        "{} {} on {} with grid {}x{}x{}, block {}x{}x{}, {} bytes of shared memory "
        "and {} of parameters",
        describe(launch.kernel), name == nullptr ? "" : name, describe(launch.stream),
        launch.grid_x, launch.grid_y, launch.grid_z, launch.block_x, launch.block_y, launch.block_z,
        launch.shared_bytes, launch.params.size());
  });
}

bool Executor::on(const RecordHeader& header, const message::VariableFind& find) {
  CUresult result = CUDA_SUCCESS;
  message::VariableFindReply reply;
  Module* module = find_module(header, find.module, &result);
  if (module != nullptr) {
    CUdeviceptr address = 0;
    size_t bytes = 0;
    result =
        driver_.cuModuleGetGlobal(&address, &bytes, module->handle, std::string(find.name).c_str());
    if (result == CUDA_SUCCESS) {
      reply.address = address;
      reply.bytes = bytes;
      module->device->space.add_variable(address, bytes);
      module->variables.insert(address);
    }
  }
  return answer(header.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::KernelFactsGet& get) {
  CUresult result = CUDA_SUCCESS;
  message::KernelFactsGetReply reply;
  KernelFactsPage page;
  const Kernel* kernel = find_kernel(header, get.kernel, &result);
  if (kernel != nullptr) result = add_kernel_facts(driver_, kernel->function, &page);
  if (kernel != nullptr && result == CUDA_SUCCESS) reply.facts = page.kernels.front();
  return answer(header.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::OccupancyBlocks& occupancy) {
  CUresult result = CUDA_SUCCESS;
  message::OccupancyBlocksReply reply;
  const Kernel* kernel = find_kernel(header, occupancy.kernel, &result);
  if (kernel != nullptr) {
    result = driver_.cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
        &reply.blocks, kernel->function, static_cast<int>(occupancy.block_threads),
        occupancy.shared_bytes, occupancy.flags);
  }
  return answer(header.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::OccupancyShared& occupancy) {
  CUresult result = CUDA_SUCCESS;
  message::OccupancySharedReply reply;
  const Kernel* kernel = find_kernel(header, occupancy.kernel, &result);
  if (kernel != nullptr) {
    size_t bytes = 0;
    result = driver_.cuOccupancyAvailableDynamicSMemPerBlock(
        &bytes, kernel->function, static_cast<int>(occupancy.blocks),
        static_cast<int>(occupancy.block_threads));
    reply.bytes = bytes;
  }
  return answer(header.sequence, reply, result);
}

}  // namespace farlane::server
