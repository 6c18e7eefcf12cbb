// Calls of CUDA-X libraries whose arguments or results do not fit one record: how many are under
// way. The server keeps the arguments of a posted call that has to wait there, so it has a limit
// for all of them together, and whoever would go beyond it waits here. Any thread.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>

namespace farlane::client {

class LongCalls {
 public:
  struct Limits {
    size_t bytes = 0;  // of arguments, and as many of results
    size_t calls = 0;
  };
  explicit LongCalls(const Limits& limits) : limits_(limits) {}
  LongCalls(const LongCalls&) = delete;

  struct Call {
    uint64_t number = 0;  // that tells it from all others of the session
    size_t arguments = 0;
    size_t results = 0;
  };
  // Asks the server up to which command everything has been executed; false: the session is lost.
  using AskExecuted = std::function<bool(uint64_t* executed)>;
  // Waits until there is room for the call; by itself it must fit. False: the session is lost.
  bool begin(size_t arguments, size_t results, const AskExecuted& ask, Call* call);
  // It was posted as that command: the server may still have its arguments.
  void posted(const Call& call, uint64_t sequence);
  // The server has nothing of it any more.
  void over(const Call& call);

 private:
  struct Posted {
    uint64_t sequence = 0;
    Call call;
  };
  bool has_room(size_t arguments, size_t results) const;  // with the lock
  void release(const Call& call);                         // with the lock

  const Limits limits_;
  std::mutex mutex_;  // guards the rest
  std::condition_variable over_;
  std::deque<Posted> posted_;  // not known to have been executed
  size_t calls_ = 0;
  size_t arguments_ = 0;
  size_t results_ = 0;
  uint64_t next_ = 1;
};

}  // namespace farlane::client
