// Rounding and subnormals of f32 and f64, as PTX wants them.
#pragma once

#include <bit>
#include <cfenv>
#include <cmath>
#include <cstdint>

#include "server/softcuda/ptx_decode.h"

namespace farlane::softcuda {

enum class Rounding : uint8_t { kNearest, kZero, kDown, kUp };

// Takes .rn, .rz, .rm or .rp; nearest when there is none.
inline Rounding take_rounding(Modifiers& modifiers) {
  switch (modifiers.take_one_of({"rn", "rz", "rm", "rp"})) {
    case 1:
      return Rounding::kZero;
    case 2:
      return Rounding::kDown;
    case 3:
      return Rounding::kUp;
    default:
      return Rounding::kNearest;
  }
}

// Sets the host's rounding mode for a scope. Operands and results of what is computed inside must
// live in memory that the compiler cannot keep to itself (Warp::scratch): it knows nothing of
// modes.
class RoundingScope {
 public:
  explicit RoundingScope(Rounding mode) : changed_(mode != Rounding::kNearest) {
    constexpr int kModes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
    if (changed_) std::fesetround(kModes[static_cast<int>(mode)]);
  }
  ~RoundingScope() {
    if (changed_) std::fesetround(FE_TONEAREST);
  }
  RoundingScope(const RoundingScope&) = delete;
  RoundingScope& operator=(const RoundingScope&) = delete;

 private:
  bool changed_;
};

// .ftz: a subnormal becomes a zero of its sign.
inline float flush(float value) {
  auto bits = std::bit_cast<uint32_t>(value);
  return (bits & 0x7f800000u) == 0 ? std::bit_cast<float>(bits & 0x80000000u) : value;
}

// Results that are not a number have one form: 0x7fffffff in f32, and a quiet one in f64.
inline float canonical(float value) {
  return value != value ? std::bit_cast<float>(0x7fffffffu) : value;
}
inline double canonical(double value) {
  return value != value ? std::bit_cast<double>(uint64_t{0x7ff8000000000000}) : value;
}

// .sat: clamped to [0, 1], NaN becomes 0.
template <class T>
inline T saturate(T value) {
  return value >= 1 ? T{1} : value > 0 ? value : T{0};
}

}  // namespace farlane::softcuda
