// The functions that device code calls in the device runtime: printf, assert, malloc and free.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "server/softcuda/exec_state.h"

namespace farlane::softcuda {

constexpr uint32_t kBuiltinArgsMax = 5;

// "0x7f0000001000".
std::string hex(uint64_t value);

// Calls a built-in function for one lane. False after a fault.
bool call_builtin(Warp& warp, uint32_t lane, Builtin builtin, const uint64_t* args,
                  uint64_t* result);

// Memory of malloc() in kernels. As on a GPU it lives until it is freed or the module goes.
// Thread-safe.
class DeviceHeap {
 public:
  ~DeviceHeap();
  uint64_t allocate(uint64_t bytes);  // 0 when there is no room
  bool release(uint64_t address);     // false when it is not the start of an allocation
  bool find(uint64_t address, uint64_t* begin, uint64_t* end);

 private:
  std::mutex mutex_;
  std::map<uint64_t, uint64_t> blocks_;  // begin → bytes; guarded by mutex_
  uint64_t bytes_ = 0;                   // guarded by mutex_
};

}  // namespace farlane::softcuda
