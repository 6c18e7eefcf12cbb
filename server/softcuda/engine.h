// The contract between the software device's two halves: the PTX engine (parse and execute) and the
// driver (streams, events, memory, modules) that calls it. The engine knows no CUDA driver API.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace farlane::softcuda {

struct Dim3 {
  uint32_t x = 1, y = 1, z = 1;
};

// One kernel parameter as PTX lays it out. Bytes.
struct ParamInfo {
  uint32_t offset = 0;
  uint32_t bytes = 0;
};

struct KernelInfo {
  std::string name;  // as in PTX, mangled
  std::vector<ParamInfo> params;
  uint32_t param_bytes = 0;  // size of the whole packed parameter block
  uint32_t shared_static_bytes =
      0;                     // statically declared .shared used by the kernel and its callees
  uint32_t local_bytes = 0;  // per thread
  uint32_t const_bytes = 0;  // of the module
  uint32_t registers = 0;    // a plausible count per thread, at most 64
  uint32_t max_threads_per_block = 1024;  // .maxntid when given
  uint32_t reqd_threads[3] = {0, 0, 0};   // .reqntid when given
  uint32_t ptx_version = 0;               // of .target: 75 for sm_75
};

// A module-scope variable. Its storage is host memory owned by the module; device code sees its
// address.
struct VariableInfo {
  std::string name;
  uint64_t address = 0;
  uint64_t bytes = 0;
  bool constant = false;
};

// Which addresses device code (and copies) may touch. Implemented by the driver half over its
// allocations, used by the engine on every global access that misses its small per-thread cache of
// good ranges. Thread-safe. Returns the readable-and-writable range [*begin, *end) that holds
// `address`, or false.
class AddressMap {
 public:
  virtual ~AddressMap() = default;
  virtual bool find(uint64_t address, uint64_t* begin, uint64_t* end) const = 0;
};

enum class Fault : uint8_t {
  kNone,
  kIllegalAddress,
  kMisalignedAddress,
  kAssert,
  kIllegalInstruction,  // trap, or a call through a bad function pointer
  kInvalidPc,
  kDeadlock,  // every thread of a block waits at barriers that cannot be released
};

// What a launch reports. `message` is for the log: kernel, block, thread, address.
struct LaunchResult {
  Fault fault = Fault::kNone;
  std::string message;
};

// Where device printf and assert text goes. Called from several threads; each call is one whole
// message.
class OutputSink {
 public:
  virtual ~OutputSink() = default;
  virtual void write_stdout(std::string_view text) = 0;
  virtual void write_stderr(std::string_view text) = 0;
};

struct LaunchConfig {
  Dim3 grid;
  Dim3 block;
  uint32_t shared_dynamic_bytes = 0;
  std::span<const std::byte>
      params;  // packed by KernelInfo::params, copied by the caller beforehand
  const AddressMap* memory = nullptr;
  OutputSink* output = nullptr;
  bool cooperative =
      false;  // all blocks resident at once (grid barriers through memory must make progress)
};

// A linked set of PTX texts. Immutable after load except for its variables' bytes; launches may run
// concurrently from several threads.
class Module {
 public:
  virtual ~Module() = default;
  virtual std::span<const KernelInfo> kernels() const = 0;
  virtual std::span<const VariableInfo> variables() const = 0;
  // Runs a whole grid, several blocks in parallel on the engine's worker threads, and returns when
  // it has ended. `kernel` indexes kernels(). The caller has checked the configuration.
  virtual LaunchResult launch(size_t kernel, const LaunchConfig& config) = 0;
};

// Parses and links PTX texts (several for -rdc=true programs: extern symbols of one are defined in
// another). Null on failure, with *error saying what is wrong, e.g.
//   `ptx: line 41: instruction "wgmma.mma_async" is not known to the software device`.
std::unique_ptr<Module> load_ptx(std::span<const std::string_view> texts, std::string* error);

}  // namespace farlane::softcuda
