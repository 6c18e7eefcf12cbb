// The client's own work in the order of a stream: host functions, and copies to the device whose
// pinned source may only be read when the stream gets there.
//
// The server says when a call is due and holds the stream until it hears that the work is done. The
// program's functions run on one thread, in the order in which they become due, as in CUDA; copies
// on another, because a function may wait for them. Neither thread exists before its first use.
#pragma once

#include <cuda.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "client/core/command_log.h"
#include "client/core/inbox.h"
#include "client/core/loss.h"
#include "protocol/handles.h"

namespace farlane::client {

class HostCalls {
 public:
  enum class Kind : uint8_t { kFunction, kCopy };
  // Gets the state of the stream, and the call's ticket.
  using Work = std::function<void(CUresult status, uint64_t ticket)>;
  struct Call {
    Kind kind = Kind::kFunction;
    Work work;
    uint64_t reads_start = 0;  // host memory that a copy will read
    size_t reads_bytes = 0;
  };

  HostCalls(CommandLog* log, Inbox* inbox, Loss* loss, std::function<void()> wake_courier);
  // For tests: waits for work under way.
  ~HostCalls();

  // Posts the place of a call in its stream. The command's number; 0 when the session is lost.
  uint64_t add(protocol::StreamId stream, Call call);
  // Some call is not over yet.
  bool pending() const { return open_.load(std::memory_order_acquire) != 0; }
  // Such a copy has not been made yet.
  bool reads(uint64_t start, size_t bytes);
  // Waits where too much was posted behind a call: what waits for it is kept by the server.
  void throttle();
  // Receiver's thread: the stream has come to the call.
  void due(uint64_t ticket, CUresult result);

  // Whether the calling thread runs the program's host functions: it may not make CUDA calls.
  static bool in_function();

 private:
  struct Open {
    Call call;
    uint64_t sequence = 0;
    uint64_t posted_bytes = 0;  // when it was posted
    bool is_due = false;
    CUresult status = CUDA_SUCCESS;
  };
  struct Runner {
    std::deque<uint64_t> due;  // tickets
    std::condition_variable wake;
    std::thread thread;
    bool started = false;
  };

  void start(Kind kind);  // with the lock
  void run(Kind kind);
  void fail_all(Kind kind);  // with the lock: nothing becomes due any more
  void execute(uint64_t ticket, uint64_t sequence, CUresult status, const Work& work);
  uint64_t posted_bytes() const;

  CommandLog* const log_;
  Inbox* const inbox_;
  Loss* const loss_;
  const std::function<void()> wake_courier_;

  std::atomic<uint32_t> open_ = 0;
  std::mutex mutex_;                // guards the rest
  std::map<uint64_t, Open> calls_;  // by ticket, so in the order of posting
  std::array<Runner, 2> runners_;   // by Kind
  std::condition_variable over_;    // a call is
  uint64_t next_ticket_ = 1;
  bool stop_ = false;
};

}  // namespace farlane::client
