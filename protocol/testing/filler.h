// Makes up field values for tests of messages. Everything follows from the seed, so a failure can
// be repeated.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "protocol/handles.h"

namespace farlane::protocol::testing {

// SplitMix64: small, and the same on every machine for ever, which the golden vectors need.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // 0 … bound - 1.
  uint64_t below(uint64_t bound) { return next() % bound; }

 private:
  uint64_t state_;
};

enum class Fill : uint8_t {
  kRandom,   // any numbers, small counts
  kLowest,   // zeros, empty lists
  kHighest,  // largest numbers; counts at their limits as far as a record has room
};

class Filler {
 public:
  Filler(Fill fill, uint64_t seed) : fill_(fill), random_(seed) {}
  Filler(const Filler&) = delete;
  Filler& operator=(const Filler&) = delete;

  template <class T>
  void number(T& value) {
    if constexpr (std::is_floating_point_v<T>) {
      value = fill_ == Fill::kLowest    ? T{0}
              : fill_ == Fill::kHighest ? std::numeric_limits<T>::max()
                                        : static_cast<T>(random_.below(1 << 20)) / 8;
    } else {
      value = fill_ == Fill::kLowest    ? T{0}
              : fill_ == Fill::kHighest ? std::numeric_limits<T>::max()
                                        : static_cast<T>(random_.next());
    }
  }

  template <class H>
  H handle() {
    if (fill_ == Fill::kLowest) return H::make(0, 0);
    if (fill_ == Fill::kHighest) return H::make(UINT32_MAX, H::kGenerationMax);
    return H::make(static_cast<uint32_t>(random_.next()),
                   static_cast<uint32_t>(random_.below(H::kGenerationMax + 1)));
  }

  // How many elements of `item_bytes` to make. A record's limit is shared by its fields: each takes
  // at most half of the room that is left.
  uint32_t count(uint64_t limit, size_t item_bytes) {
    uint64_t count = 0;
    if (fill_ == Fill::kRandom) count = random_.below(kRandomCountMax + 1);
    if (fill_ == Fill::kHighest) count = room_bytes_ / 2 / std::max<size_t>(item_bytes, 1);
    count = std::min(count, limit);
    room_bytes_ -= std::min<size_t>(room_bytes_, (count * item_bytes + 7) / 8 * 8);
    return static_cast<uint32_t>(count);
  }

  std::span<const std::byte> bytes(uint64_t limit) {
    const std::span<std::byte> made = memory(count(limit, 1));
    for (std::byte& b : made) b = byte();
    return made;
  }

  std::string_view string(uint64_t limit) {
    const std::span<std::byte> made = memory(count(limit, 1));
    for (std::byte& b : made) b = static_cast<std::byte>('a' + random_.below(26));
    return {reinterpret_cast<const char*>(made.data()), made.size()};
  }

  template <class T, class FillOne>
  std::span<const T> list(uint64_t limit, FillOne&& fill_one) {
    const uint32_t made = count(limit, sizeof(T));
    const std::span<std::byte> raw = memory(made * sizeof(T));
    T* items = reinterpret_cast<T*>(raw.data());
    for (uint32_t i = 0; i < made; ++i) {
      items[i] = T{};
      fill_one(items[i]);
    }
    return {items, made};
  }

  template <size_t kBytes>
  void fixed(std::array<std::byte, kBytes>& value) {
    for (std::byte& b : value) b = byte();
  }

 private:
  static constexpr uint32_t kRandomCountMax = 9;

  std::byte byte() {
    if (fill_ == Fill::kLowest) return std::byte{0};
    if (fill_ == Fill::kHighest) return std::byte{0xff};
    return static_cast<std::byte>(random_.next());
  }

  // Stays as long as the filler.
  std::span<std::byte> memory(size_t bytes) {
    std::vector<uint64_t>& words = memory_.emplace_back(bytes / 8 + 1);
    return {reinterpret_cast<std::byte*>(words.data()), bytes};
  }

  Fill fill_;
  Random random_;
  size_t room_bytes_ = 192 * 1024;
  std::deque<std::vector<uint64_t>> memory_;
};

}  // namespace farlane::protocol::testing
