// What the generated encode and decode functions share. Not for anyone else.
#pragma once

#include <cstring>
#include <span>

#include "generated/protocol/messages.h"
#include "protocol/check.h"
#include "protocol/limits.h"
#include "protocol/writer.h"

namespace farlane::protocol {

// Writes a record's header and gives a writer for exactly its payload.
inline Writer begin(std::span<std::byte> space, Op op, uint8_t flags, uint8_t lane,
                    uint64_t sequence, size_t bytes) {
  FARLANE_CHECK(bytes <= limits::record_bytes_max, "a record is over record_bytes_max");
  FARLANE_CHECK(bytes <= space.size(), "a record is longer than the space made for it");
  const RecordHeader header{static_cast<uint32_t>(bytes), static_cast<uint16_t>(op), flags, lane,
                            sequence};
  Writer out(space.first(bytes));
  out.fixed(header);
  return out;
}

inline bool is_record_of(const Record& record, Op op, bool reply, const char* name, Fault& fault) {
  if (record.header.op == static_cast<uint16_t>(op) && record.is_reply() == reply) [[likely]] {
    return true;
  }
  fault = {FaultReason::kWrongDirection, name, record.header.op, 0};
  return false;
}

}  // namespace farlane::protocol
