// How many of a session's bulk lanes one copy uses. Waking a thread for every lane costs more than
// it brings while each would move little; a few are always worth it.
#pragma once

#include <algorithm>
#include <cstdint>

namespace farlane::protocol {

inline constexpr uint64_t kLanesOfACopyMin = 4;

// `share_bytes` 0: all of them.
constexpr uint64_t lanes_of_copy(uint64_t bytes, uint64_t lanes, uint64_t share_bytes) {
  if (share_bytes == 0) {
    return lanes;
  }
  return std::min(lanes, std::max(bytes / share_bytes, kLanesOfACopyMin));
}

}  // namespace farlane::protocol
