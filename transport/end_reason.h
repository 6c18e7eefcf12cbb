// Why a channel ended: the first cause stays, later ones are consequences.
#pragma once

#include <mutex>
#include <string>

namespace farlane::transport {

class EndReason {
 public:
  void set(std::string reason) {
    const std::scoped_lock lock(mutex_);
    if (reason_.empty()) {
      reason_ = std::move(reason);
    }
  }
  std::string get() const {
    const std::scoped_lock lock(mutex_);
    return reason_;
  }

 private:
  mutable std::mutex mutex_;
  std::string reason_;
};

}  // namespace farlane::transport
