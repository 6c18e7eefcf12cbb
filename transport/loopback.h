// Two channels that are each other's peer, inside one process: for the in-process tests of client
// and server, where the test chooses every interleaving, and as the reference for the contract.
#pragma once

#include <cstddef>
#include <memory>

#include "transport/channel.h"

namespace farlane::transport {

struct LoopbackOptions {
  // Frames that may be on their way in each direction. One more may wait at the sender, as with a
  // socket whose buffer is full: it was taken, drained() is false, and flush() moves it on.
  size_t queue_frames = 64;
};

struct LoopbackPair {
  std::unique_ptr<Channel> a;
  std::unique_ptr<Channel> b;
};

// Either end may be used and destroyed on any thread, in any order.
LoopbackPair make_loopback(const LoopbackOptions& options = {});

}  // namespace farlane::transport
