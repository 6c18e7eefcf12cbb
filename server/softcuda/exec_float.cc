// f32 and f64 arithmetic: add, sub, mul, fma, mad, div, sqrt, rcp, rsqrt, min, max, abs, neg,
// copysign, testp and the approximate functions, which are computed exactly rounded or nearly so.
#include <limits>

#include "server/softcuda/exec_lanes.h"
#include "server/softcuda/exec_rounding.h"

namespace farlane::softcuda {
namespace {

// How an arithmetic instruction treats its operands and result. Instr::flag: .ftz, aux: .sat,
// mode: the rounding.
struct Shape {
  Rounding rounding = Rounding::kNearest;
  bool flush = false;
  bool saturate = false;
};

// Computes F lane by lane. Plain: nearest, no .ftz, no .sat.
template <class T, class F>
void compute(T* result, const T* a, const T* b, const T* c) {
  for (uint32_t i = 0; i < kLanes; ++i) result[i] = canonical(F{}(a[i], b[i], c[i]));
}

template <class T, class F>
bool run_plain(Warp& warp, const Instr& in, uint32_t mask) {
  T result[kLanes];
  compute<T, F>(result, at<T>(warp, in.a), at<T>(warp, in.b), at<T>(warp, in.c));
  store_lanes(at<T>(warp, in.d), result, mask);
  return true;
}

template <class T, class F>
bool run_shaped(Warp& warp, const Instr& in, uint32_t mask) {
  const T* operands[3] = {at<T>(warp, in.a), at<T>(warp, in.b), at<T>(warp, in.c)};
  T flushed[3][kLanes];
  if constexpr (sizeof(T) == 4) {
    if (in.flag) {
      for (int k = 0; k < 3; ++k) {
        for (uint32_t i = 0; i < kLanes; ++i) flushed[k][i] = flush(operands[k][i]);
        operands[k] = flushed[k];
      }
    }
  }
  // The scratch area and the operands escape, so the arithmetic stays between the two mode changes.
  T* result = reinterpret_cast<T*>(warp.scratch);
  {
    RoundingScope scope(static_cast<Rounding>(in.mode));
    asm volatile("" : : "r"(operands), "r"(result) : "memory");
    compute<T, F>(result, operands[0], operands[1], operands[2]);
    asm volatile("" : : "r"(result) : "memory");
  }
  for (uint32_t i = 0; i < kLanes; ++i) {
    T value = result[i];
    if constexpr (sizeof(T) == 4) {
      if (in.flag) value = flush(value);
    }
    result[i] = in.aux != 0 ? saturate(value) : value;
  }
  store_lanes(at<T>(warp, in.d), result, mask);
  return true;
}

template <class F>
Handler choose(Type type, const Shape& shape) {
  bool plain = shape.rounding == Rounding::kNearest && !shape.flush && !shape.saturate;
  if (type == Type::kF32) return plain ? run_plain<float, F> : run_shaped<float, F>;
  return plain ? run_plain<double, F> : run_shaped<double, F>;
}

struct Add {
  template <class T>
  T operator()(T a, T b, T) const {
    return a + b;
  }
};
struct Sub {
  template <class T>
  T operator()(T a, T b, T) const {
    return a - b;
  }
};
struct Mul {
  template <class T>
  T operator()(T a, T b, T) const {
    return a * b;
  }
};
struct Div {
  template <class T>
  T operator()(T a, T b, T) const {
    return a / b;
  }
};
struct Fma {
  template <class T>
  T operator()(T a, T b, T c) const {
    return std::fma(a, b, c);
  }
};
struct Sqrt {
  template <class T>
  T operator()(T a, T, T) const {
    return std::sqrt(a);
  }
};
struct Rcp {
  template <class T>
  T operator()(T a, T, T) const {
    return T{1} / a;
  }
};

// fma without a library call per lane, where the processor has it.
#if defined(__x86_64__)
template <class T>
__attribute__((target("fma,avx2"))) bool run_plain_fma(Warp& warp, const Instr& in, uint32_t mask) {
  const T* a = at<T>(warp, in.a);
  const T* b = at<T>(warp, in.b);
  const T* c = at<T>(warp, in.c);
  T result[kLanes];
  for (uint32_t i = 0; i < kLanes; ++i) {
    T value =
        sizeof(T) == 4
            ? static_cast<T>(__builtin_fmaf(static_cast<float>(a[i]), static_cast<float>(b[i]),
                                            static_cast<float>(c[i])))
            : static_cast<T>(__builtin_fma(a[i], b[i], c[i]));
    result[i] = canonical(value);
  }
  store_lanes(at<T>(warp, in.d), result, mask);
  return true;
}
#endif

Handler fma_handler(Type type, const Shape& shape) {
#if defined(__x86_64__)
  bool plain = shape.rounding == Rounding::kNearest && !shape.flush && !shape.saturate;
  static const bool has_fma = __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx2");
  if (plain && has_fma) {
    return type == Type::kF32 ? run_plain_fma<float> : run_plain_fma<double>;
  }
#endif
  return choose<Fma>(type, shape);
}

// The approximate functions, through double.
template <double (*kFunction)(double)>
struct Through {
  template <class T>
  T operator()(T a, T, T) const {
    return static_cast<T>(kFunction(static_cast<double>(a)));
  }
};
double rsqrt_double(double a) {
  return 1.0 / std::sqrt(a);
}
double sin_double(double a) {
  return std::sin(a);
}
double cos_double(double a) {
  return std::cos(a);
}
double lg2_double(double a) {
  return std::log2(a);
}
double ex2_double(double a) {
  return std::exp2(a);
}
double tanh_double(double a) {
  return std::tanh(a);
}

template <class T, bool kMin, bool kNan, bool kAbs>
T min_max(T a, T b) {
  if constexpr (kAbs) {
    a = std::fabs(a);
    b = std::fabs(b);
  }
  if (a != a || b != b) {
    if (kNan) return std::numeric_limits<T>::quiet_NaN();
    return a != a ? b : a;  // both NaN: made canonical by the caller
  }
  if (a == b) return std::signbit(a) == kMin ? a : b;  // -0 is less than +0
  return (a < b) == kMin ? a : b;
}
template <bool kMin, bool kNan, bool kAbs>
struct MinMax {
  template <class T>
  T operator()(T a, T b, T) const {
    return min_max<T, kMin, kNan, kAbs>(a, b);
  }
};
template <bool kMin, bool kNan, bool kAbs>
struct MinMax3 {
  template <class T>
  T operator()(T a, T b, T c) const {
    return min_max<T, kMin, kNan, kAbs>(min_max<T, kMin, kNan, kAbs>(a, b), c);
  }
};

template <template <bool, bool, bool> class F, bool kMin>
Handler choose_min_max(Type type, const Shape& shape, bool nan, bool abs) {
  if (nan)
    return abs ? choose<F<kMin, true, true>>(type, shape)
               : choose<F<kMin, true, false>>(type, shape);
  return abs ? choose<F<kMin, false, true>>(type, shape)
             : choose<F<kMin, false, false>>(type, shape);
}

void decode_min_max(Decoder& decoder, bool min) {
  Modifiers& modifiers = decoder.modifiers();
  Shape shape;
  shape.flush = modifiers.take("ftz");
  bool nan = modifiers.take("NaN");
  bool abs = modifiers.take("xorsign") ? (decoder.unknown(), false) : modifiers.take("abs");
  Type type = decoder.need_type();
  decoder.need_operands(3, 4);
  const bool three = decoder.operand_count() == 4;
  Instr in;
  in.a = decoder.source(1, type);
  in.b = decoder.source(2, type);
  in.c = three ? decoder.source(3, type) : in.a;
  in.d = decoder.destination(0, type);
  in.flag = shape.flush;
  if (three) {
    in.run = min ? choose_min_max<MinMax3, true>(type, shape, nan, abs)
                 : choose_min_max<MinMax3, false>(type, shape, nan, abs);
  } else {
    in.run = min ? choose_min_max<MinMax, true>(type, shape, nan, abs)
                 : choose_min_max<MinMax, false>(type, shape, nan, abs);
  }
  decoder.emit(in);
}

// abs and neg change the sign bit and nothing else, except that .ftz flushes.
void decode_sign(Decoder& decoder, bool abs) {
  bool ftz = decoder.modifiers().take("ftz");
  Type type = decoder.need_type();
  decoder.need_operands(2, 2);
  Instr in;
  in.a = decoder.source(1, type);
  in.d = decoder.destination(0, type);
  if (type == Type::kF64) {
    constexpr uint64_t kSign = uint64_t{1} << 63;
    in.run = abs ? unary<uint64_t, uint64_t>([](uint64_t a) { return a & ~kSign; })
                 : unary<uint64_t, uint64_t>([](uint64_t a) { return a ^ kSign; });
  } else if (abs) {
    in.run = ftz ? unary<float, float>([](float a) { return std::fabs(flush(a)); })
                 : unary<uint32_t, uint32_t>([](uint32_t a) { return a & 0x7fffffffu; });
  } else {
    in.run = ftz ? unary<float, float>([](float a) { return -flush(a); })
                 : unary<uint32_t, uint32_t>([](uint32_t a) { return a ^ 0x80000000u; });
  }
  decoder.emit(in);
}

void decode_copysign(Decoder& decoder) {
  Type type = decoder.need_type();
  decoder.need_operands(3, 3);
  Instr in;
  in.a = decoder.source(1, type);
  in.b = decoder.source(2, type);
  in.d = decoder.destination(0, type);
  // The sign of a with the magnitude of b.
  in.run = type == Type::kF32 ? binary<uint32_t, uint32_t, uint32_t>([](uint32_t a, uint32_t b) {
    return (a & 0x80000000u) | (b & 0x7fffffffu);
  })
                              : binary<uint64_t, uint64_t, uint64_t>([](uint64_t a, uint64_t b) {
                                  constexpr uint64_t kSign = uint64_t{1} << 63;
                                  return (a & kSign) | (b & ~kSign);
                                });
  decoder.emit(in);
}

enum class Class : uint8_t { kFinite, kInfinite, kNumber, kNotANumber, kNormal, kSubnormal };

template <class T>
bool run_test(Warp& warp, const Instr& in, uint32_t mask) {
  const T* a = at<T>(warp, in.a);
  uint32_t result = 0;
  for (uint32_t i = 0; i < kLanes; ++i) {
    int kind = std::fpclassify(a[i]);
    bool is = false;
    switch (static_cast<Class>(in.mode)) {
      case Class::kFinite:
        is = kind != FP_INFINITE && kind != FP_NAN;
        break;
      case Class::kInfinite:
        is = kind == FP_INFINITE;
        break;
      case Class::kNumber:
        is = kind != FP_NAN;
        break;
      case Class::kNotANumber:
        is = kind == FP_NAN;
        break;
      case Class::kNormal:
        is = kind == FP_NORMAL || kind == FP_ZERO;  // zero counts as normal here
        break;
      case Class::kSubnormal:
        is = kind == FP_SUBNORMAL;
        break;
    }
    result |= static_cast<uint32_t>(is) << i;
  }
  set_mask(warp, in.d, result, mask);
  return true;
}

void decode_test(Decoder& decoder) {
  int kind = decoder.modifiers().take_one_of(
      {"finite", "infinite", "number", "notanumber", "normal", "subnormal"});
  if (kind < 0) decoder.unknown();
  Type type = decoder.need_type();
  decoder.need_operands(2, 2);
  Instr in;
  in.a = decoder.source(1, type);
  in.d = decoder.predicate_destination(decoder.operand(0));
  in.mode = static_cast<uint8_t>(kind);
  in.run = type == Type::kF32 ? run_test<float> : run_test<double>;
  decoder.emit(in);
}

// Instructions with 1 to 3 operands of one type.
void decode_arithmetic(Decoder& decoder, size_t operands, Handler (*handler)(Type, const Shape&)) {
  Modifiers& modifiers = decoder.modifiers();
  Shape shape;
  modifiers.ignore({"approx", "full"});
  shape.rounding = take_rounding(modifiers);
  shape.flush = modifiers.take("ftz");
  shape.saturate = modifiers.take("sat");
  Type type = decoder.need_type();
  decoder.need_operands(operands + 1, operands + 1);
  Instr in;
  in.a = decoder.source(1, type);
  in.b = operands > 1 ? decoder.source(2, type) : in.a;
  in.c = operands > 2 ? decoder.source(3, type) : in.a;
  in.d = decoder.destination(0, type);
  in.flag = shape.flush;
  in.aux = shape.saturate ? 1 : 0;
  in.mode = static_cast<uint8_t>(shape.rounding);
  in.run = handler(type, shape);
  decoder.emit(in);
}

}  // namespace

bool decode_float(Decoder& decoder) {
  std::string_view op = decoder.opcode();
  Modifiers copy = decoder.modifiers();
  auto type = copy.take_type();
  if (type != Type::kF32 && type != Type::kF64) return false;
  if (copy.take_type()) return false;  // mixed precision: see exec_half.cc
  if (op == "min" || op == "max") {
    decode_min_max(decoder, op == "min");
  } else if (op == "abs" || op == "neg") {
    decode_sign(decoder, op == "abs");
  } else if (op == "copysign") {
    decode_copysign(decoder);
  } else if (op == "testp") {
    decode_test(decoder);
  } else {
    struct Row {
      std::string_view op;
      size_t operands;
      Handler (*handler)(Type, const Shape&);
    };
    static constexpr Row kRows[] = {
        {"add", 2, choose<Add>},
        {"sub", 2, choose<Sub>},
        {"mul", 2, choose<Mul>},
        {"div", 2, choose<Div>},
        {"fma", 3, fma_handler},
        {"mad", 3, fma_handler},
        {"sqrt", 1, choose<Sqrt>},
        {"rcp", 1, choose<Rcp>},
        {"rsqrt", 1, choose<Through<rsqrt_double>>},
        {"sin", 1, choose<Through<sin_double>>},
        {"cos", 1, choose<Through<cos_double>>},
        {"lg2", 1, choose<Through<lg2_double>>},
        {"ex2", 1, choose<Through<ex2_double>>},
        {"tanh", 1, choose<Through<tanh_double>>},
    };
    for (const Row& row : kRows) {
      if (row.op == op) {
        decode_arithmetic(decoder, row.operands, row.handler);
        return true;
      }
    }
    return false;
  }
  return true;
}

}  // namespace farlane::softcuda
