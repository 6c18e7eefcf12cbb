#include "client/core/long_calls.h"

#include <chrono>

namespace farlane::client {

namespace {
// Between two questions about a posted call that waits on the server for others of the log.
constexpr auto kAskAgain = std::chrono::milliseconds(1);
}  // namespace

bool LongCalls::has_room(size_t arguments, size_t results) const {
  return calls_ < limits_.calls && arguments_ + arguments <= limits_.bytes &&
         results_ + results <= limits_.bytes;
}

void LongCalls::release(const Call& call) {
  --calls_;
  arguments_ -= call.arguments;
  results_ -= call.results;
}

bool LongCalls::begin(size_t arguments, size_t results, const AskExecuted& ask, Call* call) {
  std::unique_lock lock(mutex_);
  while (!has_room(arguments, results)) {
    if (posted_.empty()) {
      // Somebody waits for each of the others, no longer than the session lasts.
      over_.wait(lock);
      continue;
    }
    lock.unlock();
    uint64_t executed = 0;
    if (!ask(&executed)) return false;
    lock.lock();
    bool any = false;
    for (auto each = posted_.begin(); each != posted_.end();) {
      if (each->sequence > executed) {
        ++each;
        continue;
      }
      release(each->call);
      each = posted_.erase(each);
      any = true;
    }
    if (any) {
      over_.notify_all();
    } else {
      over_.wait_for(lock, kAskAgain);
    }
  }
  ++calls_;
  arguments_ += arguments;
  results_ += results;
  *call = {next_++, arguments, results};
  return true;
}

void LongCalls::posted(const Call& call, uint64_t sequence) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back({sequence, call});
  }
  // It can be asked about from now on.
  over_.notify_all();
}

void LongCalls::over(const Call& call) {
  {
    const std::lock_guard lock(mutex_);
    release(call);
  }
  over_.notify_all();
}

}  // namespace farlane::client
