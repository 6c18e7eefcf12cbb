// The session's one background thread. It sends what the log has gathered when no asking thread
// does, and takes in copies to the host that nobody waits for yet. It starts with the session,
// never before.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

#include "client/core/command_log.h"
#include "client/core/inbox.h"
#include "client/core/loss.h"
#include "transport/channel.h"
#include "transport/spin_budget.h"

namespace farlane::client {

struct CourierOptions {
  int64_t spin_us = 0;
  // Who posts a copy to the host mostly waits for it at once, and should then find the receiver's
  // role free: to be handed what another thread has received takes two wake-ups. The courier only
  // receives what nobody has waited for in so long.
  int64_t receive_after_us = 0;
  // The same as CommandLogOptions has.
  int64_t hold_us = 0;
};

class Courier {
 public:
  Courier(transport::Channel* channel, const CourierOptions& options, Loss* loss);
  ~Courier();

  // `alive_ms`: a client that sends nothing for so long tells the server that it lives. 0: never.
  void start(CommandLog* log, Inbox* inbox, int64_t alive_ms);
  // Waits until it has ended; log and inbox are not used any more. Idempotent.
  void stop();
  // Something was appended, or a copy to the host was posted. Cheap when the courier is awake.
  void wake() {
    const State state = state_.load(std::memory_order_seq_cst);
    if (state != State::kAwake && !(state == State::kDozing && log_->holds())) {
      wake_slow();
    }
  }
  // It will look at the log soon, without being woken. False: it will not; with `rouse`, it will
  // from now on, while commands are held for questions.
  bool watches(bool rouse);

 private:
  enum class State : uint8_t {
    kAwake,
    kDozing,  // it wakes up by itself, soon enough for commands that are held for a question
    kAsleep,
    kReceiving,
  };

  void run();
  void say_alive();
  void wake_slow();
  // Asleep or dozing. False: it was woken before.
  bool sleep_until(transport::Clock::time_point deadline, State state);

  transport::Channel* const channel_;
  transport::SpinBudget spin_;  // the courier's thread only
  const std::chrono::microseconds receive_after_;
  const std::chrono::microseconds hold_;
  Loss* const loss_;
  std::chrono::milliseconds alive_{0};
  transport::Clock::time_point alive_looked_;
  uint64_t alive_frames_ = 0;
  CommandLog* log_ = nullptr;
  Inbox* inbox_ = nullptr;
  std::atomic<State> state_ = State::kAwake;
  std::mutex mutex_;
  std::condition_variable woken_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace farlane::client
