// Takes a peer's bytes apart. The reader owns pointer and size together, checks every step, and
// remembers the first fault: read everything, then ask finish() once. After a fault every call
// returns an empty or zero value. Nothing is copied but the fixed part: spans and strings point
// into the record.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "protocol/fault.h"
#include "protocol/record.h"

namespace farlane::protocol {

class Reader {
 public:
  explicit Reader(std::span<const std::byte> payload) : at_(payload.data()), left_(payload.size()) {
    if (reinterpret_cast<uintptr_t>(at_) % kRecordAlignment != 0) [[unlikely]] {
      fail(FaultReason::kMisaligned, "payload", reinterpret_cast<uintptr_t>(at_), kRecordAlignment);
    }
  }

  // The fixed part of a message or of a list's element, padded to 8 like every part.
  template <class T>
  void fixed(T& value, const char* name) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % kRecordAlignment == 0);
    if (const std::byte* from = take(sizeof(T), name)) {
      std::memcpy(&value, from, sizeof(T));
    } else {
      std::memset(static_cast<void*>(&value), 0, sizeof(T));
    }
  }

  std::span<const std::byte> bytes(uint32_t count, uint32_t limit, const char* name) {
    const std::byte* from = part(count, limit, 1, name);
    return {from, from == nullptr ? 0 : count};
  }

  std::string_view string(uint32_t count, uint32_t limit, const char* name) {
    const std::byte* from = part(count, limit, 1, name);
    return {reinterpret_cast<const char*>(from), from == nullptr ? 0 : count};
  }

  // A list of plain structs, read where it lies: every part begins on an 8-byte boundary.
  template <class T>
  std::span<const T> list(uint32_t count, uint32_t limit, const char* name) {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= kRecordAlignment);
    const std::byte* from = part(count, limit, sizeof(T), name);
    return {reinterpret_cast<const T*>(from), from == nullptr ? 0 : count};
  }

  // The count of a list whose elements have variable members and take at least `element_bytes_min`
  // each: 0 when it is over its limit or cannot fit, so that nobody allocates for a mere claim.
  uint32_t count(uint32_t count, uint32_t limit, size_t element_bytes_min, const char* name) {
    if (fault_) return 0;
    if (count > limit) [[unlikely]] {
      fail(FaultReason::kOverLimit, name, count, limit);
      return 0;
    }
    if (count > left_ / element_bytes_min) [[unlikely]] {
      fail(FaultReason::kTruncated, name, left_, uint64_t{count} * element_bytes_min);
      return 0;
    }
    return count;
  }

  // A handle of the right kind.
  template <class H>
  H handle(uint64_t bits, const char* name) {
    const H handle = H::from_bits(bits);
    if (!handle.is_valid()) [[unlikely]] {
      fail(FaultReason::kWrongKind, name, bits, 0);
      return H();
    }
    return handle;
  }

  bool ok() const { return !fault_; }

  // True when everything was there and nothing is left. Otherwise `fault` says what was wrong.
  [[nodiscard]] bool finish(Fault& fault, const char* name) {
    if (left_ != 0 && !fault_) [[unlikely]] {
      fail(FaultReason::kOverlong, name, left_, 0);
    }
    if (fault_) [[unlikely]] {
      fault = fault_;
      return false;
    }
    return true;
  }

 private:
  const std::byte* take(size_t count, const char* name) {
    if (fault_) [[unlikely]] {
      return nullptr;
    }
    if (count > left_) [[unlikely]] {
      fail(FaultReason::kTruncated, name, left_, count);
      return nullptr;
    }
    const std::byte* from = at_;
    at_ += count;
    left_ -= count;
    return from;
  }

  const std::byte* part(uint32_t count, uint32_t limit, size_t element_bytes, const char* name) {
    if (count > limit && !fault_) [[unlikely]] {
      fail(FaultReason::kOverLimit, name, count, limit);
      return nullptr;
    }
    return take(padded(size_t{count} * element_bytes), name);
  }

  // Out of line: the way of a well-formed message has no call in it.
  void fail(FaultReason reason, const char* name, uint64_t value, uint64_t limit);

  const std::byte* at_;
  size_t left_;
  Fault fault_;
};

}  // namespace farlane::protocol
