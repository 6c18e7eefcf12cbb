#include "protocol/fault.h"

#include <fmt/format.h>

namespace farlane::protocol {

const char* fault_reason_name(FaultReason reason) {
  switch (reason) {
    case FaultReason::kNone:
      return "no fault";
    case FaultReason::kTruncated:
      return "truncated";
    case FaultReason::kOverlong:
      return "bytes left over";
    case FaultReason::kMisaligned:
      return "misaligned";
    case FaultReason::kOverLimit:
      return "over its limit";
    case FaultReason::kWrongKind:
      return "a handle of the wrong kind";
    case FaultReason::kUnknownOp:
      return "an unknown op";
    case FaultReason::kWrongDirection:
      return "an op that this side does not receive";
    case FaultReason::kUnexpectedBody:
      return "a body that no command takes";
  }
  return "an unknown fault";
}

std::string Fault::text() const {
  switch (reason) {
    case FaultReason::kTruncated:
    case FaultReason::kOverlong:
      return fmt::format("{}: {} ({} bytes, needs {})", field, fault_reason_name(reason), value,
                         limit);
    case FaultReason::kOverLimit:
      return fmt::format("{}: {} ({}, limit {})", field, fault_reason_name(reason), value, limit);
    case FaultReason::kWrongKind:
      return fmt::format("{}: {} ({:#x})", field, fault_reason_name(reason), value);
    case FaultReason::kNone:
      return fault_reason_name(reason);
    case FaultReason::kMisaligned:
    case FaultReason::kUnknownOp:
    case FaultReason::kWrongDirection:
    case FaultReason::kUnexpectedBody:
      break;
  }
  return fmt::format("{}: {} ({})", field, fault_reason_name(reason), value);
}

}  // namespace farlane::protocol
