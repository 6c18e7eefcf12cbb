#include "server/softcuda/exec_half_format.h"

namespace farlane::softcuda {

uint32_t encode_small(double value, const SmallFormat& format, SmallRounding rounding,
                      bool saturate) {
  if (value != value) return format.not_a_number;
  const bool negative = std::signbit(value);
  const uint32_t sign = negative ? 1u << format.sign_bit : 0;
  const double magnitude = std::fabs(value);
  if (magnitude == 0) return sign;
  if (std::isinf(magnitude)) return sign | (saturate ? format.largest : format.infinity);
  int exponent = std::ilogb(magnitude);
  if (exponent < format.exponent_min) exponent = format.exponent_min;
  const double scaled = std::ldexp(magnitude, format.mantissa_bits - exponent);
  // Far too large for the integer below, and for the format.
  bool overflow = exponent > format.exponent_max;
  uint64_t units = 0;
  if (!overflow) {
    const double whole = std::floor(scaled);
    const double fraction = scaled - whole;
    units = static_cast<uint64_t>(whole);
    bool up = false;
    switch (rounding) {
      case SmallRounding::kNearestEven:
        up = fraction > 0.5 || (fraction == 0.5 && (units & 1) != 0);
        break;
      case SmallRounding::kNearestAway:
        up = fraction >= 0.5;
        break;
      case SmallRounding::kZero:
        break;
      case SmallRounding::kDown:
        up = fraction > 0 && negative;
        break;
      case SmallRounding::kUp:
        up = fraction > 0 && !negative;
        break;
    }
    units += up ? 1 : 0;
    // A carry out of the mantissa runs into the exponent, as it should.
    const uint64_t one = uint64_t{1} << format.mantissa_bits;
    uint64_t bits = units;
    if (units >= one) {
      bits =
          (static_cast<uint64_t>(exponent - format.exponent_min) << format.mantissa_bits) + units;
    }
    if (bits <= format.largest) return sign | static_cast<uint32_t>(bits);
  }
  const bool to_largest = saturate || rounding == SmallRounding::kZero ||
                          (rounding == SmallRounding::kDown && !negative) ||
                          (rounding == SmallRounding::kUp && negative);
  return sign | (to_largest ? format.largest : format.infinity);
}

double decode_small(uint32_t bits, const SmallFormat& format) {
  const bool negative = (bits >> format.sign_bit & 1) != 0;
  const uint32_t rest = bits & ((1u << format.sign_bit) - 1);
  const uint32_t mantissa = rest & ((1u << format.mantissa_bits) - 1);
  const auto field = static_cast<int>(rest >> format.mantissa_bits);
  double value = 0;
  if (rest > format.largest) {
    value =
        rest == format.infinity && format.infinity != format.not_a_number ? HUGE_VAL : std::nan("");
  } else if (field == 0) {
    value = std::ldexp(mantissa, format.exponent_min - format.mantissa_bits);
  } else {
    value = std::ldexp(mantissa + (1u << format.mantissa_bits),
                       format.exponent_min + field - 1 - format.mantissa_bits);
  }
  return negative ? -value : value;
}

}  // namespace farlane::softcuda
