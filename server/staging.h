// Pinned buffers between the network and the device. A slot is made at its first use and used again
// for the life of the session. Executor's thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "generated/server/driver_table.h"
#include "server/driver_event.h"

namespace farlane::server {

struct StagingSlot {
  std::byte* data = nullptr;
  size_t bytes = 0;
  bool busy = false;
  EventRef in_flight;  // set while the device still reads it
};

class StagingPool {
 public:
  // At most `slots` of `slot_bytes`, more where a single piece needs it.
  StagingPool(const DriverTable& driver, size_t slot_bytes, size_t slots)
      : driver_(driver), slot_bytes_(slot_bytes), slots_(slots) {}
  StagingPool(const StagingPool&) = delete;
  ~StagingPool();

  // A free slot of at least `bytes`, or null: none is free now, or (*result) there is no memory.
  // Some context must be current.
  StagingSlot* acquire(size_t bytes, CUresult* result);
  void release(StagingSlot* slot);

  // The device reads `slot` until `event`; recycle() takes it back then.
  void release_after(StagingSlot* slot, EventRef event);
  // True when at least one slot came back.
  bool recycle();
  size_t slot_bytes() const { return slot_bytes_; }

 private:
  const DriverTable& driver_;
  const size_t slot_bytes_;
  std::vector<StagingSlot> slots_;  // never resized: slots are pointed at
  std::vector<StagingSlot*> in_flight_;
};

}  // namespace farlane::server
