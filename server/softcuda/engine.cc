// load_ptx: text to module. Module::launch: arguments to grid.
#include "server/softcuda/engine.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstring>

#include "server/softcuda/exec_builtin.h"
#include "server/softcuda/exec_pool.h"
#include "server/softcuda/exec_state.h"
#include "server/softcuda/ptx_decode.h"
#include "server/softcuda/ptx_link.h"
#include "server/softcuda/ptx_parser.h"

namespace farlane::softcuda {
namespace {

std::atomic<uint64_t> next_grid_id{1};

uint32_t align_up(uint32_t value, uint32_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

// 75 of "sm_75", 90 of "sm_90a".
uint32_t version_of(std::string_view target) {
  uint32_t version = 0;
  const size_t digits = target.find_first_of("0123456789");
  if (digits != std::string_view::npos) {
    std::from_chars(target.data() + digits, target.data() + target.size(), version);
  }
  return version;
}

class LoadedModule final : public Module {
 public:
  explicit LoadedModule(std::span<const std::string_view> texts) {
    std::vector<AstModule> modules;
    for (std::string_view text : texts) modules.push_back(parse_ptx(text));
    Linker linker(modules);
    program_.functions.resize(linker.functions().size());
    std::vector<Decoder> decoders;
    decoders.reserve(program_.functions.size());
    for (uint32_t i = 0; i < program_.functions.size(); ++i) {
      decoders.emplace_back(linker, i, program_.functions);
    }
    for (Decoder& decoder : decoders) decoder.run();
    uint32_t dynamic_alignment = 16;
    for (const LinkedVariable& variable : linker.variables()) {
      if (variable.dynamic_shared) {
        dynamic_alignment = std::max(dynamic_alignment, variable.ast->alignment());
      }
    }
    // Linked texts have one target in practice; what is built for several takes the oldest's word.
    uint32_t ptx_version = UINT32_MAX;
    for (const AstModule& module : modules) {
      ptx_version = std::min(ptx_version, version_of(module.target));
    }
    add_kernels(linker, dynamic_alignment, ptx_version);
    add_variables(linker);
    const_bytes_ = linker.const_bytes();
    storage_bytes_ = linker.storage_bytes();
    storage_ = linker.take_storage();
  }

  std::span<const KernelInfo> kernels() const override { return kernels_; }
  std::span<const VariableInfo> variables() const override { return variables_; }

  LaunchResult launch(size_t kernel, const LaunchConfig& config) override {
    Grid grid;
    grid.program = &program_;
    grid.kernel = &program_.kernels[kernel];
    grid.function = &program_.functions[grid.kernel->function];
    grid.heap = &heap_;
    grid.config = &config;
    // The block may be shorter than the kernel's parameters only by trailing padding.
    grid.params.assign(config.params.begin(), config.params.end());
    grid.params.resize(std::max<size_t>(grid.params.size(), kernels_[kernel].param_bytes));
    grid.module_begin = reinterpret_cast<uint64_t>(storage_.get());
    grid.module_end = grid.module_begin + storage_bytes_;
    grid.const_bytes = const_bytes_;
    grid.id = next_grid_id.fetch_add(1, std::memory_order_relaxed);
    grid.shared_total_bytes = grid.kernel->shared_dynamic_offset + config.shared_dynamic_bytes;
    grid.workspace[0] = sizeof(grid.workspace);
    grid.blocks_total = uint64_t{config.grid.x} * config.grid.y * config.grid.z;
    run_grid(grid);
    return grid.result;
  }

 private:
  void add_kernels(const Linker& linker, uint32_t dynamic_alignment, uint32_t ptx_version) {
    for (uint32_t i = 0; i < program_.functions.size(); ++i) {
      const Function& function = program_.functions[i];
      const AstFunction& ast = *linker.functions()[i].ast;
      if (!function.is_entry || !function.defined) continue;
      Kernel kernel;
      kernel.function = i;
      kernel.shared_static_bytes = linker.shared_static_bytes(i);
      kernel.shared_dynamic_offset = align_up(kernel.shared_static_bytes, dynamic_alignment);
      KernelInfo info;
      info.name = function.name;
      info.ptx_version = ptx_version;
      for (const ParamSlot& param : function.params) {
        info.params.push_back(ParamInfo{param.offset, param.bytes});
        info.param_bytes = std::max(info.param_bytes, param.offset + param.bytes);
      }
      info.shared_static_bytes = kernel.shared_static_bytes;
      info.local_bytes = function.local_bytes;
      info.const_bytes = static_cast<uint32_t>(linker.const_bytes());
      // PTX registers are virtual; a compiler would reuse them. Some plausible number, and none
      // that refuses a block of 1024 threads (65536 / 1024): nothing here runs out of registers.
      info.registers = std::clamp(function.register_bytes / (4 * kLanes) / 2, 16u, 64u);
      if (ast.max_threads != 0) info.max_threads_per_block = std::min(ast.max_threads, 1024u);
      uint32_t threads = 1;
      for (int axis = 0; axis < 3; ++axis) {
        info.reqd_threads[axis] = ast.reqd_threads[axis];
        threads *= ast.reqd_threads[axis];
      }
      if (threads != 0) info.max_threads_per_block = std::min(threads, 1024u);
      program_.kernels.push_back(kernel);
      kernels_.push_back(std::move(info));
    }
  }

  void add_variables(const Linker& linker) {
    for (const LinkedVariable& variable : linker.variables()) {
      Space space = variable.ast->space;
      if (!variable.module_scope || (space != Space::kGlobal && space != Space::kConst)) continue;
      VariableInfo info;
      info.name = std::string(variable.ast->name);
      info.address = variable.address;
      info.bytes = variable.bytes;
      info.constant = space == Space::kConst;
      variables_.push_back(std::move(info));
    }
  }

  Program program_;
  std::vector<KernelInfo> kernels_;
  std::vector<VariableInfo> variables_;
  Linker::Storage storage_;
  uint64_t storage_bytes_ = 0;
  uint64_t const_bytes_ = 0;
  DeviceHeap heap_;
};

}  // namespace

std::unique_ptr<Module> load_ptx(std::span<const std::string_view> texts, std::string* error) {
  try {
    return std::make_unique<LoadedModule>(texts);
  } catch (const PtxError& e) {
    *error = e.what();
  } catch (const std::bad_alloc&) {
    *error = "ptx: no memory to load this module";
  } catch (const std::exception& e) {
    *error = std::string("ptx: ") + e.what();
  }
  return nullptr;
}

}  // namespace farlane::softcuda
