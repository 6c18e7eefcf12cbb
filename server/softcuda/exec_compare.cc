// setp and set.
#include <type_traits>

#include "server/softcuda/exec_half_format.h"
#include "server/softcuda/exec_lanes.h"
#include "server/softcuda/exec_rounding.h"

namespace farlane::softcuda {
namespace {

enum class Compare : uint8_t {
  kEq,
  kNe,
  kLt,
  kLe,
  kGt,
  kGe,
  kLo,
  kLs,
  kHi,
  kHs,
  kEqu,
  kNeu,
  kLtu,
  kLeu,
  kGtu,
  kGeu,
  kNum,
  kNan
};
constexpr std::string_view kCompareNames[] = {"eq",  "ne",  "lt",  "le",  "gt",  "ge",
                                              "lo",  "ls",  "hi",  "hs",  "equ", "neu",
                                              "ltu", "leu", "gtu", "geu", "num", "nan"};

template <Compare kCompare, class T>
bool compare(T a, T b) {
  const bool unordered = a != a || b != b;
  if constexpr (kCompare == Compare::kEq) return a == b;
  if constexpr (kCompare == Compare::kNe) return !unordered && a != b;
  if constexpr (kCompare == Compare::kLt || kCompare == Compare::kLo) return a < b;
  if constexpr (kCompare == Compare::kLe || kCompare == Compare::kLs) return a <= b;
  if constexpr (kCompare == Compare::kGt || kCompare == Compare::kHi) return a > b;
  if constexpr (kCompare == Compare::kGe || kCompare == Compare::kHs) return a >= b;
  if constexpr (kCompare == Compare::kEqu) return unordered || a == b;
  if constexpr (kCompare == Compare::kNeu) return unordered || a != b;
  if constexpr (kCompare == Compare::kLtu) return unordered || a < b;
  if constexpr (kCompare == Compare::kLeu) return unordered || a <= b;
  if constexpr (kCompare == Compare::kGtu) return unordered || a > b;
  if constexpr (kCompare == Compare::kGeu) return unordered || a >= b;
  if constexpr (kCompare == Compare::kNum) return !unordered;
  return unordered;
}

using Comparer = uint32_t (*)(const void* a, const void* b);

template <Compare kCompare, class T>
uint32_t compare_lanes(const void* a_lanes, const void* b_lanes) {
  const T* a = static_cast<const T*>(a_lanes);
  const T* b = static_cast<const T*>(b_lanes);
  uint8_t flags[kLanes];
  for (uint32_t i = 0; i < kLanes; ++i) flags[i] = compare<kCompare>(a[i], b[i]) ? 1 : 0;
  return pack_mask(flags);
}

template <class T>
Comparer comparer_of(Compare c) {
  switch (c) {
#define FARLANE_COMPARE(k) \
  case Compare::k:         \
    return compare_lanes<Compare::k, T>
    FARLANE_COMPARE(kEq);
    FARLANE_COMPARE(kNe);
    FARLANE_COMPARE(kLt);
    FARLANE_COMPARE(kLe);
    FARLANE_COMPARE(kGt);
    FARLANE_COMPARE(kGe);
    FARLANE_COMPARE(kLo);
    FARLANE_COMPARE(kLs);
    FARLANE_COMPARE(kHi);
    FARLANE_COMPARE(kHs);
    FARLANE_COMPARE(kEqu);
    FARLANE_COMPARE(kNeu);
    FARLANE_COMPARE(kLtu);
    FARLANE_COMPARE(kLeu);
    FARLANE_COMPARE(kGtu);
    FARLANE_COMPARE(kGeu);
    FARLANE_COMPARE(kNum);
    FARLANE_COMPARE(kNan);
#undef FARLANE_COMPARE
  }
  return nullptr;
}

Comparer choose_comparer(Type type, Compare c) {
  if (type == Type::kF32) return comparer_of<float>(c);
  if (type == Type::kF64) return comparer_of<double>(c);
  switch (type_bytes(type)) {
    case 2:
      return is_signed(type) ? comparer_of<int16_t>(c) : comparer_of<uint16_t>(c);
    case 4:
      return is_signed(type) ? comparer_of<int32_t>(c) : comparer_of<uint32_t>(c);
    default:
      return is_signed(type) ? comparer_of<int64_t>(c) : comparer_of<uint64_t>(c);
  }
}

enum class Combine : uint8_t { kNone, kAnd, kOr, kXor };

uint32_t combine(Combine how, uint32_t value, uint32_t other) {
  switch (how) {
    case Combine::kNone:
      return value;
    case Combine::kAnd:
      return value & other;
    case Combine::kOr:
      return value | other;
    case Combine::kXor:
      return value ^ other;
  }
  return value;
}

// Instr::mode: Combine; aux bit 0: the third operand is negated; flag: .ftz; width: which halves.
uint32_t run_comparison(Warp& warp, const Instr& in) {
  auto comparer = reinterpret_cast<Comparer>(in.imm);
  const void* a = at<std::byte>(warp, in.a);
  const void* b = at<std::byte>(warp, in.b);
  float flushed[2][kLanes];
  if (in.flag) {
    for (uint32_t i = 0; i < kLanes; ++i) {
      flushed[0][i] = flush(static_cast<const float*>(a)[i]);
      flushed[1][i] = flush(static_cast<const float*>(b)[i]);
    }
    a = flushed[0];
    b = flushed[1];
  }
  return comparer(a, b);
}

uint32_t other_mask(Warp& warp, const Instr& in) {
  if (in.c == kNoOperand) return 0;
  return mask_at(warp, in.c) ^ ((in.aux & 1) != 0 ? kAllLanes : 0);
}

bool run_setp(Warp& warp, const Instr& in, uint32_t mask) {
  uint32_t value = run_comparison(warp, in);
  uint32_t other = other_mask(warp, in);
  auto how = static_cast<Combine>(in.mode);
  set_mask(warp, in.d, combine(how, value, other), mask);
  // The second destination gets the comparison's complement.
  set_mask(warp, in.d2, combine(how, ~value, other), mask);
  return true;
}

// One half of an f16x2 or a lone f16, widened to float; ftz has been applied to nothing yet.
template <bool kBfloat>
void widen(float* to, const uint32_t* from, uint32_t shift) {
  for (uint32_t i = 0; i < kLanes; ++i) {
    auto bits = static_cast<uint16_t>(from[i] >> shift);
    to[i] = kBfloat ? bf16_to_float(bits) : f16_to_float(bits);
  }
}

// The comparer's operands are floats made from halves. width: 1 for one half, 2 for a pair.
uint32_t compare_half(Warp& warp, const Instr& in, uint32_t shift) {
  auto comparer = reinterpret_cast<Comparer>(in.imm);
  float values[2][kLanes];
  const uint32_t codes[2] = {in.a, in.b};
  for (int k = 0; k < 2; ++k) {
    uint32_t bits[kLanes];
    if (in.width == 1) {
      for (uint32_t i = 0; i < kLanes; ++i) bits[i] = at<uint16_t>(warp, codes[k])[i];
    } else {
      std::memcpy(bits, at<uint32_t>(warp, codes[k]), sizeof(bits));
    }
    if (in.count == 2) {
      widen<true>(values[k], bits, shift);
    } else {
      widen<false>(values[k], bits, shift);
    }
    if (in.flag && in.count != 2) {
      for (float& value : values[k]) {
        if (std::fabs(value) < 0x1p-14f) value = std::copysign(0.0f, value);
      }
    }
  }
  return comparer(values[0], values[1]);
}

bool run_setp_half(Warp& warp, const Instr& in, uint32_t mask) {
  uint32_t low = compare_half(warp, in, 0);
  uint32_t high = in.width == 2 ? compare_half(warp, in, 16) : ~low;
  uint32_t other = other_mask(warp, in);
  auto how = static_cast<Combine>(in.mode);
  set_mask(warp, in.d, combine(how, low, other), mask);
  set_mask(warp, in.d2, combine(how, high, other), mask);
  return true;
}

// set: the result is 1.0 for float destinations, all ones for integers. e holds the "true" value.
template <class D>
void write_set(Warp& warp, const Instr& in, uint32_t value, uint32_t mask) {
  D* d = at<D>(warp, in.d);
  const D* yes = at<D>(warp, in.e);
  for (uint32_t i = 0; i < kLanes; ++i) {
    if (mask >> i & 1) d[i] = value >> i & 1 ? yes[i] : D{0};
  }
}

bool run_set(Warp& warp, const Instr& in, uint32_t mask) {
  uint32_t value =
      combine(static_cast<Combine>(in.mode), run_comparison(warp, in), other_mask(warp, in));
  if (in.count == 2) {
    write_set<uint16_t>(warp, in, value, mask);
  } else {
    write_set<uint32_t>(warp, in, value, mask);
  }
  return true;
}

// aux bit 1: a 16-bit destination; otherwise 32 bits (whole, or two halves for pairs).
bool run_set_half(Warp& warp, const Instr& in, uint32_t mask) {
  auto how = static_cast<Combine>(in.mode);
  uint32_t other = other_mask(warp, in);
  uint32_t low = combine(how, compare_half(warp, in, 0), other);
  if (in.width == 1) {
    if ((in.aux & 2) != 0) {
      write_set<uint16_t>(warp, in, low, mask);
    } else {
      write_set<uint32_t>(warp, in, low, mask);
    }
    return true;
  }
  uint32_t high = combine(how, compare_half(warp, in, 16), other);
  uint32_t* d = at<uint32_t>(warp, in.d);
  const uint32_t* yes = at<uint32_t>(warp, in.e);
  for (uint32_t i = 0; i < kLanes; ++i) {
    if ((mask >> i & 1) == 0) continue;
    uint32_t keep = (low >> i & 1 ? 0xffffu : 0) | (high >> i & 1 ? 0xffff0000u : 0);
    d[i] = yes[i] & keep;
  }
  return true;
}

bool is_half(Type type) {
  return type == Type::kF16 || type == Type::kBF16 || type == Type::kF16x2 || type == Type::kBF16x2;
}

uint64_t true_value(Type type) {
  switch (type) {
    case Type::kF32:
      return 0x3f800000;
    case Type::kF16:
      return 0x3c00;
    case Type::kBF16:
      return 0x3f80;
    case Type::kF16x2:
      return 0x3c003c00;
    case Type::kBF16x2:
      return 0x3f803f80;
    default:
      return kAllLanes;
  }
}

}  // namespace

bool decode_compare(Decoder& decoder) {
  std::string_view op = decoder.opcode();
  if (op != "setp" && op != "set") return false;
  const bool to_predicate = op == "setp";
  Modifiers& modifiers = decoder.modifiers();
  Instr in;
  int comparison = modifiers.take_one_of(kCompareNames);
  if (comparison < 0) decoder.unknown();
  in.mode = static_cast<uint8_t>(1 + modifiers.take_one_of({"and", "or", "xor"}));
  in.flag = modifiers.take("ftz");
  Type to = Type::kPred;
  if (!to_predicate) to = decoder.need_type();
  Type type = decoder.need_type();
  const size_t count = in.mode != 0 ? 4 : 3;
  decoder.need_operands(count, count);
  in.a = decoder.source(1, type);
  in.b = decoder.source(2, type);
  if (in.mode != 0) {
    bool negated = false;
    in.c = decoder.predicate_source(decoder.operand(3), &negated);
    in.aux = negated ? 1 : 0;
  }
  const bool half = is_half(type);
  auto comparer = choose_comparer(half ? Type::kF32 : type, static_cast<Compare>(comparison));
  in.imm = reinterpret_cast<uint64_t>(comparer);
  if (half) {
    in.width = type == Type::kF16x2 || type == Type::kBF16x2 ? 2 : 1;
    in.count = type == Type::kBF16 || type == Type::kBF16x2 ? 2 : 1;
  }
  if (to_predicate) {
    const AstOperand& destination = decoder.operand(0);
    if (destination.kind == AstOperand::Kind::kPair) {
      in.d = decoder.predicate_destination(destination.items[0]);
      in.d2 = decoder.predicate_destination(destination.items[1]);
    } else {
      in.d = decoder.predicate_destination(destination);
    }
    in.run = half ? run_setp_half : run_setp;
  } else {
    in.d = decoder.destination(0, to);
    in.e = decoder.constant(true_value(to), type_bytes(to));
    if (half) {
      if (type_bytes(to) == 2) in.aux |= 2;
    } else {
      in.count = type_bytes(to) == 2 ? 2 : 1;
    }
    in.run = half ? run_set_half : run_set;
  }
  decoder.emit(in);
  return true;
}

}  // namespace farlane::softcuda
