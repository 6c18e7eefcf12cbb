// Divergence, calls, barriers, collectives and everything else that involves who runs when.
#include "server/softcuda/ptx_test_support.h"

namespace farlane::softcuda {
namespace {

using Words = std::vector<uint32_t>;
using Longs = std::vector<uint64_t>;

TEST(Divergence, LoopsOfDifferentLength) {
  // d = a * 3 by adding, so that every lane leaves the loop at another time.
  Words a(64);
  Words expected(64);
  for (uint32_t i = 0; i < 64; ++i) {
    a[i] = (i * 37) % 50;
    expected[i] = a[i] * 3;
  }
  EXPECT_EQ(evaluate<uint32_t>("mov.u32 %d, 0; mov.u32 %r0, 0;\nloop: setp.ge.u32 %p0, %r0, %a;\n"
                               "@%p0 bra done;\nadd.u32 %d, %d, 3; add.u32 %r0, %r0, 1;\n"
                               "bra loop;\ndone:",
                               a),
            expected);
}

TEST(Divergence, BreakContinueAndEarlyReturn) {
  // The collatz steps of a, with a branch inside the loop; lanes with a == 7 return before the end.
  Words a(96);
  Words expected(96);
  for (uint32_t i = 0; i < 96; ++i) {
    a[i] = i + 1;
    uint32_t n = a[i];
    uint32_t steps = 0;
    while (n != 1) {
      n = n % 2 != 0 ? 3 * n + 1 : n / 2;
      ++steps;
    }
    expected[i] = a[i] == 7 ? 0 : steps;
  }
  EXPECT_EQ(
      evaluate<uint32_t>(
          "mov.u32 %r0, %a; mov.u32 %d, 0; setp.eq.u32 %p1, %a, 7; @%p1 ret;\n"
          "again: setp.eq.u32 %p0, %r0, 1; @%p0 bra out;\nadd.u32 %d, %d, 1;\n"
          "and.b32 %r1, %r0, 1; setp.eq.u32 %p2, %r1, 0; @%p2 bra even;\n"
          "mad.lo.u32 %r0, %r0, 3, 1; bra again;\neven: shr.u32 %r0, %r0, 1; bra again;\nout:",
          a),
      expected);
}

TEST(Divergence, ReconvergesBeforeTheNextCollective) {
  // Odd lanes take one way, even lanes the other; behind it all 32 are active again.
  Words lanes(64);
  for (uint32_t i = 0; i < 64; ++i) lanes[i] = i;
  EXPECT_EQ(evaluate<uint32_t>("and.b32 %r0, %a, 1; setp.eq.u32 %p0, %r0, 0; @%p0 bra even;\n"
                               "add.u32 %r1, %a, 5; bra join;\neven: add.u32 %r1, %a, 7;\n"
                               "join: activemask.b32 %d;",
                               lanes),
            Words(64, 0xffffffff));
  EXPECT_EQ(evaluate<uint32_t>("and.b32 %r0, %a, 1; setp.eq.u32 %p0, %r0, 0; @%p0 bra even;\n"
                               "activemask.b32 %d; bra join;\neven: activemask.b32 %d;\njoin:",
                               Words{0, 1, 2, 3}),
            (Words{5, 10, 5, 10}));
}

TEST(Divergence, IndexedBranch) {
  EXPECT_EQ(evaluate<uint32_t>("ts: .branchtargets l0, l1, l2;\nbrx.idx %a, ts;\n"
                               "l0: mov.u32 %d, 100; bra out;\nl1: mov.u32 %d, 200; bra out;\n"
                               "l2: mov.u32 %d, 300;\nout:",
                               Words{2, 0, 1, 1, 2}),
            (Words{300, 100, 200, 200, 300}));
}

TEST(Divergence, IntraWarpSpinLock) {
  // Every lane of a warp takes the same lock in turn; lanes in lockstep would wait for ever.
  auto module = load({std::string(kHeader) + R"(
.visible .entry k(.param .u64 lock, .param .u64 counter) {
  .reg .u64 %l, %c; .reg .b32 %r<4>; .reg .pred %p;
  ld.param.u64 %l, [lock]; ld.param.u64 %c, [counter];
again:
  atom.global.acquire.gpu.cas.b32 %r0, [%l], 0, 1;
  setp.ne.u32 %p, %r0, 0;
  @%p bra again;
  ld.global.u32 %r1, [%c]; add.u32 %r1, %r1, 1; st.global.u32 [%c], %r1;
  atom.global.release.gpu.exch.b32 %r2, [%l], 0;
  ret;
})"});
  ASSERT_NE(module, nullptr);
  TestMemory memory;
  uint64_t lock = memory.upload(Words(1));
  uint64_t counter = memory.upload(Words(1));
  auto result =
      launch(*module, "k", {{8, 1, 1}, {64, 1, 1}}, Arguments().add(lock).add(counter), memory);
  EXPECT_EQ(result.fault, Fault::kNone) << result.message;
  EXPECT_EQ(memory.download<uint32_t>(counter, 1)[0], 512u);
}

// ---- calls
// -----------------------------------------------------------------------------------------

constexpr const char* kCalls = R"(
.func (.param .b32 r) fib(.param .b32 n) {
  .reg .b32 %r<6>; .reg .pred %p;
  ld.param.u32 %r0, [n];
  setp.lt.u32 %p, %r0, 2;
  @%p bra small;
  sub.u32 %r1, %r0, 1;
  { .param .b32 a; .param .b32 v; st.param.b32 [a], %r1; call (v), fib, (a); ld.param.b32 %r2, [v]; }
  sub.u32 %r3, %r0, 2;
  { .param .b32 a; .param .b32 v; st.param.b32 [a], %r3; call (v), fib, (a); ld.param.b32 %r4, [v]; }
  add.u32 %r5, %r2, %r4;
  st.param.b32 [r], %r5;
  ret;
small:
  st.param.b32 [r], %r0;
  ret;
}
.func (.reg .u32 %out) twice(.reg .u32 %in) { add.u32 %out, %in, %in; ret; }
.func (.reg .u32 %out) thrice(.reg .u32 %in) { mul.lo.u32 %out, %in, 3; ret; }
.global .u64 table[2] = {twice, thrice};
.func (.param .align 16 .b8 r[24]) swap(.param .align 16 .b8 s[24]) {
  .reg .b64 %x<3>;
  ld.param.v2.u64 {%x0, %x1}, [s]; ld.param.u64 %x2, [s+16];
  st.param.v2.b64 [r], {%x1, %x0}; st.param.b64 [r+16], %x2;
  ret;
}
.visible .entry recursion(.param .u64 out) {
  .reg .b32 %r<4>; .reg .b64 %x<3>;
  mov.u32 %r0, %tid.x; and.b32 %r3, %r0, 15;
  { .param .b32 a; .param .b32 v; st.param.b32 [a], %r3; call.uni (v), fib, (a); ld.param.b32 %r1, [v]; }
  ld.param.u64 %x0, [out]; mul.wide.u32 %x1, %r0, 4; add.u64 %x0, %x0, %x1;
  st.global.u32 [%x0], %r1; ret;
}
.visible .entry indirect(.param .u64 out) {
  .reg .b32 %r<4>; .reg .b64 %x<6>;
  mov.u32 %r0, %tid.x; and.b32 %r1, %r0, 1;
  mov.u64 %x0, table; mul.wide.u32 %x1, %r1, 8; add.u64 %x0, %x0, %x1; ld.global.u64 %x2, [%x0];
  proto: .callprototype (.reg .u32 _) _ (.reg .u32 _);
  call (%r2), %x2, (%r0), proto;
  ld.param.u64 %x3, [out]; mul.wide.u32 %x4, %r0, 4; add.u64 %x3, %x3, %x4;
  st.global.u32 [%x3], %r2; ret;
}
.visible .entry structs(.param .u64 out) {
  .reg .b32 %r<4>; .reg .b64 %x<8>;
  mov.u32 %r0, %tid.x; cvt.u64.u32 %x0, %r0; add.u64 %x1, %x0, 100; add.u64 %x2, %x0, 200;
  { .param .align 16 .b8 s[24]; .param .align 16 .b8 v[24];
    st.param.b64 [s], %x0; st.param.b64 [s+8], %x1; st.param.b64 [s+16], %x2;
    call (v), swap, (s);
    ld.param.b64 %x3, [v]; ld.param.b64 %x4, [v+8]; ld.param.b64 %x5, [v+16]; }
  mad.lo.u64 %x3, %x3, 1000, %x4; mad.lo.u64 %x3, %x3, 1000, %x5;
  ld.param.u64 %x6, [out]; mul.wide.u32 %x7, %r0, 8; add.u64 %x6, %x6, %x7;
  st.global.u64 [%x6], %x3; ret;
}
.visible .entry bad_pointer() {
  .reg .b64 %x; .reg .b32 %r<2>;
  mov.u64 %x, 12345; mov.u32 %r0, 1;
  proto: .callprototype (.reg .u32 _) _ (.reg .u32 _);
  call (%r1), %x, (%r0), proto; ret;
}
.func forever() { call forever; ret; }
.visible .entry overflow() { call forever; ret; }
)";

TEST(Calls, RecursionWithDivergentDepth) {
  auto module = load({std::string(kHeader) + kCalls});
  ASSERT_NE(module, nullptr);
  TestMemory memory;
  uint64_t out = memory.upload(Words(64));
  auto result = launch(*module, "recursion", {{}, {64, 1, 1}}, Arguments().add(out), memory);
  EXPECT_EQ(result.fault, Fault::kNone) << result.message;
  const uint32_t fib[16] = {0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610};
  auto values = memory.download<uint32_t>(out, 64);
  for (uint32_t i = 0; i < 64; ++i) EXPECT_EQ(values[i], fib[i & 15]);
}

TEST(Calls, IndirectDivergentTargets) {
  auto module = load({std::string(kHeader) + kCalls});
  ASSERT_NE(module, nullptr);
  TestMemory memory;
  uint64_t out = memory.upload(Words(40));
  auto result = launch(*module, "indirect", {{}, {40, 1, 1}}, Arguments().add(out), memory);
  EXPECT_EQ(result.fault, Fault::kNone) << result.message;
  auto values = memory.download<uint32_t>(out, 40);
  for (uint32_t i = 0; i < 40; ++i) EXPECT_EQ(values[i], i % 2 == 0 ? 2 * i : 3 * i);
}

TEST(Calls, StructParameters) {
  auto module = load({std::string(kHeader) + kCalls});
  ASSERT_NE(module, nullptr);
  TestMemory memory;
  uint64_t out = memory.upload(Longs(32));
  auto result = launch(*module, "structs", {{}, {32, 1, 1}}, Arguments().add(out), memory);
  EXPECT_EQ(result.fault, Fault::kNone) << result.message;
  auto values = memory.download<uint64_t>(out, 32);
  for (uint64_t i = 0; i < 32; ++i) {
    EXPECT_EQ(values[i], ((i + 100) * 1000 + i) * 1000 + i + 200);
  }
}

TEST(Calls, Faults) {
  auto module = load({std::string(kHeader) + kCalls});
  ASSERT_NE(module, nullptr);
  TestMemory memory;
  auto bad = launch(*module, "bad_pointer", {}, {}, memory);
  EXPECT_EQ(bad.fault, Fault::kInvalidPc);
  EXPECT_NE(bad.message.find("0x3039"), std::string::npos) << bad.message;
  auto overflow = launch(*module, "overflow", {}, {}, memory);
  EXPECT_EQ(overflow.fault, Fault::kIllegalAddress);
  EXPECT_NE(overflow.message.find("stack overflow"), std::string::npos) << overflow.message;
}

// ---- barriers
// --------------------------------------------------------------------------------------

constexpr const char* kBarriers = R"(
.visible .entry reverse(.param .u64 out) {
  .shared .u32 s[256]; .reg .b32 %r<8>; .reg .b64 %x<4>;
  mov.u32 %r0, %tid.x; mov.u32 %r1, %ntid.x; mov.u32 %r2, s;
  shl.b32 %r3, %r0, 2; add.u32 %r3, %r3, %r2; st.shared.u32 [%r3], %r0;
  bar.sync 0;
  sub.u32 %r4, %r1, %r0; sub.u32 %r4, %r4, 1; shl.b32 %r4, %r4, 2; add.u32 %r4, %r4, %r2;
  ld.shared.u32 %r5, [%r4];
  ld.param.u64 %x0, [out]; mul.wide.u32 %x1, %r0, 4; add.u64 %x0, %x0, %x1;
  st.global.u32 [%x0], %r5; ret;
}
// Warp 0 produces, warp 1 consumes, by named barriers, three times.
.visible .entry pipeline(.param .u64 out) {
  .shared .u32 item; .reg .b32 %r<8>; .reg .b64 %x<2>; .reg .pred %p<3>;
  mov.u32 %r0, %tid.x; setp.ge.u32 %p0, %r0, 32; mov.u32 %r1, 0; mov.u32 %r2, 0;
  @%p0 bra consumer;
producer:
  bar.sync 2, 64;
  add.u32 %r3, %r1, 7; setp.eq.u32 %p1, %r0, 0; @%p1 st.shared.u32 [item], %r3;
  bar.arrive 1, 64;
  add.u32 %r1, %r1, 1; setp.lt.u32 %p2, %r1, 3; @%p2 bra producer;
  ret;
consumer:
  bar.arrive 2, 64;
  bar.sync 1, 64;
  ld.shared.u32 %r4, [item]; mad.lo.u32 %r2, %r2, 100, %r4;
  add.u32 %r1, %r1, 1; setp.lt.u32 %p2, %r1, 3; @%p2 bra consumer;
  ld.param.u64 %x0, [out]; st.global.u32 [%x0], %r2; ret;
}
.visible .entry reduce(.param .u64 out) {
  .reg .b32 %r<8>; .reg .b64 %x<4>; .reg .pred %p<6>;
  mov.u32 %r0, %tid.x; setp.lt.u32 %p0, %r0, 10;
  barrier.cta.red.popc.aligned.u32 %r1, 0, %p0;
  bar.red.and.pred %p1, 0, %p0; bar.red.or.pred %p2, 0, %p0; bar.red.and.pred %p3, 0, !%p0;
  selp.u32 %r2, 1000, 0, %p1; selp.u32 %r3, 2000, 0, %p2; selp.u32 %r4, 4000, 0, %p3;
  add.u32 %r1, %r1, %r2; add.u32 %r1, %r1, %r3; add.u32 %r1, %r1, %r4;
  ld.param.u64 %x0, [out]; mul.wide.u32 %x1, %r0, 4; add.u64 %x0, %x0, %x1;
  st.global.u32 [%x0], %r1; ret;
}
// Half of the threads leave; the others' barrier must not wait for them.
.visible .entry leave(.param .u64 out) {
  .reg .b32 %r<4>; .reg .b64 %x; .reg .pred %p;
  mov.u32 %r0, %tid.x; setp.ge.u32 %p, %r0, 48; @%p exit;
  bar.sync 0;
  ld.param.u64 %x, [out]; red.global.add.u32 [%x], 1; ret;
}
.visible .entry stuck() {
  .reg .b32 %r0; .reg .pred %p;
  mov.u32 %r0, %tid.x; setp.ge.u32 %p, %r0, 32; @%p bra other;
  bar.sync 1; ret;
other: bar.sync 2; ret;
}
.visible .entry stuck_warp() {
  .reg .b32 %r0; .reg .pred %p;
  mov.u32 %r0, %laneid; setp.ge.u32 %p, %r0, 16; @%p bra other;
  bar.warp.sync 0xffffffff; ret;
other: bar.sync 0; ret;
}
)";

Words run_words(const char* kernel, const Launch& how, size_t count) {
  auto module = load({std::string(kHeader) + kBarriers});
  if (module == nullptr) return {};
  TestMemory memory;
  uint64_t out = memory.upload(Words(count));
  auto result = launch(*module, kernel, how, Arguments().add(out), memory);
  EXPECT_EQ(result.fault, Fault::kNone) << result.message;
  return memory.download<uint32_t>(out, count);
}

TEST(Barriers, SharedMemoryAcrossWarps) {
  for (uint32_t threads : {1u, 31u, 32u, 33u, 256u}) {
    Words values = run_words("reverse", {{}, {threads, 1, 1}}, threads);
    for (uint32_t i = 0; i < threads; ++i) ASSERT_EQ(values[i], threads - 1 - i);
  }
}

TEST(Barriers, NamedProducerConsumer) {
  EXPECT_EQ(run_words("pipeline", {{}, {64, 1, 1}}, 1), (Words{70809}));
}

TEST(Barriers, Reductions) {
  for (uint32_t value : run_words("reduce", {{}, {100, 1, 1}}, 100)) EXPECT_EQ(value, 2010u);
  for (uint32_t value : run_words("reduce", {{}, {8, 1, 1}}, 8)) EXPECT_EQ(value, 3008u);
}

TEST(Barriers, ExitedThreadsDoNotCount) {
  EXPECT_EQ(run_words("leave", {{3, 1, 1}, {128, 1, 1}}, 1), (Words{3 * 48}));
}

TEST(Barriers, DeadlocksAreFound) {
  auto module = load({std::string(kHeader) + kBarriers});
  ASSERT_NE(module, nullptr);
  TestMemory memory;
  for (const char* kernel : {"stuck", "stuck_warp"}) {
    auto result = launch(*module, kernel, {{2, 1, 1}, {64, 1, 1}}, {}, memory);
    EXPECT_EQ(result.fault, Fault::kDeadlock);
    EXPECT_NE(result.message.find(kernel), std::string::npos) << result.message;
    EXPECT_NE(result.message.find("wait"), std::string::npos) << result.message;
  }
}

// ---- collectives
// -----------------------------------------------------------------------------------

Words lanes(uint32_t count) {
  Words values(count);
  for (uint32_t i = 0; i < count; ++i) values[i] = i;
  return values;
}

TEST(Shuffle, EveryModeAndClamp) {
  struct Row {
    const char* mode;
    int amount;
    uint32_t c;
  };
  const Row rows[] = {{"up", 1, 0},        {"up", 5, 0},        {"down", 1, 31},
                      {"down", 40, 31},    {"bfly", 16, 31},    {"bfly", 1, 31},
                      {"idx", 7, 31},      {"idx", 33, 31},     {"up", 3, 0x1800},
                      {"down", 3, 0x181f}, {"bfly", 4, 0x181f}, {"idx", 5, 0x181f},
                      {"idx", 6, 0x1804},  {"bfly", 8, 0x1807}};
  for (const Row& row : rows) {
    auto d = evaluate<uint32_t>(std::string("mov.u32 %r1, %laneid; shfl.sync.") + row.mode +
                                    ".b32 %r0|%p0, %r1, " + std::to_string(row.amount) + ", " +
                                    std::to_string(row.c) +
                                    ", -1; selp.u32 %r2, 1000, 0, %p0; add.u32 %d, %r0, %r2;",
                                lanes(32));
    for (int lane = 0; lane < 32; ++lane) {
      // As the PTX manual words it.
      int b = row.amount & 31;
      int segment = row.c >> 8 & 31;
      int c = row.c & 31;
      int max_lane = (lane & segment) | (c & ~segment);
      int min_lane = lane & segment;
      int j = 0;
      bool p = false;
      if (std::string_view(row.mode) == "up") {
        j = lane - b;
        p = j >= max_lane;
      } else if (std::string_view(row.mode) == "down") {
        j = lane + b;
        p = j <= max_lane;
      } else if (std::string_view(row.mode) == "bfly") {
        j = lane ^ b;
        p = j <= max_lane;
      } else {
        j = min_lane | (b & ~segment);
        p = j <= max_lane;
      }
      if (!p) j = lane;
      EXPECT_EQ(d[lane], static_cast<uint32_t>(j) + (p ? 1000 : 0)) << row.mode << " " << lane;
    }
  }
}

TEST(Collectives, TilesWithTheirOwnMasks) {
  // Lanes name the mask of their half warp: two exchanges in one instruction.
  auto d = evaluate<uint32_t>(
      "mov.u32 %r1, %laneid; setp.lt.u32 %p0, %r1, 16; selp.u32 %r2, 0xffff, 0xffff0000, %p0;"
      "shfl.sync.idx.b32 %r3, %a, 3, 0x101f, %r2; redux.sync.add.u32 %r4, %a, %r2;"
      "mad.lo.u32 %d, %r3, 1000, %r4;",
      lanes(32));
  for (uint32_t i = 0; i < 32; ++i) EXPECT_EQ(d[i], i < 16 ? 3000u + 120 : 19000u + 376);
}

TEST(Collectives, PartnersComeFromDifferentBranches) {
  // Both sides of a branch take part in one vote, and lanes that have left do not.
  auto d = evaluate<uint32_t>(
      "setp.eq.u32 %p2, %a, 9; @%p2 ret;\n"
      "setp.lt.u32 %p0, %a, 8; setp.gt.u32 %p1, %a, 4; @%p0 bra low;\n"
      "vote.sync.ballot.b32 %d, %p1, -1; bra out;\nlow: vote.sync.ballot.b32 %d, %p1, -1;\nout:",
      lanes(32));
  for (uint32_t i = 0; i < 32; ++i) EXPECT_EQ(d[i], i == 9 ? 0 : 0xffffffe0u & ~(1u << 9));
}

TEST(Collectives, Votes) {
  auto vote = [&](const std::string& mode, const std::string& predicate) {
    return evaluate<uint32_t>(
        "setp.lt.u32 %p0, %a, 40; setp.eq.u32 %p1, %a, 3;\n"
        "vote.sync." +
            mode + ".pred %p2, " + predicate + ", -1; selp.u32 %d, 1, 0, %p2;",
        lanes(32))[5];
  };
  EXPECT_EQ(vote("all", "%p0"), 1u);
  EXPECT_EQ(vote("all", "%p1"), 0u);
  EXPECT_EQ(vote("any", "%p1"), 1u);
  EXPECT_EQ(vote("any", "!%p0"), 0u);
  EXPECT_EQ(vote("uni", "%p0"), 1u);
  EXPECT_EQ(vote("uni", "!%p0"), 1u);
  EXPECT_EQ(vote("uni", "%p1"), 0u);
}

TEST(Collectives, MatchReduceElect) {
  Words a(32);
  for (uint32_t i = 0; i < 32; ++i) a[i] = i % 3;
  auto any = evaluate<uint32_t>("match.any.sync.b32 %d, %a, -1;", a);
  for (uint32_t i = 0; i < 32; ++i) {
    uint32_t expected = 0;
    for (uint32_t j = i % 3; j < 32; j += 3) expected |= 1u << j;
    EXPECT_EQ(any[i], expected);
  }
  EXPECT_EQ(evaluate<uint32_t>("match.all.sync.b32 %r0|%p0, %a, -1; selp.u32 %d, %r0, 7, %p0;", a),
            Words(32, 7));
  EXPECT_EQ(evaluate<uint32_t>("match.all.sync.b64 %r0|%p0, 5, -1; selp.u32 %d, %r0, 7, %p0;", a),
            Words(32, 0xffffffff));
  auto signed_values = a;
  signed_values[4] = static_cast<uint32_t>(-9);
  EXPECT_EQ(evaluate<uint32_t>("redux.sync.min.s32 %d, %a, -1;", signed_values),
            Words(32, static_cast<uint32_t>(-9)));
  EXPECT_EQ(evaluate<uint32_t>("redux.sync.max.u32 %d, %a, -1;", signed_values),
            Words(32, static_cast<uint32_t>(-9)));
  EXPECT_EQ(evaluate<uint32_t>("redux.sync.xor.b32 %d, %a, -1;", lanes(32)), Words(32, 0));
  EXPECT_EQ(evaluate<uint32_t>("elect.sync %r0|%p0, 0xffffffff; selp.u32 %r1, 100, 0, %p0;"
                               "add.u32 %d, %r0, %r1;",
                               lanes(32))[0],
            100u);
}

// ---- grids
// -----------------------------------------------------------------------------------------

// A barrier over the whole grid by a counter in memory: every block must run for any to go on.
constexpr const char* kGridBarrier = R"(
.visible .entry k(.param .u64 counter, .param .u64 out, .param .u32 rounds) {
  .reg .b32 %r<10>; .reg .b64 %x<4>; .reg .pred %p<4>;
  ld.param.u64 %x0, [counter]; ld.param.u64 %x1, [out]; ld.param.u32 %r0, [rounds];
  mov.u32 %r1, %tid.x; mov.u32 %r2, %nctaid.x; mov.u32 %r3, 0; setp.ne.u32 %p0, %r1, 0;
round:
  bar.sync 0; @%p0 bra joined;
  atom.add.release.gpu.global.u32 %r4, [%x0], 1;
  add.u32 %r5, %r3, 1; mul.lo.u32 %r5, %r5, %r2;
wait:
  ld.acquire.gpu.global.u32 %r6, [%x0]; setp.lt.u32 %p1, %r6, %r5; @%p1 bra wait;
joined:
  bar.sync 0;
  add.u32 %r3, %r3, 1; setp.lt.u32 %p2, %r3, %r0; @%p2 bra round;
  red.global.add.u32 [%x1], 1; ret;
})";

TEST(Grids, BarrierThroughMemoryMakesProgress) {
  auto module = load({std::string(kHeader) + kGridBarrier});
  ASSERT_NE(module, nullptr);
  for (bool cooperative : {true, false}) {
    TestMemory memory;
    uint64_t counter = memory.upload(Words(1));
    uint64_t out = memory.upload(Words(1));
    Launch how{{40, 1, 1}, {64, 1, 1}};
    how.cooperative = cooperative;
    auto result =
        launch(*module, "k", how, Arguments().add(counter).add(out).add(uint32_t{5}), memory);
    EXPECT_EQ(result.fault, Fault::kNone) << result.message;
    EXPECT_EQ(memory.download<uint32_t>(out, 1)[0], 40u * 64);
    EXPECT_EQ(memory.download<uint32_t>(counter, 1)[0], 200u);
  }
}

TEST(Grids, ThreeDimensions) {
  auto module = load({std::string(kHeader) + R"(
.visible .entry k(.param .u64 out) {
  .reg .b32 %r<16>; .reg .b64 %x<3>;
  mov.u32 %r0, %ctaid.z; mov.u32 %r1, %nctaid.y; mov.u32 %r2, %ctaid.y;
  mad.lo.u32 %r3, %r0, %r1, %r2; mov.u32 %r4, %nctaid.x; mov.u32 %r5, %ctaid.x;
  mad.lo.u32 %r3, %r3, %r4, %r5;
  mov.u32 %r6, %ntid.z; mov.u32 %r7, %tid.z; mad.lo.u32 %r3, %r3, %r6, %r7;
  mov.u32 %r6, %ntid.y; mov.u32 %r7, %tid.y; mad.lo.u32 %r3, %r3, %r6, %r7;
  mov.u32 %r6, %ntid.x; mov.u32 %r7, %tid.x; mad.lo.u32 %r3, %r3, %r6, %r7;
  ld.param.u64 %x0, [out]; mul.wide.u32 %x1, %r3, 4; add.u64 %x0, %x0, %x1;
  atom.global.add.u32 %r8, [%x0], 1; ret;
})"});
  ASSERT_NE(module, nullptr);
  TestMemory memory;
  const size_t total = 3 * 4 * 5 * 6 * 7 * 2;
  uint64_t out = memory.upload(Words(total));
  auto result = launch(*module, "k", {{3, 4, 5}, {6, 7, 2}}, Arguments().add(out), memory);
  EXPECT_EQ(result.fault, Fault::kNone) << result.message;
  EXPECT_EQ(memory.download<uint32_t>(out, total), Words(total, 1));
}

TEST(Grids, AFaultStopsAnEndlessKernel) {
  auto module = load({std::string(kHeader) + R"(
.visible .entry k() {
  .reg .b32 %r0; .reg .pred %p;
  mov.u32 %r0, %ctaid.x; setp.eq.u32 %p, %r0, 5; @%p trap;
again: bra again;
})"});
  ASSERT_NE(module, nullptr);
  TestMemory memory;
  // Without sharing the processor between blocks the sixth would never start on one core; endless
  // loops without memory accesses are given up for other blocks, too.
  auto result = launch(*module, "k", {{8, 1, 1}, {32, 1, 1}}, {}, memory);
  EXPECT_EQ(result.fault, Fault::kIllegalInstruction);
  EXPECT_NE(result.message.find("block: [5,0,0]"), std::string::npos) << result.message;
}

}  // namespace
}  // namespace farlane::softcuda
