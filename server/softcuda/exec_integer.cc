// Integer arithmetic: add, sub, mul, mad, div, rem, min, max, abs, neg, sad, mul24, mad24, dp4a,
// dp2a and the carry chains. Signed arithmetic is done unsigned, so that it wraps.
#include <limits>
#include <type_traits>

#include "server/softcuda/exec_dispatch.h"
#include "server/softcuda/exec_lanes.h"

namespace farlane::softcuda {
namespace {

template <class T>
using Unsigned = std::make_unsigned_t<T>;

// Arithmetic that wraps in T, without the promotion of 16-bit types to a signed int.
template <class T>
T wrap_add(T a, T b) {
  return static_cast<T>(static_cast<Unsigned<T>>(a) + static_cast<Unsigned<T>>(b));
}
template <class T>
T wrap_sub(T a, T b) {
  return static_cast<T>(static_cast<Unsigned<T>>(a) - static_cast<Unsigned<T>>(b));
}
template <class T>
T wrap_mul(T a, T b) {
  return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}

template <class T>
struct Wider;
template <>
struct Wider<int16_t> {
  using type = int32_t;
};
template <>
struct Wider<uint16_t> {
  using type = uint32_t;
};
template <>
struct Wider<int32_t> {
  using type = int64_t;
};
template <>
struct Wider<uint32_t> {
  using type = uint64_t;
};
template <>
struct Wider<int64_t> {
  using type = __int128;
};
template <>
struct Wider<uint64_t> {
  using type = unsigned __int128;
};
template <class T>
using WiderOf = typename Wider<T>::type;

template <class T>
WiderOf<T> wide_mul(T a, T b) {
  return static_cast<WiderOf<T>>(a) * static_cast<WiderOf<T>>(b);
}
template <class T>
T high_mul(T a, T b) {
  return static_cast<T>(wide_mul(a, b) >> (sizeof(T) * 8));
}

// Division by zero gives all ones, as the hardware does; the remainder is then the dividend.
template <class T>
T divide(T a, T b) {
  if (b == 0) return static_cast<T>(~T{0});
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return wrap_sub<T>(0, a);
  }
  return static_cast<T>(a / b);
}
template <class T>
T remainder(T a, T b) {
  if (b == 0) return a;
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return 0;
  }
  return static_cast<T>(a % b);
}

int32_t saturate32(int64_t value) {
  if (value > std::numeric_limits<int32_t>::max()) return std::numeric_limits<int32_t>::max();
  if (value < std::numeric_limits<int32_t>::min()) return std::numeric_limits<int32_t>::min();
  return static_cast<int32_t>(value);
}

bool is_integer(Type type) {
  return is_signed(type) || is_unsigned(type);
}

void three(Decoder& decoder, Instr& in, Type type) {
  decoder.need_operands(3, 3);
  in.a = decoder.source(1, type);
  in.b = decoder.source(2, type);
  in.d = decoder.destination(0, type);
}

// ---- carry chains
// -------------------------------------------------------------------------------- The condition
// code is one bit per lane, kept as a predicate beside the other registers.

template <class T>
bool run_add_carry(Warp& warp, const Instr& in, uint32_t mask) {
  const T* a = at<T>(warp, in.a);
  const T* b = at<T>(warp, in.b);
  const uint32_t carry_in = in.flag ? warp.carry : 0;
  T result[kLanes];
  uint32_t carry = 0;
  for (uint32_t i = 0; i < kLanes; ++i) {
    T partial = 0;
    bool first = __builtin_add_overflow(a[i], b[i], &partial);
    bool second = __builtin_add_overflow(partial, static_cast<T>(carry_in >> i & 1), &result[i]);
    carry |= static_cast<uint32_t>(first || second) << i;
  }
  store_lanes(at<T>(warp, in.d), result, mask);
  if (in.mode != 0) warp.carry = (warp.carry & ~mask) | (carry & mask);
  return true;
}

// The borrow is kept as a borrow: sub.cc then subc is all that may read it.
template <class T>
bool run_sub_borrow(Warp& warp, const Instr& in, uint32_t mask) {
  const T* a = at<T>(warp, in.a);
  const T* b = at<T>(warp, in.b);
  const uint32_t borrow_in = in.flag ? warp.carry : 0;
  T result[kLanes];
  uint32_t borrow = 0;
  for (uint32_t i = 0; i < kLanes; ++i) {
    T partial = 0;
    bool first = __builtin_sub_overflow(a[i], b[i], &partial);
    bool second = __builtin_sub_overflow(partial, static_cast<T>(borrow_in >> i & 1), &result[i]);
    borrow |= static_cast<uint32_t>(first || second) << i;
  }
  store_lanes(at<T>(warp, in.d), result, mask);
  if (in.mode != 0) warp.carry = (warp.carry & ~mask) | (borrow & mask);
  return true;
}

// aux: high half. T carries the signedness for the high half of the product.
template <class T>
bool run_mad_carry(Warp& warp, const Instr& in, uint32_t mask) {
  using U = Unsigned<T>;
  const T* a = at<T>(warp, in.a);
  const T* b = at<T>(warp, in.b);
  const U* c = at<U>(warp, in.c);
  const uint32_t carry_in = in.flag ? warp.carry : 0;
  U result[kLanes];
  uint32_t carry = 0;
  for (uint32_t i = 0; i < kLanes; ++i) {
    U product = static_cast<U>(in.aux != 0 ? high_mul(a[i], b[i]) : wrap_mul(a[i], b[i]));
    U partial = 0;
    bool first = __builtin_add_overflow(product, c[i], &partial);
    bool second = __builtin_add_overflow(partial, static_cast<U>(carry_in >> i & 1), &result[i]);
    carry |= static_cast<uint32_t>(first || second) << i;
  }
  store_lanes(at<U>(warp, in.d), result, mask);
  if (in.mode != 0) warp.carry = (warp.carry & ~mask) | (carry & mask);
  return true;
}

bool decode_carry(Decoder& decoder) {
  std::string_view op = decoder.opcode();
  Modifiers& modifiers = decoder.modifiers();
  Instr in;
  in.flag = op == "addc" || op == "subc" || op == "madc";
  if (op == "madc" || op == "mad") {
    int half = modifiers.take_one_of({"lo", "hi"});
    if (half < 0) decoder.unknown();
    in.aux = static_cast<uint8_t>(half);
  }
  in.mode = modifiers.take("cc") ? 1 : 0;
  Type type = decoder.need_type();
  if (op == "madc" || op == "mad") {
    decoder.need_operands(4, 4);
    in.a = decoder.source(1, type);
    in.b = decoder.source(2, type);
    in.c = decoder.source(3, type);
    in.d = decoder.destination(0, type);
    in.run = with_wide_integer(decoder, type,
                               [](auto t) -> Handler { return run_mad_carry<decltype(t)>; });
  } else {
    three(decoder, in, type);
    bool add = op == "add" || op == "addc";
    in.run = with_wide_integer(decoder, type, [add](auto t) -> Handler {
      using U = Unsigned<decltype(t)>;
      return add ? run_add_carry<U> : run_sub_borrow<U>;
    });
  }
  decoder.emit(in);
  return true;
}

// ---- plain
// ---------------------------------------------------------------------------------------

void decode_add_sub(Decoder& decoder, bool add) {
  bool saturate = decoder.modifiers().take("sat");
  Type type = decoder.need_type();
  Instr in;
  three(decoder, in, type);
  if (saturate) {
    if (type != Type::kS32) decoder.unknown();
    in.run = add ? binary<int32_t, int32_t, int32_t>(
                       [](int32_t a, int32_t b) { return saturate32(int64_t{a} + b); })
                 : binary<int32_t, int32_t, int32_t>(
                       [](int32_t a, int32_t b) { return saturate32(int64_t{a} - b); });
  } else {
    in.run = with_integer(decoder, type, [add](auto t) {
      using T = decltype(t);
      return add ? binary<T, T, T>([](T a, T b) { return wrap_add(a, b); })
                 : binary<T, T, T>([](T a, T b) { return wrap_sub(a, b); });
    });
  }
  decoder.emit(in);
}

// Two 16-bit halves at once (add.s16x2 and friends are half-precision neighbours; see exec_half).

void decode_mul(Decoder& decoder) {
  int part = decoder.modifiers().take_one_of({"lo", "hi", "wide"});
  if (part < 0) decoder.unknown();
  Type type = decoder.need_type();
  Instr in;
  decoder.need_operands(3, 3);
  in.a = decoder.source(1, type);
  in.b = decoder.source(2, type);
  if (part == 2) {
    Type wide = type == Type::kU16   ? Type::kU32
                : type == Type::kS16 ? Type::kS32
                : type == Type::kU32 ? Type::kU64
                : type == Type::kS32 ? Type::kS64
                                     : Type::kB128;
    if (type_bytes(type) == 8) decoder.unknown();
    in.d = decoder.destination(0, wide);
    in.run = with_integer(decoder, type, [](auto t) -> Handler {
      using T = decltype(t);
      if constexpr (sizeof(T) < 8) {
        return binary<WiderOf<T>, T, T>([](T a, T b) { return wide_mul(a, b); });
      } else {
        return nullptr;
      }
    });
  } else {
    in.d = decoder.destination(0, type);
    in.run = with_integer(decoder, type, [part](auto t) {
      using T = decltype(t);
      return part == 0 ? binary<T, T, T>([](T a, T b) { return wrap_mul(a, b); })
                       : binary<T, T, T>([](T a, T b) { return high_mul(a, b); });
    });
  }
  decoder.emit(in);
}

void decode_mad(Decoder& decoder) {
  Modifiers& modifiers = decoder.modifiers();
  int part = modifiers.take_one_of({"lo", "hi", "wide"});
  if (part < 0) decoder.unknown();
  bool saturate = modifiers.take("sat");
  Type type = decoder.need_type();
  Instr in;
  decoder.need_operands(4, 4);
  in.a = decoder.source(1, type);
  in.b = decoder.source(2, type);
  if (part == 2) {
    Type wide = type == Type::kU16   ? Type::kU32
                : type == Type::kS16 ? Type::kS32
                : type == Type::kU32 ? Type::kU64
                                     : Type::kS64;
    if (type_bytes(type) == 8) decoder.unknown();
    in.c = decoder.source(3, wide);
    in.d = decoder.destination(0, wide);
    in.run = with_integer(decoder, type, [](auto t) -> Handler {
      using T = decltype(t);
      if constexpr (sizeof(T) < 8) {
        using W = WiderOf<T>;
        return ternary<W, T, T, W>([](T a, T b, W c) { return wrap_add<W>(wide_mul(a, b), c); });
      } else {
        return nullptr;
      }
    });
  } else {
    in.c = decoder.source(3, type);
    in.d = decoder.destination(0, type);
    if (saturate) {
      if (part != 1 || type != Type::kS32) decoder.unknown();
      in.run = ternary<int32_t, int32_t, int32_t, int32_t>(
          [](int32_t a, int32_t b, int32_t c) { return saturate32(int64_t{high_mul(a, b)} + c); });
    } else {
      in.run = with_integer(decoder, type, [part](auto t) {
        using T = decltype(t);
        return part == 0
                   ? ternary<T, T, T, T>([](T a, T b, T c) { return wrap_add(wrap_mul(a, b), c); })
                   : ternary<T, T, T, T>([](T a, T b, T c) { return wrap_add(high_mul(a, b), c); });
      });
    }
  }
  decoder.emit(in);
}

// 24-bit factors. T is int32_t or uint32_t.
template <class T>
int64_t product24(T a, T b) {
  if constexpr (std::is_signed_v<T>) {
    auto cut = [](int32_t v) {
      return int64_t{static_cast<int32_t>(static_cast<uint32_t>(v) << 8) >> 8};
    };
    return cut(a) * cut(b);
  } else {
    return static_cast<int64_t>(uint64_t{a & 0xffffffu} * (b & 0xffffffu));
  }
}

void decode_mul24(Decoder& decoder, bool add) {
  int part = decoder.modifiers().take_one_of({"lo", "hi"});
  if (part < 0) decoder.unknown();
  bool saturate = decoder.modifiers().take("sat");
  Type type = decoder.need_type();
  if (type != Type::kU32 && type != Type::kS32) decoder.unknown();
  if (saturate && (!add || part != 1 || type != Type::kS32)) decoder.unknown();
  Instr in;
  decoder.need_operands(add ? 4 : 3, add ? 4 : 3);
  in.a = decoder.source(1, type);
  in.b = decoder.source(2, type);
  in.c = add ? decoder.source(3, type) : decoder.constant(0, 4);
  in.d = decoder.destination(0, type);
  if (saturate) {
    in.run = ternary<int32_t, int32_t, int32_t, int32_t>(
        [](int32_t a, int32_t b, int32_t c) { return saturate32((product24(a, b) >> 16) + c); });
  } else {
    in.run = with_wide_integer(decoder, type, [part](auto t) -> Handler {
      using T = decltype(t);
      if constexpr (sizeof(T) == 4) {
        return part == 0 ? ternary<T, T, T, T>([](T a, T b, T c) {
          return static_cast<T>(static_cast<uint32_t>(product24(a, b)) + static_cast<uint32_t>(c));
        })
                         : ternary<T, T, T, T>([](T a, T b, T c) {
                             return static_cast<T>(
                                 static_cast<uint32_t>(static_cast<uint64_t>(product24(a, b)) >>
                                                       16) +
                                 static_cast<uint32_t>(c));
                           });
      } else {
        return nullptr;
      }
    });
  }
  decoder.emit(in);
}

void decode_divide(Decoder& decoder, bool quotient) {
  Type type = decoder.need_type();
  Instr in;
  three(decoder, in, type);
  in.run = with_integer(decoder, type, [quotient](auto t) {
    using T = decltype(t);
    return quotient ? binary<T, T, T>([](T a, T b) { return divide(a, b); })
                    : binary<T, T, T>([](T a, T b) { return remainder(a, b); });
  });
  decoder.emit(in);
}

void decode_min_max(Decoder& decoder, bool min) {
  bool relu = decoder.modifiers().take("relu");
  Type type = decoder.need_type();
  if (relu && type != Type::kS32) decoder.unknown();
  Instr in;
  three(decoder, in, type);
  if (relu) {
    in.run = min ? binary<int32_t, int32_t, int32_t>([](int32_t a, int32_t b) {
      int32_t m = a < b ? a : b;
      return m < 0 ? 0 : m;
    })
                 : binary<int32_t, int32_t, int32_t>([](int32_t a, int32_t b) {
                     int32_t m = a > b ? a : b;
                     return m < 0 ? 0 : m;
                   });
  } else {
    in.run = with_integer(decoder, type, [min](auto t) {
      using T = decltype(t);
      return min ? binary<T, T, T>([](T a, T b) { return a < b ? a : b; })
                 : binary<T, T, T>([](T a, T b) { return a > b ? a : b; });
    });
  }
  decoder.emit(in);
}

void decode_abs_neg(Decoder& decoder, bool abs) {
  Type type = decoder.need_type();
  Instr in;
  decoder.need_operands(2, 2);
  in.a = decoder.source(1, type);
  in.d = decoder.destination(0, type);
  in.run = with_integer(decoder, type, [abs](auto t) {
    using T = decltype(t);
    return abs ? unary<T, T>([](T a) { return a < 0 ? wrap_sub<T>(0, a) : a; })
               : unary<T, T>([](T a) { return wrap_sub<T>(0, a); });
  });
  decoder.emit(in);
}

void decode_sad(Decoder& decoder) {
  Type type = decoder.need_type();
  Instr in;
  decoder.need_operands(4, 4);
  in.a = decoder.source(1, type);
  in.b = decoder.source(2, type);
  in.c = decoder.source(3, type);
  in.d = decoder.destination(0, type);
  in.run = with_integer(decoder, type, [](auto t) {
    using T = decltype(t);
    return ternary<T, T, T, T>(
        [](T a, T b, T c) { return wrap_add(c, a < b ? wrap_sub(b, a) : wrap_sub(a, b)); });
  });
  decoder.emit(in);
}

// Byte i of a word, by the signedness of the operand.
template <bool kSigned>
int32_t byte_of(uint32_t word, uint32_t i) {
  uint32_t byte = word >> (8 * i) & 0xff;
  return kSigned ? static_cast<int8_t>(byte) : static_cast<int32_t>(byte);
}
template <bool kSigned>
int32_t half_of(uint32_t word, uint32_t i) {
  uint32_t half = word >> (16 * i) & 0xffff;
  return kSigned ? static_cast<int16_t>(half) : static_cast<int32_t>(half);
}

template <bool kSignedA, bool kSignedB>
uint32_t dot4(uint32_t a, uint32_t b, uint32_t c) {
  for (uint32_t i = 0; i < 4; ++i) {
    c += static_cast<uint32_t>(byte_of<kSignedA>(a, i) * byte_of<kSignedB>(b, i));
  }
  return c;
}
template <bool kSignedA, bool kSignedB, uint32_t kHigh>
uint32_t dot2(uint32_t a, uint32_t b, uint32_t c) {
  for (uint32_t i = 0; i < 2; ++i) {
    c += static_cast<uint32_t>(half_of<kSignedA>(a, i)) *
         static_cast<uint32_t>(byte_of<kSignedB>(b, i + 2 * kHigh));
  }
  return c;
}

template <bool kSignedA, bool kSignedB>
Handler dot_handler(int part) {
  using W = uint32_t;
  if (part < 0) {
    return ternary<W, W, W, W>([](W a, W b, W c) { return dot4<kSignedA, kSignedB>(a, b, c); });
  }
  if (part == 0) {
    return ternary<W, W, W, W>([](W a, W b, W c) { return dot2<kSignedA, kSignedB, 0>(a, b, c); });
  }
  return ternary<W, W, W, W>([](W a, W b, W c) { return dot2<kSignedA, kSignedB, 1>(a, b, c); });
}

void decode_dot(Decoder& decoder, bool four) {
  int part = four ? -1 : decoder.modifiers().take_one_of({"lo", "hi"});
  if (!four && part < 0) decoder.unknown();
  Type a = decoder.need_type();
  Type b = decoder.need_type();
  Instr in;
  decoder.need_operands(4, 4);
  in.a = decoder.source(1, Type::kB32);
  in.b = decoder.source(2, Type::kB32);
  in.c = decoder.source(3, Type::kB32);
  in.d = decoder.destination(0, Type::kB32);
  if (is_signed(a)) {
    in.run = is_signed(b) ? dot_handler<true, true>(part) : dot_handler<true, false>(part);
  } else {
    in.run = is_signed(b) ? dot_handler<false, true>(part) : dot_handler<false, false>(part);
  }
  decoder.emit(in);
}

}  // namespace

bool decode_integer(Decoder& decoder) {
  std::string_view op = decoder.opcode();
  Modifiers copy = decoder.modifiers();
  auto type = copy.take_type();
  if (!type || !is_integer(*type)) return false;
  if (op == "addc" || op == "subc" || op == "madc" ||
      ((op == "add" || op == "sub" || op == "mad") && copy.take("cc"))) {
    return decode_carry(decoder);
  }
  if (op == "add" || op == "sub") {
    decode_add_sub(decoder, op == "add");
  } else if (op == "mul") {
    decode_mul(decoder);
  } else if (op == "mad") {
    decode_mad(decoder);
  } else if (op == "mul24" || op == "mad24") {
    decode_mul24(decoder, op == "mad24");
  } else if (op == "div" || op == "rem") {
    decode_divide(decoder, op == "div");
  } else if (op == "min" || op == "max") {
    decode_min_max(decoder, op == "min");
  } else if (op == "abs" || op == "neg") {
    decode_abs_neg(decoder, op == "abs");
  } else if (op == "sad") {
    decode_sad(decoder);
  } else if (op == "dp4a" || op == "dp2a") {
    decode_dot(decoder, op == "dp4a");
  } else {
    return false;
  }
  return true;
}

}  // namespace farlane::softcuda
