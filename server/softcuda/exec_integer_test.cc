#include <limits>
#include <random>

#include "server/softcuda/ptx_test_support.h"

namespace farlane::softcuda {
namespace {

using Words = std::vector<uint32_t>;
using Ints = std::vector<int32_t>;
using Longs = std::vector<uint64_t>;

template <class T>
std::vector<T> random_values(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<T> values(count);
  for (T& value : values) value = static_cast<T>(random() >> (random() % 40));
  return values;
}

TEST(Integer, AddSubWrap) {
  EXPECT_EQ(evaluate<uint32_t>("add.u32 %d, %a, %b;", Words{0xffffffff, 5}, Words{2, 7}),
            (Words{1, 12}));
  EXPECT_EQ(evaluate<int32_t>("sub.s32 %d, %a, %b;", Ints{INT32_MIN}, Ints{1}), (Ints{INT32_MAX}));
  EXPECT_EQ(
      evaluate<int32_t>("add.sat.s32 %d, %a, %b;", Ints{INT32_MAX, INT32_MIN, 3}, Ints{1, -1, 4}),
      (Ints{INT32_MAX, INT32_MIN, 7}));
  EXPECT_EQ(evaluate<int32_t>("sub.sat.s32 %d, %a, %b;", Ints{INT32_MIN, 0}, Ints{1, INT32_MIN}),
            (Ints{INT32_MIN, INT32_MAX}));
  EXPECT_EQ(evaluate<uint16_t>("add.u16 %d, %a, %b;", std::vector<uint16_t>{0xffff},
                               std::vector<uint16_t>{3}),
            (std::vector<uint16_t>{2}));
}

TEST(Integer, MultiplyEveryPart) {
  auto a = random_values<uint32_t>(200, 1);
  auto b = random_values<uint32_t>(200, 2);
  auto c = random_values<uint64_t>(200, 3);
  auto low = evaluate<uint32_t>("mul.lo.u32 %d, %a, %b;", a, b);
  auto high = evaluate<uint32_t>("mul.hi.u32 %d, %a, %b;", a, b);
  auto signed_high = evaluate<uint32_t>("mul.hi.s32 %d, %a, %b;", a, b);
  auto wide = evaluate<uint64_t>("mul.wide.s32 %d, %a, %b;", a, b);
  auto mad = evaluate<uint64_t>("mad.wide.u32 %d, %a, %b, %c;", a, b, c);
  for (size_t i = 0; i < a.size(); ++i) {
    uint64_t product = uint64_t{a[i]} * b[i];
    auto signed_product = int64_t{static_cast<int32_t>(a[i])} * static_cast<int32_t>(b[i]);
    EXPECT_EQ(low[i], static_cast<uint32_t>(product));
    EXPECT_EQ(high[i], static_cast<uint32_t>(product >> 32));
    EXPECT_EQ(signed_high[i], static_cast<uint32_t>(static_cast<uint64_t>(signed_product) >> 32));
    EXPECT_EQ(wide[i], static_cast<uint64_t>(signed_product));
    EXPECT_EQ(mad[i], product + c[i]);
  }
}

TEST(Integer, MultiplyHigh64) {
  auto a = random_values<uint64_t>(100, 4);
  auto b = random_values<uint64_t>(100, 5);
  auto high = evaluate<uint64_t>("mul.hi.u64 %d, %a, %b;", a, b);
  auto signed_high = evaluate<uint64_t>("mul.hi.s64 %d, %a, %b;", a, b);
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(high[i], static_cast<uint64_t>((static_cast<unsigned __int128>(a[i]) * b[i]) >> 64));
    EXPECT_EQ(signed_high[i],
              static_cast<uint64_t>((static_cast<__int128>(static_cast<int64_t>(a[i])) *
                                     static_cast<int64_t>(b[i])) >>
                                    64));
  }
}

TEST(Integer, DivideByZeroAndOverflow) {
  EXPECT_EQ(evaluate<uint32_t>("div.u32 %d, %a, %b;", Words{7, 9}, Words{0, 2}),
            (Words{0xffffffff, 4}));
  EXPECT_EQ(evaluate<uint32_t>("rem.u32 %d, %a, %b;", Words{7, 9}, Words{0, 2}), (Words{7, 1}));
  EXPECT_EQ(evaluate<int32_t>("div.s32 %d, %a, %b;", Ints{INT32_MIN, -7, 7}, Ints{-1, 2, -2}),
            (Ints{INT32_MIN, -3, -3}));
  EXPECT_EQ(evaluate<int32_t>("rem.s32 %d, %a, %b;", Ints{INT32_MIN, -7, 7}, Ints{-1, 2, -2}),
            (Ints{0, -1, 1}));
  EXPECT_EQ(
      evaluate<uint64_t>("div.s64 %d, %a, %b;", Longs{uint64_t{1} << 63}, Longs{~uint64_t{0}}),
      (Longs{uint64_t{1} << 63}));
}

TEST(Integer, MinMaxAbsNegSad) {
  EXPECT_EQ(evaluate<int32_t>("min.s32 %d, %a, %b;", Ints{-1, 4}, Ints{1, 3}), (Ints{-1, 3}));
  EXPECT_EQ(evaluate<uint32_t>("max.u32 %d, %a, %b;", Words{0xffffffff}, Words{1}),
            (Words{0xffffffff}));
  EXPECT_EQ(evaluate<int32_t>("max.s32.relu %d, %a, %b;", Ints{-5, 5}, Ints{-7, 4}), (Ints{0, 5}));
  EXPECT_EQ(evaluate<int32_t>("abs.s32 %d, %a;", Ints{-5, INT32_MIN}), (Ints{5, INT32_MIN}));
  EXPECT_EQ(evaluate<int32_t>("neg.s32 %d, %a;", Ints{5, INT32_MIN}), (Ints{-5, INT32_MIN}));
  EXPECT_EQ(evaluate<uint32_t>("sad.s32 %d, %a, %b, %c;", Words{static_cast<uint32_t>(-3), 9},
                               Words{4, 2}, Words{10, 1}),
            (Words{17, 8}));
}

TEST(Integer, Mul24) {
  EXPECT_EQ(evaluate<uint32_t>("mul24.lo.u32 %d, %a, %b;", Words{0x1fffffff}, Words{3}),
            (Words{static_cast<uint32_t>(0xffffffull * 3)}));
  EXPECT_EQ(
      evaluate<int32_t>("mad24.hi.s32 %d, %a, %b, %c;", Ints{-0x400000}, Ints{0x10000}, Ints{5}),
      (Ints{static_cast<int32_t>((-0x400000ll * 0x10000) >> 16) + 5}));
}

TEST(Integer, CarryChainsAddAndSubtract128Bits) {
  auto a = random_values<uint64_t>(100, 6);
  auto b = random_values<uint64_t>(100, 7);
  // (a:b) + (b:a), the high half.
  auto high = evaluate<uint64_t>("add.cc.u64 %x0, %a, %b; addc.u64 %d, %b, %a;", a, b);
  auto difference = evaluate<uint64_t>("sub.cc.u64 %x0, %a, %b; subc.u64 %d, %b, %a;", a, b);
  for (size_t i = 0; i < a.size(); ++i) {
    auto wide = [](uint64_t h, uint64_t l) { return static_cast<unsigned __int128>(h) << 64 | l; };
    EXPECT_EQ(high[i], static_cast<uint64_t>((wide(b[i], a[i]) + wide(a[i], b[i])) >> 64));
    EXPECT_EQ(difference[i], static_cast<uint64_t>((wide(b[i], a[i]) - wide(a[i], b[i])) >> 64));
  }
}

TEST(Integer, MultiplyAddCarry) {
  // 32 × 32 + 64 bits, the way old compilers wrote it.
  auto a = random_values<uint32_t>(100, 8);
  auto b = random_values<uint32_t>(100, 9);
  auto c = random_values<uint64_t>(100, 10);
  auto sum = evaluate<uint64_t>(
      "mov.b64 {%r0, %r1}, %c; mad.lo.cc.u32 %r2, %a, %b, %r0; madc.hi.u32 %r3, %a, %b, %r1;"
      "mov.b64 %d, {%r2, %r3};",
      a, b, c);
  for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(sum[i], uint64_t{a[i]} * b[i] + c[i]);
}

TEST(Integer, DotProducts) {
  EXPECT_EQ(evaluate<uint32_t>("dp4a.s32.u32 %d, %a, %b, %c;", Words{0xff02fe01}, Words{0xff030201},
                               Words{100}),
            (Words{static_cast<uint32_t>(100 + 1 * 1 + -2 * 2 + 2 * 3 + -1 * 255)}));
  EXPECT_EQ(evaluate<uint32_t>("dp2a.lo.s32.s32 %d, %a, %b, %c;", Words{0xfffe0003},
                               Words{0x040302ff}, Words{10}),
            (Words{static_cast<uint32_t>(10 + 3 * -1 + -2 * 2)}));
  EXPECT_EQ(evaluate<uint32_t>("dp2a.hi.u32.u32 %d, %a, %b, %c;", Words{0xfffe0003},
                               Words{0x040302ff}, Words{10}),
            (Words{10 + 3 * 3 + 0xfffe * 4}));
}

TEST(Bits, ShiftsClampAtTheWidth) {
  EXPECT_EQ(evaluate<uint32_t>("shl.b32 %d, %a, %b;", Words{1, 1, 1, 3}, Words{31, 32, 200, 4}),
            (Words{0x80000000, 0, 0, 48}));
  EXPECT_EQ(evaluate<int32_t>("shr.s32 %d, %a, %b;", Ints{-8, -8, 8, 8}, Ints{1, 40, 33, 1}),
            (Ints{-4, -1, 0, 4}));
  EXPECT_EQ(
      evaluate<uint64_t>("shr.u64 %d, %a, %b;", Longs{~uint64_t{0}, ~uint64_t{0}}, Words{63, 64}),
      (Longs{1, 0}));
  EXPECT_EQ(
      evaluate<uint16_t>("shl.b16 %d, %a, %b;", std::vector<uint16_t>{0x8001, 1}, Words{1, 16}),
      (std::vector<uint16_t>{2, 0}));
}

TEST(Bits, FunnelShifts) {
  EXPECT_EQ(evaluate<uint32_t>("shf.l.wrap.b32 %d, %a, %b, %c;", Words{0x80000001, 7, 7},
                               Words{1, 9, 9}, Words{4, 32, 33}),
            (Words{0x18, 9, 18}));
  EXPECT_EQ(evaluate<uint32_t>("shf.l.clamp.b32 %d, %a, %b, %c;", Words{7}, Words{9}, Words{40}),
            (Words{7}));
  EXPECT_EQ(evaluate<uint32_t>("shf.r.wrap.b32 %d, %a, %b, %c;", Words{0x10}, Words{0xf}, Words{4}),
            (Words{0xf0000001}));
  EXPECT_EQ(evaluate<uint32_t>("shf.r.clamp.b32 %d, %a, %b, %c;", Words{7}, Words{9}, Words{32}),
            (Words{9}));
}

TEST(Bits, Lop3AllTables) {
  auto a = random_values<uint32_t>(8, 11);
  auto b = random_values<uint32_t>(8, 12);
  auto c = random_values<uint32_t>(8, 13);
  for (uint32_t table = 0; table < 256; table += 7) {
    auto d = evaluate<uint32_t>("lop3.b32 %d, %a, %b, %c, " + std::to_string(table) + ";", a, b, c);
    for (size_t i = 0; i < a.size(); ++i) {
      uint32_t expected = 0;
      for (int bit = 0; bit < 32; ++bit) {
        uint32_t row = (a[i] >> bit & 1) << 2 | (b[i] >> bit & 1) << 1 | (c[i] >> bit & 1);
        expected |= (table >> row & 1) << bit;
      }
      ASSERT_EQ(d[i], expected) << table;
    }
  }
}

TEST(Bits, Lop3WithPredicate) {
  EXPECT_EQ(evaluate<uint32_t>("setp.ne.u32 %p1, %c, 0; lop3.or.b32 %r0|%p0, %a, %b, %c, 0x80, %p1;"
                               "selp.b32 %d, 1, 0, %p0;",
                               Words{3, 3, 4}, Words{1, 1, 8}, Words{1, 0, 0}),
            (Words{1, 0, 0}));
}

TEST(Bits, Permute) {
  EXPECT_EQ(evaluate<uint32_t>("prmt.b32 %d, %a, %b, %c;", Words{0x83020100, 0x83020100},
                               Words{0x17060504, 0x17060504}, Words{0x7531, 0xb0f4}),
            (Words{0x17058301, 0xff000004}));
  EXPECT_EQ(evaluate<uint32_t>("prmt.b32.f4e %d, %a, %b, %c;", Words{0x03020100}, Words{0x07060504},
                               Words{1}),
            (Words{0x04030201}));
  EXPECT_EQ(evaluate<uint32_t>("prmt.b32.b4e %d, %a, %b, %c;", Words{0x03020100}, Words{0x07060504},
                               Words{1}),
            (Words{0x06070001}));
  EXPECT_EQ(
      evaluate<uint32_t>("prmt.b32.rc16 %d, %a, %b, %c;", Words{0x03020100}, Words{0}, Words{1}),
      (Words{0x03020302}));
}

TEST(Bits, ExtractAndInsert) {
  EXPECT_EQ(evaluate<uint32_t>("bfe.u32 %d, %a, %b, %c;", Words{0xabcd1234, 0xabcd1234, 0xf0000000},
                               Words{8, 40, 28}, Words{8, 8, 16}),
            (Words{0x12, 0, 0xf}));
  EXPECT_EQ(evaluate<int32_t>("bfe.s32 %d, %a, %b, %c;",
                              Ints{0x0000f000, static_cast<int32_t>(0x80000000), 1, 5},
                              Words{12, 40, 0, 0}, Words{4, 4, 0, 32}),
            (Ints{-1, -1, 0, 5}));
  EXPECT_EQ(evaluate<uint64_t>("bfe.u64 %d, %a, %b, 20;", Longs{0x123456789abcdef0}, Words{32}),
            (Longs{0x45678}));
  EXPECT_EQ(evaluate<uint32_t>("bfi.b32 %d, %a, %b, %c, 8;", Words{0xab, 0xab, 0xab},
                               Words{0xffffffff, 0, 0x11111111}, Words{4, 28, 32}),
            (Words{0xfffffabf, 0xb0000000, 0x11111111}));
  EXPECT_EQ(evaluate<uint64_t>("bfi.b64 %d, %a, %b, 32, 32;", Longs{5}, Longs{7}),
            (Longs{0x500000007}));
}

TEST(Bits, FindCountReverse) {
  EXPECT_EQ(evaluate<uint32_t>("bfind.u32 %d, %a;", Words{0, 1, 0x80000000}),
            (Words{0xffffffff, 0, 31}));
  EXPECT_EQ(evaluate<uint32_t>("bfind.s32 %d, %a;", Words{0xffffffff, 0xfffffff0, 5}),
            (Words{0xffffffff, 3, 2}));
  EXPECT_EQ(evaluate<uint32_t>("bfind.shiftamt.u32 %d, %a;", Words{1, 0x80000000}), (Words{31, 0}));
  EXPECT_EQ(evaluate<uint32_t>("clz.b32 %d, %a;", Words{0, 1, 0xffffffff}), (Words{32, 31, 0}));
  EXPECT_EQ(evaluate<uint32_t>("clz.b64 %d, %a;", Longs{0, 1}), (Words{64, 63}));
  EXPECT_EQ(evaluate<uint32_t>("popc.b64 %d, %a;", Longs{~uint64_t{0}, 10}), (Words{64, 2}));
  EXPECT_EQ(evaluate<uint32_t>("brev.b32 %d, %a;", Words{1, 0xf0}),
            (Words{0x80000000, 0x0f000000}));
  EXPECT_EQ(evaluate<uint32_t>("fns.b32 %d, %a, %b, %c;", Words{0xaaaaaaaa, 0xaaaaaaaa, 0xaaaaaaaa},
                               Words{3, 3, 4}, Words{1, 3, 0}),
            (Words{3, 7, 0xffffffff}));
  EXPECT_EQ(evaluate<uint32_t>("bmsk.clamp.b32 %d, %a, %b;", Words{4, 0, 30}, Words{8, 40, 8}),
            (Words{0xff0, 0xffffffff, 0xc0000000}));
  EXPECT_EQ(evaluate<int32_t>("szext.clamp.s32 %d, %a, %b;", Ints{0xff, 0x7f, 5}, Words{8, 8, 40}),
            (Ints{-1, 0x7f, 5}));
}

TEST(Bits, LogicOnEveryWidth) {
  EXPECT_EQ(evaluate<uint16_t>("xor.b16 %d, %a, %b;", std::vector<uint16_t>{0xff00},
                               std::vector<uint16_t>{0x0ff0}),
            (std::vector<uint16_t>{0xf0f0}));
  EXPECT_EQ(evaluate<uint64_t>("not.b64 %d, %a;", Longs{1}), (Longs{~uint64_t{1}}));
  EXPECT_EQ(evaluate<uint32_t>("cnot.b32 %d, %a;", Words{0, 7}), (Words{1, 0}));
  EXPECT_EQ(evaluate<uint32_t>("setp.lt.u32 %p0, %a, 5; setp.gt.u32 %p1, %a, 2;"
                               "and.pred %p2, %p0, %p1; not.pred %p3, %p2; xor.pred %p4, %p3, %p0;"
                               "selp.u32 %d, 1, 0, %p4;",
                               Words{1, 3, 7}),
            (Words{0, 1, 1}));
}

TEST(Integer, CompareAndSelect) {
  EXPECT_EQ(evaluate<uint32_t>("setp.lt.s32 %p0|%p1, %a, %b; selp.u32 %r0, 1, 0, %p0;"
                               "selp.u32 %r1, 2, 0, %p1; add.u32 %d, %r0, %r1;",
                               Words{0xffffffff, 5}, Words{1, 1}),
            (Words{1, 2}));
  EXPECT_EQ(evaluate<uint32_t>("setp.ne.u32 %p0, %b, 0; setp.lo.and.u32 %p1|%p2, %a, 4, !%p0;"
                               "selp.u32 %r0, 1, 0, %p1; selp.u32 %r1, 2, 0, %p2;"
                               "or.b32 %d, %r0, %r1;",
                               Words{3, 5, 3}, Words{0, 0, 1}),
            (Words{1, 2, 0}));
  EXPECT_EQ(evaluate<uint32_t>("set.gt.u32.s32 %d, %a, %b;", Words{0xffffffff, 3}, Words{1, 1}),
            (Words{0, 0xffffffff}));
  EXPECT_EQ(evaluate<uint32_t>("set.gt.f32.u32 %d, %a, %b;", Words{0xffffffff, 0}, Words{1, 1}),
            (Words{0x3f800000, 0}));
  EXPECT_EQ(evaluate<uint32_t>("slct.u32.s32 %d, %a, %b, %c;", Words{1, 1}, Words{2, 2},
                               Words{0, 0xffffffff}),
            (Words{1, 2}));
}

TEST(Move, PackUnpackAndSpecials) {
  EXPECT_EQ(evaluate<uint64_t>("mov.b64 {%r0, %r1}, %a; mov.b64 %d, {%r1, %r0};",
                               Longs{0x1122334455667788}),
            (Longs{0x5566778811223344}));
  EXPECT_EQ(
      evaluate<uint32_t>("mov.b32 {%h0, %h1}, %a; mov.b32 %d, {%h1, %h0};", Words{0x11223344}),
      (Words{0x33441122}));
  EXPECT_EQ(evaluate<uint64_t>("mov.b64 {%h0,%h1,%h2,%h3}, %a; mov.b64 %d, {%h3,%h2,%h1,%h0};",
                               Longs{0x1111222233334444}),
            (Longs{0x4444333322221111}));
  EXPECT_EQ(
      evaluate<uint64_t>("mov.b64 {_, %r1}, %a; cvt.u64.u32 %d, %r1;", Longs{0x1122334455667788}),
      (Longs{0x11223344}));
  // 70 threads in blocks of 64: the second block has the last six.
  std::vector<uint32_t> lanes = evaluate<uint32_t>(
      "mov.u32 %r0, %laneid; mov.u32 %r1, %warpid; mov.u32 %r2, %ctaid.x; mov.u32 %r3, %nctaid.x;"
      "mad.lo.u32 %d, %r1, 100, %r0; mad.lo.u32 %d, %r2, 1000, %d; mad.lo.u32 %d, %r3, 10000, %d;",
      Words(70));
  EXPECT_EQ(lanes[0], 20000u);
  EXPECT_EQ(lanes[33], 20101u);
  EXPECT_EQ(lanes[69], 21005u);
}

TEST(Move, LaneMasks) {
  auto d = evaluate<uint32_t>(
      "mov.u32 %r0, %lanemask_lt; mov.u32 %r1, %lanemask_ge; mov.u32 %r2, %lanemask_eq;"
      "mov.u32 %r3, %lanemask_le; mov.u32 %r4, %lanemask_gt; xor.b32 %r5, %r0, %r1;"
      "xor.b32 %r6, %r3, %r4; and.b32 %r5, %r5, %r6; xor.b32 %r7, %r3, %r0; xor.b32 %r7, %r7, %r2;"
      "add.u32 %d, %r5, %r7;",
      Words(40));
  for (uint32_t value : d) EXPECT_EQ(value, 0xffffffffu);
}

}  // namespace
}  // namespace farlane::softcuda
