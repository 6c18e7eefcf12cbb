#include "client/core/loss.h"

#include "client/core/log_line.h"

namespace farlane::client {

void Loss::declare(std::string_view sentence) {
  std::lock_guard lock(mutex_);
  if (declared_.load(std::memory_order_relaxed)) {
    return;
  }
  sentence_ = sentence;
  if (announced_) {
    log_line(LogLevel::kError, sentence);
  }
  declared_.store(true, std::memory_order_release);
}

void Loss::announce() {
  std::lock_guard lock(mutex_);
  announced_ = true;
}

std::string Loss::sentence() const {
  std::lock_guard lock(mutex_);
  return sentence_;
}

}  // namespace farlane::client
