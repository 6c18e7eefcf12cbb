// Opaque handles that are looked up, never cast. A handle value is used once in the life of the
// process, so a destroyed or invented one is always noticed.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

namespace farlane::softcuda {

// Looks like a pointer of no mapped page; clear of the special stream handles 1 and 2.
inline uint64_t next_handle_value() {
  static std::atomic<uint64_t> next{0x5cda'0000'0000};
  return next.fetch_add(64, std::memory_order_relaxed);
}

template <typename Handle, typename Object>
class HandleTable {
 public:
  Handle add(std::shared_ptr<Object> object) {
    const uint64_t value = next_handle_value();
    const std::lock_guard lock(mutex_);
    objects_.emplace(value, std::move(object));
    return (Handle)value;  // a pointer type or an integer, as cuda.h has it
  }

  // Null when there is no such handle (any more).
  std::shared_ptr<Object> find(Handle handle) const {
    const std::lock_guard lock(mutex_);
    const auto it = objects_.find((uint64_t)handle);
    return it == objects_.end() ? nullptr : it->second;
  }

  // Any object whose predicate holds, or null.
  template <typename Predicate>
  std::shared_ptr<Object> find_if(Predicate predicate) const {
    const std::lock_guard lock(mutex_);
    for (const auto& [value, object] : objects_) {
      if (predicate(*object)) {
        return object;
      }
    }
    return nullptr;
  }

  std::shared_ptr<Object> take(Handle handle) {
    const std::lock_guard lock(mutex_);
    const auto it = objects_.find((uint64_t)handle);
    if (it == objects_.end()) {
      return nullptr;
    }
    std::shared_ptr<Object> object = std::move(it->second);
    objects_.erase(it);
    return object;
  }

  // Objects whose predicate holds leave the table; returned so that they die outside the lock.
  template <typename Predicate>
  std::vector<std::shared_ptr<Object>> take_if(Predicate predicate) {
    std::vector<std::shared_ptr<Object>> taken;
    const std::lock_guard lock(mutex_);
    for (auto it = objects_.begin(); it != objects_.end();) {
      if (predicate(*it->second)) {
        taken.push_back(std::move(it->second));
        it = objects_.erase(it);
      } else {
        ++it;
      }
    }
    return taken;
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_map<uint64_t, std::shared_ptr<Object>> objects_;
};

}  // namespace farlane::softcuda
