// What does not load, and what it says.
#include "server/softcuda/ptx_test_support.h"

namespace farlane::softcuda {
namespace {

std::string kernel(const std::string& body) {
  return std::string(kHeader) + ".visible .entry k()\n{\n" + body + "\n}\n";
}

void expect_error(const std::string& text, const std::string& part) {
  std::string error = load_error(text);
  EXPECT_NE(error.find(part), std::string::npos) << error;
}

TEST(PtxErrors, UnknownInstructionIsNamedWithItsLine) {
  EXPECT_EQ(load_error(kernel(".reg .b64 %x<3>;\nwgmma.fence.sync.aligned;")),
            "ptx: line 7: instruction \"wgmma.fence.sync.aligned\" is not known to the software "
            "device");
  expect_error(kernel(".reg .b32 %r<3>;\nadd.s77 %r0, %r1, %r2;"), "add.s77");
  expect_error(kernel(".reg .f32 %f<3>;\nadd.rn.zzz.f32 %f0, %f1, %f2;"), "add.rn.zzz.f32");
  expect_error(kernel(".reg .b32 %r<8>;\nmma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 "
                      "{%r0,%r1,%r2,%r3}, {%r4,%r5}, {%r6}, {%r0,%r1,%r2,%r3};"),
               "mma.sync");
}

TEST(PtxErrors, Syntax) {
  expect_error(kernel(".reg .b32 %r<3>;\nadd.u32 %r0, %r1 %r2;"), "line 7: expected \",\"");
  expect_error(kernel(".reg .b32 %r<3>;\nadd.u32 %r0, %r1, ;"), "line 7");
  expect_error(std::string(kHeader) + ".visible .entry k() {\nret;\n", "this function has no end");
  expect_error(std::string(kHeader) + "/* open", "line 4: this comment has no end");
  expect_error("ret;", "expected a directive");
  expect_error("", "no .version");
  expect_error(std::string(kHeader) + ".bogus 7;", "directive \".bogus\"");
  expect_error(kernel("mov.u32 %r1, 99999999999999999999999;"), "at most 64 bits");
  expect_error(kernel("mov.f32 %f1, 0f3F;"), "cut short");
  expect_error(".version 8.0\n.target sm_80\n.address_size 32\n", "only .address_size 64");
}

TEST(PtxErrors, Names) {
  expect_error(kernel("bra nowhere;"), "label \"nowhere\" is not defined");
  expect_error(kernel("a: ret;\na: ret;"), "label \"a\" is defined twice");
  expect_error(kernel(".reg .b32 %r<3>;\nadd.u32 %r0, %r1, %r3;"), "\"%r3\"");
  expect_error(kernel(".reg .b32 %r<3>;\nmov.u32 %r0, missing;"), "\"missing\" is not declared");
  expect_error(kernel(".reg .b64 %x<3>;\nld.global.u32 %x0, [%nothing];"), "%nothing");
  expect_error(kernel("call undeclared, ();"), "function \"undeclared\" is not declared");
  expect_error(std::string(kHeader) + ".extern .func f();\n.entry k() { call f; ret; }",
               "function \"f\" is defined in none of the texts");
  expect_error(std::string(kHeader) + ".extern .global .u32 g;\n", "no text defines the variable");
  expect_error(std::string(kHeader) + ".global .u32 g;\n.global .u32 g;\n", "defined twice");
  expect_error(std::string(kHeader) + ".global .u32 g[1] = {1, 2};\n", "more initial values");
}

TEST(PtxErrors, OperandKinds) {
  expect_error(kernel(".reg .b32 %r<3>;\n.reg .b64 %x;\nadd.u32 %r0, %r1, %x;"),
               "\"%x\" has 64 bits, not the 32 of .u32");
  expect_error(kernel(".reg .b32 %r<3>;\n.reg .pred %p;\nadd.u32 %r0, %r1, %p;"), "is a predicate");
  expect_error(kernel(".reg .b32 %r<3>;\nselp.u32 %r0, %r1, %r2, %r1;"), "is not a predicate");
  expect_error(kernel(".reg .b32 %r<3>;\n@%r0 ret;"), "is not a predicate");
  expect_error(kernel(".reg .b32 %r<3>;\nadd.u32 %r0, %r1;"), "has 2 operands, not 3");
  expect_error(kernel(".reg .b32 %r<3>;\n.reg .b64 %x;\nld.global.v2.u32 {%r0}, [%x];"),
               "1 registers, not 2");
  expect_error(kernel(".reg .b16 %h;\n.reg .b64 %x;\nld.global.u32 %h, [%x];"), "narrower");
}

TEST(PtxParser, AcceptsWhatCompilersAdd) {
  std::string text = std::string("// comment\n") + kHeader +
                     ".file 1 \"a.cu\", 123, 45\n"
                     ".section .debug_abbrev\n{\n.b8 1\n.b8 2\n}\n"
                     ".visible .entry k(.param .u64 .ptr .global .align 4 p)\n"
                     ".maxntid 128, 1, 1\n.minnctapersm 2\n"
                     "{\n.loc 1 5 3\n.pragma \"nounroll\";\n{ .reg .b32 t; mov.u32 t, 5; }\n"
                     "/* two\nlines */ ret;\n}\n";
  text.push_back('\0');  // as fat binaries store it
  auto module = load({text});
  ASSERT_NE(module, nullptr);
  EXPECT_EQ(module->kernels()[0].max_threads_per_block, 128u);
}

TEST(PtxParser, KernelInformation) {
  auto module = load({std::string(kHeader) +
                      ".const .align 4 .b8 table[100];\n"
                      ".global .align 8 .u64 pointer = generic(target);\n"
                      ".global .u32 target = 0x11223344;\n"
                      ".visible .entry k(.param .u32 a, .param .u64 b,\n"
                      " .param .align 16 .b8 c[20], .param .u8 d) .reqntid 32, 2\n"
                      "{\n.shared .align 8 .b8 s[24];\n.shared .u32 t;\n.local .b8 depot[40];\n"
                      "ret;\n}\n.visible .entry other() { .shared .b8 big[1000]; ret; }\n"});
  ASSERT_NE(module, nullptr);
  const KernelInfo& kernel = module->kernels()[0];
  ASSERT_EQ(kernel.params.size(), 4u);
  EXPECT_EQ(kernel.params[1].offset, 8u);
  EXPECT_EQ(kernel.params[2].offset, 16u);
  EXPECT_EQ(kernel.params[2].bytes, 20u);
  EXPECT_EQ(kernel.params[3].offset, 36u);
  EXPECT_EQ(kernel.param_bytes, 37u);
  EXPECT_EQ(kernel.shared_static_bytes, 28u);
  EXPECT_EQ(kernel.local_bytes, 48u);
  EXPECT_EQ(kernel.reqd_threads[1], 2u);
  EXPECT_EQ(kernel.max_threads_per_block, 64u);
  // Kernels that share nothing use the same shared bytes.
  EXPECT_EQ(module->kernels()[1].shared_static_bytes, 1000u);
  uint64_t pointer = 0;
  uint64_t target = 0;
  for (const VariableInfo& variable : module->variables()) {
    if (variable.name == "pointer") pointer = variable.address;
    if (variable.name == "target") target = variable.address;
    if (variable.name == "table") {
      EXPECT_TRUE(variable.constant);
      EXPECT_EQ(variable.bytes, 100u);
    }
  }
  ASSERT_NE(pointer, 0u);
  EXPECT_EQ(*reinterpret_cast<uint64_t*>(pointer), target);
  EXPECT_EQ(*reinterpret_cast<uint32_t*>(target), 0x11223344u);
}

TEST(PtxParser, Initialisers) {
  auto module = load({std::string(kHeader) +
                      ".global .u32 a[2][2] = {{1, 2}, {3}};\n"
                      ".global .f32 f[3] = {1.5, 0f40000000, -2.0};\n"
                      ".global .f64 d = 0.1;\n.global .s16 s[2] = {-1, 0xff};\n"
                      ".global .u32 target[4];\n"
                      ".global .u64 p[2] = {target+8, generic(target)+4};\n"
                      ".global .b8 m[4] = {0xFF(target), 0xFF00(target), 0xFF0000(target), 7};\n"
                      ".visible .entry k() { ret; }\n"});
  ASSERT_NE(module, nullptr);
  std::map<std::string, uint64_t> address;
  for (const VariableInfo& variable : module->variables()) {
    address[variable.name] = variable.address;
  }
  auto* a = reinterpret_cast<uint32_t*>(address["a"]);
  EXPECT_EQ(a[0] + 10 * a[1] + 100 * a[2], 321u);
  auto* f = reinterpret_cast<float*>(address["f"]);
  EXPECT_EQ(f[0], 1.5f);
  EXPECT_EQ(f[1], 2.0f);
  EXPECT_EQ(f[2], -2.0f);
  EXPECT_EQ(*reinterpret_cast<double*>(address["d"]), 0.1);
  EXPECT_EQ(reinterpret_cast<int16_t*>(address["s"])[0], -1);
  auto* p = reinterpret_cast<uint64_t*>(address["p"]);
  EXPECT_EQ(p[0], address["target"] + 8);
  EXPECT_EQ(p[1], address["target"] + 4);
  auto* m = reinterpret_cast<uint8_t*>(address["m"]);
  EXPECT_EQ(m[0], address["target"] & 0xff);
  EXPECT_EQ(m[1], address["target"] >> 8 & 0xff);
  EXPECT_EQ(m[2], address["target"] >> 16 & 0xff);
  EXPECT_EQ(m[3], 7);
}

TEST(PtxParser, WeakAndCommonSymbolsAcrossTexts) {
  const std::string weak = std::string(kHeader) +
                           ".weak .global .u32 w = 1;\n"
                           ".weak .func (.param .u32 r) f() { st.param.u32 [r], 10; ret; }\n"
                           ".visible .entry k(.param .u64 out) {\n.reg .b32 %r<4>; .reg .b64 %x;\n"
                           "ld.param.u64 %x, [out];\nld.global.u32 %r0, [w];\n"
                           "{ .param .u32 v; call (v), f; ld.param.u32 %r1, [v]; }\n"
                           "add.u32 %r0, %r0, %r1; st.global.u32 [%x], %r0; ret; }\n";
  const std::string strong = std::string(kHeader) +
                             ".visible .global .u32 w = 2;\n"
                             ".visible .func (.param .u32 r) f() { st.param.u32 [r], 20; ret; }\n";
  for (bool with_strong : {false, true}) {
    std::vector<std::string> texts = {weak};
    if (with_strong) texts.push_back(strong);
    auto module = load(texts);
    ASSERT_NE(module, nullptr);
    TestMemory memory;
    uint64_t out = memory.upload(std::vector<uint32_t>(1));
    auto result = launch(*module, "k", {}, Arguments().add(out), memory);
    EXPECT_EQ(result.fault, Fault::kNone) << result.message;
    EXPECT_EQ(memory.download<uint32_t>(out, 1)[0], with_strong ? 22u : 11u);
  }
}

}  // namespace
}  // namespace farlane::softcuda
