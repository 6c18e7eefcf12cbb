// Whether the session is lost, and why. Declared once by whoever sees it first; said once in the
// log.
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <string_view>

namespace farlane::client {

class Loss {
 public:
  bool declared() const { return declared_.load(std::memory_order_acquire); }
  // `sentence`: what happened and which setting to look at. Only the first one counts.
  void declare(std::string_view sentence);
  // From now on a declared loss is logged; before, whoever opens the session reports it.
  void announce();
  std::string sentence() const;

 private:
  mutable std::mutex mutex_;
  std::atomic<bool> declared_ = false;
  bool announced_ = false;
  std::string sentence_;
};

}  // namespace farlane::client
