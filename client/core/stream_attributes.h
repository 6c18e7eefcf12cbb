// What programs set on their streams: kept here, so that asking needs no server.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <utility>

namespace farlane::client {

class StreamAttributes {
 public:
  void set(uint64_t stream, int attribute, const CUstreamAttrValue& value) {
    std::lock_guard lock(mutex_);
    values_[{stream, attribute}] = value;
  }
  bool get(uint64_t stream, int attribute, CUstreamAttrValue* value) {
    std::lock_guard lock(mutex_);
    const auto found = values_.find({stream, attribute});
    if (found == values_.end()) {
      return false;
    }
    *value = found->second;
    return true;
  }
  void forget(uint64_t stream) {
    std::lock_guard lock(mutex_);
    values_.erase(values_.lower_bound({stream, INT32_MIN}),
                  values_.upper_bound({stream, INT32_MAX}));
  }

 private:
  std::mutex mutex_;
  // By the stream's name, which is not used again, and the attribute. Few programs set any.
  std::map<std::pair<uint64_t, int>, CUstreamAttrValue> values_;
};

}  // namespace farlane::client
