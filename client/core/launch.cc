// A launch: find the kernel, check the configuration against what is known, pack the arguments,
// append.
#include <cstring>
#include <new>
#include <type_traits>

#include "client/core/call.h"
#include "client/core/graph_detail.h"
#include "client/core/session.h"
#include "protocol/launch_attributes.h"
#include "protocol/limits.h"

namespace farlane::client {
namespace {

namespace limits = protocol::limits;

CUevent event_of(const CUlaunchAttribute& attribute) {
  return attribute.id == CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT
             ? attribute.value.programmaticEvent.event
             : attribute.value.launchCompletionEvent.event;
}

}  // namespace

CUresult check_launch(const Function& function, const Launch& launch) {
  const Device& device = *function.device;
  constexpr CUdevice_attribute kGridMax[] = {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X,
                                             CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y,
                                             CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z};
  constexpr CUdevice_attribute kBlockMax[] = {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X,
                                              CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y,
                                              CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z};
  for (int axis = 0; axis < 3; ++axis) {
    if (launch.grid[axis] == 0 || launch.block[axis] == 0 ||
        launch.grid[axis] > static_cast<unsigned>(device.attribute(kGridMax[axis])) ||
        launch.block[axis] > static_cast<unsigned>(device.attribute(kBlockMax[axis]))) {
      return CUDA_ERROR_INVALID_VALUE;
    }
  }
  const uint64_t threads = uint64_t{launch.block[0]} * launch.block[1] * launch.block[2];
  if (threads >
      static_cast<uint64_t>(device.attribute(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK))) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const auto& facts = function.facts.attributes;
  if (threads > static_cast<uint64_t>(facts[CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK])) {
    // Too many registers is one error, more threads than __launch_bounds__ declares another.
    const uint64_t registers = threads * static_cast<uint64_t>(facts[CU_FUNC_ATTRIBUTE_NUM_REGS]);
    return registers > static_cast<uint64_t>(
                           device.attribute(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK))
               ? CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES
               : CUDA_ERROR_INVALID_VALUE;
  }
  if (launch.shared_bytes >
      static_cast<uint64_t>(facts[CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES])) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

namespace {

bool is_cooperative(const Launch& launch) {
  for (unsigned i = 0; i < launch.attribute_count; ++i) {
    if (launch.attributes[i].id == CU_LAUNCH_ATTRIBUTE_COOPERATIVE &&
        launch.attributes[i].value.cooperative != 0) {
      return true;
    }
  }
  return false;
}

// All blocks of a cooperative launch must be on the device at once. How many fit is asked of the
// server the first time only.
CUresult check_cooperative(CUfunction function, const Function& kernel, const Launch& launch) {
  const unsigned threads = launch.block[0] * launch.block[1] * launch.block[2];
  int blocks = 0;
  const CUresult result = occupancy_blocks(function, static_cast<int>(threads), launch.shared_bytes,
                                           CU_OCCUPANCY_DEFAULT, &blocks);
  if (result != CUDA_SUCCESS) {
    return result;
  }
  const uint64_t resident =
      static_cast<uint64_t>(blocks) *
      static_cast<uint64_t>(kernel.device->attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT));
  const uint64_t wanted = uint64_t{launch.grid[0]} * launch.grid[1] * launch.grid[2];
  return wanted > resident ? CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE : CUDA_SUCCESS;
}

}  // namespace

namespace {

// Most parameters are pointers and numbers: a call of memcpy() for each is a good part of packing.
void copy_param(std::byte* to, const void* from, size_t bytes) {
  switch (bytes) {
    case 4:
      std::memcpy(to, from, 4);
      return;
    case 8:
      std::memcpy(to, from, 8);
      return;
    default:
      std::memcpy(to, from, bytes);
  }
}

}  // namespace

CUresult pack_params(const Function& function, const Launch& launch, std::span<std::byte> storage,
                     std::span<const std::byte>* params) {
  const KernelFacts& facts = function.facts;
  // PyCUDA gives kernels without parameters an empty buffer.
  const bool empty = launch.packed_bytes == 0 && facts.params.empty();
  if (launch.params == nullptr && launch.packed_params != nullptr && !empty) {
    // As CUDA has it (tried on 13.0): more than there are parameters is refused, what is missing is
    // 0.
    if (launch.packed_bytes == 0 || launch.packed_bytes > limits::param_bytes_max) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (launch.packed_bytes > facts.param_bytes) {
      return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
    }
    *params = {static_cast<const std::byte*>(launch.packed_params), launch.packed_bytes};
    if (launch.packed_bytes < facts.param_bytes) {
      std::memcpy(storage.data(), launch.packed_params, launch.packed_bytes);
      std::memset(storage.data() + launch.packed_bytes, 0, facts.param_bytes - launch.packed_bytes);
      *params = storage.first(facts.param_bytes);
    }
    return CUDA_SUCCESS;
  }
  if (facts.params.empty()) {
    return CUDA_SUCCESS;
  }
  if (launch.params == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  size_t end = 0;
  for (size_t i = 0; i < facts.params.size(); ++i) {
    const message::Param& param = facts.params[i];
    if (param.offset > storage.size() || param.bytes > storage.size() - param.offset ||
        launch.params[i] == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    // Gaps are zeroed: what happened to lie on the stack is nobody's business.
    if (param.offset > end) {
      std::memset(storage.data() + end, 0, param.offset - end);
    }
    copy_param(storage.data() + param.offset, launch.params[i], param.bytes);
    end = param.offset + param.bytes;
  }
  *params = storage.first(end);
  return CUDA_SUCCESS;
}

CUresult launch(CUfunction function, const Launch& launch) {
  Call call;
  call.take_earlier();
  Stream* stream = call.stream(launch.stream);
  // The stream says where, whichever device is current, as with CUDA's runtime (tried on 13.0).
  Function* kernel = call.function(function, stream);
  if (kernel == nullptr) {
    return call.error;
  }
  if (stream->device != kernel->device) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  const CaptureRef capture = call.admit(stream);
  if (!call) {
    return call.error;
  }
  // A launch that is refused breaks the capture it would have been in.
  const auto refuse = [&](CUresult wrong) {
    if (capture != nullptr) {
      std::lock_guard lock(call->captures.mutex());
      capture->broken = true;
    }
    return wrong;
  };
  if (const CUresult wrong = check_launch(*kernel, launch); wrong != CUDA_SUCCESS) {
    return refuse(wrong);
  }
  if (is_cooperative(launch)) {
    if (const CUresult wrong = check_cooperative(function, *kernel, launch);
        wrong != CUDA_SUCCESS) {
      return refuse(wrong);
    }
  }

  alignas(16) std::byte packed[limits::param_bytes_max];
  std::span<const std::byte> params;
  if (const CUresult wrong = pack_params(*kernel, launch, packed, &params); wrong != CUDA_SUCCESS) {
    return refuse(wrong);
  }

  // Not an array of attributes: most launches have none, and would pay for making 32.
  using Attribute = message::LaunchAttribute;
  static_assert(std::is_trivially_destructible_v<Attribute>);
  alignas(Attribute) std::byte storage[limits::launch_attributes_max * sizeof(Attribute)];
  auto* const attributes = reinterpret_cast<Attribute*>(storage);
  if (launch.attribute_count > limits::launch_attributes_max) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  bool records_events = false;
  for (unsigned i = 0; i < launch.attribute_count; ++i) {
    if (protocol::records_event(launch.attributes[i].id)) {
      records_events = true;
      if (call->events.find(bits_of(event_of(launch.attributes[i]))) == nullptr) {
        return refuse(CUDA_ERROR_INVALID_HANDLE);
      }
    } else if (!protocol::is_plain_launch_attribute(launch.attributes[i].id)) {
      return refuse(launch.attributes[i].id == CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE
                        ? CUDA_ERROR_NOT_SUPPORTED
                        : CUDA_ERROR_INVALID_VALUE);
    }
    Attribute& attribute = *new (&attributes[i]) Attribute;
    attribute.id = launch.attributes[i].id;
    static_assert(sizeof launch.attributes[i].value == sizeof attribute.value);
    std::memcpy(attribute.value.data(), &launch.attributes[i].value, sizeof attribute.value);
  }

  const uint64_t sequence =
      call->post(message::Launch{.stream = stream->id,
                                 .kernel = kernel->id,
                                 .grid_x = launch.grid[0],
                                 .grid_y = launch.grid[1],
                                 .grid_z = launch.grid[2],
                                 .block_x = launch.block[0],
                                 .block_y = launch.block[1],
                                 .block_z = launch.block[2],
                                 .shared_bytes = static_cast<uint32_t>(launch.shared_bytes),
                                 .attributes = {attributes, launch.attribute_count},
                                 .params = params});
  if (sequence == 0) {
    return kServerLost;
  }
  if (capture != nullptr) {
    return CUDA_SUCCESS;
  }
  call->touch(stream, sequence);
  for (unsigned i = 0; records_events && i < launch.attribute_count; ++i) {
    Event* event = protocol::records_event(launch.attributes[i].id)
                       ? call->events.find(bits_of(event_of(launch.attributes[i])))
                       : nullptr;
    if (event != nullptr) {
      event->recorded_stream.store(stream->id.bits(), std::memory_order_release);
      event->recorded_sequence.store(sequence, std::memory_order_release);
    }
  }
  return call->launch_blocking ? stream_synchronize(launch.stream) : CUDA_SUCCESS;
}

}  // namespace farlane::client
