#include "server/softcuda/driver_launch.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "server/softcuda/driver_device.h"
#include "server/softcuda/driver_graph.h"
#include "server/softcuda/driver_module.h"
#include "server/softcuda/driver_stream.h"

namespace farlane::softcuda {
namespace {

CUresult error_of(Fault fault) {
  switch (fault) {
    case Fault::kNone:
      return CUDA_SUCCESS;
    case Fault::kIllegalAddress:
      return CUDA_ERROR_ILLEGAL_ADDRESS;
    case Fault::kMisalignedAddress:
      return CUDA_ERROR_MISALIGNED_ADDRESS;
    case Fault::kAssert:
      return CUDA_ERROR_ASSERT;
    case Fault::kIllegalInstruction:
      return CUDA_ERROR_LAUNCH_FAILED;  // what an H100 reports for the trap instruction
    case Fault::kInvalidPc:
      return CUDA_ERROR_INVALID_PC;
    case Fault::kDeadlock:
      return CUDA_ERROR_LAUNCH_FAILED;
  }
  return CUDA_ERROR_LAUNCH_FAILED;
}

// The driver prints nothing of its own into a program's output unless it is asked to.
bool faults_are_logged() {
  static const bool logged = std::getenv("FARLANE_SOFTCUDA_LOG") != nullptr;
  return logged;
}

CUresult check_shape(const KernelInfo& info, const KernelSettings& settings, const Launch& launch) {
  const uint32_t grid[3] = {launch.grid.x, launch.grid.y, launch.grid.z};
  const uint32_t block[3] = {launch.block.x, launch.block.y, launch.block.z};
  for (int i = 0; i < 3; ++i) {
    if (grid[i] == 0 || grid[i] > kGridDimMax[i] || block[i] == 0 || block[i] > kBlockDimMax[i]) {
      return CUDA_ERROR_INVALID_VALUE;
    }
  }
  const uint64_t threads = uint64_t{block[0]} * block[1] * block[2];
  // The kernel's declared limit (__launch_bounds__) is an H100's "invalid value" as well.
  if (threads > kBlockThreadsMax || threads > info.max_threads_per_block) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (info.reqd_threads[0] != 0 &&
      !std::equal(std::begin(block), std::end(block), std::begin(info.reqd_threads))) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (static_cast<int64_t>(launch.shared_dynamic_bytes) >
      settings.shared_dynamic_bytes_max.load()) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (threads > kernel_threads_max(info) ||
      info.shared_static_bytes + launch.shared_dynamic_bytes > kSharedBytesPerBlockOptIn) {
    return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
  }
  if (launch.cooperative) {
    const uint64_t blocks = uint64_t{grid[0]} * grid[1] * grid[2];
    const uint64_t resident =
        static_cast<uint64_t>(blocks_per_sm(info, settings, static_cast<unsigned>(threads),
                                            launch.shared_dynamic_bytes)) *
        static_cast<uint64_t>(sm_count());
    if (blocks > resident) {
      return CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE;
    }
  }
  return CUDA_SUCCESS;
}

// From `extra`: a packed buffer and its size.
CUresult pack_extra(const KernelInfo& info, void* const* extra, std::vector<std::byte>* packed) {
  const void* buffer = nullptr;
  const size_t* bytes = nullptr;
  for (int i = 0; extra[i] != CU_LAUNCH_PARAM_END; i += 2) {
    if (extra[i] == CU_LAUNCH_PARAM_BUFFER_POINTER) {
      buffer = extra[i + 1];
    } else if (extra[i] == CU_LAUNCH_PARAM_BUFFER_SIZE) {
      bytes = static_cast<const size_t*>(extra[i + 1]);
    } else {
      return CUDA_ERROR_INVALID_VALUE;
    }
  }
  const uint32_t needed =
      info.params.empty() ? 0 : info.params.back().offset + info.params.back().bytes;
  if (buffer == nullptr || bytes == nullptr) {
    return needed == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  }
  if (*bytes < needed || *bytes > static_cast<size_t>(kParamBytesMax)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::memcpy(packed->data(), buffer, std::min(*bytes, packed->size()));
  return CUDA_SUCCESS;
}

CUresult pack_params(const KernelInfo& info, const Launch& launch, std::vector<std::byte>* packed) {
  packed->assign(info.param_bytes, std::byte{0});
  if (launch.params != nullptr && launch.extra != nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (launch.extra != nullptr) {
    return pack_extra(info, launch.extra, packed);
  }
  if (info.params.empty()) {
    return CUDA_SUCCESS;
  }
  if (launch.params == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  for (size_t i = 0; i < info.params.size(); ++i) {
    if (launch.params[i] == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::memcpy(packed->data() + info.params[i].offset, launch.params[i], info.params[i].bytes);
  }
  return CUDA_SUCCESS;
}

}  // namespace

int blocks_per_sm(const KernelInfo& info, const KernelSettings& settings, unsigned block_threads,
                  size_t shared_dynamic_bytes) {
  constexpr unsigned kRegisterUnitPerWarp = 256;
  constexpr unsigned kSharedUnitBytes = 128;
  if (block_threads == 0 || block_threads > kernel_threads_max(info) ||
      shared_dynamic_bytes > static_cast<size_t>(settings.shared_dynamic_bytes_max.load())) {
    return 0;
  }
  const unsigned warps = (block_threads + kWarpThreads - 1) / kWarpThreads;
  const unsigned by_threads = kSmThreadsMax / (warps * kWarpThreads);
  const unsigned warp_registers =
      (std::max(1u, info.registers) * kWarpThreads + kRegisterUnitPerWarp - 1) /
      kRegisterUnitPerWarp * kRegisterUnitPerWarp;
  const unsigned by_registers = kSmRegisters / (warps * warp_registers);
  const size_t shared = (info.shared_static_bytes + shared_dynamic_bytes + kSharedBytesReserved +
                         kSharedUnitBytes - 1) /
                        kSharedUnitBytes * kSharedUnitBytes;
  const auto by_shared = static_cast<unsigned>(kSharedBytesPerSm / shared);
  return static_cast<int>(std::min({kSmBlocksMax, by_threads, by_registers, by_shared}));
}

CUresult check_launch(const ContextPtr& context, CUfunction handle, const Launch& launch,
                      KernelWork* work, std::function<void()>* run) {
  std::shared_ptr<FunctionObject> function;
  if (const CUresult result = find_function(*context, handle, &function); result != CUDA_SUCCESS) {
    return result;
  }
  const auto module = function->module.lock();
  if (module == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  if (const CUresult result = check_shape(*function->info, function->settings, launch);
      result != CUDA_SUCCESS) {
    return result;
  }
  std::vector<std::byte> bytes;
  if (const CUresult result = pack_params(*function->info, launch, &bytes);
      result != CUDA_SUCCESS) {
    return result;
  }
  const auto packed = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
  LaunchConfig config;
  config.grid = launch.grid;
  config.block = launch.block;
  config.shared_dynamic_bytes = launch.shared_dynamic_bytes;
  config.memory = &context->memory;
  config.output = &device_output();
  config.cooperative = launch.cooperative;
  config.params = *packed;
  *run = [owner = context, module, index = function->index, config, packed] {
    const LaunchResult result = module->engine->launch(index, config);
    if (result.fault != Fault::kNone) {
      if (faults_are_logged()) {
        std::fprintf(stderr, "softcuda: %s\n", result.message.c_str());
      }
      owner->fail(error_of(result.fault));
    }
  };
  work->handle = handle;
  work->launch = launch;
  work->launch.stream = nullptr;
  work->launch.params = work->launch.extra = nullptr;
  work->packed = packed;
  return CUDA_SUCCESS;
}

CUresult launch_kernel(const ContextPtr& context, CUfunction handle, const Launch& launch) {
  const auto stream = find_stream(context, launch.stream);
  if (stream == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  KernelWork kernel;
  std::function<void()> run;
  if (const CUresult result = check_launch(context, handle, launch, &kernel, &run);
      result != CUDA_SUCCESS) {
    return result;
  }
  if (const auto captured =
          capture_work(context, stream, Work{CU_GRAPH_NODE_TYPE_KERNEL, run, kernel})) {
    return *captured;
  }
  enqueue(context, stream, Op::Kind::kDevice, std::move(run));
  return CUDA_SUCCESS;
}

}  // namespace farlane::softcuda
