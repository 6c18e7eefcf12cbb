// A stream of a session, and what the executor remembers about the work on it.
#pragma once

#include <cuda.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

#include "server/driver_event.h"
#include "server/staging.h"

namespace farlane::server {

class Device;
struct Capture;

// A piece of a copy to the client that the device is still reading, or has failed to.
struct CopyOutPiece {
  uint64_t ticket = 0;
  uint64_t offset = 0;
  size_t bytes = 0;
  bool last = false;
  CUresult result = CUDA_SUCCESS;
  StagingPool* pool = nullptr;
  StagingSlot* slot = nullptr;
  EventRef read;
  bool is_read = false;  // known to be, or there is nothing to wait for
};

struct Stream {
  Device* device = nullptr;
  CUstream handle = nullptr;  // null: the legacy default stream
  bool blocking = true;       // ordered with the legacy stream

  // Commands posted so far, and how many of them are known to be finished.
  uint64_t posted = 0;
  uint64_t finished = 0;
  // The newest of the device's fences that this stream waits for (Device::fences).
  uint64_t fence_seen = 0;

  // Of a session with communicators (Executor::is_far_ahead): marks between its commands, from the
  // oldest on, and how many commands there were at the newest.
  std::deque<EventRef> far_marks;
  uint64_t posted_at_far_mark = 0;
  std::optional<std::chrono::steady_clock::time_point> far_since;  // waiting for the oldest of them

  std::deque<CopyOutPiece> copy_outs;     // in order
  std::optional<uint64_t> ticket_failed;  // the ticket that ended with an error and may go on

  // While the driver captures what is put here. Nothing of ours may then be recorded on it.
  std::shared_ptr<Capture> capture;
  EventRef before_capture;  // the end of its work before that, if it was busy

  bool is_busy() const { return posted != finished; }
};

using StreamRef = std::shared_ptr<Stream>;

}  // namespace farlane::server
