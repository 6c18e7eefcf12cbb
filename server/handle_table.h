// The objects behind a client's names of one kind: an array over the names' dense indices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "protocol/handle_limits.h"
#include "protocol/handles.h"

namespace farlane::server {

enum class Lookup : uint8_t {
  kLive,
  kFailed,   // its creation failed; the client was told so, or will be
  kUnknown,  // never made, or gone: the client's fault
};

template <class H, class T>
class HandleTable {
 public:
  // Whether `handle` may be created now: its index is in range and holds nothing live, and the
  // generation was not used before.
  bool can_create(H handle) const {
    if (handle.index() >= protocol::kHandleIndexMax) return false;
    if (handle.index() >= slots_.size()) return true;
    const Slot& slot = slots_[handle.index()];
    if (slot.state == State::kNever) return true;
    return slot.state != State::kLive && handle.generation() > slot.generation;
  }

  // Precondition: can_create(handle).
  T& create(H handle, T value) {
    Slot& slot = slot_for(handle);
    slot.state = State::kLive;
    slot.value = std::move(value);
    return slot.value;
  }
  void create_failed(H handle) { slot_for(handle).state = State::kFailed; }

  Lookup find(H handle, T** out) {
    if (handle.index() >= slots_.size()) return Lookup::kUnknown;
    Slot& slot = slots_[handle.index()];
    if (slot.generation != handle.generation()) return Lookup::kUnknown;
    if (slot.state == State::kLive) [[likely]] {
      *out = &slot.value;
      return Lookup::kLive;
    }
    return slot.state == State::kFailed ? Lookup::kFailed : Lookup::kUnknown;
  }

  // The object goes; its name may not be used any more.
  void destroy(H handle) {
    Slot& slot = slots_[handle.index()];
    slot.state = State::kGone;
    slot.value = T();
  }
  // The same for a name that may have no object.
  void forget(H handle) {
    T* found = nullptr;
    if (find(handle, &found) != Lookup::kUnknown) destroy(handle);
  }
  // The object goes, but its name stays good for errors.
  void fail(H handle) {
    Slot& slot = slots_[handle.index()];
    slot.state = State::kFailed;
    slot.value = T();
  }

  // visit(index, value) for every live object; it may fail() or destroy() the one it is given.
  template <class Visit>
  void for_each(Visit&& visit) {
    for (uint32_t index = 0; index < slots_.size(); ++index) {
      Slot& slot = slots_[index];
      if (slot.state == State::kLive) visit(H::make(index, slot.generation), slot.value);
    }
  }

 private:
  enum class State : uint8_t { kNever, kLive, kFailed, kGone };
  struct Slot {
    uint32_t generation = 0;
    State state = State::kNever;
    T value{};
  };

  Slot& slot_for(H handle) {
    if (handle.index() >= slots_.size()) slots_.resize(size_t{handle.index()} + 1);
    Slot& slot = slots_[handle.index()];
    slot.generation = handle.generation();
    return slot;
  }

  std::vector<Slot> slots_;
};

}  // namespace farlane::server
