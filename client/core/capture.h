// Which streams are being captured, and what that forbids. The capture itself is the driver's on
// the server; here is known what programs ask on every call, and what CUDA refuses on the spot.
//
// A capture begins on a stream, its origin, and takes in every stream that waits for an event that
// was recorded in it. A call that conflicts with it breaks it: then every use fails until the
// origin ends the capture, which fails too.
#pragma once

#include <cuda.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "client/core/graph_contents.h"
#include "client/core/graph_memory.h"

namespace farlane::client {

struct Stream;
struct Event;
struct Device;

struct Capture {
  uint64_t id = 0;  // of the capture sequence, what programs are told
  uint64_t graph = 0;
  bool into = false;  // the graph is the program's own
  uint64_t origin = 0;
  Device* device = nullptr;
  CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  std::thread::id thread;
  // Under the lock of Captures:
  bool broken = false;
  std::vector<uint64_t> streams;  // that take part, the origin first
  bool blocking = false;          // one of them is ordered with the legacy stream
  GraphContents contents;         // of the nodes that it adds
  GraphMemoryUse memory;
};
using CaptureRef = std::shared_ptr<Capture>;

class Captures {
 public:
  // Nothing is captured anywhere: nearly always, and all that a call looks at then.
  bool none() const { return active_.load(std::memory_order_acquire) == 0; }

  // Work is put into the stream. A capture: it is captured. With an error in *error it may not be.
  CaptureRef admit(const Stream& stream, CUresult* error) {
    *error = CUDA_SUCCESS;
    return none() ? nullptr : admit_slow(stream, error);
  }
  // A call that waits for the stream or asks about it.
  CUresult check_wait(const Stream& stream) { return none() ? CUDA_SUCCESS : wait_slow(stream); }
  // A call that CUDA calls potentially unsafe: what becomes of it is for the thread's mode to say.
  CUresult check_unsafe() { return none() ? CUDA_SUCCESS : unsafe_slow(); }
  // A question about the legacy stream that does not break anything.
  CUresult check_legacy(const Stream& stream);
  // A call that waits for the whole device.
  CUresult check_device() { return none() ? CUDA_SUCCESS : device_slow(); }
  // An event that was last recorded in a capture answers nothing.
  CUresult check_event(const Event& event);

  CUresult begin(Stream* stream, CUstreamCaptureMode mode, uint64_t graph, bool into,
                 CaptureRef* out);
  // The stream is its capture's origin, and this thread may end it. The capture goes on until
  // forget().
  CUresult may_end(const Stream& stream, CaptureRef* out);
  void forget(const CaptureRef& capture);
  // Null: the stream takes no part in one.
  CaptureRef of(const Stream& stream);

  // The event is recorded in the stream's capture, or outside of any.
  void recorded(Event* event, const CaptureRef& capture);
  // `stream` waits for the event; the capture it is then in, or null. Breaks captures that this
  // would mix up, with the error.
  CaptureRef joined(Stream* stream, const Event& event, CUresult* error);
  // A stream that is destroyed breaks its capture, or ends it where it is the origin.
  void destroyed(const Stream& stream);
  void break_all();

  std::mutex& mutex() { return mutex_; }

 private:
  CaptureRef admit_slow(const Stream& stream, CUresult* error);
  CUresult wait_slow(const Stream& stream);
  CUresult unsafe_slow();
  CUresult device_slow();
  CaptureRef find(uint64_t stream) const;  // under the lock
  Capture* blocking_on(const Device* device) const;

  std::atomic<uint32_t> active_ = 0;
  std::mutex mutex_;
  std::map<uint64_t, CaptureRef> by_stream_;  // StreamId bits
  std::map<uint64_t, CaptureRef> by_id_;
  uint64_t next_id_ = 1;
};

// What the calling thread exchanged last.
CUstreamCaptureMode thread_capture_mode();

// Calls of our own are nobody's mistake.
class RelaxedCapture {
 public:
  RelaxedCapture();
  ~RelaxedCapture();

 private:
  CUstreamCaptureMode before_;
};

}  // namespace farlane::client
