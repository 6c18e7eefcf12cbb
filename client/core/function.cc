// Facts about kernels: told once per module, kept here.
#include <cstring>

#include "client/core/call.h"
#include "client/core/session.h"
#include "protocol/limits.h"

namespace farlane::client {

Function* Session::resolve(CUfunction function, int on, CUresult* error) {
  const LibraryKernel* kernel = library_kernels().find(bits_of(function));
  if (kernel == nullptr) {
    Function* found = functions.find(bits_of(function));
    *error = found == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_SUCCESS;
    return found;
  }
  if (on < 0) {
    *error = CUDA_ERROR_INVALID_CONTEXT;
    return nullptr;
  }
  if (on < LibraryKernel::kDevicesMax) {
    const CUfunction known = kernel->functions[on].load(std::memory_order_acquire);
    if (Function* found = functions.find(bits_of(known)); found != nullptr) [[likely]] {
      return found;
    }
  }
  CUfunction on_device = nullptr;
  *error = kernel_function(reinterpret_cast<CUkernel>(function), on, &on_device);
  return *error == CUDA_SUCCESS ? functions.find(bits_of(on_device)) : nullptr;
}

CUresult function_attribute(CUfunction function, CUfunction_attribute attribute, int* value) {
  Call call;
  const Function* found = call.function(function);
  if (found == nullptr) {
    return call.error;
  }
  if (attribute < 0 || attribute >= CU_FUNC_ATTRIBUTE_MAX) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *value = found->facts.attributes[attribute];
  return CUDA_SUCCESS;
}

CUresult function_set_attribute(CUfunction function, CUfunction_attribute attribute, int value) {
  Call call;
  Function* found = call.function(function);
  if (found == nullptr) {
    return call.error;
  }
  // What programs branch on is decided here; the rest is the driver's to say.
  switch (static_cast<int>(attribute)) {
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: {
      const int most =
          found->device->attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN) -
          found->facts.attributes[CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES];
      if (value < 0 || value > most) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      break;
    }
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
      if (value < -1 || value > 100) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      break;
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
      if (value < 0) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      break;
    default:
      return CUDA_ERROR_INVALID_VALUE;  // the others cannot be set
  }
  if (call->post(message::KernelSet{.kernel = found->id, .attribute = attribute, .value = value}) ==
      0) {
    return kServerLost;
  }
  found->facts.attributes[attribute] = value;
  std::lock_guard lock(found->mutex);
  found->occupancy.clear();
  found->clusters.clear();
  return CUDA_SUCCESS;
}

CUresult function_set_cache(CUfunction function, CUfunc_cache config) {
  Call call;
  const Function* found = call.function(function);
  if (found == nullptr) {
    return call.error;
  }
  if (config < CU_FUNC_CACHE_PREFER_NONE || config > CU_FUNC_CACHE_PREFER_EQUAL) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return posted(call->post(message::KernelCache{.kernel = found->id, .config = config}));
}

CUresult function_name(CUfunction function, const char** name) {
  Call call;
  const Function* found = call.function(function);
  if (found == nullptr) {
    return call.error;
  }
  *name = found->facts.name.c_str();
  return CUDA_SUCCESS;
}

CUresult function_module(CUfunction function, CUmodule* module) {
  Call call;
  const Function* found = call.function(function);
  if (found == nullptr) {
    return call.error;
  }
  *module = found->module;
  return CUDA_SUCCESS;
}

CUresult function_param(CUfunction function, size_t index, size_t* offset, size_t* bytes) {
  Call call;
  const Function* found = call.function(function);
  if (found == nullptr) {
    return call.error;
  }
  if (index >= found->facts.params.size()) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (offset != nullptr) {
    *offset = found->facts.params[index].offset;
  }
  if (bytes != nullptr) {
    *bytes = found->facts.params[index].bytes;
  }
  return CUDA_SUCCESS;
}

CUresult occupancy_blocks(CUfunction function, int block_threads, size_t shared_dynamic_bytes,
                          unsigned flags, int* blocks) {
  Call call;
  Function* found = call.function(function);
  if (found == nullptr) {
    return call.error;
  }
  if (block_threads <= 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const std::array<uint64_t, 3> key{static_cast<uint64_t>(block_threads), shared_dynamic_bytes,
                                    flags};
  {
    std::lock_guard lock(found->mutex);
    if (auto known = found->occupancy.find(key); known != found->occupancy.end()) {
      *blocks = known->second;
      return CUDA_SUCCESS;
    }
  }
  Answer<message::OccupancyBlocks> answer;
  const CUresult result =
      call->ask(message::OccupancyBlocks{.kernel = found->id,
                                         .block_threads = static_cast<uint32_t>(block_threads),
                                         .flags = flags,
                                         .shared_bytes = shared_dynamic_bytes},
                &answer);
  if (result != CUDA_SUCCESS) {
    return result;
  }
  std::lock_guard lock(found->mutex);
  if (found->occupancy.size() >= Function::kAnswersMax) {
    found->occupancy.clear();
  }
  found->occupancy[key] = answer.reply.blocks;
  *blocks = answer.reply.blocks;
  return CUDA_SUCCESS;
}

CUresult occupancy_shared(CUfunction function, int blocks, int block_threads, size_t* bytes) {
  Call call;
  const Function* found = call.function(function);
  if (found == nullptr) {
    return call.error;
  }
  if (blocks <= 0 || block_threads <= 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  Answer<message::OccupancyShared> answer;
  const CUresult result =
      call->ask(message::OccupancyShared{.kernel = found->id,
                                         .blocks = static_cast<uint32_t>(blocks),
                                         .block_threads = static_cast<uint32_t>(block_threads)},
                &answer);
  if (result == CUDA_SUCCESS) {
    *bytes = answer.reply.bytes;
  }
  return result;
}

namespace {

CUresult ask_clusters(CUfunction function, const Launch& launch, bool potential, int* value) {
  Call call;
  Function* found = call.function(function);
  if (found == nullptr) {
    return call.error;
  }
  if (launch.attribute_count > protocol::limits::launch_attributes_max) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::vector<message::LaunchAttribute> attributes;
  for (unsigned i = 0; i < launch.attribute_count; ++i) {
    message::LaunchAttribute& attribute = attributes.emplace_back();
    attribute.id = launch.attributes[i].id;
    std::memcpy(attribute.value.data(), &launch.attributes[i].value, sizeof attribute.value);
  }
  const message::OccupancyClusters question{
      .kernel = found->id,
      .grid_x = launch.grid[0],
      .grid_y = launch.grid[1],
      .grid_z = launch.grid[2],
      .block_x = launch.block[0],
      .block_y = launch.block[1],
      .block_z = launch.block[2],
      .shared_bytes = static_cast<uint32_t>(launch.shared_bytes),
      .potential = potential ? 1u : 0u,
      .attributes = attributes};
  std::string name(encoded_bytes(question), '\0');
  encode(std::as_writable_bytes(std::span(name)), question, 0);
  {
    std::lock_guard lock(found->mutex);
    if (auto known = found->clusters.find(name); known != found->clusters.end()) {
      *value = known->second;
      return CUDA_SUCCESS;
    }
  }
  Answer<message::OccupancyClusters> answer;
  const CUresult result = call->ask(question, &answer);
  if (result == CUDA_SUCCESS) {
    std::lock_guard lock(found->mutex);
    if (found->clusters.size() >= Function::kAnswersMax) {
      found->clusters.clear();  // the grid is part of the question, and may ever be another
    }
    found->clusters[name] = answer.reply.value;
    *value = answer.reply.value;
  }
  return result;
}

}  // namespace

CUresult occupancy_clusters(CUfunction function, const Launch& launch, int* count) {
  return ask_clusters(function, launch, false, count);
}

CUresult occupancy_cluster_size(CUfunction function, const Launch& launch, int* blocks) {
  return ask_clusters(function, launch, true, blocks);
}

}  // namespace farlane::client
