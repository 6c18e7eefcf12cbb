// Functions of the program in graphs. The server knows them by their numbers only.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace farlane::client {

struct HostFunction {
  uint64_t number = 0;
  CUhostFn function = nullptr;
  void* data = nullptr;
};
// Held by the graphs whose nodes may have it, and by instances.
using HostFunctionRef = std::shared_ptr<const HostFunction>;

class HostFunctions {
 public:
  HostFunctionRef add(CUhostFn function, void* data);
  // Null: nobody holds it any more.
  HostFunctionRef find(uint64_t number);

 private:
  std::mutex mutex_;  // guards the rest
  std::map<uint64_t, std::weak_ptr<const HostFunction>> known_;
  uint64_t next_ = 1;
  size_t sweep_at_ = 64;
};

// What an instance calls, and behind which of its parts.
struct PartCall {
  uint32_t part = 0;
  uint32_t node = 0;  // its number; UINT32_MAX inside of a child graph
  HostFunctionRef function;
};

}  // namespace farlane::client
