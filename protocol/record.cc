#include "protocol/record.h"

#include <cstring>

#include "protocol/limits.h"

namespace farlane::protocol {

RecordCursor::RecordCursor(std::span<const std::byte> head) : left_(head) {
  if (reinterpret_cast<uintptr_t>(head.data()) % kRecordAlignment != 0) {
    fault_ = {FaultReason::kMisaligned, "frame head", reinterpret_cast<uintptr_t>(head.data()),
              kRecordAlignment};
  }
}

bool RecordCursor::next(Record& record) {
  if (fault_ || left_.empty()) return false;
  if (left_.size() < sizeof(RecordHeader)) {
    fault_ = {FaultReason::kTruncated, "record header", left_.size(), sizeof(RecordHeader)};
    return false;
  }
  RecordHeader header;
  std::memcpy(&header, left_.data(), sizeof header);
  if (header.bytes < sizeof header) {
    fault_ = {FaultReason::kTruncated, "record", header.bytes, sizeof header};
  } else if (header.bytes % kRecordAlignment != 0) {
    fault_ = {FaultReason::kMisaligned, "record", header.bytes, kRecordAlignment};
  } else if (header.bytes > limits::record_bytes_max) {
    fault_ = {FaultReason::kOverLimit, "record", header.bytes, limits::record_bytes_max};
  } else if (header.bytes > left_.size()) {
    fault_ = {FaultReason::kTruncated, "record", left_.size(), header.bytes};
  }
  if (fault_) return false;
  record.header = header;
  record.payload = left_.subspan(sizeof header, header.bytes - sizeof header);
  left_ = left_.subspan(header.bytes);
  return true;
}

}  // namespace farlane::protocol
