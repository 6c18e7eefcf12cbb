// Driver events with several holders: a pending wait, a staging slot and a client's handle may all
// need the same one. Used on the executor's thread only.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "generated/server/driver_table.h"

namespace farlane::server {

class EventPool;

struct DriverEvent {
  CUevent handle = nullptr;
  uint32_t holders = 0;
  const DriverTable* driver = nullptr;
  EventPool* pool = nullptr;  // where it goes after its last holder; null: it is destroyed
};

class EventRef {
 public:
  EventRef() = default;
  explicit EventRef(DriverEvent* event) : event_(event) { ++event_->holders; }
  EventRef(const EventRef& other) : event_(other.event_) {
    if (event_ != nullptr) ++event_->holders;
  }
  EventRef(EventRef&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  EventRef& operator=(EventRef other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  ~EventRef() { reset(); }

  void reset() {
    if (event_ != nullptr && --event_->holders == 0) release(event_);
    event_ = nullptr;
  }
  // One that is there already; it will be destroyed.
  static EventRef adopt(const DriverTable& driver, CUevent handle);
  CUevent handle() const { return event_->handle; }
  bool is_shared() const { return event_->holders > 1; }
  explicit operator bool() const { return event_ != nullptr; }

  // An event of a client's, with the flags it asked for. The context must be current.
  static CUresult create(const DriverTable& driver, unsigned flags, EventRef* out);

 private:
  static void release(DriverEvent* event);
  DriverEvent* event_ = nullptr;
};

// Events without times, made on demand and used again. One pool per context.
class EventPool {
 public:
  explicit EventPool(const DriverTable& driver) : driver_(driver) {}
  EventPool(const EventPool&) = delete;
  ~EventPool() { clear(); }
  // Destroys them all; none may be held.
  void clear();

  // The context must be current.
  CUresult acquire(EventRef* out);

 private:
  friend class EventRef;
  const DriverTable& driver_;
  std::vector<std::unique_ptr<DriverEvent>> all_;
  std::vector<DriverEvent*> free_;
};

}  // namespace farlane::server
