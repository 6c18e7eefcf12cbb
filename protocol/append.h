// Appends a record to a growing buffer: for frames that are put together in one go. The log is
// written in place instead (encode() into a span of encoded_bytes()).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace farlane::protocol {

template <class M>
void append_record(std::vector<std::byte>& frame, const M& message, uint64_t sequence,
                   uint8_t lane = 0) {
  const size_t begin = frame.size();
  frame.resize(begin + encoded_bytes(message));
  encode(std::span(frame).subspan(begin), message, sequence, lane);
}

}  // namespace farlane::protocol
