// How a test directs test_nccl.cc, and what that has seen. The library exports one as
// `test_nccl`.
#pragma once

#include <atomic>
#include <thread>

namespace farlane::server::cudax {

struct TestNccl {
  std::atomic<int> collectives = 0;  // begun
  std::atomic<std::thread::id> collective_thread;
  // A collective waits while this is set, until its communicator is aborted.
  std::atomic<bool> ranks_missing = false;
  std::atomic<bool> aborted = false;
  // An abort has ended what waits, and waits itself while this is set.
  std::atomic<bool> abort_held = false;
};

}  // namespace farlane::server::cudax
