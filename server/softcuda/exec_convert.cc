// cvt between all types, and cvt.pack.
#include <limits>

#include "server/softcuda/exec_dispatch.h"
#include "server/softcuda/exec_half_format.h"
#include "server/softcuda/exec_lanes.h"
#include "server/softcuda/exec_rounding.h"

namespace farlane::softcuda {
namespace {

// The rounding words of cvt; the integer ones (rni, …) round to a whole number.
enum class ConvertRounding : uint8_t { kNone, kRn, kRz, kRm, kRp, kRna, kRni, kRzi, kRmi, kRpi };

SmallRounding small_rounding(ConvertRounding r) {
  switch (r) {
    case ConvertRounding::kRz:
    case ConvertRounding::kRzi:
      return SmallRounding::kZero;
    case ConvertRounding::kRm:
    case ConvertRounding::kRmi:
      return SmallRounding::kDown;
    case ConvertRounding::kRp:
    case ConvertRounding::kRpi:
      return SmallRounding::kUp;
    case ConvertRounding::kRna:
      return SmallRounding::kNearestAway;
    case ConvertRounding::kNone:
    case ConvertRounding::kRn:
    case ConvertRounding::kRni:
      break;
  }
  return SmallRounding::kNearestEven;
}

double whole(double value, ConvertRounding r) {
  switch (r) {
    case ConvertRounding::kRzi:
    case ConvertRounding::kRz:
      return std::trunc(value);
    case ConvertRounding::kRmi:
    case ConvertRounding::kRm:
      return std::floor(value);
    case ConvertRounding::kRpi:
    case ConvertRounding::kRp:
      return std::ceil(value);
    case ConvertRounding::kNone:
    case ConvertRounding::kRn:
    case ConvertRounding::kRna:
    case ConvertRounding::kRni:
      break;
  }
  return std::nearbyint(value);
}

// What one conversion is told: packed into Instr::imm as these bytes.
struct Recipe {
  Type to;
  Type from;
  ConvertRounding rounding;
  bool flush;
  bool saturate;  // .sat, or .satfinite
  bool relu;
  uint8_t to_width;    // bytes of the destination register
  uint8_t from_width;  // bytes of the source register
};
static_assert(sizeof(Recipe) == 8);

// A number on its way: an integer or a float, whichever the source was. Every value of every source
// type fits exactly.
struct Value {
  bool is_integer = false;
  bool negative = false;  // of an integer
  uint64_t integer = 0;   // two's complement when negative
  double number = 0;
};

Value read_value(const Recipe& recipe, uint64_t bits) {
  Value value;
  switch (recipe.from) {
    case Type::kF16:
      value.number = f16_to_float(static_cast<uint16_t>(bits));
      return value;
    case Type::kBF16:
      value.number = bf16_to_float(static_cast<uint16_t>(bits));
      return value;
    case Type::kF32: {
      float f = std::bit_cast<float>(static_cast<uint32_t>(bits));
      value.number = recipe.flush ? flush(f) : f;
      return value;
    }
    case Type::kF64:
      value.number = std::bit_cast<double>(bits);
      return value;
    default:
      break;
  }
  value.is_integer = true;
  const uint32_t shift = 64 - 8 * type_bytes(recipe.from);
  if (is_signed(recipe.from)) {
    auto wide = static_cast<int64_t>(bits << shift) >> shift;
    value.negative = wide < 0;
    value.integer = static_cast<uint64_t>(wide);
  } else {
    value.integer = bits << shift >> shift;
  }
  return value;
}

// Clamps or cuts to the destination's integer type, and fills 64 bits by its signedness.
uint64_t to_integer(const Recipe& recipe, const Value& value) {
  const uint32_t bits = 8 * type_bytes(recipe.to);
  const bool to_signed = is_signed(recipe.to);
  const uint64_t most = to_signed    ? (uint64_t{1} << (bits - 1)) - 1
                        : bits == 64 ? ~uint64_t{0}
                                     : (uint64_t{1} << bits) - 1;
  const uint64_t least = to_signed ? uint64_t{0} - (uint64_t{1} << (bits - 1)) : 0;
  if (value.is_integer) {
    if (recipe.saturate) {
      if (value.negative) {
        if (!to_signed) return 0;
        return static_cast<int64_t>(value.integer) < static_cast<int64_t>(least) ? least
                                                                                 : value.integer;
      }
      return value.integer > most ? most : value.integer;
    }
    const uint32_t shift = 64 - bits;
    if (to_signed) {
      return static_cast<uint64_t>(static_cast<int64_t>(value.integer << shift) >> shift);
    }
    return value.integer << shift >> shift;
  }
  // From a float: out of range is clamped, and NaN gives 0, or the top bit alone for 64-bit sides.
  if (value.number != value.number) {
    bool wide = recipe.from == Type::kF64 || bits == 64;
    if (!wide) return 0;
    uint64_t top = uint64_t{1} << (bits - 1);
    return to_signed ? least : top;
  }
  double rounded = whole(value.number, recipe.rounding);
  if (to_signed) {
    if (rounded < -std::ldexp(1.0, static_cast<int>(bits) - 1)) return least;
    if (rounded >= std::ldexp(1.0, static_cast<int>(bits) - 1)) return most;
    return static_cast<uint64_t>(static_cast<int64_t>(rounded));
  }
  if (rounded <= 0) return 0;
  if (rounded >= std::ldexp(1.0, static_cast<int>(bits))) return most;
  return static_cast<uint64_t>(rounded);
}

// Written so that the compiler has to convert at run time, in the mode that is set.
template <class T>
T convert_integer(const Value& value) {
  if (value.negative) {
    volatile auto wide = static_cast<int64_t>(value.integer);
    return static_cast<T>(wide);
  }
  volatile uint64_t wide = value.integer;
  if (wide >> 63 == 0) return static_cast<T>(static_cast<int64_t>(wide));
  // The compiler's own conversion of large values halves and doubles; the sticky bit keeps it
  // right.
  volatile auto half = static_cast<int64_t>(wide >> 1 | (wide & 1));
  volatile T halved = static_cast<T>(half);
  return halved * 2;
}
float convert_double(double value) {
  volatile double wide = value;
  volatile float narrow = static_cast<float>(wide);
  return narrow;
}

uint64_t to_small(const Recipe& recipe, const Value& value, const SmallFormat& format) {
  double number = 0;
  if (value.is_integer) {
    // 64-bit integers do not fit a double: the bits that are lost are kept as one sticky bit, far
    // below what the format can hold.
    uint64_t magnitude = value.negative ? uint64_t{0} - value.integer : value.integer;
    int shift = magnitude >> 52 != 0 ? 12 : 0;
    uint64_t kept = magnitude >> shift | ((magnitude & ((uint64_t{1} << shift) - 1)) != 0 ? 1 : 0);
    number = std::ldexp(static_cast<double>(kept), shift);
    if (value.negative) number = -number;
  } else {
    number = value.number;
  }
  if (recipe.rounding >= ConvertRounding::kRni && number == number) {
    number = whole(number, recipe.rounding);
  }
  uint32_t bits = encode_small(number, format, small_rounding(recipe.rounding), false);
  if (recipe.saturate) {
    double rounded = decode_small(bits, format);
    bits = encode_small(saturate(rounded), format, SmallRounding::kNearestEven, false);
  }
  return bits;
}

uint64_t convert(const Recipe& recipe, uint64_t bits) {
  Value value = read_value(recipe, bits);
  switch (recipe.to) {
    case Type::kF32: {
      float result = 0;
      if (value.is_integer) {
        result = convert_integer<float>(value);
      } else {
        double number = value.number;
        if (recipe.rounding >= ConvertRounding::kRni) number = whole(number, recipe.rounding);
        result = convert_double(number);
      }
      if (recipe.flush) result = flush(result);
      if (recipe.saturate) result = saturate(result);
      return std::bit_cast<uint32_t>(canonical(result));
    }
    case Type::kF64: {
      double result = value.number;
      if (value.is_integer) {
        result = convert_integer<double>(value);
      } else if (recipe.rounding >= ConvertRounding::kRni) {
        result = whole(result, recipe.rounding);
      }
      if (recipe.saturate) result = saturate(result);
      return std::bit_cast<uint64_t>(canonical(result));
    }
    case Type::kF16:
      return to_small(recipe, value, kF16Format);
    case Type::kBF16:
      return to_small(recipe, value, kBf16Format);
    default:
      return to_integer(recipe, value);
  }
}

uint64_t read_bits(const std::byte* from, uint32_t width, uint32_t lane) {
  uint64_t bits = 0;
  std::memcpy(&bits, from + lane * width, width);
  return bits;
}

void write_bits(std::byte* to, uint32_t width, uint32_t lane, uint64_t bits) {
  std::memcpy(to + lane * width, &bits, width);
}

Rounding host_rounding(ConvertRounding r) {
  switch (r) {
    case ConvertRounding::kRz:
      return Rounding::kZero;
    case ConvertRounding::kRm:
      return Rounding::kDown;
    case ConvertRounding::kRp:
      return Rounding::kUp;
    case ConvertRounding::kNone:
    case ConvertRounding::kRn:
    case ConvertRounding::kRna:
    case ConvertRounding::kRni:
    case ConvertRounding::kRzi:
    case ConvertRounding::kRmi:
    case ConvertRounding::kRpi:
      break;
  }
  return Rounding::kNearest;
}

bool run_convert(Warp& warp, const Instr& in, uint32_t mask) {
  const auto recipe = std::bit_cast<Recipe>(in.imm);
  const std::byte* a = at<std::byte>(warp, in.a);
  std::byte* d = at<std::byte>(warp, in.d);
  uint64_t results[kLanes];
  {
    // The mode matters only where the host rounds: f32 and f64 results.
    const bool host = recipe.to == Type::kF32 || recipe.to == Type::kF64;
    RoundingScope scope(host ? host_rounding(recipe.rounding) : Rounding::kNearest);
    for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
      auto lane = static_cast<uint32_t>(std::countr_zero(rest));
      results[lane] = convert(recipe, read_bits(a, recipe.from_width, lane));
    }
  }
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    auto lane = static_cast<uint32_t>(std::countr_zero(rest));
    write_bits(d, recipe.to_width, lane, results[lane]);
  }
  return true;
}

// The common conversions, without the general path.
Handler fast_handler(const Recipe& r) {
  if (r.flush || r.saturate || r.relu) return nullptr;
  if (r.to_width != type_bytes(r.to) || r.from_width != type_bytes(r.from)) return nullptr;
  if (r.to == Type::kS64 && r.from == Type::kS32) {
    return unary<int64_t, int32_t>([](int32_t a) { return int64_t{a}; });
  }
  if ((r.to == Type::kU64 || r.to == Type::kS64) && r.from == Type::kU32) {
    return unary<uint64_t, uint32_t>([](uint32_t a) { return uint64_t{a}; });
  }
  if (type_bytes(r.to) == 4 && type_bytes(r.from) == 8 && !is_float(r.to) && !is_float(r.from)) {
    return unary<uint32_t, uint64_t>([](uint64_t a) { return static_cast<uint32_t>(a); });
  }
  if (r.to == Type::kF64 && r.from == Type::kF32 && r.rounding == ConvertRounding::kNone) {
    return unary<double, float>([](float a) { return canonical(static_cast<double>(a)); });
  }
  if (r.rounding != ConvertRounding::kRn) return nullptr;
  if (r.to == Type::kF32 && r.from == Type::kF64) {
    return unary<float, double>([](double a) { return canonical(static_cast<float>(a)); });
  }
  if (r.to == Type::kF32 && r.from == Type::kS32) {
    return unary<float, int32_t>([](int32_t a) { return static_cast<float>(a); });
  }
  if (r.to == Type::kF32 && r.from == Type::kU32) {
    return unary<float, uint32_t>([](uint32_t a) { return static_cast<float>(a); });
  }
  if (r.to == Type::kF64 && r.from == Type::kS32) {
    return unary<double, int32_t>([](int32_t a) { return static_cast<double>(a); });
  }
  return nullptr;
}

ConvertRounding take_convert_rounding(Modifiers& modifiers) {
  return static_cast<ConvertRounding>(
      1 + modifiers.take_one_of({"rn", "rz", "rm", "rp", "rna", "rni", "rzi", "rmi", "rpi"}));
}

// ---- packed and odd forms
// --------------------------------------------------------------------------

struct PackRecipe {
  Type to;
  SmallRounding rounding;
  bool saturate;
  bool relu;
};

const SmallFormat& format_of(Type type) {
  switch (type) {
    case Type::kBF16:
    case Type::kBF16x2:
      return kBf16Format;
    case Type::kE4M3x2:
      return kE4m3Format;
    case Type::kE5M2x2:
      return kE5m2Format;
    default:
      return kF16Format;
  }
}

uint32_t pack_one(float value, Type to, SmallRounding rounding, bool saturate, bool relu) {
  double number = value;
  if (relu && !(number > 0) && number == number) number = 0;
  return encode_small(number, format_of(to), rounding, saturate);
}

// d = {a, b}: a in the high half. mode: rounding, flag: saturate, aux: relu, imm: the type,
// width: bytes of a part.
bool run_pack(Warp& warp, const Instr& in, uint32_t mask) {
  const float* a = at<float>(warp, in.a);
  const float* b = at<float>(warp, in.b);
  auto to = static_cast<Type>(in.imm);
  auto rounding = static_cast<SmallRounding>(in.mode);
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    int lane = std::countr_zero(rest);
    uint32_t high = pack_one(a[lane], to, rounding, in.flag, in.aux != 0);
    uint32_t low = pack_one(b[lane], to, rounding, in.flag, in.aux != 0);
    if (in.width == 2) {
      at<uint32_t>(warp, in.d)[lane] = high << 16 | low;
    } else {
      at<uint16_t>(warp, in.d)[lane] = static_cast<uint16_t>(high << 8 | low);
    }
  }
  return true;
}

// One value with relu or satfinite: to f16 or bf16.
bool run_narrow(Warp& warp, const Instr& in, uint32_t mask) {
  const float* a = at<float>(warp, in.a);
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    int lane = std::countr_zero(rest);
    at<uint16_t>(warp, in.d)[lane] =
        static_cast<uint16_t>(pack_one(a[lane], static_cast<Type>(in.imm),
                                       static_cast<SmallRounding>(in.mode), in.flag, in.aux != 0));
  }
  return true;
}

// f16x2 to a pair of 8-bit floats, and back.
bool run_half_to_bytes(Warp& warp, const Instr& in, uint32_t mask) {
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    int lane = std::countr_zero(rest);
    uint32_t a = at<uint32_t>(warp, in.a)[lane];
    uint32_t result = 0;
    for (uint32_t i = 0; i < 2; ++i) {
      float value = f16_to_float(static_cast<uint16_t>(a >> (16 * i)));
      result |=
          pack_one(value, static_cast<Type>(in.imm), SmallRounding::kNearestEven, true, in.aux != 0)
          << (8 * i);
    }
    at<uint16_t>(warp, in.d)[lane] = static_cast<uint16_t>(result);
  }
  return true;
}
bool run_bytes_to_half(Warp& warp, const Instr& in, uint32_t mask) {
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    int lane = std::countr_zero(rest);
    uint32_t a = at<uint16_t>(warp, in.a)[lane];
    uint32_t result = 0;
    for (uint32_t i = 0; i < 2; ++i) {
      double value = decode_small(a >> (8 * i) & 0xff, format_of(static_cast<Type>(in.imm)));
      if (in.aux != 0 && !(value > 0) && value == value) value = 0;
      result |= encode_small(value, kF16Format, SmallRounding::kNearestEven, false) << (16 * i);
    }
    at<uint32_t>(warp, in.d)[lane] = result;
  }
  return true;
}

bool run_tf32(Warp& warp, const Instr& in, uint32_t mask) {
  const float* a = at<float>(warp, in.a);
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    int lane = std::countr_zero(rest);
    float value = a[lane];
    if (in.aux != 0 && !(value > 0) && value == value) value = 0;
    auto bits = std::bit_cast<uint32_t>(value);
    if (value != value) {
      bits = 0x7fffffff;
    } else if ((bits & 0x7f800000) != 0x7f800000) {
      // 10 stored bits of mantissa: 13 go. Away from zero at the middle, or to even, or cut.
      if (in.mode == 0) bits += 0x1000;
      if (in.mode == 1) bits += 0xfff + (bits >> 13 & 1);
      bits &= ~0x1fffu;
      if (in.flag && (bits & 0x7f800000) == 0x7f800000) bits = (bits & 0x80000000u) | 0x7f7fe000;
    }
    at<uint32_t>(warp, in.d)[lane] = bits;
  }
  return true;
}

bool decode_special(Decoder& decoder, Type to, Type from, ConvertRounding rounding, bool relu,
                    bool satfinite) {
  Instr in;
  in.aux = relu ? 1 : 0;
  in.flag = satfinite;
  in.imm = static_cast<uint64_t>(to);
  in.mode = static_cast<uint8_t>(small_rounding(rounding));
  const bool pair = to == Type::kF16x2 || to == Type::kBF16x2;
  const bool bytes = to == Type::kE4M3x2 || to == Type::kE5M2x2;
  if ((pair || bytes) && from == Type::kF32) {
    decoder.need_operands(3, 3);
    in.width = bytes ? 1 : 2;
    in.a = decoder.source(1, Type::kF32);
    in.b = decoder.source(2, Type::kF32);
    in.d = decoder.destination(0, bytes ? Type::kB16 : Type::kB32);
    in.run = run_pack;
  } else if (bytes && from == Type::kF16x2) {
    decoder.need_operands(2, 2);
    in.a = decoder.source(1, Type::kB32);
    in.d = decoder.destination(0, Type::kB16);
    in.run = run_half_to_bytes;
  } else if (to == Type::kF16x2 && (from == Type::kE4M3x2 || from == Type::kE5M2x2)) {
    decoder.need_operands(2, 2);
    in.imm = static_cast<uint64_t>(from);
    in.a = decoder.source(1, Type::kB16);
    in.d = decoder.destination(0, Type::kB32);
    in.run = run_bytes_to_half;
  } else if (to == Type::kTF32 && from == Type::kF32) {
    decoder.need_operands(2, 2);
    in.mode = rounding == ConvertRounding::kRna ? 0 : rounding == ConvertRounding::kRn ? 1 : 2;
    in.a = decoder.source(1, Type::kF32);
    in.d = decoder.destination(0, Type::kB32);
    in.run = run_tf32;
  } else if ((to == Type::kF16 || to == Type::kBF16) && from == Type::kF32 && (relu || satfinite)) {
    decoder.need_operands(2, 2);
    in.a = decoder.source(1, Type::kF32);
    in.d = decoder.destination(0, to);
    in.run = run_narrow;
  } else {
    return false;
  }
  decoder.emit(in);
  return true;
}

bool is_plain(Type type) {
  return is_signed(type) || is_unsigned(type) || type == Type::kF16 || type == Type::kBF16 ||
         type == Type::kF32 || type == Type::kF64;
}

// cvt.pack.sat.to.s32.b32: d = the two values saturated to 16, 8, 4 or 2 bits, above c shifted.
bool run_integer_pack(Warp& warp, const Instr& in, uint32_t mask) {
  const int32_t* a = at<int32_t>(warp, in.a);
  const int32_t* b = at<int32_t>(warp, in.b);
  const uint32_t bits = in.width;
  const bool to_signed = in.flag;
  const int32_t most = static_cast<int32_t>((uint32_t{1} << (to_signed ? bits - 1 : bits)) - 1);
  const int32_t least = to_signed ? -most - 1 : 0;
  auto clamp = [&](int32_t v) {
    return static_cast<uint32_t>(v < least  ? least
                                 : v > most ? most
                                            : v) &
           ((uint32_t{1} << bits) - 1);
  };
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    int lane = std::countr_zero(rest);
    uint32_t pair = clamp(a[lane]) << bits | clamp(b[lane]);
    uint32_t above = 0;
    if (in.c != kNoOperand) above = at<uint32_t>(warp, in.c)[lane] << (2 * bits);
    at<uint32_t>(warp, in.d)[lane] = above | pair;
  }
  return true;
}

void decode_integer_pack(Decoder& decoder) {
  Modifiers& modifiers = decoder.modifiers();
  if (!modifiers.take("sat")) decoder.unknown();
  int kind = modifiers.take_one_of({"u16", "s16", "u8", "s8", "u4", "s4", "u2", "s2"});
  if (kind < 0) decoder.unknown();
  if (decoder.need_type() != Type::kS32) decoder.unknown();
  Instr in;
  in.width = static_cast<uint8_t>(16 >> (kind / 2));
  in.flag = kind % 2 == 1;
  bool third = modifiers.take("b32");
  decoder.need_operands(third ? 4 : 3, third ? 4 : 3);
  in.a = decoder.source(1, Type::kS32);
  in.b = decoder.source(2, Type::kS32);
  if (third) in.c = decoder.source(3, Type::kB32);
  in.d = decoder.destination(0, Type::kB32);
  in.run = run_integer_pack;
  decoder.emit(in);
}

}  // namespace

bool decode_convert(Decoder& decoder) {
  if (decoder.opcode() != "cvt") return false;
  Modifiers& modifiers = decoder.modifiers();
  if (modifiers.take("pack")) {
    decode_integer_pack(decoder);
    return true;
  }
  ConvertRounding rounding = take_convert_rounding(modifiers);
  bool ftz = modifiers.take("ftz");
  bool sat = modifiers.take("sat");
  bool satfinite = modifiers.take("satfinite");
  bool relu = modifiers.take("relu");
  Type to = decoder.need_type();
  Type from = decoder.need_type();
  if (decode_special(decoder, to, from, rounding, relu, satfinite)) return true;
  if (!is_plain(to) || !is_plain(from) || relu || satfinite) decoder.unknown();
  decoder.need_operands(2, 2);
  // A float of the same type in a rounding to a whole number is written without the i by some.
  const bool same = to == from && is_float(to);
  if (same && rounding >= ConvertRounding::kRn && rounding <= ConvertRounding::kRp) {
    rounding = static_cast<ConvertRounding>(static_cast<int>(rounding) +
                                            static_cast<int>(ConvertRounding::kRni) -
                                            static_cast<int>(ConvertRounding::kRn));
  }
  Instr in;
  uint32_t from_width = 0;
  uint32_t to_width = 0;
  in.a = decoder.source_relaxed(decoder.operand(1), from, &from_width);
  in.d = decoder.destination_relaxed(decoder.operand(0), to, &to_width);
  if (from_width < type_bytes(from) || to_width < type_bytes(to)) {
    decoder.fail("a register of this cvt is narrower than its type");
  }
  Recipe recipe{to,
                from,
                rounding,
                ftz,
                sat,
                false,
                static_cast<uint8_t>(to_width),
                static_cast<uint8_t>(from_width)};
  in.imm = std::bit_cast<uint64_t>(recipe);
  in.run = fast_handler(recipe);
  if (in.run == nullptr) in.run = run_convert;
  decoder.emit(in);
  return true;
}

}  // namespace farlane::softcuda
