// Modules, libraries and kernels on top of the PTX engine.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "server/softcuda/driver_context.h"
#include "server/softcuda/image_select.h"

namespace farlane::softcuda {

// The JIT options that this device honours: where messages go, and the time it took. Others are
// hints it does not need.
class JitLog {
 public:
  // False when an option is unknown or its buffer is missing.
  bool read(unsigned count, const CUjit_option* options, void** values);
  void write_error(const std::string& text) const { write(error_, error_bytes_, text); }
  char* error_buffer() const { return error_; }
  size_t error_buffer_bytes() const { return error_bytes_; }
  // Where a float goes, if the caller wants to know how long it took.
  void** wall_ms() const { return wall_ms_; }

 private:
  static void write(char* buffer, size_t bytes, const std::string& text);
  char* error_ = nullptr;
  size_t error_bytes_ = 0;
  char* info_ = nullptr;
  size_t info_bytes_ = 0;
  void** wall_ms_ = nullptr;
};

// From here until its end, where the caller wants to know.
class JitClock {
 public:
  explicit JitClock(void** wall_ms) : wall_ms_(wall_ms) {}
  JitClock(const JitClock&) = delete;
  ~JitClock();

 private:
  void** const wall_ms_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

// Parses and links. On failure *error says why and the code is what cuModuleLoadData returns.
CUresult load_engine(const std::vector<std::string>& texts, std::unique_ptr<Module>* engine,
                     std::string* error);

// Makes the module and its functions known. `engine` is loaded.
std::shared_ptr<ModuleObject> add_module(const Context& context, std::unique_ptr<Module> engine);
void remove_module(const std::shared_ptr<ModuleObject>& module);

// The library's module in this context, loaded on first use.
CUresult library_module(const Context& context, LibraryObject& library,
                        std::shared_ptr<ModuleObject>* module);

// The kernel as a function of this context.
CUresult kernel_function(const Context& context, KernelObject& kernel,
                         std::shared_ptr<FunctionObject>* function);

// A launchable handle: a CUfunction, or a CUkernel cast to one.
CUresult find_function(const Context& context, CUfunction handle,
                       std::shared_ptr<FunctionObject>* function);

// What cuFuncGetAttribute and cuKernelGetAttribute answer; CUDA_ERROR_INVALID_VALUE when unknown.
CUresult kernel_attribute(const KernelInfo& info, const KernelSettings& settings,
                          CUfunction_attribute attribute, int* value);
CUresult set_kernel_attribute(const KernelInfo& info, KernelSettings& settings,
                              CUfunction_attribute attribute, int value);
int default_shared_dynamic_bytes(const KernelInfo& info);
CUresult kernel_param_info(const KernelInfo& info, size_t index, size_t* offset, size_t* bytes);

// Most threads one block of it can have: the declared limit and the registers decide.
unsigned kernel_threads_max(const KernelInfo& info);

}  // namespace farlane::softcuda
