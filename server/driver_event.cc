#include "server/driver_event.h"

#include "protocol/check.h"

namespace farlane::server {

CUresult EventRef::create(const DriverTable& driver, unsigned flags, EventRef* out) {
  CUevent handle = nullptr;
  if (const CUresult result = driver.cuEventCreate(&handle, flags); result != CUDA_SUCCESS) {
    return result;
  }
  *out = EventRef(new DriverEvent{handle, 0, &driver, nullptr});
  return CUDA_SUCCESS;
}

EventRef EventRef::adopt(const DriverTable& driver, CUevent handle) {
  return EventRef(new DriverEvent{handle, 0, &driver, nullptr});
}

void EventRef::release(DriverEvent* event) {
  if (event->pool != nullptr) {
    event->pool->free_.push_back(event);
    return;
  }
  event->driver->cuEventDestroy(event->handle);
  delete event;
}

void EventPool::clear() {
  FARLANE_CHECK(free_.size() == all_.size(), "every event is back in its pool when that goes");
  for (const auto& event : all_) driver_.cuEventDestroy(event->handle);
  all_.clear();
  free_.clear();
}

CUresult EventPool::acquire(EventRef* out) {
  if (free_.empty()) {
    CUevent handle = nullptr;
    // Nobody sleeps on them: that flag (CU_EVENT_BLOCKING_SYNC) costs 1 us per record on an H100.
    const CUresult result = driver_.cuEventCreate(&handle, CU_EVENT_DISABLE_TIMING);
    if (result != CUDA_SUCCESS) return result;
    all_.push_back(std::make_unique<DriverEvent>(DriverEvent{handle, 0, &driver_, this}));
    free_.reserve(all_.size());
    free_.push_back(all_.back().get());
  }
  *out = EventRef(free_.back());
  free_.pop_back();
  return CUDA_SUCCESS;
}

}  // namespace farlane::server
