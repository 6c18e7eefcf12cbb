// A host function that waits until the program lets it go.
#pragma once

#include <condition_variable>
#include <mutex>

struct Gate {
  std::mutex mutex;
  std::condition_variable changed;
  bool open = false, entered = false;
  void wait(bool Gate::*what) {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [&] { return this->*what; });
  }
  void set(bool Gate::*what) {
    std::lock_guard<std::mutex> lock(mutex);
    this->*what = true;
    changed.notify_all();
  }
};

inline void wait_at_gate(void* data) {
  Gate* gate = static_cast<Gate*>(data);
  gate->set(&Gate::entered);
  gate->wait(&Gate::open);
}
