// Asynchronous work: operations with predecessors, run by a few executor threads once these are
// done. Streams, events and the default stream's rules are all expressed as "who comes before
// whom".
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <vector>

namespace farlane::softcuda {

struct Op {
  enum class Kind : uint8_t {
    kDevice,  // touches device memory: what is freed meanwhile stays mapped until it ends
    kHost,    // a host function; may take as long as it likes
    kMarker,  // short; runs on whatever thread finished its last predecessor, under the lock
  };
  Kind kind = Kind::kMarker;
  std::function<void()> run;  // may be empty

  // The scheduler's, under its lock.
  uint32_t pending = 0;
  bool done = false;
  std::vector<std::shared_ptr<Op>> successors;
};
using OpPtr = std::shared_ptr<Op>;

class Scheduler {
 public:
  // Never destroyed: executor threads may outlive static destructors.
  static Scheduler& instance();

  // The lock under which predecessors are read and streams' tails are changed. Submitting is done
  // under it, so that order of submission and order in the graph agree.
  std::unique_lock<std::mutex> lock() { return std::unique_lock(mutex_); }

  void submit(std::unique_lock<std::mutex>& lock, const OpPtr& op,
              std::span<const OpPtr> predecessors);

  // Submits and waits. When nothing comes before it, `op` runs on the calling thread.
  void submit_and_wait(std::unique_lock<std::mutex>& lock, const OpPtr& op,
                       std::span<const OpPtr> predecessors);

  void wait(std::unique_lock<std::mutex>& lock, std::span<const OpPtr> ops);

  // Runs `reclaim` as soon as every device operation that is running now has ended; at once if
  // none.
  void retire(std::function<void()> reclaim);

  // Waits for the device operations that are running now. Not to be called from one.
  void quiesce();

 private:
  struct Retired {
    uint64_t sequence;
    std::function<void()> reclaim;
  };

  Scheduler() = default;
  bool link(const OpPtr& op, std::span<const OpPtr> predecessors);
  void make_ready(const OpPtr& op);
  void run_unlocked(std::unique_lock<std::mutex>& lock, const OpPtr& op);
  void complete(const OpPtr& op);
  void executor();
  uint64_t oldest_running() const;

  std::mutex mutex_;
  std::condition_variable ready_changed_;
  std::condition_variable op_done_;
  std::deque<OpPtr> ready_;
  std::set<uint64_t> running_;  // sequence numbers of device operations
  std::deque<Retired> retired_;
  uint64_t next_sequence_ = 1;
  uint32_t executors_ = 0;
  uint32_t executors_idle_ = 0;
};

}  // namespace farlane::softcuda
