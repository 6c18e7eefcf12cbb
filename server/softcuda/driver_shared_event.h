// Events that several processes use (CU_EVENT_INTERPROCESS): two counters in shared memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "server/softcuda/driver_cuda.h"

namespace farlane::softcuda {

class SharedEvent {
 public:
  // Null when the system has no memory for it.
  static std::shared_ptr<SharedEvent> make();
  // Another process's. Null: it is gone, or this was never a handle.
  static std::shared_ptr<SharedEvent> open(const CUipcEventHandle& handle);
  explicit SharedEvent(int file, void* page) : file_(file), state_(static_cast<State*>(page)) {}
  SharedEvent(const SharedEvent&) = delete;
  ~SharedEvent();

  // For others, as long as this process lives.
  CUipcEventHandle handle() const;

  // A record begins, and its work has been done.
  uint64_t begin_record();
  void finish_record(uint64_t number);
  // The newest record there is; 0: none.
  uint64_t newest() const { return state_->recorded.load(); }
  // Done, or whoever recorded it is no more.
  bool is_done(uint64_t number) const;
  // Looks again and again.
  void wait(uint64_t number) const;

 private:
  struct State {
    std::atomic<uint64_t> recorded;
    std::atomic<uint64_t> done;
    std::atomic<int32_t> recorder;  // the process of the newest record
  };
  const int file_;
  State* const state_;
};

}  // namespace farlane::softcuda
