// atom and red, with the host's atomic instructions.
#include <type_traits>

#include "server/softcuda/exec_half_format.h"
#include "server/softcuda/exec_memory.h"
#include "server/softcuda/exec_rounding.h"
#include "server/softcuda/ptx_decode.h"

namespace farlane::softcuda {
namespace {

// Replaces *at by f(old) and returns old. f may run several times.
template <class U, class F>
U update(std::byte* at, F f) {
  auto* p = reinterpret_cast<U*>(at);
  U old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(p, &old, f(old), false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
  }
  return old;
}

// An operation on the bits of one word: old, b, c to new.
template <class U>
using WordOperation = U (*)(U old, U b, U c);

// imm: the operation, as a WordOperation<U>.
template <class U>
bool run_atomic(Warp& warp, const Instr& in, uint32_t mask) {
  std::byte* pointers[kLanes];
  if (!lane_pointers(warp, in, mask, "atomic", pointers)) return false;
  // Who throws the old value away does not wait for it.
  if (in.d != kNoOperand) warp.touched_sync = true;
  auto operation = reinterpret_cast<WordOperation<U>>(in.imm2());
  const U* b = at<U>(warp, in.b);
  const U* c = at<U>(warp, in.c);
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    auto lane = static_cast<uint32_t>(std::countr_zero(rest));
    // Operands are read before the result is written: they may be the same register.
    const U vb = b[lane];
    const U vc = c[lane];
    U old = update<U>(pointers[lane], [&](U value) { return operation(value, vb, vc); });
    if (in.d != kNoOperand) at<U>(warp, in.d)[lane] = old;
  }
  return true;
}

// The two that are most common, without a loop.
template <class U>
bool run_atomic_add(Warp& warp, const Instr& in, uint32_t mask) {
  std::byte* pointers[kLanes];
  if (!lane_pointers(warp, in, mask, "atomic", pointers)) return false;
  if (in.d != kNoOperand) warp.touched_sync = true;
  const U* b = at<U>(warp, in.b);
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    auto lane = static_cast<uint32_t>(std::countr_zero(rest));
    U old = __atomic_fetch_add(reinterpret_cast<U*>(pointers[lane]), b[lane], __ATOMIC_SEQ_CST);
    if (in.d != kNoOperand) at<U>(warp, in.d)[lane] = old;
  }
  return true;
}

// exch and cas of 128 bits. There is one lock for all of them: no other instruction is atomic with
// them, on a GPU neither.
struct Wide {
  uint64_t low, high;
};
std::mutex wide_mutex;

bool run_atomic_wide(Warp& warp, const Instr& in, uint32_t mask) {
  std::byte* pointers[kLanes];
  if (!lane_pointers(warp, in, mask, "atomic", pointers)) return false;
  warp.touched_sync = true;
  const Wide* b = at<Wide>(warp, in.b);
  const Wide* c = at<Wide>(warp, in.c);
  std::lock_guard lock(wide_mutex);
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    auto lane = static_cast<uint32_t>(std::countr_zero(rest));
    const Wide expected = b[lane];
    const Wide desired = in.mode == 1 ? c[lane] : b[lane];
    Wide old{load_relaxed<uint64_t>(pointers[lane]), load_relaxed<uint64_t>(pointers[lane] + 8)};
    if (in.mode == 0 || (old.low == expected.low && old.high == expected.high)) {
      store_relaxed(pointers[lane], desired.low);
      store_relaxed(pointers[lane] + 8, desired.high);
    }
    if (in.d != kNoOperand) at<Wide>(warp, in.d)[lane] = old;
  }
  return true;
}

template <class U>
WordOperation<U> integer_operation(std::string_view op, bool is_signed_type) {
  using S = std::make_signed_t<U>;
  if (op == "exch") return [](U, U b, U) { return b; };
  if (op == "cas") return [](U old, U b, U c) { return old == b ? c : old; };
  if (op == "and") return [](U old, U b, U) { return static_cast<U>(old & b); };
  if (op == "or") return [](U old, U b, U) { return static_cast<U>(old | b); };
  if (op == "xor") return [](U old, U b, U) { return static_cast<U>(old ^ b); };
  if (op == "add") return [](U old, U b, U) { return static_cast<U>(old + b); };
  if (op == "inc") return [](U old, U b, U) { return old >= b ? U{0} : static_cast<U>(old + 1); };
  if (op == "dec") {
    return [](U old, U b, U) { return old == 0 || old > b ? b : static_cast<U>(old - 1); };
  }
  if (op == "min" && is_signed_type) {
    return [](U old, U b, U) { return static_cast<S>(old) < static_cast<S>(b) ? old : b; };
  }
  if (op == "max" && is_signed_type) {
    return [](U old, U b, U) { return static_cast<S>(old) > static_cast<S>(b) ? old : b; };
  }
  if (op == "min") return [](U old, U b, U) { return old < b ? old : b; };
  if (op == "max") return [](U old, U b, U) { return old > b ? old : b; };
  return nullptr;
}

// Float additions flush nothing: f32 atomics on global memory keep subnormals here.
uint32_t add_f32(uint32_t old, uint32_t b, uint32_t) {
  return std::bit_cast<uint32_t>(canonical(std::bit_cast<float>(old) + std::bit_cast<float>(b)));
}
uint64_t add_f64(uint64_t old, uint64_t b, uint64_t) {
  return std::bit_cast<uint64_t>(canonical(std::bit_cast<double>(old) + std::bit_cast<double>(b)));
}

enum class HalfOp : uint8_t { kAdd, kMin, kMax };

template <bool kBfloat, HalfOp kOp>
uint16_t half_operation(uint16_t old, uint16_t b, uint16_t) {
  float x = kBfloat ? bf16_to_float(old) : f16_to_float(old);
  float y = kBfloat ? bf16_to_float(b) : f16_to_float(b);
  float result = 0;
  if (kOp == HalfOp::kAdd) {
    result = x + y;
  } else if (x != x || y != y) {
    result = x != x ? y : x;
  } else {
    result = (x < y) == (kOp == HalfOp::kMin) ? x : y;
  }
  return kBfloat ? float_to_bf16(result) : float_to_f16(result);
}
template <bool kBfloat, HalfOp kOp>
uint32_t half2_operation(uint32_t old, uint32_t b, uint32_t) {
  uint32_t low =
      half_operation<kBfloat, kOp>(static_cast<uint16_t>(old), static_cast<uint16_t>(b), 0);
  uint32_t high = half_operation<kBfloat, kOp>(static_cast<uint16_t>(old >> 16),
                                               static_cast<uint16_t>(b >> 16), 0);
  return high << 16 | low;
}

template <bool kBfloat>
WordOperation<uint16_t> half_of(std::string_view op) {
  if (op == "add") return half_operation<kBfloat, HalfOp::kAdd>;
  if (op == "min") return half_operation<kBfloat, HalfOp::kMin>;
  if (op == "max") return half_operation<kBfloat, HalfOp::kMax>;
  return nullptr;
}
template <bool kBfloat>
WordOperation<uint32_t> half2_of(std::string_view op) {
  if (op == "add") return half2_operation<kBfloat, HalfOp::kAdd>;
  if (op == "min") return half2_operation<kBfloat, HalfOp::kMin>;
  if (op == "max") return half2_operation<kBfloat, HalfOp::kMax>;
  return nullptr;
}

// Chooses handler and operation.
template <class U>
void set_operation(Decoder& decoder, Instr& in, WordOperation<U> operation) {
  if (operation == nullptr) decoder.unknown();
  in.set_imm2(reinterpret_cast<uint64_t>(operation));
  in.run = run_atomic<U>;
}

void choose(Decoder& decoder, Instr& in, std::string_view op, Type type) {
  switch (type) {
    case Type::kF32:
      if (op == "add") return set_operation<uint32_t>(decoder, in, add_f32);
      break;
    case Type::kF64:
      if (op == "add") return set_operation<uint64_t>(decoder, in, add_f64);
      break;
    case Type::kF16:
      return set_operation<uint16_t>(decoder, in, half_of<false>(op));
    case Type::kBF16:
      return set_operation<uint16_t>(decoder, in, half_of<true>(op));
    case Type::kF16x2:
      return set_operation<uint32_t>(decoder, in, half2_of<false>(op));
    case Type::kBF16x2:
      return set_operation<uint32_t>(decoder, in, half2_of<true>(op));
    case Type::kB128:
      if (op != "exch" && op != "cas") break;
      in.mode = op == "cas" ? 1 : 0;
      in.run = run_atomic_wide;
      return;
    default:
      break;
  }
  if (is_float(type)) decoder.unknown();
  switch (type_bytes(type)) {
    case 2:
      return set_operation<uint16_t>(decoder, in, integer_operation<uint16_t>(op, is_signed(type)));
    case 4:
      set_operation<uint32_t>(decoder, in, integer_operation<uint32_t>(op, is_signed(type)));
      if (op == "add") in.run = run_atomic_add<uint32_t>;
      return;
    case 8:
      set_operation<uint64_t>(decoder, in, integer_operation<uint64_t>(op, is_signed(type)));
      if (op == "add") in.run = run_atomic_add<uint64_t>;
      return;
    default:
      decoder.unknown();
  }
}

}  // namespace

bool decode_atomic(Decoder& decoder) {
  const bool returns = decoder.opcode() == "atom";
  if (!returns && decoder.opcode() != "red") return false;
  Modifiers& modifiers = decoder.modifiers();
  if (modifiers.rest().size() > 0 && modifiers.rest()[0] == "async") decoder.unknown();
  Space space = take_space(modifiers);
  take_ordering(modifiers);
  modifiers.take("noftz");
  bool hint = modifiers.take("L2::cache_hint");
  static constexpr std::string_view kOps[] = {"add", "min",  "max", "and", "or",
                                              "xor", "exch", "cas", "inc", "dec"};
  int index = modifiers.take_one_of(kOps);
  if (index < 0) decoder.unknown();
  std::string_view op = kOps[index];
  if (!returns && (op == "exch" || op == "cas")) decoder.unknown();
  Type type = decoder.need_type();
  Instr in;
  size_t next = 0;
  if (returns) in.d = decoder.destination(next++, type);
  decoder.address(decoder.operand(next++), space, in);
  in.b = decoder.source(next++, type);
  in.c = op == "cas" ? decoder.source(next++, type) : in.b;
  if (hint) ++next;
  decoder.need_operands(next, next);
  in.width = static_cast<uint8_t>(type_bytes(type));
  choose(decoder, in, op, type);
  decoder.emit(in);
  return true;
}

}  // namespace farlane::softcuda
