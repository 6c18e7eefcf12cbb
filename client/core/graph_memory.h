// Memory that graphs allocate and free.
//
// The client takes a block when an allocation node is added, and keeps it for as long as a graph or
// an instance may use it, or the program has it. So its address never changes, running such a graph
// costs nothing, and out-of-memory is told when the node is added. To the server, the nodes are
// empty ones. What CUDA checks at a launch is checked here: memory that an earlier launch allocated
// must have been freed before the next one allocates it again.
#pragma once

#include <cuda.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace farlane::client {

struct GraphMemory {
  CUdeviceptr address = 0;
  size_t bytes = 0;
  int device = 0;
  std::vector<CUmemAccessDesc> access;  // as the program gave it
  bool is_live = false;                 // allocated by a launch, not freed since
  ~GraphMemory();
};
using GraphMemoryRef = std::shared_ptr<GraphMemory>;

// What the nodes of one graph do.
struct GraphMemoryUse {
  std::vector<GraphMemoryRef> allocated;
  std::vector<GraphMemoryRef> freed;
  bool empty() const { return allocated.empty() && freed.empty(); }
  bool has_freed(CUdeviceptr address) const;
  void add_all(const GraphMemoryUse& other);
};

class GraphMemories {
 public:
  CUresult allocate(int device, size_t bytes, std::vector<CUmemAccessDesc> access,
                    GraphMemoryRef* out);
  // Null: no graph's memory begins there.
  GraphMemoryRef find(CUdeviceptr address);
  // A launch begins: what it allocates may not be allocated now, unless such is freed by it.
  CUresult launch(const GraphMemoryUse& use, bool frees_on_launch);
  // The program frees it. False: it is no graph's memory.
  bool free(CUdeviceptr address, CUresult* result);

  CUresult attribute(int device, CUgraphMem_attribute which, uint64_t* value);
  CUresult reset_attribute(int device, CUgraphMem_attribute which);

 private:
  friend struct GraphMemory;
  struct Counts {
    uint64_t used = 0, used_high = 0;
    uint64_t reserved = 0, reserved_high = 0;
  };
  void forget(const GraphMemory& gone);
  void set_live(const GraphMemoryRef& memory, bool live);  // with the lock

  std::atomic<size_t> blocks_ = 0;  // nearly always none
  std::mutex mutex_;                // guards the rest
  std::map<CUdeviceptr, std::weak_ptr<GraphMemory>> known_;
  std::map<CUdeviceptr, GraphMemoryRef> live_;  // the program has them
  std::map<int, Counts> counts_;                // by device
};

}  // namespace farlane::client
