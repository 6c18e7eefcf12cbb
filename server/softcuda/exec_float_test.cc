#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "server/softcuda/exec_half_format.h"
#include "server/softcuda/ptx_test_support.h"

namespace farlane::softcuda {
namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;
using Words = std::vector<uint32_t>;
using Longs = std::vector<uint64_t>;
using Halves = std::vector<uint16_t>;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kTiny = 0x1p-149f;

Words bits(const Floats& values) {
  Words result;
  for (float value : values) result.push_back(std::bit_cast<uint32_t>(value));
  return result;
}
Longs bits(const Doubles& values) {
  Longs result;
  for (double value : values) result.push_back(std::bit_cast<uint64_t>(value));
  return result;
}

// Floats of every size, zeros, subnormals, infinities.
Floats random_floats(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  Floats values(count);
  for (float& value : values) {
    do {
      value = std::bit_cast<float>(static_cast<uint32_t>(random()));
    } while (value != value);
    if (random() % 4 == 0) value = static_cast<float>(static_cast<int32_t>(random() % 2001) - 1000);
  }
  return values;
}

TEST(Float, NearestMatchesTheHost) {
  Floats a = random_floats(500, 1);
  Floats b = random_floats(500, 2);
  Floats c = random_floats(500, 3);
  auto sum = evaluate<float>("add.f32 %d, %a, %b;", a, b);
  auto product = evaluate<float>("mul.rn.f32 %d, %a, %b;", a, b);
  auto quotient = evaluate<float>("div.rn.f32 %d, %a, %b;", a, b);
  auto fused = evaluate<float>("fma.rn.f32 %d, %a, %b, %c;", a, b, c);
  auto root = evaluate<float>("sqrt.rn.f32 %d, %a;", a);
  for (size_t i = 0; i < a.size(); ++i) {
    auto same = [&](float got, float want) {
      uint32_t expected = want != want ? 0x7fffffffu : std::bit_cast<uint32_t>(want);
      EXPECT_EQ(std::bit_cast<uint32_t>(got), expected) << a[i] << " " << b[i] << " " << c[i];
    };
    same(sum[i], a[i] + b[i]);
    same(product[i], a[i] * b[i]);
    same(quotient[i], a[i] / b[i]);
    same(fused[i], std::fma(a[i], b[i], c[i]));
    same(root[i], std::sqrt(a[i]));
  }
}

TEST(Float, NanIsCanonical) {
  EXPECT_EQ(bits(evaluate<float>("add.f32 %d, %a, %b;", Floats{kInf, kNan}, Floats{-kInf, 1})),
            (Words{0x7fffffff, 0x7fffffff}));
  EXPECT_EQ(bits(evaluate<float>("sqrt.rn.f32 %d, %a;", Floats{-1})), (Words{0x7fffffff}));
}

TEST(Float, DirectedRounding) {
  // 1 + 2^-60 is not representable: the four modes part here, and mirror below zero.
  Floats a = {1, -1};
  Floats b = {0x1p-60f, -0x1p-60f};
  const float above = std::nextafter(1.0f, 2.0f);
  EXPECT_EQ(evaluate<float>("add.rn.f32 %d, %a, %b;", a, b), (Floats{1, -1}));
  EXPECT_EQ(evaluate<float>("add.rz.f32 %d, %a, %b;", a, b), (Floats{1, -1}));
  EXPECT_EQ(evaluate<float>("add.rm.f32 %d, %a, %b;", a, b), (Floats{1, -above}));
  EXPECT_EQ(evaluate<float>("add.rp.f32 %d, %a, %b;", a, b), (Floats{above, -1}));
  // 1/3 in binary: down 0x3eaaaaaa, up 0x3eaaaaab.
  EXPECT_EQ(bits(evaluate<float>("div.rm.f32 %d, %a, %b;", Floats{1}, Floats{3})),
            (Words{0x3eaaaaaa}));
  EXPECT_EQ(bits(evaluate<float>("rcp.rp.f32 %d, %a;", Floats{3})), (Words{0x3eaaaaab}));
  EXPECT_EQ(bits(evaluate<float>("rcp.rz.f32 %d, %a;", Floats{3})), (Words{0x3eaaaaaa}));
  EXPECT_EQ(bits(evaluate<float>("sqrt.rp.f32 %d, %a;", Floats{2})), (Words{0x3fb504f4}));
  EXPECT_EQ(bits(evaluate<float>("sqrt.rm.f32 %d, %a;", Floats{2})), (Words{0x3fb504f3}));
  EXPECT_EQ(evaluate<float>("fma.rm.f32 %d, %a, %b, %c;", Floats{1}, Floats{1}, Floats{-0x1p-60f}),
            (Floats{std::nextafter(1.0f, 0.0f)}));
  EXPECT_EQ(evaluate<double>("fma.rp.f64 %d, %a, %b, %c;", Doubles{1}, Doubles{1}, Doubles{1e-40}),
            (Doubles{std::nextafter(1.0, 2.0)}));
  EXPECT_EQ(evaluate<double>("mul.rm.f64 %d, %a, %b;", Doubles{0.1}, Doubles{-0.1}),
            (Doubles{-0.010000000000000002}));
  // And the mode does not stay.
  EXPECT_EQ(evaluate<float>("add.rp.f32 %r0, %a, %b; add.f32 %d, %a, %b;", a, b), a);
}

TEST(Float, FlushToZero) {
  EXPECT_EQ(bits(evaluate<float>("add.ftz.f32 %d, %a, %b;", Floats{kTiny, -kTiny, 0x1p-126f},
                                 Floats{0, -0.0f, -0x1.8p-126f})),
            (Words{0, 0x80000000, 0x80000000}));
  EXPECT_EQ(evaluate<float>("add.f32 %d, %a, %b;", Floats{kTiny}, Floats{kTiny}),
            (Floats{2 * kTiny}));
  EXPECT_EQ(evaluate<float>("mul.ftz.f32 %d, %a, %b;", Floats{0x1p-100f}, Floats{0x1p-40f}),
            (Floats{0}));
  EXPECT_EQ(evaluate<uint32_t>("setp.gt.ftz.f32 %p0, %a, 0f00000000; selp.u32 %d, 1, 0, %p0;",
                               Floats{kTiny, 1}),
            (Words{0, 1}));
}

TEST(Float, Saturate) {
  EXPECT_EQ(bits(evaluate<float>("add.sat.f32 %d, %a, %b;", Floats{0.5f, 0.75f, -3, kNan},
                                 Floats{0.25f, 0.5f, 1, 0})),
            bits(Floats{0.75f, 1, 0, 0}));
  EXPECT_EQ(evaluate<float>("fma.rn.sat.f32 %d, %a, %b, %c;", Floats{2}, Floats{3}, Floats{-5.5f}),
            (Floats{0.5f}));
}

TEST(Float, MinMaxAndNan) {
  EXPECT_EQ(bits(evaluate<float>("min.f32 %d, %a, %b;", Floats{kNan, 1, -0.0f, 0.0f, kNan},
                                 Floats{2, kNan, 0.0f, -0.0f, kNan})),
            (Words{0x40000000, 0x3f800000, 0x80000000, 0x80000000, 0x7fffffff}));
  EXPECT_EQ(bits(evaluate<float>("max.NaN.f32 %d, %a, %b;", Floats{kNan, 1}, Floats{2, 3})),
            (Words{0x7fffffff, 0x40400000}));
  EXPECT_EQ(bits(evaluate<float>("max.f32 %d, %a, %b;", Floats{-0.0f}, Floats{0.0f})), (Words{0}));
  EXPECT_EQ(evaluate<float>("max.f32 %d, %a, %b, %c;", Floats{1}, Floats{5}, Floats{3}),
            (Floats{5}));
}

TEST(Float, SignsAndTests) {
  EXPECT_EQ(bits(evaluate<float>("abs.f32 %d, %a;", Floats{-2, -0.0f})), (Words{0x40000000, 0}));
  EXPECT_EQ(bits(evaluate<float>("neg.f32 %d, %a;", Floats{0})), (Words{0x80000000}));
  EXPECT_EQ(evaluate<float>("copysign.f32 %d, %a, %b;", Floats{-1, 3}, Floats{5, -6}),
            (Floats{-5, 6}));
  const std::string test = ".f32 %p0, %a; selp.u32 %d, 1, 0, %p0;";
  Floats a = {0, kTiny, 1, kInf, kNan};
  EXPECT_EQ(evaluate<uint32_t>("testp.finite" + test, a), (Words{1, 1, 1, 0, 0}));
  EXPECT_EQ(evaluate<uint32_t>("testp.infinite" + test, a), (Words{0, 0, 0, 1, 0}));
  EXPECT_EQ(evaluate<uint32_t>("testp.normal" + test, a), (Words{1, 0, 1, 0, 0}));
  EXPECT_EQ(evaluate<uint32_t>("testp.subnormal" + test, a), (Words{0, 1, 0, 0, 0}));
  EXPECT_EQ(evaluate<uint32_t>("testp.notanumber" + test, a), (Words{0, 0, 0, 0, 1}));
}

TEST(Float, ComparisonsWithNan) {
  Floats a = {1, 1, kNan, 2};
  Floats b = {1, 2, 1, 1};
  auto run = [&](const std::string& op) {
    return evaluate<uint32_t>("setp." + op + ".f32 %p0, %a, %b; selp.u32 %d, 1, 0, %p0;", a, b);
  };
  EXPECT_EQ(run("eq"), (Words{1, 0, 0, 0}));
  EXPECT_EQ(run("ne"), (Words{0, 1, 0, 1}));
  EXPECT_EQ(run("lt"), (Words{0, 1, 0, 0}));
  EXPECT_EQ(run("ge"), (Words{1, 0, 0, 1}));
  EXPECT_EQ(run("equ"), (Words{1, 0, 1, 0}));
  EXPECT_EQ(run("neu"), (Words{0, 1, 1, 1}));
  EXPECT_EQ(run("ltu"), (Words{0, 1, 1, 0}));
  EXPECT_EQ(run("gtu"), (Words{0, 0, 1, 1}));
  EXPECT_EQ(run("leu"), (Words{1, 1, 1, 0}));
  EXPECT_EQ(run("geu"), (Words{1, 0, 1, 1}));
  EXPECT_EQ(run("num"), (Words{1, 1, 0, 1}));
  EXPECT_EQ(run("nan"), (Words{0, 0, 1, 0}));
}

TEST(Float, ApproximationsAreClose) {
  Floats a = {0.1f, 0.5f, 1, 2, 10};
  struct Row {
    const char* code;
    double (*function)(double);
  };
  const Row rows[] = {
      {"sin.approx.f32 %d, %a;", [](double x) { return std::sin(x); }},
      {"cos.approx.ftz.f32 %d, %a;", [](double x) { return std::cos(x); }},
      {"lg2.approx.f32 %d, %a;", [](double x) { return std::log2(x); }},
      {"ex2.approx.ftz.f32 %d, %a;", [](double x) { return std::exp2(x); }},
      {"tanh.approx.f32 %d, %a;", [](double x) { return std::tanh(x); }},
      {"rsqrt.approx.f32 %d, %a;", [](double x) { return 1 / std::sqrt(x); }},
      {"rcp.approx.ftz.f32 %d, %a;", [](double x) { return 1 / x; }},
      {"sqrt.approx.f32 %d, %a;", [](double x) { return std::sqrt(x); }},
      {"div.full.f32 %d, %a, %a;", [](double) { return 1.0; }},
  };
  for (const Row& row : rows) {
    Floats d = evaluate<float>(row.code, a);
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_NEAR(d[i], row.function(a[i]), 1e-6 * (1 + std::fabs(row.function(a[i])))) << row.code;
    }
  }
  EXPECT_EQ(evaluate<float>("lg2.approx.f32 %d, %a;", Floats{0}), (Floats{-kInf}));
  EXPECT_EQ(evaluate<float>("rcp.approx.f32 %d, %a;", Floats{0, kInf}), (Floats{kInf, 0}));
}

// ---- halves
// ----------------------------------------------------------------------------------------

TEST(Half, FormatsRoundTripAndAgree) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    float value = f16_to_float(static_cast<uint16_t>(h));
    if (value != value) continue;
    ASSERT_EQ(float_to_f16(value), h);
    ASSERT_EQ(encode_small(value, kF16Format, SmallRounding::kNearestEven, false), h);
    ASSERT_EQ(decode_small(h, kF16Format), value);
    // Halfway to the next one rounds to even, a little more rounds up.
    if ((h & 0x7fff) < 0x7bff) {
      double next = f16_to_float(static_cast<uint16_t>(h + 1));
      double middle = (value + next) / 2;
      uint32_t even = (h & 1) != 0 ? h + 1 : h;
      ASSERT_EQ(float_to_f16(static_cast<float>(middle)), even) << h;
      ASSERT_EQ(encode_small(middle, kF16Format, SmallRounding::kNearestEven, false), even);
      double more = middle + (next - value) / 64;
      ASSERT_EQ(float_to_f16(static_cast<float>(more)), h + 1);
    }
  }
  for (uint32_t h = 0; h < 0x10000; ++h) {
    float value = bf16_to_float(static_cast<uint16_t>(h));
    if (value != value) continue;
    ASSERT_EQ(float_to_bf16(value), h);
    ASSERT_EQ(encode_small(value, kBf16Format, SmallRounding::kNearestEven, false), h);
  }
  EXPECT_EQ(float_to_f16(65519.0f), 0x7bff);
  EXPECT_EQ(float_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(encode_small(65520, kF16Format, SmallRounding::kNearestEven, true), 0x7bffu);
  EXPECT_EQ(encode_small(1e9, kF16Format, SmallRounding::kZero, false), 0x7bffu);
  EXPECT_EQ(encode_small(448, kE4m3Format, SmallRounding::kNearestEven, true), 0x7eu);
  EXPECT_EQ(encode_small(1000, kE4m3Format, SmallRounding::kNearestEven, true), 0x7eu);
  EXPECT_EQ(encode_small(-57344, kE5m2Format, SmallRounding::kNearestEven, true), 0xfbu);
}

TEST(Half, ArithmeticRoundsOnce) {
  std::mt19937 random(5);
  Halves a(600), b(600), c(600);
  for (size_t i = 0; i < a.size(); ++i) {
    a[i] = static_cast<uint16_t>(random());
    b[i] = static_cast<uint16_t>(random());
    c[i] = static_cast<uint16_t>(random());
  }
  auto sum = evaluate<uint16_t>("add.f16 %d, %a, %b;", a, b);
  auto product = evaluate<uint16_t>("mul.f16 %d, %a, %b;", a, b);
  auto fused = evaluate<uint16_t>("fma.rn.f16 %d, %a, %b, %c;", a, b, c);
  auto bfused = evaluate<uint16_t>("fma.rn.bf16 %d, %a, %b, %c;", a, b, c);
  for (size_t i = 0; i < a.size(); ++i) {
    long double x = f16_to_float(a[i]), y = f16_to_float(b[i]), z = f16_to_float(c[i]);
    // The 64-bit mantissa of a long double holds these sums and products exactly, or near enough
    // that only a tie could go wrong; a tie is exact.
    auto check = [&](uint16_t got, long double want, const SmallFormat& format) {
      auto down = static_cast<double>(want);
      if (static_cast<long double>(down) != want) {
        // Keep the sticky bit, as the code under test does in another way.
        auto raw = std::bit_cast<uint64_t>(down);
        bool away = std::fabs(static_cast<long double>(down)) < std::fabs(want);
        if ((raw & 1) == 0) raw += away ? 1 : -1;
        down = std::bit_cast<double>(raw);
      }
      uint32_t expected = encode_small(down, format, SmallRounding::kNearestEven, false);
      EXPECT_EQ(got, expected) << a[i] << " " << b[i] << " " << c[i];
    };
    check(sum[i], x + y, kF16Format);
    check(product[i], x * y, kF16Format);
    check(fused[i], x * y + z, kF16Format);
    long double bx = bf16_to_float(a[i]), by = bf16_to_float(b[i]), bz = bf16_to_float(c[i]);
    long double product_term = bx * by;
    if (std::isfinite(static_cast<double>(product_term)) &&
        std::isfinite(static_cast<double>(bz))) {
      // Far apart exponents exceed even a long double. The smaller term only says to which side of
      // the larger one the sum lies; any small number does that.
      auto lift = [](long double small, long double large) {
        long double least = std::fabs(large) * 0x1p-40L;
        return small != 0 && std::fabs(small) < least ? std::copysign(least, small) : small;
      };
      long double z_term = lift(bz, product_term);
      product_term = lift(product_term, z_term);
      check(bfused[i], product_term + z_term, kBf16Format);
    }
  }
}

TEST(Half, Pairs) {
  // {1.0, 2.0} + {0.5, -2.0}
  EXPECT_EQ(evaluate<uint32_t>("add.f16x2 %d, %a, %b;", Words{0x40003c00}, Words{0xc0003800}),
            (Words{0x00003e00}));
  EXPECT_EQ(evaluate<uint32_t>("fma.rn.relu.f16x2 %d, %a, %b, %c;", Words{0x40003c00},
                               Words{0xc0003800}, Words{0}),
            (Words{0x00003800}));
  EXPECT_EQ(evaluate<uint32_t>("mul.bf16x2 %d, %a, %b;", Words{0x40003f80}, Words{0x40404040}),
            (Words{0x40c04040}));
  EXPECT_EQ(evaluate<uint32_t>("max.NaN.f16x2 %d, %a, %b;", Words{0x7e003c00}, Words{0x3c004000}),
            (Words{0x7fff4000}));
  EXPECT_EQ(evaluate<uint32_t>("setp.gt.f16x2 %p0|%p1, %a, %b; selp.u32 %r0, 1, 0, %p0;"
                               "selp.u32 %r1, 2, 0, %p1; add.u32 %d, %r0, %r1;",
                               Words{0x3c004000}, Words{0x40003c00}),
            (Words{1}));
  EXPECT_EQ(evaluate<uint16_t>("neg.f16 %d, %a;", Halves{0x3c00}), (Halves{0xbc00}));
  EXPECT_EQ(evaluate<uint16_t>("mul.ftz.f16 %d, %a, %b;", Halves{0x0001}, Halves{0x4000}),
            (Halves{0}));
  EXPECT_EQ(evaluate<uint16_t>("add.sat.f16 %d, %a, %b;", Halves{0x4000}, Halves{0x3c00}),
            (Halves{0x3c00}));
}

// ---- conversions
// -----------------------------------------------------------------------------------

TEST(Convert, FloatToIntegerClampsAndRounds) {
  Floats a = {2.5f, -2.5f, 3e9f, -3e9f, kNan, kInf, 0.99f, -0.5f};
  EXPECT_EQ(evaluate<int32_t>("cvt.rni.s32.f32 %d, %a;", a),
            (std::vector<int32_t>{2, -2, INT32_MAX, INT32_MIN, 0, INT32_MAX, 1, 0}));
  EXPECT_EQ(evaluate<int32_t>("cvt.rzi.s32.f32 %d, %a;", a),
            (std::vector<int32_t>{2, -2, INT32_MAX, INT32_MIN, 0, INT32_MAX, 0, 0}));
  EXPECT_EQ(evaluate<int32_t>("cvt.rmi.s32.f32 %d, %a;", a),
            (std::vector<int32_t>{2, -3, INT32_MAX, INT32_MIN, 0, INT32_MAX, 0, -1}));
  EXPECT_EQ(evaluate<int32_t>("cvt.rpi.s32.f32 %d, %a;", a),
            (std::vector<int32_t>{3, -2, INT32_MAX, INT32_MIN, 0, INT32_MAX, 1, 0}));
  EXPECT_EQ(evaluate<uint32_t>("cvt.rzi.u32.f32 %d, %a;", a),
            (Words{2, 0, 3000000000u, 0, 0, 0xffffffff, 0, 0}));
  EXPECT_EQ(evaluate<uint64_t>("cvt.rzi.s64.f32 %d, %a;", Floats{kNan, 1e19f, -5.9f}),
            (Longs{uint64_t{1} << 63, 0x7fffffffffffffff, static_cast<uint64_t>(-5)}));
  EXPECT_EQ(evaluate<uint32_t>("cvt.rzi.u32.f64 %d, %a;", Doubles{std::nan(""), 4294967295.0}),
            (Words{0x80000000, 0xffffffff}));
  EXPECT_EQ(evaluate<uint32_t>("cvt.rzi.u8.f32 %d, %a;", Floats{300, -5, 7.9f}),
            (Words{255, 0, 7}));
  EXPECT_EQ(evaluate<int32_t>("cvt.rzi.s8.f32 %d, %a;", Floats{300, -300, -7.9f}),
            (std::vector<int32_t>{127, -128, -7}));
}

TEST(Convert, IntegerWidths) {
  EXPECT_EQ(evaluate<int32_t>("cvt.s32.s8 %d, %a;", Words{0x1ff, 0x7f}),
            (std::vector<int32_t>{-1, 127}));
  EXPECT_EQ(evaluate<uint32_t>("cvt.u32.u16 %d, %a;", Words{0x1ffff}), (Words{0xffff}));
  EXPECT_EQ(evaluate<uint64_t>("cvt.s64.s32 %d, %a;", Words{0xfffffffe}), (Longs{~uint64_t{1}}));
  EXPECT_EQ(evaluate<uint64_t>("cvt.u64.u32 %d, %a;", Words{0xfffffffe}), (Longs{0xfffffffe}));
  EXPECT_EQ(evaluate<uint16_t>("cvt.u16.u64 %d, %a;", Longs{0x12345}), (Halves{0x2345}));
  EXPECT_EQ(evaluate<uint32_t>("cvt.sat.u8.s32 %d, %a;", std::vector<int32_t>{-4, 300, 20}),
            (Words{0, 255, 20}));
  EXPECT_EQ(evaluate<int32_t>("cvt.sat.s16.s32 %d, %a;", std::vector<int32_t>{-40000, 40000}),
            (std::vector<int32_t>{-32768, 32767}));
  EXPECT_EQ(evaluate<int32_t>("cvt.sat.s32.u32 %d, %a;", Words{0xffffffff, 5}),
            (std::vector<int32_t>{INT32_MAX, 5}));
}

TEST(Convert, IntegerToFloatRounds) {
  EXPECT_EQ(evaluate<float>("cvt.rn.f32.u32 %d, %a;", Words{0xffffffff, 16777217}),
            (Floats{4294967296.0f, 16777216}));
  EXPECT_EQ(evaluate<float>("cvt.rz.f32.u32 %d, %a;", Words{0xffffffff}), (Floats{4294967040.0f}));
  EXPECT_EQ(evaluate<float>("cvt.rp.f32.s32 %d, %a;", std::vector<int32_t>{16777217, -16777217}),
            (Floats{16777218, -16777216}));
  EXPECT_EQ(evaluate<float>("cvt.rm.f32.u64 %d, %a;", Longs{~uint64_t{0}, (uint64_t{1} << 63) + 1}),
            (Floats{0x1.fffffep63f, 0x1p63f}));
  EXPECT_EQ(evaluate<float>("cvt.rp.f32.u64 %d, %a;", Longs{(uint64_t{1} << 63) + 1}),
            (Floats{0x1.000002p63f}));
  EXPECT_EQ(evaluate<double>("cvt.rn.f64.u64 %d, %a;", Longs{~uint64_t{0}}), (Doubles{0x1p64}));
  EXPECT_EQ(evaluate<double>("cvt.rz.f64.s64 %d, %a;", Longs{~uint64_t{0} >> 1}),
            (Doubles{9223372036854774784.0}));
}

TEST(Convert, FloatToFloat) {
  EXPECT_EQ(evaluate<float>("cvt.rn.f32.f64 %d, %a;", Doubles{0.1}), (Floats{0.1f}));
  EXPECT_EQ(evaluate<float>("cvt.rz.f32.f64 %d, %a;", Doubles{0.1, -0.1}),
            (Floats{std::nextafter(0.1f, 0.0f), -std::nextafter(0.1f, 0.0f)}));
  EXPECT_EQ(evaluate<double>("cvt.f64.f32 %d, %a;", Floats{0.1f}),
            (Doubles{static_cast<double>(0.1f)}));
  EXPECT_EQ(evaluate<float>("cvt.rni.f32.f32 %d, %a;", Floats{2.5f, 3.5f, -0.4f}),
            (Floats{2, 4, -0.0f}));
  EXPECT_EQ(evaluate<double>("cvt.rpi.f64.f64 %d, %a;", Doubles{2.1, -2.9}), (Doubles{3, -2}));
  EXPECT_EQ(evaluate<float>("cvt.sat.f32.f32 %d, %a;", Floats{1.5f, -2, 0.3f}),
            (Floats{1, 0, 0.3f}));
  EXPECT_EQ(evaluate<float>("cvt.ftz.f32.f32 %d, %a;", Floats{kTiny}), (Floats{0}));
  EXPECT_EQ(evaluate<uint16_t>("cvt.rn.f16.f32 %d, %a;", Floats{1, 65504, 65520, 1e-8f, 0.1f}),
            (Halves{0x3c00, 0x7bff, 0x7c00, 0, 0x2e66}));
  EXPECT_EQ(evaluate<uint16_t>("cvt.rz.f16.f32 %d, %a;", Floats{65535, 0.1f}),
            (Halves{0x7bff, 0x2e66}));
  EXPECT_EQ(evaluate<uint16_t>("cvt.rp.f16.f32 %d, %a;", Floats{0.1f}), (Halves{0x2e67}));
  EXPECT_EQ(evaluate<float>("cvt.f32.f16 %d, %a;", Halves{0x3c00, 0x0001, 0xfc00}),
            (Floats{1, 0x1p-24f, -kInf}));
  EXPECT_EQ(evaluate<float>("cvt.f32.bf16 %d, %a;", Halves{0x3f80}), (Floats{1}));
  EXPECT_EQ(evaluate<uint16_t>("cvt.rn.bf16.f32 %d, %a;", Floats{1.00390625f, 3.4e38f}),
            (Halves{0x3f80, 0x7f80}));
  EXPECT_EQ(evaluate<uint16_t>("cvt.rn.relu.bf16.f32 %d, %a;", Floats{-2, 2}), (Halves{0, 0x4000}));
  EXPECT_EQ(evaluate<int32_t>("cvt.rni.s32.f16 %d, %a;", Halves{0xc100}),
            (std::vector<int32_t>{-2}));
  EXPECT_EQ(evaluate<uint16_t>("cvt.rn.f16.u32 %d, %a;", Words{2049, 70000}),
            (Halves{0x6800, 0x7c00}));
  // f64 to f16 rounds once: through f32 this would be a tie and go to even.
  EXPECT_EQ(evaluate<uint16_t>("cvt.rn.f16.f64 %d, %a;", Doubles{1 + 0x1p-11 + 0x1p-40}),
            (Halves{0x3c01}));
}

TEST(Convert, PackedAndSmall) {
  EXPECT_EQ(evaluate<uint32_t>("cvt.rn.f16x2.f32 %d, %a, %b;", Floats{1}, Floats{2}),
            (Words{0x3c004000}));
  EXPECT_EQ(evaluate<uint32_t>("cvt.rn.relu.bf16x2.f32 %d, %a, %b;", Floats{-1}, Floats{2}),
            (Words{0x00004000}));
  EXPECT_EQ(evaluate<uint16_t>("cvt.rn.satfinite.e4m3x2.f32 %d, %a, %b;", Floats{1000}, Floats{1}),
            (Halves{0x7e38}));
  EXPECT_EQ(evaluate<uint32_t>("cvt.rn.f16x2.e5m2x2 %d, %a;", Halves{0x3cbc}), (Words{0x3c00bc00}));
  EXPECT_EQ(evaluate<uint32_t>("cvt.rna.tf32.f32 %d, %a;", Words{0x3f801000, 0x3f800fff}),
            (Words{0x3f802000, 0x3f800000}));
  EXPECT_EQ(evaluate<uint32_t>("cvt.pack.sat.u8.s32.b32 %d, %a, %b, %c;", std::vector<int32_t>{300},
                               std::vector<int32_t>{-5}, Words{0xabcd}),
            (Words{0xabcdff00}));
}

TEST(Float, ImmediatesAndConstants) {
  EXPECT_EQ(evaluate<float>("add.f32 %d, %a, 0f3F800000;", Floats{1}), (Floats{2}));
  EXPECT_EQ(evaluate<float>("add.f32 %d, %a, 1.5;", Floats{1}), (Floats{2.5f}));
  EXPECT_EQ(evaluate<double>("add.f64 %d, %a, 0d3FF8000000000000;", Doubles{1}), (Doubles{2.5}));
  EXPECT_EQ(bits(evaluate<double>("sub.f64 %d, %a, %a;", Doubles{HUGE_VAL})),
            (Longs{0x7ff8000000000000}));
}

}  // namespace
}  // namespace farlane::softcuda
