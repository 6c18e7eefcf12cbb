#include "server/cudax/job_queue.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <list>
#include <mutex>
#include <thread>
#include <unordered_set>

namespace farlane::server::cudax {
namespace {
// A thread that has just done a job looks this long for another one before it sleeps: programs
// often have several collectives in a row, and waking up takes longer than most of them.
constexpr auto kSpin = std::chrono::microseconds(100);
}  // namespace

struct JobQueue::State {
  std::mutex mutex;
  std::condition_variable changed;
  std::atomic<size_t> ready_count = 0;  // of `ready`, for looks without the lock
  // All guarded by mutex.
  std::list<std::shared_ptr<Job>> waiting;  // in order; behind others of their names
  std::deque<std::shared_ptr<Job>> ready;
  std::unordered_multiset<uint64_t> held;  // names of jobs that are ready or being done
  size_t idle = 0;
  bool stopping = false;

  bool conflicts(const Job& job, const std::unordered_multiset<uint64_t>& names) const {
    return std::any_of(job.names.begin(), job.names.end(),
                       [&](uint64_t name) { return names.contains(name); });
  }
  // A thread for each job that is ready.
  static void staff(const std::shared_ptr<State>& state) {
    for (; state->ready.size() > state->idle; ++state->idle) {
      std::thread([state] { work(state); }).detach();
    }
    state->changed.notify_all();
  }
  // Those whose turn has come.
  void promote() {
    std::unordered_multiset<uint64_t> before = held;
    for (auto job = waiting.begin(); job != waiting.end();) {
      const bool must_wait = conflicts(**job, before);
      before.insert((*job)->names.begin(), (*job)->names.end());
      if (must_wait) {
        ++job;
        continue;
      }
      held.insert((*job)->names.begin(), (*job)->names.end());
      ready.push_back(std::move(*job));
      job = waiting.erase(job);
    }
    ready_count.store(ready.size(), std::memory_order_release);
  }
};

JobQueue::JobQueue() : state_(std::make_shared<State>()) {}

JobQueue::~JobQueue() {
  std::vector<std::shared_ptr<Job>> dropped;
  {
    const std::scoped_lock lock(state_->mutex);
    state_->stopping = true;
    dropped.assign(state_->waiting.begin(), state_->waiting.end());
    dropped.insert(dropped.end(), state_->ready.begin(), state_->ready.end());
    state_->waiting.clear();
    state_->ready.clear();
    state_->ready_count = 1;  // spinning threads look
  }
  state_->changed.notify_all();
  for (const auto& job : dropped) job->dropped();
}

void JobQueue::submit(Job job) {
  const std::shared_ptr<State>& state = state_;
  const std::scoped_lock lock(state->mutex);
  state->waiting.push_back(std::make_shared<Job>(std::move(job)));
  state->promote();
  State::staff(state);
}

void JobQueue::drop(uint64_t name) {
  std::vector<std::shared_ptr<Job>> dropped;
  {
    const std::scoped_lock lock(state_->mutex);
    auto& waiting = state_->waiting;
    for (auto job = waiting.begin(); job != waiting.end();) {
      const auto& names = (*job)->names;
      if (std::find(names.begin(), names.end(), name) == names.end()) {
        ++job;
        continue;
      }
      dropped.push_back(std::move(*job));
      job = waiting.erase(job);
    }
    // Jobs behind those may be ready now.
    state_->promote();
    State::staff(state_);
  }
  for (const auto& job : dropped) job->dropped();
}

void JobQueue::work(const std::shared_ptr<State>& state) {
  std::unique_lock lock(state->mutex);
  for (;;) {
    // `idle` counts this thread here.
    if (state->ready.empty() && !state->stopping) {
      lock.unlock();
      const auto until = std::chrono::steady_clock::now() + kSpin;
      while (state->ready_count.load(std::memory_order_acquire) == 0 &&
             std::chrono::steady_clock::now() < until) {
        __builtin_ia32_pause();
      }
      lock.lock();
      state->changed.wait(lock, [&] { return !state->ready.empty() || state->stopping; });
    }
    if (state->stopping) return;
    const std::shared_ptr<Job> job = std::move(state->ready.front());
    state->ready.pop_front();
    state->ready_count.store(state->ready.size(), std::memory_order_release);
    --state->idle;
    lock.unlock();
    job->run();
    lock.lock();
    for (const uint64_t name : job->names) state->held.erase(state->held.find(name));
    state->promote();
    ++state->idle;
    State::staff(state);
  }
}

}  // namespace farlane::server::cudax
