// What was wrong with a peer's bytes. The first fault counts; it ends the session.
#pragma once

#include <cstdint>
#include <string>

namespace farlane::protocol {

enum class FaultReason : uint8_t {
  kNone,
  kTruncated,       // the bytes end before the field does
  kOverlong,        // bytes are left over after the last field
  kMisaligned,      // not on an 8-byte boundary, or a size that is no multiple of 8
  kOverLimit,       // a size or count above its limit
  kWrongKind,       // a handle that is not of the field's kind
  kUnknownOp,       // an op this version does not have
  kWrongDirection,  // an op that this side sends and does not receive, or a reply flag out of place
  kUnexpectedBody,  // a frame with a body whose last record takes none
};

const char* fault_reason_name(FaultReason reason);

struct Fault {
  FaultReason reason = FaultReason::kNone;
  const char* field = "";  // static: "launch.params", "record header"
  uint64_t value = 0;      // the offending size, count, bits or op
  uint64_t limit = 0;      // what it was compared with, where there is such a thing

  explicit operator bool() const { return reason != FaultReason::kNone; }
  // For the log: "launch.params: over its limit (40000, limit 32764)".
  std::string text() const;
};

}  // namespace farlane::protocol
