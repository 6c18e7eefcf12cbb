// What was made while a context of cuCtxCreate was current, and goes with it: streams, events,
// modules, device and pinned memory. Most programs know only primary contexts and pay one look at a
// number.
//
// Thread-safe. Names are what the program has in hand: handles' bits and addresses.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace farlane::client {

class ContextGoods {
 public:
  // There are created contexts.
  bool any() const { return contexts_.load(std::memory_order_acquire) != 0; }
  void begin_context() { contexts_.fetch_add(1, std::memory_order_acq_rel); }

  void add(uint64_t context, uint64_t name) {
    std::lock_guard lock(mutex_);
    owners_[name] = context;
  }
  // Before a name ends, because then another thread may be given it.
  void remove(uint64_t name) {
    if (any()) {
      std::lock_guard lock(mutex_);
      owners_.erase(name);
    }
  }
  // Everything, with a device reset.
  void clear() {
    std::lock_guard lock(mutex_);
    owners_.clear();
  }

  // The context is no more. What it had.
  std::vector<uint64_t> end_context(uint64_t context) {
    std::vector<uint64_t> names;
    {
      std::lock_guard lock(mutex_);
      std::erase_if(owners_, [&](const auto& entry) {
        if (entry.second == context) {
          names.push_back(entry.first);
        }
        return entry.second == context;
      });
    }
    contexts_.fetch_sub(1, std::memory_order_acq_rel);
    return names;
  }

 private:
  std::atomic<uint32_t> contexts_ = 0;
  std::mutex mutex_;
  std::unordered_map<uint64_t, uint64_t> owners_;  // name, context
};

}  // namespace farlane::client
