#include "server/softcuda/driver_scheduler.h"

#include <limits>
#include <thread>

namespace farlane::softcuda {
namespace {

// More than one, so that kernels and host functions of different streams can wait for each other.
constexpr uint32_t kExecutorsMax = 32;

}  // namespace

Scheduler& Scheduler::instance() {
  static Scheduler* scheduler = new Scheduler;
  return *scheduler;
}

bool Scheduler::link(const OpPtr& op, std::span<const OpPtr> predecessors) {
  for (const OpPtr& predecessor : predecessors) {
    if (predecessor != nullptr && !predecessor->done) {
      predecessor->successors.push_back(op);
      ++op->pending;
    }
  }
  return op->pending == 0;
}

void Scheduler::submit(std::unique_lock<std::mutex>&, const OpPtr& op,
                       std::span<const OpPtr> predecessors) {
  if (link(op, predecessors)) {
    make_ready(op);
  }
}

void Scheduler::submit_and_wait(std::unique_lock<std::mutex>& lock, const OpPtr& op,
                                std::span<const OpPtr> predecessors) {
  if (link(op, predecessors)) {
    if (op->kind == Op::Kind::kMarker) {
      complete(op);
    } else {
      run_unlocked(lock, op);
    }
    return;
  }
  op_done_.wait(lock, [&] { return op->done; });
}

void Scheduler::wait(std::unique_lock<std::mutex>& lock, std::span<const OpPtr> ops) {
  for (const OpPtr& op : ops) {
    if (op != nullptr) {
      op_done_.wait(lock, [&] { return op->done; });
    }
  }
}

// Under the lock.
void Scheduler::make_ready(const OpPtr& op) {
  if (op->kind == Op::Kind::kMarker) {
    complete(op);
    return;
  }
  ready_.push_back(op);
  if (ready_.size() > executors_idle_ && executors_ < kExecutorsMax) {
    ++executors_;
    std::thread([this] { executor(); }).detach();
  }
  ready_changed_.notify_one();
}

// Under the lock. Markers that become ready are completed here as well, in a loop: a chain of them
// must not become recursion.
void Scheduler::complete(const OpPtr& first) {
  std::vector<OpPtr> finished{first};
  while (!finished.empty()) {
    const OpPtr op = std::move(finished.back());
    finished.pop_back();
    if (op->kind == Op::Kind::kMarker && op->run) {
      op->run();
    }
    op->run = nullptr;
    op->done = true;
    const std::vector<OpPtr> successors = std::move(op->successors);
    op->successors.clear();
    for (const OpPtr& successor : successors) {
      if (--successor->pending == 0) {
        if (successor->kind == Op::Kind::kMarker) {
          finished.push_back(successor);
        } else {
          make_ready(successor);
        }
      }
    }
  }
  op_done_.notify_all();
}

uint64_t Scheduler::oldest_running() const {
  return running_.empty() ? std::numeric_limits<uint64_t>::max() : *running_.begin();
}

void Scheduler::run_unlocked(std::unique_lock<std::mutex>& lock, const OpPtr& op) {
  const bool device = op->kind == Op::Kind::kDevice;
  const uint64_t sequence = next_sequence_++;
  if (device) {
    running_.insert(sequence);
  }
  lock.unlock();
  if (op->run) {
    op->run();
    op->run = nullptr;  // what it holds dies without the lock
  }
  lock.lock();
  if (device) {
    running_.erase(sequence);
    std::vector<std::function<void()>> reclaims;
    while (!retired_.empty() && retired_.front().sequence <= oldest_running()) {
      reclaims.push_back(std::move(retired_.front().reclaim));
      retired_.pop_front();
    }
    if (!reclaims.empty()) {
      lock.unlock();
      for (const auto& reclaim : reclaims) {
        reclaim();
      }
      lock.lock();
    }
  }
  complete(op);
}

void Scheduler::executor() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++executors_idle_;
    ready_changed_.wait(lock, [&] { return !ready_.empty(); });
    --executors_idle_;
    const OpPtr op = std::move(ready_.front());
    ready_.pop_front();
    run_unlocked(lock, op);
  }
}

void Scheduler::retire(std::function<void()> reclaim) {
  {
    const std::lock_guard lock(mutex_);
    if (!running_.empty()) {
      retired_.push_back({next_sequence_, std::move(reclaim)});
      return;
    }
  }
  reclaim();
}

void Scheduler::quiesce() {
  std::unique_lock lock(mutex_);
  const uint64_t sequence = next_sequence_;
  op_done_.wait(lock, [&] { return oldest_running() >= sequence; });
}

}  // namespace farlane::softcuda
