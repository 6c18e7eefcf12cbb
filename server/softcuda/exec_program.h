// The decoded form that the executor runs. Nothing here is looked up by name.
//
// Registers are stored as structure of arrays: a register of n bytes takes 32*n contiguous bytes of
// its frame, one value per lane. A predicate register is one 32-bit lane mask. Operands are codes:
// two bits choose a base (the frame, the function's constants, the warp's special registers), the
// rest is a byte offset, so that a handler reads registers, immediates and %tid.x alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "server/softcuda/ptx_types.h"

namespace farlane::softcuda {

constexpr uint32_t kLanes = 32;
constexpr uint32_t kAllLanes = 0xffffffffu;
constexpr uint32_t kNoOperand = 0xffffffffu;

enum class Base : uint32_t { kFrame = 0, kConstants = 1, kSpecial = 2 };
constexpr uint32_t operand_code(Base base, uint32_t offset) {
  return static_cast<uint32_t>(base) << 30 | offset;
}

// Generic addresses: device memory is host memory, so its addresses are what user space has. The
// other spaces are windows where neither user space nor the kernel maps anything.
constexpr uint64_t kSharedWindow = 0x9000'0000'0000'0000;
constexpr uint64_t kLocalWindow = 0x9100'0000'0000'0000;
constexpr uint64_t kParamWindow = 0x9200'0000'0000'0000;
constexpr uint64_t kCodeWindow = 0x9300'0000'0000'0000;  // function pointers: + 16 * index
constexpr uint64_t kWindowMask = 0xff00'0000'0000'0000;

// Where the special registers of a warp lie in its special area: one array of 32 values each.
enum class Special : uint32_t {
  kTidX,
  kTidY,
  kTidZ,
  kNtidX,
  kNtidY,
  kNtidZ,
  kCtaidX,
  kCtaidY,
  kCtaidZ,
  kNctaidX,
  kNctaidY,
  kNctaidZ,
  kLaneId,
  kWarpId,
  kNwarpId,
  kSmId,
  kNsmId,
  kLaneMaskEq,
  kLaneMaskLe,
  kLaneMaskLt,
  kLaneMaskGe,
  kLaneMaskGt,
  kDynamicSharedBytes,
  kTotalSharedBytes,
  kEnvReg1,
  kEnvReg2,
  kZero,
  kOne,
  kDynamicShared32,
  kCount32,
  // 64-bit ones, two slots of 128 bytes each.
  kGridId = kCount32,
  kDynamicShared64,
  kCount
};
constexpr uint32_t special_offset(Special special) {
  auto index = static_cast<uint32_t>(special);
  constexpr auto kFirst64 = static_cast<uint32_t>(Special::kCount32);
  return index < kFirst64 ? index * 128 : kFirst64 * 128 + (index - kFirst64) * 256;
}
constexpr uint32_t kSpecialBytes = special_offset(Special::kCount);

struct Warp;
struct Instr;
// Executes one instruction for the lanes in `mask` (a subset of the running group, never empty).
// False when the set of groups changed and the warp must choose again what runs.
using Handler = bool (*)(Warp& warp, const Instr& in, uint32_t mask);

struct Instr {
  Handler run = nullptr;
  uint32_t guard = kNoOperand;  // offset of a predicate in the frame
  uint32_t guard_xor = 0;       // all ones for @!p
  uint32_t d = kNoOperand;
  uint32_t d2 = kNoOperand;
  uint32_t a = kNoOperand;
  uint32_t b = kNoOperand;
  uint32_t c = kNoOperand;
  uint32_t e = kNoOperand;
  uint64_t imm = 0;     // address offset, or what the handler's family says
  uint32_t target = 0;  // pc, or index into Function::lists / Function::calls
  uint32_t line = 0;
  uint8_t width = 0;  // bytes of a memory element
  uint8_t count = 1;  // elements of a vector access
  Space space = Space::kReg;
  bool address32 = false;       // the address register has 32 bits
  bool frame_relative = false;  // address = the frame's local base + imm
  bool flag = false;            // the family's own
  uint8_t mode = 0;             // the family's own
  uint8_t aux = 0;              // the family's own

  // A second 64-bit constant of an instruction that has no d2 and no e.
  uint64_t imm2() const { return uint64_t{d2} << 32 | e; }
  void set_imm2(uint64_t value) {
    d2 = static_cast<uint32_t>(value >> 32);
    e = static_cast<uint32_t>(value);
  }
};
static_assert(sizeof(Instr) == 64);

// A formal or actual parameter of a call: bytes in the frame's local memory, or a register.
struct ParamSlot {
  uint32_t offset = 0;  // in the frame's local memory
  uint32_t bytes = 0;
  uint32_t operand = kNoOperand;  // a register or constant instead
};

enum class Builtin : uint8_t { kNone, kPrintf, kAssertFail, kMalloc, kFree };

struct CallSite {
  uint32_t callee = kNoOperand;   // index into Program::functions; none for an indirect call
  uint32_t pointer = kNoOperand;  // operand of an indirect call
  Builtin builtin = Builtin::kNone;
  std::vector<ParamSlot> args;
  std::vector<ParamSlot> returns;
};

struct Function {
  std::string name;
  bool is_entry = false;
  bool defined = false;
  std::vector<Instr> code;
  std::vector<std::byte> constants;          // broadcast to 32 lanes each
  std::vector<std::vector<uint32_t>> lists;  // vector operands, branch tables
  std::vector<CallSite> calls;
  std::vector<ParamSlot> params;  // formal; of an entry: offsets in the param block
  std::vector<ParamSlot> returns;
  uint32_t register_bytes = 0;
  uint32_t local_bytes = 0;  // depot, parameters and call-site parameters, 16-byte multiple
  std::vector<uint32_t> callees;
  bool calls_indirectly = false;
};

// What a kernel needs besides its function.
struct Kernel {
  uint32_t function = 0;
  uint32_t shared_static_bytes = 0;
  uint32_t shared_dynamic_offset = 0;
};

struct Program {
  std::vector<Function> functions;
  std::vector<Kernel> kernels;
};

}  // namespace farlane::softcuda
