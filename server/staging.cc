#include "server/staging.h"

#include <algorithm>

#include "protocol/check.h"

namespace farlane::server {

StagingPool::~StagingPool() {
  for (StagingSlot& slot : slots_) {
    if (slot.data != nullptr) driver_.cuMemFreeHost(slot.data);
  }
}

StagingSlot* StagingPool::acquire(size_t bytes, CUresult* result) {
  *result = CUDA_SUCCESS;
  // First one that fits, then one not made yet, then one to be made anew.
  StagingSlot* best = nullptr;
  for (StagingSlot& slot : slots_) {
    if (slot.busy) continue;
    if (slot.bytes >= bytes) {
      slot.busy = true;
      return &slot;
    }
    if (best == nullptr || slot.data == nullptr) best = &slot;
  }
  if (best == nullptr) return nullptr;
  if (best->data != nullptr) {
    driver_.cuMemFreeHost(best->data);
    *best = {};
  }
  const size_t wanted = std::max(bytes, slot_bytes_);
  void* memory = nullptr;
  *result = driver_.cuMemHostAlloc(&memory, wanted, CU_MEMHOSTALLOC_PORTABLE);
  if (*result != CUDA_SUCCESS) return nullptr;
  best->data = static_cast<std::byte*>(memory);
  best->bytes = wanted;
  best->busy = true;
  return best;
}

void StagingPool::release(StagingSlot* slot) {
  FARLANE_CHECK(slot->busy, "a staging slot is released once");
  slot->busy = false;
}

void StagingPool::release_after(StagingSlot* slot, EventRef event) {
  slot->in_flight = std::move(event);
  in_flight_.push_back(slot);
}

bool StagingPool::recycle() {
  const size_t before = in_flight_.size();
  std::erase_if(in_flight_, [&](StagingSlot* slot) {
    // An error means that the context is gone, and with it whoever read the slot.
    if (driver_.cuEventQuery(slot->in_flight.handle()) == CUDA_ERROR_NOT_READY) return false;
    slot->in_flight.reset();
    release(slot);
    return true;
  });
  return in_flight_.size() != before;
}

}  // namespace farlane::server
