// A record is one command, reply or tell: a header and a payload, together a multiple of 8 bytes.
// The head of a transport frame is a sequence of records and nothing else. All numbers little
// endian.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "protocol/fault.h"

namespace farlane::protocol {

static_assert(std::endian::native == std::endian::little,
              "records are copied as they lie in memory; a big-endian host needs byte swaps");

struct RecordHeader {
  uint32_t bytes = 0;     // of the whole record: this header, the payload and its padding to 8
  uint16_t op = 0;        // an Op of generated/protocol/messages.h
  uint8_t flags = 0;      // RecordFlag bits; unknown ones are ignored
  uint8_t lane = 0;       // 0: the command lane
  uint64_t sequence = 0;  // of a command: its place in the log, from 1. Of a reply: its command's.
};
static_assert(sizeof(RecordHeader) == 16);
static_assert(offsetof(RecordHeader, op) == 4 && offsetof(RecordHeader, flags) == 6 &&
              offsetof(RecordHeader, lane) == 7 && offsetof(RecordHeader, sequence) == 8);
static_assert(std::is_trivially_copyable_v<RecordHeader>);

enum RecordFlag : uint8_t {
  kReply = 1,  // the answer to the ask with the same op and sequence
};

inline constexpr size_t kRecordAlignment = 8;

constexpr size_t padded(size_t bytes) {
  return (bytes + kRecordAlignment - 1) & ~(kRecordAlignment - 1);
}

// A record in a received frame; `payload` is 8-byte aligned and valid as long as the frame's head.
struct Record {
  RecordHeader header;
  std::span<const std::byte> payload;

  bool is_reply() const { return (header.flags & kReply) != 0; }
};

// Walks the records of one frame head.
//
//   RecordCursor records(head);
//   Record record;
//   while (records.next(record)) { … }
//   if (records.fault()) { … }            // the frame was malformed; the session ends
class RecordCursor {
 public:
  explicit RecordCursor(std::span<const std::byte> head);

  // False at the end of the head, and at the first malformed record: then fault() is set.
  bool next(Record& record);
  // True when next() has given out the last record. A frame's body belongs to that one.
  bool at_end() const { return left_.empty(); }
  const Fault& fault() const { return fault_; }

 private:
  std::span<const std::byte> left_;
  Fault fault_;
};

}  // namespace farlane::protocol
