// How handlers read operands and write results.
#pragma once

#include <bit>
#include <cstring>

#include "server/softcuda/exec_state.h"

namespace farlane::softcuda {

template <class T>
inline T* at(Warp& warp, uint32_t code) {
  return reinterpret_cast<T*>(warp.base[code >> 30] + (code & 0x3fffffffu));
}

inline uint32_t& mask_at(Warp& warp, uint32_t code) {
  return *at<uint32_t>(warp, code);
}

inline void set_mask(Warp& warp, uint32_t code, uint32_t value, uint32_t lanes) {
  if (code == kNoOperand) return;
  uint32_t& p = mask_at(warp, code);
  p = (p & ~lanes) | (value & lanes);
}

// Writes the results of the lanes in `mask`.
template <class T>
inline void store_lanes(T* to, const T* from, uint32_t mask) {
  if (mask == kAllLanes) {
    std::memcpy(to, from, sizeof(T) * kLanes);
    return;
  }
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    int lane = std::countr_zero(rest);
    to[lane] = from[lane];
  }
}

// 32 bytes of 0 or 1 to a mask.
inline uint32_t pack_mask(const uint8_t* flags) {
  uint32_t mask = 0;
  for (uint32_t i = 0; i < 4; ++i) {
    uint64_t eight;
    std::memcpy(&eight, flags + 8 * i, 8);
    mask |= static_cast<uint32_t>((eight * 0x0102040810204080u) >> 56) << (8 * i);
  }
  return mask;
}

// Handlers of pure operations: every lane is computed, the masked ones are written. F is a
// stateless function object.
template <class D, class A, class F>
Handler unary(F) {
  return [](Warp& warp, const Instr& in, uint32_t mask) -> bool {
    const A* a = at<A>(warp, in.a);
    D result[kLanes];
    for (uint32_t i = 0; i < kLanes; ++i) result[i] = F{}(a[i]);
    store_lanes(at<D>(warp, in.d), result, mask);
    return true;
  };
}

template <class D, class A, class B, class F>
Handler binary(F) {
  return [](Warp& warp, const Instr& in, uint32_t mask) -> bool {
    const A* a = at<A>(warp, in.a);
    const B* b = at<B>(warp, in.b);
    D result[kLanes];
    for (uint32_t i = 0; i < kLanes; ++i) result[i] = F{}(a[i], b[i]);
    store_lanes(at<D>(warp, in.d), result, mask);
    return true;
  };
}

template <class D, class A, class B, class C, class F>
Handler ternary(F) {
  return [](Warp& warp, const Instr& in, uint32_t mask) -> bool {
    const A* a = at<A>(warp, in.a);
    const B* b = at<B>(warp, in.b);
    const C* c = at<C>(warp, in.c);
    D result[kLanes];
    for (uint32_t i = 0; i < kLanes; ++i) result[i] = F{}(a[i], b[i], c[i]);
    store_lanes(at<D>(warp, in.d), result, mask);
    return true;
  };
}

}  // namespace farlane::softcuda
