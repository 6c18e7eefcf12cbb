// What the generated describe functions share. Not for anyone else.
#pragma once

#include <fmt/format.h>

#include <cctype>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace farlane::protocol {

// "launch{grid_x=1 block_x=32}"
class Line {
 public:
  explicit Line(const char* name) : text_(name) { text_ += '{'; }
  void add(const char* field, const std::string& value) {
    if (text_.back() != '{') text_ += ' ';
    text_ += field;
    text_ += '=';
    text_ += value;
  }
  std::string text() const { return text_ + "}"; }

 private:
  std::string text_;
};

inline constexpr size_t kDescribeTextMax = 64;  // characters of a string shown
inline constexpr size_t kDescribeItemsMax = 4;  // elements of a list shown

inline std::string address_text(uint64_t address) {
  return fmt::format("{:#x}", address);
}

inline std::string bytes_text(std::span<const std::byte> bytes) {
  return fmt::format("[{} bytes]", bytes.size());
}

inline std::string string_text(std::string_view text) {
  std::string shown = "\"";
  for (char c : text.substr(0, kDescribeTextMax)) {
    shown += std::isprint(static_cast<unsigned char>(c)) != 0 ? c : '?';
  }
  return shown + (text.size() > kDescribeTextMax ? "…\"" : "\"");
}

template <class List>
std::string list_text(const List& items) {
  std::string shown = "[";
  size_t count = 0;
  for (const auto& item : items) {
    if (count == kDescribeItemsMax) return shown + fmt::format(" …{}]", items.size());
    if (count++ != 0) shown += ' ';
    shown += describe(item);
  }
  return shown + "]";
}

}  // namespace farlane::protocol
