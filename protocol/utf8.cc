#include "protocol/utf8.h"

#include <cstddef>
#include <cstdint>

namespace farlane::protocol {
namespace {

// Bytes of the well-formed sequence at the front of `text`, 0 if there is none.
size_t sequence_bytes(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  size_t count = 0;
  uint32_t code = 0;
  if ((first & 0xe0) == 0xc0) {
    count = 2;
    code = first & 0x1f;
  } else if ((first & 0xf0) == 0xe0) {
    count = 3;
    code = first & 0x0f;
  } else if ((first & 0xf8) == 0xf0) {
    count = 4;
    code = first & 0x07;
  }
  if (count == 0 || text.size() < count) return 0;
  for (size_t i = 1; i < count; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3f);
  }
  constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  return code >= kSmallest[count] && code <= 0x10ffff && !surrogate ? count : 0;
}

}  // namespace

std::string utf8_or_question_marks(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  while (!text.empty()) {
    const size_t count = sequence_bytes(text);
    if (count == 0) {
      clean += '?';
    } else {
      clean += text.substr(0, count);
    }
    text.remove_prefix(count == 0 ? 1 : count);
  }
  return clean;
}

}  // namespace farlane::protocol
