// Loads, stores, atomics, address spaces, printf, assert, malloc, and every way to get it wrong.
#include <atomic>
#include <bit>

#include "server/softcuda/ptx_test_support.h"

namespace farlane::softcuda {
namespace {

using Words = std::vector<uint32_t>;
using Longs = std::vector<uint64_t>;
using Halves = std::vector<uint16_t>;

// A kernel with pointers a and b, %r0 = the thread, and scratch registers.
std::string kernel(const std::string& body, const std::string& before = "") {
  return std::string(kHeader) + before +
         "\n.visible .entry k(.param .u64 a, .param .u64 b)\n{\n"
         ".reg .b32 %r<16>; .reg .b64 %x<16>; .reg .b16 %h<8>; .reg .pred %p<8>; .reg .f32 %f<8>;\n"
         ".reg .f64 %d<8>; .reg .b128 %w<4>;\n"
         "ld.param.u64 %x0, [a]; ld.param.u64 %x1, [b]; mov.u32 %r0, %tid.x;\n" +
         body + "\nret;\n}\n";
}

struct Outcome {
  LaunchResult result;
  Words a, b;
  std::string out, err;
};

Outcome run(const std::string& text, const Launch& how, const Words& a, const Words& b = Words(1)) {
  Outcome outcome;
  auto module = load({text});
  if (module == nullptr) return outcome;
  TestMemory memory;
  CapturedOutput output;
  uint64_t pa = memory.upload(a);
  uint64_t pb = memory.upload(b);
  outcome.result = launch(*module, "k", how, Arguments().add(pa).add(pb), memory, &output);
  outcome.a = memory.download<uint32_t>(pa, a.size());
  outcome.b = memory.download<uint32_t>(pb, b.size());
  outcome.out = output.out;
  outcome.err = output.err;
  return outcome;
}

void expect_ok(const Outcome& outcome) {
  EXPECT_EQ(outcome.result.fault, Fault::kNone) << outcome.result.message;
}

TEST(Memory, WidthsAndExtension) {
  auto o = run(kernel("ld.global.s8 %r1, [%x0]; st.global.u32 [%x1], %r1;"
                      "ld.global.u8 %r1, [%x0]; st.global.u32 [%x1+4], %r1;"
                      "ld.global.s16 %x2, [%x0+2]; st.global.u64 [%x1+8], %x2;"
                      "ld.global.u8 %h0, [%x0+1]; st.global.u8 [%x1+16], %h0;"
                      "st.global.u8 [%x1+17], 7; st.global.u16 [%x1+18], %r1;"
                      "st.global.f32 [%x1+20], 0f3F800000;"),
               {}, Words{0xfffe80ff}, Words(6, 0x55555555));
  expect_ok(o);
  EXPECT_EQ(o.b, (Words{0xffffffff, 0xff, 0xfffffffe, 0xffffffff, 0x00ff0780, 0x3f800000}));
}

TEST(Memory, Vectors) {
  auto o = run(kernel("ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%x0];"
                      "st.global.v2.u64 [%x1], {%x0, %x0};"
                      "st.global.v4.b32 [%x1], {%r4, %r3, %r2, 9};"
                      "ld.global.nc.L1::no_allocate.v2.u16 {%h0, %h1}, [%x0]; "
                      "st.volatile.global.v2.u16 [%x1+16], {%h1, %h0};"
                      "ld.global.b128 %w0, [%x0]; mov.b128 {%x3, %x4}, %w0;"
                      "mov.b128 %w1, {%x4, %x3}; st.global.b128 [%x1+32], %w1;"),
               {}, Words{1, 2, 3, 4}, Words(12));
  expect_ok(o);
  EXPECT_EQ(o.b, (Words{4, 3, 2, 9, 0x00010000, 0, 0, 0, 3, 4, 1, 2}));
}

std::string with_depot(std::string text) {
  size_t at = text.find(".reg .b32");
  return text.insert(at, ".local .align 8 .b8 depot[16];\n");
}

TEST(Memory, SpacesAndGenericAddresses) {
  auto o = run(with_depot(kernel(
                   "mov.u32 %r1, s; mad.lo.u32 %r2, %r0, 4, %r1; st.shared.u32 [%r2], %r0;\n"
                   "mov.u64 %x2, s; cvta.shared.u64 %x3, %x2; isspacep.shared %p0, %x3;\n"
                   "isspacep.global %p1, %x3; isspacep.global %p2, %x0; bar.sync 0;\n"
                   "ld.u32 %r3, [%x3+4]; cvta.to.shared.u64 %x4, %x3; ld.shared.u32 %r4, [%x4+8];\n"
                   "mov.u64 %x5, depot; cvta.local.u64 %x6, %x5; add.u32 %r5, %r0, 50;\n"
                   "st.u32 [%x6+8], %r5; ld.local.u32 %r6, [depot+8]; isspacep.local %p3, %x6;\n"
                   "mov.u64 %x7, table; ld.const.u32 %r7, [table+4]; ld.const.u32 %r8, [%x7];\n"
                   "cvta.const.u64 %x8, %x7; ld.u32 %r9, [%x8+4]; isspacep.const %p4, %x8;\n"
                   "ld.global.u32 %r10, [var]; ld.shared.u32 %r11, [s+12];\n"
                   "setp.ne.u32 %p7, %r0, 5; @%p7 ret;\n"
                   "st.global.v4.u32 [%x1], {%r3, %r4, %r6, %r7};\n"
                   "st.global.v4.u32 [%x1+16], {%r8, %r9, %r10, %r11};\n"
                   "selp.u32 %r1, 1, 0, %p0; selp.u32 %r2, 2, 0, %p1; selp.u32 %r3, 4, 0, %p2;\n"
                   "selp.u32 %r4, 8, 0, %p3; selp.u32 %r5, 16, 0, %p4; or.b32 %r1, %r1, %r2;\n"
                   "or.b32 %r1, %r1, %r3; or.b32 %r1, %r1, %r4; or.b32 %r1, %r1, %r5;\n"
                   "st.global.u32 [%x1+32], %r1;",
                   ".shared .align 4 .b8 s[128];\n.const .u32 table[2] = {11, 22};\n"
                   ".global .u32 var = 33;\n")),
               {{}, {32, 1, 1}}, Words(1), Words(9));
  expect_ok(o);
  EXPECT_EQ(o.b, (Words{1, 2, 55, 22, 11, 22, 33, 3, 1 + 4 + 8 + 16}));
}

TEST(Memory, DynamicSharedFollowsTheStaticPart) {
  auto o = run(kernel("mov.u32 %r1, fixed; mov.u32 %r2, dynamic; mov.u64 %x2, dynamic;\n"
                      "mad.lo.u32 %r3, %r0, 4, %r2; st.shared.u32 [%r3], %r0; bar.sync 0;\n"
                      "ld.shared.u32 %r4, [dynamic+12]; ld.shared.u32 %r5, [%x2+16];\n"
                      "mov.u32 %r6, %dynamic_smem_size; mov.u32 %r7, %total_smem_size;\n"
                      "setp.ne.u32 %p0, %r0, 0; @%p0 ret;\n"
                      "st.global.v4.u32 [%x1], {%r1, %r2, %r4, %r5};\n"
                      "st.global.v2.u32 [%x1+16], {%r6, %r7};",
                      ".shared .align 4 .b8 fixed[20];\n"
                      ".extern .shared .align 16 .b8 dynamic[];\n"),
               {{}, {32, 1, 1}, 128}, Words(1), Words(8));
  expect_ok(o);
  EXPECT_EQ(o.b, (Words{0, 32, 3, 4, 128, 160, 0, 0}));
}

TEST(Memory, LocalMemoryIsPerThread) {
  auto o = run(with_depot(kernel("mov.u64 %x2, depot; cvta.local.u64 %x3, %x2;\n"
                                 "st.u32 [%x3+4], %r0; bar.sync 0; ld.local.u32 %r1, [%x2+4];\n"
                                 "ld.local.u32 %r2, [depot+4]; add.u32 %r1, %r1, %r2;\n"
                                 "mul.wide.u32 %x4, %r0, 4; add.u64 %x4, %x1, %x4;\n"
                                 "st.global.u32 [%x4], %r1;")),
               {{}, {50, 1, 1}}, Words(1), Words(50));
  expect_ok(o);
  for (uint32_t i = 0; i < 50; ++i) EXPECT_EQ(o.b[i], 2 * i);
}

TEST(Memory, AsyncCopies) {
  auto o = run(kernel("mov.u32 %r1, s; cp.async.ca.shared.global [%r1], [%x0], 16;\n"
                      "cp.async.cg.shared.global.L2::128B [%r1+16], [%x0], 16, 8;\n"
                      "cp.async.commit_group; cp.async.wait_group 0; cp.async.wait_all;\n"
                      "ld.shared.v4.u32 {%r2,%r3,%r4,%r5}, [s+16]; ld.shared.u32 %r6, [s+12];\n"
                      "st.global.v4.u32 [%x1], {%r2, %r3, %r4, %r6};",
                      ".shared .align 16 .b8 s[32];\n"),
               {}, Words{1, 2, 3, 4}, Words(4, 9));
  expect_ok(o);
  EXPECT_EQ(o.b, (Words{1, 2, 0, 4}));
}

// ---- faults
// ----------------------------------------------------------------------------------------

void expect_fault(const Outcome& o, Fault fault, const std::vector<std::string>& parts) {
  EXPECT_EQ(o.result.fault, fault) << o.result.message;
  for (const std::string& part : parts) {
    EXPECT_NE(o.result.message.find(part), std::string::npos) << o.result.message;
  }
}

TEST(MemoryFaults, IllegalAddresses) {
  Launch two{{2, 1, 1}, {40, 1, 1}};
  expect_fault(run(kernel("mov.u64 %x2, 64; ld.global.u32 %r1, [%x2];"), {}, Words(4)),
               Fault::kIllegalAddress,
               {"kernel k", "block: [0,0,0]", "thread: [0,0,0]", "load of 4 bytes at 0x40",
                "global memory", "line 10"});
  // Only one thread goes too far, and it is named.
  expect_fault(
      run(kernel("setp.eq.u32 %p0, %r0, 37; @%p0 st.global.u32 [%x0+16], %r0;"), two, Words(4)),
      Fault::kIllegalAddress, {"store of 4 bytes", "thread: [37,0,0]"});
  expect_fault(run(kernel("ld.global.v4.u32 {%r1,%r2,%r3,%r4}, [%x0+16];"), {}, Words(7)),
               Fault::kIllegalAddress, {"16 bytes"});
  expect_fault(run(kernel("ld.shared.u32 %r1, [%x0];"), {}, Words(1)), Fault::kIllegalAddress,
               {"shared memory"});
  expect_fault(run(kernel("mov.u32 %r1, 128; st.shared.u32 [%r1], %r1;", ".shared .b8 s[128];\n"),
                   {}, Words(1)),
               Fault::kIllegalAddress, {"store of 4 bytes at 0x80 in shared"});
  expect_fault(run(kernel("atom.global.add.u32 %r1, [%x0+64], 1;"), {}, Words(1)),
               Fault::kIllegalAddress, {"atomic of 4 bytes"});
  expect_fault(
      run(with_depot(kernel("mov.u64 %x2, 0x7fffff0; ld.local.u32 %r1, [%x2];")), {}, Words(1)),
      Fault::kIllegalAddress, {"local memory"});
  expect_fault(run(kernel("mov.u64 %x2, 0x9000000000100000; ld.u32 %r1, [%x2];"), {}, Words(1)),
               Fault::kIllegalAddress, {"0x9000000000100000"});
  expect_fault(run(kernel("mov.u64 %x2, 0xfffffffffffffffc; ld.u32 %r1, [%x2];"), {}, Words(1)),
               Fault::kIllegalAddress, {});
}

TEST(MemoryFaults, Misaligned) {
  expect_fault(run(kernel("ld.global.u32 %r1, [%x0+2];"), {}, Words(4)), Fault::kMisalignedAddress,
               {"misaligned load"});
  expect_fault(run(kernel("ld.global.v2.u32 {%r1,%r2}, [%x0+4];"), {}, Words(4)),
               Fault::kMisalignedAddress, {"8 bytes"});
  expect_fault(run(kernel("st.shared.u16 [s+1], %r0;", ".shared .b8 s[8];\n"), {}, Words(4)),
               Fault::kMisalignedAddress, {"shared"});
  expect_fault(run(kernel("atom.global.cas.b64 %x3, [%x0+4], %x1, %x1;"), {}, Words(4)),
               Fault::kMisalignedAddress, {"atomic"});
}

TEST(MemoryFaults, TrapAndGuardedInstructions) {
  expect_fault(run(kernel("setp.eq.u32 %p0, %r0, 3; @%p0 trap;"), {{}, {8, 1, 1}}, Words(1)),
               Fault::kIllegalInstruction, {"trap", "thread: [3,0,0]"});
  // A guard that is false for all lanes keeps the bad access from happening.
  expect_ok(run(kernel("mov.u64 %x2, 0; setp.eq.u32 %p0, %r0, 99; @%p0 ld.global.u32 %r1, [%x2];"),
                {{}, {8, 1, 1}}, Words(1)));
}

// ---- atomics
// ---------------------------------------------------------------------------------------

TEST(Atomics, EveryIntegerOperation) {
  auto o = run(
      kernel("atom.global.add.u32 %r1, [%x0], 5; atom.global.min.s32 %r2, [%x0+4], -3;\n"
             "atom.global.max.u32 %r3, [%x0+8], 7; atom.global.and.b32 %r4, [%x0+12], 12;\n"
             "atom.global.or.b32 %r5, [%x0+16], 12; atom.global.xor.b32 %r6, [%x0+20], 12;\n"
             "atom.global.exch.b32 %r7, [%x0+24], 99;\n"
             "atom.global.cas.b32 %r8, [%x0+28], 1, 50; atom.global.cas.b32 %r9, [%x0+32], 7, 50;\n"
             "atom.global.inc.u32 %r10, [%x0+36], 3; atom.global.inc.u32 %r11, [%x0+40], 9;\n"
             "atom.global.dec.u32 %r12, [%x0+44], 3; atom.global.dec.u32 %r13, [%x0+48], 9;\n"
             "st.global.v4.u32 [%x1], {%r1,%r2,%r3,%r4}; st.global.v4.u32 [%x1+16], "
             "{%r5,%r6,%r7,%r8};\n"
             "st.global.v4.u32 [%x1+32], {%r9,%r10,%r11,%r12}; st.global.u32 [%x1+48], %r13;"),
      {}, Words{1, 1, 9, 10, 3, 10, 1, 1, 1, 3, 3, 0, 3}, Words(13));
  expect_ok(o);
  EXPECT_EQ(o.a, (Words{6, 0xfffffffd, 9, 8, 15, 6, 99, 50, 1, 0, 4, 3, 2}));
  EXPECT_EQ(o.b, (Words{1, 1, 9, 10, 3, 10, 1, 1, 1, 3, 3, 0, 3}));
}

TEST(Atomics, ManyBlocksAddUp) {
  auto o = run(
      kernel("red.relaxed.gpu.global.add.u32 [%x0], 1; red.global.add.u64 [%x0+8], 3;\n"
             "red.global.add.f32 [%x0+4], 0f3F800000; atom.add.f64 %d0, [%x0+16], "
             "0d3FE0000000000000;\n"
             "cvta.to.global.u64 %x2, %x0; atom.global.gpu.acq_rel.max.s32 %r1, [%x2+24], %r0;\n"
             "atom.shared.add.u32 %r2, [s], 1; bar.sync 0; setp.ne.u32 %p0, %r0, 0; @%p0 ret;\n"
             "ld.shared.u32 %r3, [s]; red.global.add.u32 [%x1], %r3;",
             ".shared .u32 s;\n"),
      {{16, 1, 1}, {128, 1, 1}}, Words(8), Words(1));
  expect_ok(o);
  EXPECT_EQ(o.a[0], 2048u);
  EXPECT_EQ(std::bit_cast<float>(o.a[1]), 2048.0f);
  EXPECT_EQ(o.a[2], 6144u);
  EXPECT_EQ(std::bit_cast<double>(uint64_t{o.a[5]} << 32 | o.a[4]), 1024.0);
  EXPECT_EQ(o.a[6], 127u);
  EXPECT_EQ(o.b[0], 2048u);
}

TEST(Atomics, HalvesAndWideOnes) {
  auto o = run(kernel("mov.b16 %h0, 0x3c00; red.global.add.noftz.f16 [%x0], %h0;\n"
                      "mov.b32 %r1, 0x3c003c00; red.global.add.noftz.f16x2 [%x0+4], %r1;\n"
                      "mov.b32 %r2, 0x3f803f80; red.global.add.noftz.bf16x2 [%x0+8], %r2;\n"
                      "atom.global.cas.b16 %h1, [%x0+12], 7, 8;"),
               {{2, 1, 1}, {32, 1, 1}}, Words{0, 0, 0, 0x00050007});
  expect_ok(o);
  EXPECT_EQ(o.a, (Words{0x00005400, 0x54005400, 0x42804280, 0x00050008}));
  o = run(
      kernel("mov.b128 %w0, {1, 2}; mov.b128 %w1, {3, 4};\n"
             "atom.global.exch.b128 %w2, [%x0], %w0; atom.global.cas.b128 %w3, [%x0], %w0, %w1;\n"
             "st.global.b128 [%x1], %w3;"),
      {}, Words{9, 0, 9, 0}, Words(4));
  expect_ok(o);
  EXPECT_EQ(o.a, (Words{3, 0, 4, 0}));
  EXPECT_EQ(o.b, (Words{1, 0, 2, 0}));
}

// ---- printf, assert, malloc
// --------------------------------------------------------------------------

constexpr const char* kRuntime = R"(
.extern .func (.param .b32 r) vprintf(.param .b64 f, .param .b64 a);
.extern .func (.param .b64 r) malloc(.param .b64 n);
.extern .func free(.param .b64 p);
.extern .func __assertfail(.param .b64 m, .param .b64 f, .param .b32 l, .param .b64 n, .param .b64 s);
.global .b8 text[6] = {119, 111, 114, 108, 100};
)";

std::string bytes_of(std::string_view name, std::string_view text) {
  std::string result =
      ".global .b8 " + std::string(name) + "[" + std::to_string(text.size() + 1) + "] = {";
  for (char c : text) result += std::to_string(static_cast<int>(c)) + ", ";
  return result + "0};\n";
}

std::string print(std::string_view format, const std::string& stores) {
  std::string text = kernel(stores +
                                "\nmov.u64 %x2, format; cvta.global.u64 %x2, %x2;\n"
                                "mov.u64 %x3, depot; cvta.local.u64 %x3, %x3;\n"
                                "{ .param .b64 p0; .param .b64 p1; .param .b32 r;\n"
                                "st.param.b64 [p0], %x2; st.param.b64 [p1], %x3;\n"
                                "call.uni (r), vprintf, (p0, p1); ld.param.b32 %r9, [r]; }\n"
                                "st.global.u32 [%x1], %r9;",
                            kRuntime + bytes_of("format", format));
  return text.insert(text.find(".reg .b32"), ".local .align 8 .b8 depot[64];\n");
}

TEST(Runtime, Printf) {
  auto o = run(print("i=%d u=%u x=%#06x c=%c %%\n",
                     "st.local.u32 [depot], -5; st.local.u32 [depot+4], 0xffffffff;"
                     "st.local.u32 [depot+8], 0xab; st.local.u32 [depot+12], 65;"),
               {}, Words(1));
  expect_ok(o);
  EXPECT_EQ(o.out, "i=-5 u=4294967295 x=0x00ab c=A %\n");
  EXPECT_EQ(o.b[0], 4u);
  o = run(
      print("%5.2f|%-8g|%e|%lld|%hhd",
            "st.local.f64 [depot], 0d400921FB54442D18; st.local.f64 [depot+8], 0d3FE0000000000000;"
            "st.local.f64 [depot+16], 0d40F86A0000000000; st.local.u64 [depot+24], -1;"
            "st.local.u32 [depot+32], 511;"),
      {}, Words(1));
  EXPECT_EQ(o.out, " 3.14|0.5     |1.000000e+05|-1|-1");
  o = run(
      print("[%*d] [%.*s] [%s] %p",
            "mov.u64 %x5, text; cvta.global.u64 %x5, %x5; st.local.u32 [depot], 6;"
            "st.local.u32 [depot+4], 42; st.local.u32 [depot+8], 3; st.local.u64 [depot+16], %x5;"
            "st.local.u64 [depot+24], %x5; st.local.u64 [depot+32], 4096;"),
      {}, Words(1));
  EXPECT_EQ(o.out, "[    42] [wor] [world] 0x1000");
  // One whole message per thread; every thread's is there.
  o = run(print("t%d;", "st.local.u32 [depot], %r0;"), {{2, 1, 1}, {40, 1, 1}}, Words(1));
  for (int i = 0; i < 40; ++i) {
    std::string one = "t" + std::to_string(i) + ";";
    size_t first = o.out.find(one);
    ASSERT_NE(first, std::string::npos);
    EXPECT_NE(o.out.find(one, first + 1), std::string::npos);
  }
  o = run(print("%s", "st.local.u64 [depot], 8;"), {}, Words(1));
  EXPECT_EQ(o.result.fault, Fault::kIllegalAddress);
}

TEST(Runtime, Assert) {
  std::string call =
      "setp.ne.u32 %p0, %r0, 3; @%p0 ret;\n"
      "mov.u64 %x2, m; cvta.global.u64 %x2, %x2; mov.u64 %x3, f; cvta.global.u64 %x3, %x3;\n"
      "mov.u64 %x4, n; cvta.global.u64 %x4, %x4;\n"
      "{ .param .b64 p0; .param .b64 p1; .param .b32 p2; .param .b64 p3; .param .b64 p4;\n"
      "st.param.b64 [p0], %x2; st.param.b64 [p1], %x3; st.param.b32 [p2], 17;\n"
      "st.param.b64 [p3], %x4; st.param.b64 [p4], 1;\n"
      "call.uni __assertfail, (p0, p1, p2, p3, p4); }\n";
  auto o = run(kernel(call, kRuntime + bytes_of("m", "x > 0") + bytes_of("f", "a.cu") +
                                bytes_of("n", "void k(int *)")),
               {{}, {8, 1, 1}}, Words(1));
  EXPECT_EQ(o.result.fault, Fault::kAssert);
  EXPECT_EQ(o.err,
            "a.cu:17: void k(int *): block: [0,0,0], thread: [3,0,0] Assertion `x > 0` failed.\n");
}

TEST(Runtime, MallocAndFree) {
  const std::string allocate =
      "{ .param .b64 p; .param .b64 r; st.param.b64 [p], 100; call.uni (r), malloc, (p);"
      " ld.param.b64 %x2, [r]; }\n";
  const std::string release = "{ .param .b64 p; st.param.b64 [p], %x2; call.uni free, (p); }\n";
  auto o = run(kernel(allocate +
                          "st.u32 [%x2+96], %r0; ld.u32 %r1, [%x2+96]; mul.wide.u32 %x3, %r0, 4;"
                          "add.u64 %x3, %x1, %x3; st.global.u32 [%x3], %r1;" +
                          release,
                      kRuntime),
               {{}, {64, 1, 1}}, Words(1), Words(64));
  expect_ok(o);
  for (uint32_t i = 0; i < 64; ++i) EXPECT_EQ(o.b[i], i);
  o = run(kernel(allocate + release + "ld.u32 %r1, [%x2];", kRuntime), {}, Words(1));
  EXPECT_EQ(o.result.fault, Fault::kIllegalAddress);
  o = run(kernel(allocate + release + release, kRuntime), {}, Words(1));
  EXPECT_EQ(o.result.fault, Fault::kIllegalAddress);
  EXPECT_NE(o.result.message.find("free of"), std::string::npos);
}

}  // namespace
}  // namespace farlane::softcuda
