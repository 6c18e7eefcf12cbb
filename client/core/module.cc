// Modules: offered by content hash, uploaded only when the server lacks them; one answer tells
// everything about every kernel.
#include <algorithm>

#include "client/core/call.h"
#include "client/core/image.h"
#include "client/core/jit.h"
#include "client/core/log_line.h"
#include "client/core/session.h"
#include "protocol/limits.h"

namespace farlane::client {
namespace {

namespace limits = protocol::limits;

CUresult upload(Session* s, const message::ImageHash& hash, std::span<const std::byte> image) {
  stats::note_upload(image.size());
  const size_t chunk =
      std::min<size_t>(static_cast<size_t>(s->settings().copy_chunk_bytes), limits::body_bytes_max);
  for (size_t offset = 0; offset < image.size(); offset += chunk) {
    const transport::Bytes part = image.subspan(offset, std::min(chunk, image.size() - offset));
    const message::ImagePart command{.hash = hash, .image_bytes = image.size(), .offset = offset};
    if (s->post_with_body(command, {&part, 1}) == 0) {
      return kServerLost;
    }
  }
  return CUDA_SUCCESS;
}

void take_kernels(std::span<const message::KernelFacts> told, Module* module) {
  for (const message::KernelFacts& one : told) {
    KernelFacts facts;
    facts.assign(one);
    module->kernel_order.push_back(facts.name);
    module->kernels[facts.name] = std::move(facts);
  }
}

// Sends what the server lacks, unless another thread has sent something since the server was asked:
// that may be what it lacks no more. *sent: it has been done here.
CUresult upload_missing(Session* s, std::span<const message::ImageHash> missing,
                        std::span<const message::ImageHash> hashes,
                        std::span<const std::span<const std::byte>> images, uint64_t uploads_before,
                        bool* sent) {
  std::lock_guard lock(s->upload_mutex);
  *sent = s->uploads.load(std::memory_order_acquire) == uploads_before;
  for (const message::ImageHash& hash : *sent ? missing : missing.first(0)) {
    const auto found = std::find(hashes.begin(), hashes.end(), hash);
    if (found == hashes.end()) {
      return CUDA_ERROR_UNKNOWN;
    }
    if (const CUresult result = upload(s, hash, images[found - hashes.begin()]);
        result != CUDA_SUCCESS) {
      return result;
    }
    s->uploads.fetch_add(1, std::memory_order_release);
  }
  return CUDA_SUCCESS;
}

// Loads until the server has every image; fills the module's kernels.
CUresult load(Session* s, Module* module, std::span<const message::ImageHash> hashes,
              std::span<const std::span<const std::byte>> images, std::string* log) {
  // Once to hear what is missing, and once with everything there. More only when the server's cache
  // dropped something in between, or when other threads upload as well.
  for (int uploads = 0; uploads < 3;) {
    const uint64_t uploads_before = s->uploads.load(std::memory_order_acquire);
    Answer<message::ModuleLoad> answer;
    const CUresult result = s->ask(
        message::ModuleLoad{
            .module = module->id, .device = module->device->server_ordinal, .images = hashes},
        &answer);
    if (log != nullptr) {
      *log = answer.reply.log;
    }
    if (result != CUDA_SUCCESS) {
      if (!answer.reply.log.empty()) {
        log_line(LogLevel::kInfo, "module load failed: " + std::string(answer.reply.log));
      }
      return result;
    }
    module->device->memory_changed();
    if (answer.reply.missing.empty()) {
      take_kernels(answer.reply.kernels, module);
      while (module->kernel_order.size() < answer.reply.kernels_total) {
        Answer<message::KernelsMore> more;
        const auto first = static_cast<uint32_t>(module->kernel_order.size());
        const CUresult told =
            s->ask(message::KernelsMore{.module = module->id, .first = first}, &more);
        if (told != CUDA_SUCCESS || more.reply.kernels.empty()) {
          return told != CUDA_SUCCESS ? told : CUDA_ERROR_UNKNOWN;
        }
        take_kernels(more.reply.kernels, module);
      }
      return CUDA_SUCCESS;
    }
    bool sent = false;
    if (const CUresult uploaded =
            upload_missing(s, answer.reply.missing, hashes, images, uploads_before, &sent);
        uploaded != CUDA_SUCCESS) {
      return uploaded;
    }
    uploads += sent ? 1 : 0;
  }
  log_line(LogLevel::kWarning, "the server keeps losing a module image that was just uploaded");
  return CUDA_ERROR_INVALID_IMAGE;
}

}  // namespace

void KernelFacts::assign(const message::KernelFacts& told) {
  name = told.name;
  params.assign(told.params.begin(), told.params.end());
  param_bytes = told.param_bytes;
  attributes[CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK] = told.max_threads_per_block;
  attributes[CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES] = told.shared_static_bytes;
  attributes[CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES] = told.const_bytes;
  attributes[CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES] = told.local_bytes;
  attributes[CU_FUNC_ATTRIBUTE_NUM_REGS] = told.registers;
  attributes[CU_FUNC_ATTRIBUTE_PTX_VERSION] = told.ptx_version;
  attributes[CU_FUNC_ATTRIBUTE_BINARY_VERSION] = told.binary_version;
  attributes[CU_FUNC_ATTRIBUTE_CACHE_MODE_CA] = told.cache_mode_ca;
  attributes[CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES] = told.shared_dynamic_bytes_max;
  attributes[CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT] = told.shared_carveout;
  attributes[CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET] = told.cluster_size_must_be_set;
  attributes[CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH] = told.cluster_width;
  attributes[CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT] = told.cluster_height;
  attributes[CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH] = told.cluster_depth;
  attributes[CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED] =
      told.non_portable_cluster_allowed;
  attributes[CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE] =
      told.cluster_scheduling_policy;
}

CUresult module_load(int device, std::span<const void* const> images, CUmodule* module,
                     std::string* log) {
  return module_load_with(device, images, {}, module, log);
}

CUresult module_jit_outcome(CUmodule module, JitOutcome* outcome) {
  Call call;
  const Module* found = call.module(module);
  if (found == nullptr) {
    return call.error;
  }
  Answer<message::JitOutcome> answer;
  const CUresult result = call->ask(message::JitOutcome{.module = found->id}, &answer);
  *outcome = {answer.reply.wall_ms, answer.reply.block_threads};
  return result;
}

CUresult module_load_with(int device, std::span<const void* const> images,
                          std::span<const JitOption> options, CUmodule* module, std::string* log) {
  const CUresult result = load_module(device, images, options, module, log);
  if (result == CUDA_SUCCESS) {
    note_made(session_if_any(), bits_of(*module));
  }
  return result;
}

CUresult load_module(int device, std::span<const void* const> images,
                     std::span<const JitOption> options, CUmodule* module, std::string* log) {
  Call call;
  Device* found = call.device(device);
  if (found == nullptr) {
    return call.error;
  }
  std::vector<std::span<const std::byte>> contents;
  std::vector<message::ImageHash> hashes;
  for (const void* image : images) {
    const std::span<const std::byte> bytes = image_bytes(image);
    if (bytes.empty() || bytes.size() > limits::image_bytes_max) {
      return CUDA_ERROR_INVALID_IMAGE;
    }
    contents.push_back(bytes);
    hashes.push_back(image_hash(bytes));
  }
  if (hashes.empty() || hashes.size() > limits::link_images_max) {
    return CUDA_ERROR_INVALID_IMAGE;
  }
  if (options.size() > limits::jit_options_max) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  Module* made = call.make(call->modules, found);
  if (made == nullptr) {
    return call.error;
  }
  if (!options.empty()) {
    std::vector<message::JitOption> numbers;
    for (const JitOption& one : options) {
      numbers.push_back({one.id, one.value});
    }
    call->post(message::JitOptions{.module = made->id, .options = numbers});
  }
  const CUresult result = load(call.session, made, hashes, contents, log);
  if (result != CUDA_SUCCESS) {
    call->modules.destroy(made->id.bits());
    return result;
  }
  *module = handle_of<CUmodule>(made->id.bits());
  return CUDA_SUCCESS;
}

CUresult module_unload(CUmodule module) {
  Call call;
  Module* found = call.module(module);
  if (found == nullptr) {
    return call.error;
  }
  const protocol::ModuleId id = found->id;
  Device* const owner = found->device;
  call->context_goods.remove(id.bits());
  if (!call->modules.retire(id.bits())) {
    return CUDA_ERROR_INVALID_HANDLE;  // another thread was quicker
  }
  std::vector<uint64_t> functions;
  {
    std::lock_guard lock(found->mutex);
    for (const auto& [name, function] : found->functions) {
      if (call->functions.retire(bits_of(function))) {
        functions.push_back(bits_of(function));
      }
    }
  }
  {
    std::unique_lock lock(call->variables_mutex);
    std::erase_if(call->variables,
                  [&](const auto& entry) { return entry.second.module == id.bits(); });
  }
  // It ends its functions there.
  call->post(message::ModuleUnload{.module = id});
  for (const uint64_t function : functions) {
    call->functions.recycle(function);
  }
  call->modules.recycle(id.bits());
  owner->memory_changed();
  return CUDA_SUCCESS;
}

CUresult module_function(CUmodule module, const char* name, CUfunction* function) {
  Call call;
  Module* found = call.module(module);
  if (found == nullptr) {
    return call.error;
  }
  std::lock_guard lock(found->mutex);
  if (auto known = found->functions.find(std::string_view(name)); known != found->functions.end()) {
    *function = known->second;
    return CUDA_SUCCESS;
  }
  auto facts = found->kernels.find(std::string_view(name));
  if (facts == found->kernels.end()) {
    return CUDA_ERROR_NOT_FOUND;
  }
  Function* made = call.make(call->functions, found->device);
  if (made == nullptr) {
    return call.error;
  }
  made->module = module;
  made->facts = facts->second;
  call->post(
      message::KernelBind{.kernel = made->id, .module = found->id, .name = facts->second.name});
  *function = handle_of<CUfunction>(made->id.bits());
  found->functions.emplace(facts->first, *function);
  return CUDA_SUCCESS;
}

CUresult module_function_names(CUmodule module, std::vector<std::string>* names) {
  Call call;
  Module* found = call.module(module);
  if (found == nullptr) {
    return call.error;
  }
  *names = found->kernel_order;
  return CUDA_SUCCESS;
}

namespace {

// The server's word, kept for later questions.
CUresult find_variable(Call& call, Module* module, std::string_view name,
                       Module::Variable* variable) {
  Answer<message::VariableFind> answer;
  const CUresult result =
      call->ask(message::VariableFind{.module = module->id, .name = name}, &answer);
  if (result != CUDA_SUCCESS) {
    return result;
  }
  *variable = {answer.reply.address, answer.reply.bytes};
  {
    std::unique_lock lock(call->variables_mutex);
    Session::Variable& known = call->variables[variable->address];
    if (known.device == nullptr) {
      known = {variable->bytes, module->device, module->id.bits(),
               call->next_unique_id.fetch_add(1)};
    }
  }
  std::lock_guard lock(module->mutex);
  module->variables.insert_or_assign(std::string(name), *variable);
  return CUDA_SUCCESS;
}

}  // namespace

CUresult module_variable(CUmodule module, const char* name, CUdeviceptr* address, size_t* bytes) {
  Call call;
  Module* found = call.module(module);
  if (found == nullptr) {
    return call.error;
  }
  if (std::string_view(name).size() > limits::name_bytes_max) {
    return CUDA_ERROR_NOT_FOUND;
  }
  // Programs copy to one symbol again and again.
  Module::Variable variable;
  bool known = false;
  {
    std::lock_guard lock(found->mutex);
    if (const auto one = found->variables.find(std::string_view(name));
        one != found->variables.end()) {
      variable = one->second;
      known = true;
    }
  }
  if (!call->answers_here(known, message::VariableFind::kName)) {
    if (const CUresult result = find_variable(call, found, name, &variable);
        result != CUDA_SUCCESS) {
      return result;
    }
  }
  if (address != nullptr) {
    *address = variable.address;
  }
  if (bytes != nullptr) {
    *bytes = variable.bytes;
  }
  return CUDA_SUCCESS;
}

}  // namespace farlane::client
