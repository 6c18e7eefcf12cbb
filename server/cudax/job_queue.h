// Work that may block for as long as it likes, on threads of its own. Jobs that have a name in
// common are done one after the other, in the order they were given; others side by side.
//
// Any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

namespace farlane::server::cudax {

class JobQueue {
 public:
  struct Job {
    std::vector<uint64_t> names;
    std::function<void()> run;
    // Instead of `run`, where the job is dropped before its turn.
    std::function<void()> dropped;
  };

  JobQueue();
  // Drops what waits. Threads whose job does not end are left behind.
  ~JobQueue();
  JobQueue(const JobQueue&) = delete;

  void submit(Job job);
  // Jobs with this name that have not begun are not done.
  void drop(uint64_t name);

 private:
  struct State;
  static void work(const std::shared_ptr<State>& state);

  const std::shared_ptr<State> state_;
};

}  // namespace farlane::server::cudax
