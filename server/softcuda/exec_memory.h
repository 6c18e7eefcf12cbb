// Device addresses to host memory, with every check that a GPU makes.
#pragma once

#include "server/softcuda/exec_lanes.h"

namespace farlane::softcuda {

// Host memory behind `bytes` bytes at a device address, or nullptr after raising a fault.
// `what` names the access in the message: "load", "store", "atomic".
std::byte* translate_slow(Warp& warp, uint32_t lane, Space space, uint64_t address, uint32_t bytes,
                          const char* what, uint32_t line);
// The same without a fault: for strings of device printf.
std::byte* find_host(Warp& warp, uint32_t lane, Space space, uint64_t address, uint32_t bytes);

inline std::byte* translate(Warp& warp, uint32_t lane, Space space, uint64_t address,
                            uint32_t bytes, const char* what, uint32_t line) {
  const Warp::Range& range = warp.ranges[0];
  uint64_t offset = address - range.begin;
  if ((space == Space::kGlobal || space == Space::kGeneric || space == Space::kConst) &&
      offset < range.bytes && range.bytes - offset >= bytes && (address & (bytes - 1)) == 0) {
    return reinterpret_cast<std::byte*>(address);
  }
  return translate_slow(warp, lane, space, address, bytes, what, line);
}

// Device address that the instruction forms for each lane in `mask`.
void lane_addresses(Warp& warp, const Instr& in, uint32_t mask, uint64_t* addresses);
// Host pointers for an access of in.width * in.count bytes by each lane in `mask`. False after a
// fault.
bool lane_pointers(Warp& warp, const Instr& in, uint32_t mask, const char* what,
                   std::byte** pointers);

// Device programs may race; relaxed atomics keep that defined here, and cost nothing.
template <class T>
inline T load_relaxed(const std::byte* from) {
  return __atomic_load_n(reinterpret_cast<const T*>(from), __ATOMIC_RELAXED);
}
template <class T>
inline void store_relaxed(std::byte* to, T value) {
  __atomic_store_n(reinterpret_cast<T*>(to), value, __ATOMIC_RELAXED);
}

class Modifiers;
// Takes a state space from an instruction's modifiers; generic when there is none.
Space take_space(Modifiers& modifiers);
// Takes what says how memory is cached and ordered. True when the access is volatile, relaxed,
// acquire or release: other threads' writes matter to it.
bool take_ordering(Modifiers& modifiers);

}  // namespace farlane::softcuda
