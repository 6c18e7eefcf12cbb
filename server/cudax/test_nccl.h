// How a test directs test_nccl.cc, and what that has seen. The library exports one as
// `test_nccl`.
#pragma once

#include <atomic>
#include <thread>

namespace farlane::server::cudax {

struct TestNccl {
  std::atomic<int> made = 0;
  std::atomic<int> collectives = 0;  // begun
  std::atomic<std::thread::id> collective_thread;
  // A collective waits while this is set, until its communicator is aborted.
  std::atomic<bool> ranks_missing = false;
  std::atomic<bool> aborted = false;
  // Of a communicator that does not block: making it, or a collective, is in progress for so many
  // looks.
  std::atomic<int> looks_in_progress = 0;
  // A look waits while this is set; so many have begun.
  std::atomic<bool> look_held = false;
  std::atomic<int> looks = 0;
  // An abort has ended what waits, and waits itself while this is set.
  std::atomic<bool> abort_held = false;
  // What sends, receives, or both connects to a peer at its first use, which waits while this is
  // set, until a communicator is aborted.
  std::atomic<bool> peers_missing = false;
  std::atomic<int> connections = 0;  // begun
  std::atomic<int> exchanges = 0;    // done: such calls
  std::atomic<std::thread::id> exchange_thread;
  std::atomic<int> ranks = 2;  // of every communicator
};

}  // namespace farlane::server::cudax
