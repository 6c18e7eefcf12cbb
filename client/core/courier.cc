#include "client/core/courier.h"

#include <pthread.h>
#include <signal.h>

namespace farlane::client {
namespace {

using transport::Clock;

// An idle session still takes in the server's signs of life now and then, so that they do not pile
// up.
constexpr auto kIdleSlice = std::chrono::seconds(5);
constexpr auto kReceiveSlice = std::chrono::milliseconds(250);

}  // namespace

Courier::Courier(transport::Channel* channel, int64_t spin_us, Loss* loss)
    : channel_(channel), spin_us_(spin_us), loss_(loss) {}

Courier::~Courier() {
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

void Courier::start(CommandLog* log, Inbox* inbox) {
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

void Courier::sleep() {
  std::unique_lock lock(mutex_);
  state_.store(State::kAsleep, std::memory_order_seq_cst);
  if (!log_->has_unsent() && !inbox_->has_tickets() && !stop_) {
    woken_.wait_for(lock, kIdleSlice);
  }
  state_.store(State::kAwake, std::memory_order_seq_cst);
}

void Courier::run() {
  auto last_busy = Clock::now();
  for (;;) {
    {
      std::lock_guard lock(mutex_);
      if (stop_ || loss_->declared()) {
        return;
      }
    }
    if (log_->has_unsent()) {
      log_->flush();
      last_busy = Clock::now();
      continue;
    }
    if (inbox_->has_tickets()) {
      state_.store(State::kReceiving, std::memory_order_seq_cst);
      if (!log_->has_unsent() && !inbox_->pump_once(Clock::now() + kReceiveSlice)) {
        // A waiting thread receives for everybody; there is nothing to do but send.
        state_.store(State::kAwake, std::memory_order_seq_cst);
        std::unique_lock lock(mutex_);
        state_.store(State::kAsleep, std::memory_order_seq_cst);
        if (!log_->has_unsent() && !stop_) {
          woken_.wait_for(lock, std::chrono::milliseconds(1));
        }
      }
      state_.store(State::kAwake, std::memory_order_seq_cst);
      continue;
    }
    if (spin_us_ > 0 && Clock::now() - last_busy < std::chrono::microseconds(spin_us_)) {
      for (int i = 0; i < 64 && !log_->has_unsent(); ++i) {
        __builtin_ia32_pause();
      }
      continue;
    }
    sleep();
    inbox_->drain();
    last_busy = Clock::now();
  }
}

}  // namespace farlane::client
