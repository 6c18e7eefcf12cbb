// Puts a record together in memory that the caller has sized with encoded_bytes(). No allocation:
// the log is written in place. Every overrun, over-limit value or size that disagrees is our own
// fault and trips a check.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "protocol/check.h"
#include "protocol/record.h"

namespace farlane::protocol {

class Writer {
 public:
  // `out` may be longer than what is written.
  explicit Writer(std::span<std::byte> out) : at_(out.data()), left_(out.size()), begin_(at_) {}

  template <class T>
  void fixed(const T& value) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % kRecordAlignment == 0);
    static_assert(std::has_unique_object_representations_v<T> || kHoldsFloat<T>,
                  "a hole in the struct would carry this process's memory to the peer");
    std::memcpy(take(sizeof(T)), &value, sizeof(T));
  }

  void bytes(std::span<const std::byte> data) { part(data.data(), data.size()); }
  void string(std::string_view text) { part(text.data(), text.size()); }
  template <class T>
  void list(std::span<const T> items) {
    part(items.data(), items.size_bytes());
  }

  size_t written() const { return static_cast<size_t>(at_ - begin_); }

 private:
  template <class T>
  static constexpr bool kHoldsFloat = requires {
    typename T::HoldsFloat;
  };

  std::byte* take(size_t count) {
    FARLANE_CHECK(count <= left_, "a message is longer than the space made for it");
    std::byte* to = at_;
    at_ += count;
    left_ -= count;
    return to;
  }

  // Data, then zeros up to the next 8-byte boundary.
  void part(const void* data, size_t count) {
    if (count == 0) return;
    const size_t whole = padded(count);
    std::byte* to = take(whole);
    const uint64_t zero = 0;
    std::memcpy(to + whole - sizeof zero, &zero, sizeof zero);
    std::memcpy(to, data, count);
  }

  std::byte* at_;
  size_t left_;
  const std::byte* begin_;
};

}  // namespace farlane::protocol
