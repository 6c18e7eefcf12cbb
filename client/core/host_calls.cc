#include "client/core/host_calls.h"

#include <pthread.h>
#include <signal.h>

#include <utility>

#include "client/core/call.h"
#include "client/core/session.h"

namespace farlane::client {
namespace {

// What may be posted behind a call that is not over. The server has room for more
// (server/backlog.cc).
constexpr uint64_t kBytesBehindMax = uint64_t{48} << 20;
// The session may be lost meanwhile, which wakes nobody here.
constexpr auto kLossSlice = std::chrono::milliseconds(100);

thread_local constinit bool t_in_function = false;

}  // namespace

bool HostCalls::in_function() {
  return t_in_function;
}

HostCalls::HostCalls(CommandLog* log, Inbox* inbox, Loss* loss, std::function<void()> wake_courier)
    : log_(log), inbox_(inbox), loss_(loss), wake_courier_(std::move(wake_courier)) {
  inbox_->on_host_call_due([this](uint64_t ticket, CUresult result) { due(ticket, result); });
}

HostCalls::~HostCalls() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  for (Runner& runner : runners_) {
    runner.wake.notify_all();
    if (runner.thread.joinable()) {
      runner.thread.join();
    }
  }
}

uint64_t HostCalls::posted_bytes() const {
  const CommandLogCounters& counters = log_->counters();
  return counters.bytes.load(std::memory_order_relaxed) +
         counters.body_bytes.load(std::memory_order_relaxed);
}

uint64_t HostCalls::add(protocol::StreamId stream, Call call) {
  uint64_t ticket = 0;
  {
    std::lock_guard lock(mutex_);
    start(call.kind);
    ticket = next_ticket_++;
    Open open;
    open.call = std::move(call);
    open.posted_bytes = posted_bytes();
    calls_.emplace(ticket, std::move(open));
    open_.fetch_add(1, std::memory_order_acq_rel);
    inbox_->expect_host_call();
  }
  const uint64_t sequence =
      log_->append(message::HostCall{.stream = stream, .ticket = ticket}, [&](uint64_t number) {
        std::lock_guard lock(mutex_);
        auto found = calls_.find(ticket);
        if (found != calls_.end()) {
          found->second.sequence = number;
        }
      });
  if (sequence == 0) {
    std::lock_guard lock(mutex_);
    // Unless it has failed already, with all the others.
    if (calls_.erase(ticket) != 0) {
      open_.fetch_sub(1, std::memory_order_acq_rel);
      inbox_->host_call_over();
    }
    return 0;
  }
  wake_courier_();
  return sequence;
}

bool HostCalls::reads(uint64_t start, size_t bytes) {
  if (!pending()) {
    return false;
  }
  std::lock_guard lock(mutex_);
  for (const auto& [ticket, open] : calls_) {
    const Call& call = open.call;
    if (call.reads_start < start + bytes && start < call.reads_start + call.reads_bytes) {
      return true;
    }
  }
  return false;
}

void HostCalls::throttle() {
  std::unique_lock lock(mutex_);
  while (!calls_.empty() && !loss_->declared() && !t_in_function &&
         posted_bytes() - calls_.begin()->second.posted_bytes > kBytesBehindMax) {
    over_.wait_for(lock, kLossSlice);
  }
}

void HostCalls::due(uint64_t ticket, CUresult result) {
  std::lock_guard lock(mutex_);
  auto found = calls_.find(ticket);
  if (found == calls_.end() || found->second.is_due) {
    return;
  }
  found->second.is_due = true;
  found->second.status = result;
  Runner& runner = runners_[static_cast<size_t>(found->second.call.kind)];
  runner.due.push_back(ticket);
  runner.wake.notify_one();
}

void HostCalls::start(Kind kind) {
  Runner& runner = runners_[static_cast<size_t>(kind)];
  if (runner.started) {
    runner.wake.notify_one();  // it looks for a lost session from now on
    return;
  }
  runner.started = true;
  // The program's signals are the program's: none is delivered to this thread.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  runner.thread = std::thread([this, kind] { run(kind); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(runner.thread.native_handle(),
                     kind == Kind::kFunction ? "farlane-hostfn" : "farlane-hostcpy");
}

void HostCalls::run(Kind kind) {
  t_in_function = kind == Kind::kFunction;
  Runner& runner = runners_[static_cast<size_t>(kind)];
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (loss_->declared()) {
      fail_all(kind);
    }
    if (runner.due.empty()) {
      if (calls_.empty()) {
        runner.wake.wait(lock);
      } else {
        runner.wake.wait_for(lock, kLossSlice);
      }
      continue;
    }
    const uint64_t ticket = runner.due.front();
    runner.due.pop_front();
    // Until it is over it counts, and its source is being read.
    Open& open = calls_.at(ticket);
    const auto work = std::move(open.call.work);
    const uint64_t sequence = open.sequence;
    const CUresult status = open.status;
    const bool read = open.call.reads_bytes != 0;
    lock.unlock();
    execute(ticket, sequence, status, work);
    lock.lock();
    calls_.erase(ticket);
    open_.fetch_sub(1, std::memory_order_acq_rel);
    inbox_->host_call_over();
    over_.notify_all();
    if (read) {
      lock.unlock();
      inbox_->notify();  // somebody may wait for the source
      lock.lock();
    }
  }
}

void HostCalls::fail_all(Kind kind) {
  Runner& runner = runners_[static_cast<size_t>(kind)];
  for (auto& [ticket, open] : calls_) {
    if (open.call.kind == kind && !open.is_due) {
      open.is_due = true;
      open.status = kServerLost;
      runner.due.push_back(ticket);
    }
  }
}

void HostCalls::execute(uint64_t ticket, uint64_t sequence, CUresult status, const Work& work) {
  // Copies to the host that went over lanes may still be landing.
  const bool landed = inbox_->wait_until(
      [&] { return !inbox_->tickets_pending(sequence, [](uint64_t) { return false; }); },
      "data of copies to the host");
  work(landed ? status : kServerLost, ticket);
  if (log_->append(message::HostCallDone{.ticket = ticket}, [](uint64_t) {}) != 0) {
    log_->flush();
  }
}

CUresult host_function(CUstream stream, std::function<void(CUresult status)> function) {
  Call call;
  Stream* found = call.stream(stream);
  call.admit(found, false);  // as CUDA has it for callbacks
  return call ? posted(post_host_call(call.session, found, std::move(function))) : call.error;
}

uint64_t post_host_call(Session* s, Stream* stream, std::function<void(CUresult status)> function) {
  if (!s->host_calls().pending()) {
    // A fence posted behind the function would make all streams wait for it.
    for (auto& device : s->devices) {
      std::lock_guard lock(device->memory_mutex);
      device->memory.fence_now();
    }
  }
  HostCalls::Call call;
  call.work = [function = std::move(function)](CUresult status, uint64_t) { function(status); };
  const uint64_t sequence = s->host_calls().add(stream->id, std::move(call));
  if (sequence != 0) {
    s->touch(stream, sequence);
  }
  return sequence;
}

bool in_host_function() {
  return HostCalls::in_function();
}

}  // namespace farlane::client
