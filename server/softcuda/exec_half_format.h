// The small floating-point formats: f16, bf16, tf32, e4m3, e5m2, to and from float and double.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace farlane::softcuda {

struct SmallFormat {
  int mantissa_bits;  // stored ones
  int exponent_min;   // of the smallest normal number
  int exponent_max;
  int sign_bit;
  uint32_t not_a_number;
  uint32_t infinity;  // equal to not_a_number when the format has none
  uint32_t largest;   // finite
};
inline constexpr SmallFormat kF16Format = {10, -14, 15, 15, 0x7fff, 0x7c00, 0x7bff};
inline constexpr SmallFormat kBf16Format = {7, -126, 127, 15, 0x7fff, 0x7f80, 0x7f7f};
inline constexpr SmallFormat kE4m3Format = {3, -6, 8, 7, 0x7f, 0x7f, 0x7e};
inline constexpr SmallFormat kE5m2Format = {2, -14, 15, 7, 0x7f, 0x7c, 0x7b};

enum class SmallRounding : uint8_t { kNearestEven, kNearestAway, kZero, kDown, kUp };

// Rounds once, from the exact value. saturate: to the largest finite value instead of infinity.
uint32_t encode_small(double value, const SmallFormat& format, SmallRounding rounding,
                      bool saturate);
double decode_small(uint32_t bits, const SmallFormat& format);

inline float bf16_to_float(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}
inline float f16_to_float(uint16_t bits) {
  uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  uint32_t rest = bits & 0x7fff;
  if (rest >= 0x7c00) return std::bit_cast<float>(sign | 0x7f800000u | (rest & 0x3ff) << 13);
  if (rest < 0x400) {
    float value = static_cast<float>(rest) * 0x1p-24f;
    return sign != 0 ? -value : value;
  }
  return std::bit_cast<float>(sign | ((rest << 13) + (112u << 23)));
}
// Nearest even. A float holds every sum and product of two halves closely enough that rounding it
// again gives what rounding once would (24 bits against 11).
inline uint16_t float_to_bf16(float value) {
  auto bits = std::bit_cast<uint32_t>(value);
  if (value != value) return 0x7fff;
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline uint16_t float_to_f16(float value) {
  auto bits = std::bit_cast<uint32_t>(value);
  auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) return 0x7fff;
  if (bits >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);  // rounds to 65536 or more
  if (bits < 0x38800000) {
    // Subnormal: in units of 2^-24, rounded by the addition that leaves no lower bits.
    float magic = std::bit_cast<float>(bits) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(magic) - 0x3f000000u));
  }
  bits += 0xfff + (bits >> 13 & 1);
  return static_cast<uint16_t>(sign | ((bits - (112u << 23)) >> 13));
}

// A double that rounds to any format of at most 50 bits as the exact a*b+c does: where the sum is
// not exact its last bit is made odd. The product of two halves or bfloats is exact in a double.
inline double fma_odd(double a, double b, double c) {
  double product = a * b;
  double sum = product + c;
  if (!std::isfinite(sum)) return sum;
  double back = sum - product;
  double error = (product - (sum - back)) + (c - back);
  if (error == 0) return sum;
  auto bits = std::bit_cast<uint64_t>(sum);
  if ((bits & 1) != 0) return sum;
  bool away = (error > 0) == (sum > 0);
  if (sum == 0) return error;
  return std::bit_cast<double>(away ? bits + 1 : bits - 1);
}

}  // namespace farlane::softcuda
