#include "client/core/courier.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>

namespace farlane::client {
namespace {

using transport::Clock;

// An idle session still takes in the server's signs of life now and then, so that they do not pile
// up.
constexpr std::chrono::milliseconds kIdleSlice{5000};
constexpr auto kReceiveSlice = std::chrono::milliseconds(250);
// With nothing held it goes to sleep.
constexpr int kDozes = 8;
// While a waiting thread receives for everybody.
constexpr auto kFollowSlice = std::chrono::milliseconds(1);

}  // namespace

Courier::Courier(transport::Channel* channel, const CourierOptions& options, Loss* loss)
    : channel_(channel),
      spin_(options.spin_us),
      receive_after_(options.receive_after_us),
      hold_(options.hold_us),
      loss_(loss) {}

Courier::~Courier() {
  stop();
}

void Courier::stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  woken_.notify_all();
  channel_->wake();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void Courier::start(CommandLog* log, Inbox* inbox, int64_t alive_ms) {
  alive_ = std::chrono::milliseconds(alive_ms);
  alive_looked_ = Clock::now();
  log_ = log;
  inbox_ = inbox;
  // The program's signals are the program's: none is delivered to this thread.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(thread_.native_handle(), "farlane-courier");
}

void Courier::wake_slow() {
  if (state_.load(std::memory_order_seq_cst) == State::kReceiving) {
    channel_->wake();
    return;
  }
  // The lock orders this with the courier's last look before it sleeps.
  std::lock_guard lock(mutex_);
  woken_.notify_one();
}

bool Courier::watches(bool rouse) {
  const State state = state_.load(std::memory_order_seq_cst);
  if (state == State::kAsleep && rouse) wake_slow();
  return state == State::kAwake || state == State::kDozing;
}

bool Courier::sleep_until(Clock::time_point deadline, State state) {
  std::unique_lock lock(mutex_);
  state_.store(state, std::memory_order_seq_cst);
  const bool is_due = log_->has_unsent() && !(state == State::kDozing && log_->holds());
  const bool slept =
      !is_due && !stop_ && woken_.wait_until(lock, deadline) == std::cv_status::timeout;
  state_.store(State::kAwake, std::memory_order_seq_cst);
  return slept;
}

void Courier::say_alive() {
  if (alive_.count() == 0 || Clock::now() - alive_looked_ < alive_) {
    return;
  }
  alive_looked_ = Clock::now();
  const uint64_t frames = log_->counters().frames.load(std::memory_order_relaxed);
  if (frames == alive_frames_ && !log_->has_unsent()) {
    log_->append(protocol::message::ClientAlive{}, [](uint64_t) {});
  }
  alive_frames_ = frames;
}

void Courier::run() {
  const auto idle =
      alive_.count() == 0 ? kIdleSlice : std::min<std::chrono::milliseconds>(kIdleSlice, alive_);
  auto last_busy = Clock::now();
  bool detached = false;
  auto detached_since = last_busy;
  uint64_t held_seen = 0;
  int dozes = 0;  // in a row with nothing held
  for (;;) {
    {
      std::lock_guard lock(mutex_);
      if (stop_ || loss_->declared()) {
        return;
      }
    }
    say_alive();
    const auto now = Clock::now();
    if (detached != inbox_->has_detached()) {
      detached = !detached;
      detached_since = now;
    }
    const bool receives =
        inbox_->has_host_calls() || (detached && now - detached_since >= receive_after_);
    if (log_->has_unsent()) {
      if (const auto until = log_->held_until(); now < until) {
        sleep_until(until, State::kDozing);
        continue;
      }
      spin_.waited(now - last_busy);
      log_->flush();
      if (receives) {
        inbox_->drain();  // there may always be something to send
      }
      last_busy = Clock::now();
      continue;
    }
    if (receives) {
      state_.store(State::kReceiving, std::memory_order_seq_cst);
      const bool received = log_->has_unsent() || inbox_->pump_once(now + kReceiveSlice);
      state_.store(State::kAwake, std::memory_order_seq_cst);
      if (!received) {
        sleep_until(now + kFollowSlice, State::kAsleep);
      }
      continue;
    }
    if (spin_.goes_on(now - last_busy)) {
      for (int i = 0; i < 64 && !log_->has_unsent(); ++i) {
        __builtin_ia32_pause();
      }
      continue;
    }
    if (log_->counters().held_first != held_seen) {
      held_seen = log_->counters().held_first;
      dozes = 0;
    }
    if (log_->will_hold() && dozes < kDozes) {
      ++dozes;
      sleep_until(detached ? std::min(now + hold_, detached_since + receive_after_) : now + hold_,
                  State::kDozing);
      continue;
    }
    // Woken for a command, it leaves the receiver's role to the thread that may wait behind that.
    const bool slept =
        sleep_until(detached ? detached_since + receive_after_ : now + idle, State::kAsleep);
    if (slept && !detached) {
      inbox_->drain();
    }
    if (!slept) dozes = 0;
  }
}

}  // namespace farlane::client
