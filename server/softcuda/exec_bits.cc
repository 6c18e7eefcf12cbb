// Bits: and, or, xor, not, cnot, shl, shr, shf, lop3, prmt, bfe, bfi, bfind, brev, clz, popc, fns,
// bmsk, szext.
#include <array>
#include <type_traits>

#include "server/softcuda/exec_dispatch.h"
#include "server/softcuda/exec_lanes.h"

namespace farlane::softcuda {
namespace {

void decode_logic(Decoder& decoder) {
  std::string_view op = decoder.opcode();
  Type type = decoder.need_type();
  const bool one = op == "not" || op == "cnot";
  Instr in;
  decoder.need_operands(one ? 2 : 3, one ? 2 : 3);
  if (type == Type::kPred) {
    bool negated_a = false;
    bool negated_b = false;
    in.a = decoder.predicate_source(decoder.operand(1), &negated_a);
    in.b = one ? in.a : decoder.predicate_source(decoder.operand(2), &negated_b);
    if (negated_a || negated_b) decoder.fail("\"!\" is not known here");
    in.d = decoder.predicate_destination(decoder.operand(0));
    in.mode = op == "and" ? 0 : op == "or" ? 1 : op == "xor" ? 2 : 3;
    in.run = [](Warp& warp, const Instr& i, uint32_t mask) -> bool {
      uint32_t a = mask_at(warp, i.a);
      uint32_t b = mask_at(warp, i.b);
      uint32_t value = i.mode == 0 ? a & b : i.mode == 1 ? a | b : i.mode == 2 ? a ^ b : ~a;
      set_mask(warp, i.d, value, mask);
      return true;
    };
    decoder.emit(in);
    return;
  }
  in.a = decoder.source(1, type);
  if (!one) in.b = decoder.source(2, type);
  in.d = decoder.destination(0, type);
  in.run = with_bits(decoder, type, [op](auto t) -> Handler {
    using T = decltype(t);
    if (op == "and") return binary<T, T, T>([](T a, T b) { return static_cast<T>(a & b); });
    if (op == "or") return binary<T, T, T>([](T a, T b) { return static_cast<T>(a | b); });
    if (op == "xor") return binary<T, T, T>([](T a, T b) { return static_cast<T>(a ^ b); });
    if (op == "not") return unary<T, T>([](T a) { return static_cast<T>(~a); });
    return unary<T, T>([](T a) { return static_cast<T>(a == 0 ? 1 : 0); });
  });
  decoder.emit(in);
}

void decode_shift(Decoder& decoder, bool left) {
  Type type = decoder.need_type();
  Instr in;
  decoder.need_operands(3, 3);
  in.a = decoder.source(1, type);
  in.b = decoder.source(2, Type::kU32);
  in.d = decoder.destination(0, type);
  // Amounts over the width shift everything out.
  in.run = with_integer(decoder, type, [left](auto t) {
    using T = decltype(t);
    using U = std::make_unsigned_t<T>;
    constexpr uint32_t kBits = sizeof(T) * 8;
    if (left) {
      return binary<T, T, uint32_t>([](T a, uint32_t n) {
        return n >= kBits ? T{0} : static_cast<T>(static_cast<uint64_t>(static_cast<U>(a)) << n);
      });
    }
    return binary<T, T, uint32_t>([](T a, uint32_t n) {
      if (n >= kBits) return static_cast<T>(a < 0 ? ~T{0} : T{0});
      return static_cast<T>(a >> n);
    });
  });
  decoder.emit(in);
}

void decode_funnel(Decoder& decoder) {
  int direction = decoder.modifiers().take_one_of({"l", "r"});
  int mode = decoder.modifiers().take_one_of({"wrap", "clamp"});
  if (direction < 0 || mode < 0 || decoder.need_type() != Type::kB32) decoder.unknown();
  Instr in;
  decoder.need_operands(4, 4);
  in.a = decoder.source(1, Type::kB32);
  in.b = decoder.source(2, Type::kB32);
  in.c = decoder.source(3, Type::kB32);
  in.d = decoder.destination(0, Type::kB32);
  using W = uint32_t;
  // a is the low word, b the high one.
  auto left = [](W a, W b, W n) {
    uint64_t both = uint64_t{b} << 32 | a;
    return static_cast<W>((both << n) >> 32);
  };
  auto right = [](W a, W b, W n) {
    uint64_t both = uint64_t{b} << 32 | a;
    return static_cast<W>(both >> n);
  };
  using Left = decltype(left);
  using Right = decltype(right);
  if (direction == 0) {
    in.run = mode == 0
                 ? ternary<W, W, W, W>([](W a, W b, W n) { return Left{}(a, b, n & 31); })
                 : ternary<W, W, W, W>([](W a, W b, W n) { return Left{}(a, b, n < 32 ? n : 32); });
  } else {
    in.run =
        mode == 0
            ? ternary<W, W, W, W>([](W a, W b, W n) { return Right{}(a, b, n & 31); })
            : ternary<W, W, W, W>([](W a, W b, W n) { return Right{}(a, b, n < 32 ? n : 32); });
  }
  decoder.emit(in);
}

template <uint32_t kTable>
Handler lop3_handler() {
  using W = uint32_t;
  return ternary<W, W, W, W>([](W a, W b, W c) {
    W r = 0;
    if constexpr (kTable & 0x01) r |= ~a & ~b & ~c;
    if constexpr (kTable & 0x02) r |= ~a & ~b & c;
    if constexpr (kTable & 0x04) r |= ~a & b & ~c;
    if constexpr (kTable & 0x08) r |= ~a & b & c;
    if constexpr (kTable & 0x10) r |= a & ~b & ~c;
    if constexpr (kTable & 0x20) r |= a & ~b & c;
    if constexpr (kTable & 0x40) r |= a & b & ~c;
    if constexpr (kTable & 0x80) r |= a & b & c;
    return r;
  });
}

template <size_t... kTables>
std::array<Handler, sizeof...(kTables)> lop3_handlers(std::index_sequence<kTables...>) {
  return {lop3_handler<kTables>()...};
}

bool run_lop3_predicate(Warp& warp, const Instr& in, uint32_t mask) {
  // d2 = (d != 0) op e, d has just been written.
  const uint32_t* d = at<uint32_t>(warp, in.a);
  uint32_t nonzero = 0;
  for (uint32_t i = 0; i < kLanes; ++i) nonzero |= static_cast<uint32_t>(d[i] != 0) << i;
  uint32_t other = mask_at(warp, in.e) ^ (in.aux != 0 ? kAllLanes : 0);
  set_mask(warp, in.d2, in.mode == 0 ? nonzero & other : nonzero | other, mask);
  return true;
}

void decode_lop3(Decoder& decoder) {
  static const std::array<Handler, 256> kHandlers = lop3_handlers(std::make_index_sequence<256>());
  int logic = decoder.modifiers().take_one_of({"and", "or"});
  if (decoder.need_type() != Type::kB32) decoder.unknown();
  decoder.need_operands(logic < 0 ? 5 : 6, logic < 0 ? 5 : 6);
  Instr in;
  in.a = decoder.source(1, Type::kB32);
  in.b = decoder.source(2, Type::kB32);
  in.c = decoder.source(3, Type::kB32);
  uint64_t table = decoder.number(decoder.operand(4));
  if (table > 255) decoder.fail("a lop3 table has 8 bits");
  in.run = kHandlers[table];
  if (logic < 0) {
    in.d = decoder.destination(0, Type::kB32);
    decoder.emit(in);
    return;
  }
  const AstOperand& pair = decoder.operand(0);
  if (pair.kind != AstOperand::Kind::kPair) decoder.fail("lop3.BoolOp needs d|p");
  in.d = decoder.destination(pair.items[0], Type::kB32);
  decoder.emit(in);
  Instr predicate;
  bool negated = false;
  predicate.a = in.d;
  predicate.d2 = decoder.predicate_destination(pair.items[1]);
  predicate.e = decoder.predicate_source(decoder.operand(5), &negated);
  predicate.aux = negated ? 1 : 0;
  predicate.mode = static_cast<uint8_t>(logic);
  predicate.run = run_lop3_predicate;
  decoder.emit(predicate);
}

uint32_t permute(uint64_t both, uint32_t selector) {
  uint32_t result = 0;
  for (uint32_t i = 0; i < 4; ++i) {
    uint32_t choice = selector >> (4 * i) & 0xf;
    auto byte = static_cast<uint32_t>(both >> (8 * (choice & 7)) & 0xff);
    if (choice & 8) byte = byte & 0x80 ? 0xff : 0;
    result |= byte << (8 * i);
  }
  return result;
}

// The special modes as selectors of the generic one, by the low two bits of c.
constexpr uint32_t kPermuteModes[6][4] = {
    {0x3210, 0x4321, 0x5432, 0x6543},  // f4e
    {0x5670, 0x6701, 0x7012, 0x0123},  // b4e
    {0x0000, 0x1111, 0x2222, 0x3333},  // rc8
    {0x3210, 0x3211, 0x3222, 0x3333},  // ecl
    {0x0000, 0x1110, 0x2210, 0x3210},  // ecr
    {0x1010, 0x3232, 0x1010, 0x3232},  // rc16
};

void decode_permute(Decoder& decoder) {
  if (decoder.need_type() != Type::kB32) decoder.unknown();
  int mode = decoder.modifiers().take_one_of({"f4e", "b4e", "rc8", "ecl", "ecr", "rc16"});
  Instr in;
  decoder.need_operands(4, 4);
  in.a = decoder.source(1, Type::kB32);
  in.b = decoder.source(2, Type::kB32);
  in.c = decoder.source(3, Type::kB32);
  in.d = decoder.destination(0, Type::kB32);
  if (mode < 0) {
    in.run = ternary<uint32_t, uint32_t, uint32_t, uint32_t>(
        [](uint32_t a, uint32_t b, uint32_t c) { return permute(uint64_t{b} << 32 | a, c); });
  } else {
    in.mode = static_cast<uint8_t>(mode);
    in.run = [](Warp& warp, const Instr& i, uint32_t mask) -> bool {
      const uint32_t* a = at<uint32_t>(warp, i.a);
      const uint32_t* b = at<uint32_t>(warp, i.b);
      const uint32_t* c = at<uint32_t>(warp, i.c);
      uint32_t result[kLanes];
      for (uint32_t lane = 0; lane < kLanes; ++lane) {
        result[lane] =
            permute(uint64_t{b[lane]} << 32 | a[lane], kPermuteModes[i.mode][c[lane] & 3]);
      }
      store_lanes(at<uint32_t>(warp, i.d), result, mask);
      return true;
    };
  }
  decoder.emit(in);
}

// Positions and lengths are read from their low 8 bits.
template <class T>
T extract(T value, uint32_t position, uint32_t length) {
  using U = std::make_unsigned_t<T>;
  constexpr uint32_t kBits = sizeof(T) * 8;
  position &= 0xff;
  length &= 0xff;
  const auto bits = static_cast<U>(value);
  if (length == 0) return 0;
  uint32_t top = position + length - 1 < kBits - 1 ? position + length - 1 : kBits - 1;
  U sign = 0;
  if constexpr (std::is_signed_v<T>) sign = bits >> top & 1;
  U field = position >= kBits ? U{0} : static_cast<U>(bits >> position);
  // Bits of the field that come from the value; the rest is filled with the sign.
  uint32_t kept = position >= kBits ? 0 : kBits - position;
  if (length < kept) kept = length;
  U keep = kept >= kBits ? ~U{0} : kept == 0 ? U{0} : static_cast<U>((U{1} << kept) - 1);
  field &= keep;
  if (sign != 0) field |= static_cast<U>(~keep);
  return static_cast<T>(field);
}

void decode_extract(Decoder& decoder) {
  Type type = decoder.need_type();
  Instr in;
  decoder.need_operands(4, 4);
  in.a = decoder.source(1, type);
  in.b = decoder.source(2, Type::kU32);
  in.c = decoder.source(3, Type::kU32);
  in.d = decoder.destination(0, type);
  in.run = with_wide_integer(decoder, type, [](auto t) {
    using T = decltype(t);
    return ternary<T, T, uint32_t, uint32_t>(
        [](T a, uint32_t b, uint32_t c) { return extract(a, b, c); });
  });
  decoder.emit(in);
}

template <class T>
bool run_insert(Warp& warp, const Instr& in, uint32_t mask) {
  constexpr uint32_t kBits = sizeof(T) * 8;
  const T* a = at<T>(warp, in.a);
  const T* b = at<T>(warp, in.b);
  const uint32_t* positions = at<uint32_t>(warp, in.c);
  const uint32_t* lengths = at<uint32_t>(warp, in.e);
  T result[kLanes];
  for (uint32_t i = 0; i < kLanes; ++i) {
    uint32_t position = positions[i] & 0xff;
    uint32_t length = lengths[i] & 0xff;
    T field = length >= kBits ? ~T{0} : static_cast<T>((T{1} << length) - 1);
    field = position >= kBits ? T{0} : static_cast<T>(field << position);
    T value = position >= kBits ? T{0} : static_cast<T>(a[i] << position);
    result[i] = static_cast<T>((b[i] & ~field) | (value & field));
  }
  store_lanes(at<T>(warp, in.d), result, mask);
  return true;
}

void decode_insert(Decoder& decoder) {
  Type type = decoder.need_type();
  if (type != Type::kB32 && type != Type::kB64) decoder.unknown();
  Instr in;
  decoder.need_operands(5, 5);
  in.a = decoder.source(1, type);
  in.b = decoder.source(2, type);
  in.c = decoder.source(3, Type::kU32);
  in.e = decoder.source(4, Type::kU32);
  in.d = decoder.destination(0, type);
  in.run = type == Type::kB32 ? run_insert<uint32_t> : run_insert<uint64_t>;
  decoder.emit(in);
}

// Position of the highest bit that differs from the sign, all ones when there is none.
template <class T>
uint32_t find_high(T value, bool shift_amount) {
  using U = std::make_unsigned_t<T>;
  auto bits = static_cast<U>(value);
  if constexpr (std::is_signed_v<T>) {
    if (value < 0) bits = static_cast<U>(~bits);
  }
  if (bits == 0) return kAllLanes;
  auto left = static_cast<uint32_t>(std::countl_zero(bits));
  return shift_amount ? left : static_cast<uint32_t>(sizeof(T) * 8 - 1) - left;
}

void decode_find(Decoder& decoder) {
  bool amount = decoder.modifiers().take("shiftamt");
  Type type = decoder.need_type();
  Instr in;
  decoder.need_operands(2, 2);
  in.a = decoder.source(1, type);
  in.d = decoder.destination(0, Type::kU32);
  in.run = with_wide_integer(decoder, type, [amount](auto t) {
    using T = decltype(t);
    return amount ? unary<uint32_t, T>([](T a) { return find_high(a, true); })
                  : unary<uint32_t, T>([](T a) { return find_high(a, false); });
  });
  decoder.emit(in);
}

template <class T>
T reverse_bits(T value) {
  T result = 0;
  for (size_t i = 0; i < sizeof(T) * 8; ++i) {
    result = static_cast<T>(result << 1 | (value & 1));
    value = static_cast<T>(value >> 1);
  }
  return result;
}

void decode_count(Decoder& decoder) {
  std::string_view op = decoder.opcode();
  Type type = decoder.need_type();
  if (type != Type::kB32 && type != Type::kB64) decoder.unknown();
  Instr in;
  decoder.need_operands(2, 2);
  in.a = decoder.source(1, type);
  in.d = decoder.destination(0, op == "brev" ? type : Type::kU32);
  in.run = with_bits(decoder, type, [op](auto t) -> Handler {
    using T = decltype(t);
    if (op == "brev") return unary<T, T>([](T a) { return reverse_bits(a); });
    if (op == "clz") {
      return unary<uint32_t, T>([](T a) { return static_cast<uint32_t>(std::countl_zero(a)); });
    }
    return unary<uint32_t, T>([](T a) { return static_cast<uint32_t>(std::popcount(a)); });
  });
  decoder.emit(in);
}

// The n-th set bit of `bits`, from `base` upwards (n > 0) or downwards (n < 0).
uint32_t find_nth(uint32_t bits, uint32_t base, int32_t n) {
  if (base > 31) return kAllLanes;
  if (n == 0) return bits >> base & 1 ? base : kAllLanes;
  int32_t step = n > 0 ? 1 : -1;
  uint32_t left = n > 0 ? static_cast<uint32_t>(n) : 0u - static_cast<uint32_t>(n);
  for (auto i = static_cast<int32_t>(base); i >= 0 && i < 32; i += step) {
    if ((bits >> i & 1) != 0 && --left == 0) return static_cast<uint32_t>(i);
  }
  return kAllLanes;
}

void decode_nth(Decoder& decoder) {
  if (decoder.need_type() != Type::kB32) decoder.unknown();
  Instr in;
  decoder.need_operands(4, 4);
  in.a = decoder.source(1, Type::kB32);
  in.b = decoder.source(2, Type::kB32);
  in.c = decoder.source(3, Type::kB32);
  in.d = decoder.destination(0, Type::kB32);
  in.run = ternary<uint32_t, uint32_t, uint32_t, int32_t>(
      [](uint32_t a, uint32_t b, int32_t c) { return find_nth(a, b, c); });
  decoder.emit(in);
}

void decode_bit_mask(Decoder& decoder) {
  int mode = decoder.modifiers().take_one_of({"clamp", "wrap"});
  if (mode < 0 || decoder.need_type() != Type::kB32) decoder.unknown();
  Instr in;
  decoder.need_operands(3, 3);
  in.a = decoder.source(1, Type::kB32);
  in.b = decoder.source(2, Type::kB32);
  in.d = decoder.destination(0, Type::kB32);
  using W = uint32_t;
  in.run = mode == 0 ? binary<W, W, W>([](W a, W b) {
    uint64_t field = b >= 32 ? ~uint64_t{0} : (uint64_t{1} << b) - 1;
    return a >= 32 ? 0 : static_cast<W>(field << a);
  })
                     : binary<W, W, W>([](W a, W b) {
                         uint64_t field = (uint64_t{1} << (b & 31)) - 1;
                         return static_cast<W>(field << (a & 31));
                       });
  decoder.emit(in);
}

void decode_extend(Decoder& decoder) {
  int mode = decoder.modifiers().take_one_of({"clamp", "wrap"});
  Type type = decoder.need_type();
  if (mode < 0 || type_bytes(type) != 4) decoder.unknown();
  Instr in;
  decoder.need_operands(3, 3);
  in.a = decoder.source(1, type);
  in.b = decoder.source(2, Type::kU32);
  in.d = decoder.destination(0, type);
  in.flag = is_signed(type);
  in.mode = static_cast<uint8_t>(mode);
  in.run = [](Warp& warp, const Instr& i, uint32_t mask) -> bool {
    const uint32_t* a = at<uint32_t>(warp, i.a);
    const uint32_t* b = at<uint32_t>(warp, i.b);
    uint32_t result[kLanes];
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      uint32_t n = i.mode == 0 ? b[lane] : b[lane] & 31;
      uint32_t value = a[lane];
      if (n == 0) {
        value = 0;
      } else if (n < 32) {
        uint32_t keep = (1u << n) - 1;
        bool negative = i.flag && (value >> (n - 1) & 1) != 0;
        value = negative ? value | ~keep : value & keep;
      }
      result[lane] = value;
    }
    store_lanes(at<uint32_t>(warp, i.d), result, mask);
    return true;
  };
  decoder.emit(in);
}

}  // namespace

bool decode_integer_bits(Decoder& decoder) {
  std::string_view op = decoder.opcode();
  if (op == "and" || op == "or" || op == "xor" || op == "not" || op == "cnot") {
    decode_logic(decoder);
  } else if (op == "shl" || op == "shr") {
    decode_shift(decoder, op == "shl");
  } else if (op == "shf") {
    decode_funnel(decoder);
  } else if (op == "lop3") {
    decode_lop3(decoder);
  } else if (op == "prmt") {
    decode_permute(decoder);
  } else if (op == "bfe") {
    decode_extract(decoder);
  } else if (op == "bfi") {
    decode_insert(decoder);
  } else if (op == "bfind") {
    decode_find(decoder);
  } else if (op == "brev" || op == "clz" || op == "popc") {
    decode_count(decoder);
  } else if (op == "fns") {
    decode_nth(decoder);
  } else if (op == "bmsk") {
    decode_bit_mask(decoder);
  } else if (op == "szext") {
    decode_extend(decoder);
  } else {
    return false;
  }
  return true;
}

}  // namespace farlane::softcuda
