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

// The next piece of a copy of which `left_bytes` have not been given to a lane. Towards the end
// pieces become smaller, down to `last_bytes`, so that the lanes end together and the device has
// little left to do when the last piece has come. `last_bytes` 0: all are alike.
constexpr uint64_t lane_piece_bytes(uint64_t left_bytes, uint64_t lanes, uint64_t chunk_bytes,
                                    uint64_t last_bytes) {
  uint64_t bytes = chunk_bytes;
  if (last_bytes != 0 && last_bytes < chunk_bytes) {
    const uint64_t share = (left_bytes / lanes + 0xfff) & ~uint64_t{0xfff};
    bytes = std::clamp(share, last_bytes, chunk_bytes);
  }
  return std::min(bytes, left_bytes);
}

}  // namespace farlane::protocol
