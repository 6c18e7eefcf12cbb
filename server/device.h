// One device of a session: its primary context, streams, window, and the fences between them.
// Executor's thread only.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "generated/server/driver_table.h"
#include "server/address_space.h"
#include "server/driver_event.h"
#include "server/stream.h"

namespace farlane::server {

class Device {
 public:
  Device(const DriverTable& driver, CUdevice handle)
      : space(driver, handle), events(driver), driver_(driver), handle_(handle) {}
  Device(const Device&) = delete;
  // The device must be idle.
  ~Device();

  // Retains the primary context and makes what a session needs in it. Idempotent.
  CUresult activate();
  bool is_active() const { return context_ != nullptr; }
  CUcontext context() const { return context_; }
  CUdevice handle() const { return handle_; }
  // For fresh memory; never waits for the session's streams.
  CUstream internal_stream() const { return internal_; }
  const StreamRef& legacy() const { return legacy_; }

  // --- below: the context must be current
  CUresult create_stream(unsigned flags, int priority, StreamRef* out);
  // Its work goes on; the device remembers it until it is done.
  CUresult destroy_stream(const StreamRef& stream);

  // Every command on a stream goes through this: it makes the stream wait for a fence it has not
  // seen yet, and counts the command.
  CUresult use(Stream& stream) {
    if (stream.capture != nullptr) [[unlikely]] {
      return CUDA_SUCCESS;  // nothing is done now; what is captured is counted when it is launched
    }
    ++stream.posted;
    if (stream.fence_seen == fences_) [[likely]] {
      return CUDA_SUCCESS;
    }
    return wait_for_fence(stream);
  }

  // A point in a stream's work.
  struct Mark {
    EventRef event;
    StreamRef stream;  // null: of a destroyed stream
    uint64_t posted = 0;
  };

  // All work posted later waits for all work posted before, and for what `others` stand for.
  CUresult fence(const std::vector<Mark>& others = {});

  CUresult mark(const StreamRef& stream, Mark* out);
  // One for each stream that may have unfinished work.
  CUresult mark_all(std::vector<Mark>* marks);
  // All that such an event would wait for is known to have finished.
  bool is_idle(const Stream& stream) const;

  // Around a stream's part in a capture: meanwhile what it did before has a mark of its own, and so
  // has the legacy stream's work if the stream is ordered with it.
  CUresult before_capture(const StreamRef& stream);
  void after_capture(const StreamRef& stream);

  // Ends all work and destroys all streams but the legacy one.
  CUresult destroy_streams();

  AddressSpace space;
  EventPool events;
  // Limits that the session changed, as they were before: a reset brings them back.
  std::map<CUlimit, size_t> limits_before;
  bool prints = false;  // a module with printf or assert was loaded

 private:
  CUresult wait_for_fence(Stream& stream);
  void drop_finished_orphans();
  bool is_captured(const Stream& stream) const {
    return stream.capture != nullptr || (&stream == legacy_.get() && blocking_captures_ != 0);
  }

  const DriverTable& driver_;
  const CUdevice handle_;
  CUcontext context_ = nullptr;
  CUstream internal_ = nullptr;
  CUstream fence_carrier_ = nullptr;  // an internal stream that fences of several streams meet on
  uint64_t carrier_seen_ = 0;
  EventRef fence_event_;
  uint64_t fences_ = 0;
  StreamRef legacy_;
  uint32_t blocking_captures_ = 0;  // capturing streams that are ordered with the legacy stream
  std::vector<StreamRef> streams_;  // created ones
  std::vector<EventRef> orphans_;   // the ends of destroyed streams' work
};

}  // namespace farlane::server
