// Arithmetic of f16, bf16 and pairs of them, computed in float or double and rounded once.
#include "server/softcuda/exec_half_format.h"
#include "server/softcuda/exec_lanes.h"
#include "server/softcuda/exec_rounding.h"

namespace farlane::softcuda {
namespace {

struct HalfTraits {
  static float widen(uint16_t bits) { return f16_to_float(bits); }
  static uint16_t narrow(float value) { return float_to_f16(value); }
  static uint16_t narrow_exact(double value) {
    return static_cast<uint16_t>(
        encode_small(value, kF16Format, SmallRounding::kNearestEven, false));
  }
  static constexpr float kSmallestNormal = 0x1p-14f;
};
struct BfloatTraits {
  static float widen(uint16_t bits) { return bf16_to_float(bits); }
  static uint16_t narrow(float value) { return float_to_bf16(value); }
  static uint16_t narrow_exact(double value) {
    return static_cast<uint16_t>(
        encode_small(value, kBf16Format, SmallRounding::kNearestEven, false));
  }
  static constexpr float kSmallestNormal = 0x1p-126f;
};

struct HalfAdd {
  template <class H>
  static uint16_t run(float a, float b, float) {
    return H::narrow(a + b);
  }
};
struct HalfSub {
  template <class H>
  static uint16_t run(float a, float b, float) {
    return H::narrow(a - b);
  }
};
struct HalfMul {
  template <class H>
  static uint16_t run(float a, float b, float) {
    return H::narrow_exact(static_cast<double>(a) * static_cast<double>(b));
  }
};
struct HalfFma {
  template <class H>
  static uint16_t run(float a, float b, float c) {
    return H::narrow_exact(fma_odd(a, b, c));
  }
};
template <bool kMin, bool kNan>
struct HalfMinMax {
  template <class H>
  static uint16_t run(float a, float b, float) {
    if (a != a || b != b) {
      if (kNan || (a != a && b != b)) return 0x7fff;
      return H::narrow(a != a ? b : a);
    }
    if (a == b) return H::narrow(std::signbit(a) == kMin ? a : b);
    return H::narrow((a < b) == kMin ? a : b);
  }
};
struct HalfAbs {
  template <class H>
  static uint16_t run(float a, float, float) {
    return H::narrow(std::fabs(a));
  }
};
struct HalfNeg {
  template <class H>
  static uint16_t run(float a, float, float) {
    return H::narrow(-a);
  }
};
template <double (*kFunction)(double)>
struct HalfThrough {
  template <class H>
  static uint16_t run(float a, float, float) {
    return H::narrow_exact(kFunction(static_cast<double>(a)));
  }
};
double half_tanh(double a) {
  return std::tanh(a);
}
double half_ex2(double a) {
  return std::exp2(a);
}

// Instr::flag: .ftz, aux: .sat, mode: .relu.
template <class H, class F>
uint16_t one_half(const Instr& in, uint16_t a_bits, uint16_t b_bits, uint16_t c_bits) {
  float values[3] = {H::widen(a_bits), H::widen(b_bits), H::widen(c_bits)};
  if (in.flag) {
    for (float& value : values) {
      if (std::fabs(value) < H::kSmallestNormal) value = std::copysign(0.0f, value);
    }
  }
  uint16_t bits = F::template run<H>(values[0], values[1], values[2]);
  if (!in.flag && in.aux == 0 && in.mode == 0) return bits;
  float value = H::widen(bits);
  if (in.flag && std::fabs(value) < H::kSmallestNormal) value = std::copysign(0.0f, value);
  if (in.aux != 0) value = saturate(value);
  if (in.mode != 0 && value == value) value = value > 0 ? value : 0.0f;
  return H::narrow(value);
}

template <class H, class F>
bool run_half(Warp& warp, const Instr& in, uint32_t mask) {
  const uint16_t* a = at<uint16_t>(warp, in.a);
  const uint16_t* b = at<uint16_t>(warp, in.b);
  const uint16_t* c = at<uint16_t>(warp, in.c);
  uint16_t result[kLanes];
  for (uint32_t i = 0; i < kLanes; ++i) result[i] = one_half<H, F>(in, a[i], b[i], c[i]);
  store_lanes(at<uint16_t>(warp, in.d), result, mask);
  return true;
}

template <class H, class F>
bool run_half2(Warp& warp, const Instr& in, uint32_t mask) {
  const uint16_t* a = at<uint16_t>(warp, in.a);
  const uint16_t* b = at<uint16_t>(warp, in.b);
  const uint16_t* c = at<uint16_t>(warp, in.c);
  uint16_t halves[2 * kLanes];
  for (uint32_t i = 0; i < 2 * kLanes; ++i) halves[i] = one_half<H, F>(in, a[i], b[i], c[i]);
  uint32_t result[kLanes];
  std::memcpy(result, halves, sizeof(result));
  store_lanes(at<uint32_t>(warp, in.d), result, mask);
  return true;
}

template <class F>
Handler handler_of(Type type) {
  switch (type) {
    case Type::kF16:
      return run_half<HalfTraits, F>;
    case Type::kF16x2:
      return run_half2<HalfTraits, F>;
    case Type::kBF16:
      return run_half<BfloatTraits, F>;
    default:
      return run_half2<BfloatTraits, F>;
  }
}

bool is_half(Type type) {
  return type == Type::kF16 || type == Type::kBF16 || type == Type::kF16x2 || type == Type::kBF16x2;
}

}  // namespace

bool decode_half(Decoder& decoder) {
  std::string_view op = decoder.opcode();
  Modifiers copy = decoder.modifiers();
  auto type = copy.take_type();
  if (!type || !is_half(*type) || copy.take_type()) return false;
  Modifiers& modifiers = decoder.modifiers();
  Handler handler = nullptr;
  size_t operands = 2;
  if (op == "add") {
    handler = handler_of<HalfAdd>(*type);
  } else if (op == "sub") {
    handler = handler_of<HalfSub>(*type);
  } else if (op == "mul") {
    handler = handler_of<HalfMul>(*type);
  } else if (op == "fma") {
    handler = handler_of<HalfFma>(*type);
    operands = 3;
  } else if (op == "min" || op == "max") {
    bool nan = modifiers.take("NaN");
    if (op == "min") {
      handler = nan ? handler_of<HalfMinMax<true, true>>(*type)
                    : handler_of<HalfMinMax<true, false>>(*type);
    } else {
      handler = nan ? handler_of<HalfMinMax<false, true>>(*type)
                    : handler_of<HalfMinMax<false, false>>(*type);
    }
  } else if (op == "abs" || op == "neg") {
    handler = op == "abs" ? handler_of<HalfAbs>(*type) : handler_of<HalfNeg>(*type);
    operands = 1;
  } else if (op == "tanh" || op == "ex2") {
    modifiers.take("approx");
    handler = op == "tanh" ? handler_of<HalfThrough<half_tanh>>(*type)
                           : handler_of<HalfThrough<half_ex2>>(*type);
    operands = 1;
  } else {
    return false;
  }
  Instr in;
  modifiers.ignore({"rn", "noftz"});
  in.flag = modifiers.take("ftz");
  in.aux = modifiers.take("sat") ? 1 : 0;
  in.mode = modifiers.take("relu") ? 1 : 0;
  modifiers.take_type();
  decoder.need_operands(operands + 1, operands + 1);
  in.a = decoder.source(1, *type);
  in.b = operands > 1 ? decoder.source(2, *type) : in.a;
  in.c = operands > 2 ? decoder.source(3, *type) : in.a;
  in.d = decoder.destination(0, *type);
  in.run = handler;
  decoder.emit(in);
  return true;
}

}  // namespace farlane::softcuda
