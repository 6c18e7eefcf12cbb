// Threads that sleep in the driver so that the executor need not: each waits for one event and
// wakes the executor's channel when it fires.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "server/driver_event.h"
#include "transport/channel.h"

namespace farlane::server {

class Waiters {
 public:
  // Threads are started as they are needed, at most this many.
  static constexpr size_t kThreadsMax = 16;

  Waiters(const DriverTable& driver, transport::Channel& channel)
      : driver_(driver), channel_(channel) {}
  Waiters(const Waiters&) = delete;
  // Returns when all events that are waited for have fired.
  ~Waiters();

  // Called on the executor's thread. False: all threads are taken.
  bool wait_for(EventRef event, CUcontext context);
  // Drops the events of threads that are done. Executor's thread.
  void collect();

 private:
  struct Waiter {
    std::mutex mutex;
    std::condition_variable changed;
    CUevent event = nullptr;  // guarded by mutex; null: nothing to do
    CUcontext context = nullptr;
    bool stop = false;
    std::atomic<bool> busy{false};
    EventRef held;  // the executor's: keeps `event` alive until the thread has returned from it
    std::thread thread;
  };

  void run(Waiter& waiter);

  const DriverTable& driver_;
  transport::Channel& channel_;
  std::vector<std::unique_ptr<Waiter>> waiters_;
};

}  // namespace farlane::server
