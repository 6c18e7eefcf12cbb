// Which launch attributes (CUlaunchAttributeID) may travel, and how. By number, because this folder
// knows no CUDA; server/executor_attributes.cc holds the numbers to cuda.h.
#pragma once

#include <cstdint>

namespace farlane::protocol {

enum class LaunchAttributeKind : uint8_t {
  kPlain,  // a value, the same everywhere
  kEvent,  // has the launch record an event: its name lies where the driver's handle does
  kOther,  // a handle of one process, or of a graph: stays at home
};

constexpr LaunchAttributeKind launch_attribute_kind(uint32_t id) {
  switch (id) {
    case 0:   // ignore
    case 1:   // access policy window
    case 2:   // cooperative
    case 3:   // synchronisation policy
    case 4:   // cluster dimension
    case 5:   // cluster scheduling policy preference
    case 6:   // programmatic stream serialisation
    case 8:   // priority
    case 9:   // memory synchronisation domain map
    case 10:  // memory synchronisation domain
    case 11:  // preferred cluster dimension
    case 14:  // preferred shared memory carveout
    case 16:  // NVLink-centric scheduling
      return LaunchAttributeKind::kPlain;
    case 7:   // programmatic event
    case 12:  // launch completion event
      return LaunchAttributeKind::kEvent;
    default:
      return LaunchAttributeKind::kOther;
  }
}

constexpr bool is_plain_launch_attribute(uint32_t id) {
  return launch_attribute_kind(id) == LaunchAttributeKind::kPlain;
}
constexpr bool records_event(uint32_t id) {
  return launch_attribute_kind(id) == LaunchAttributeKind::kEvent;
}

}  // namespace farlane::protocol
