// What the parser makes of a PTX text: declarations and statements with names still unresolved.
// Everything views the text.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "server/softcuda/ptx_types.h"

namespace farlane::softcuda {

enum class Linkage : uint8_t { kLocal, kVisible, kExtern, kWeak, kCommon };

// One scalar of an initialiser.
struct InitValue {
  enum class Kind : uint8_t { kInteger, kFloat, kSymbol };
  Kind kind = Kind::kInteger;
  bool is_single = false;
  uint64_t bits = 0;        // integer, or the bits of a double (of a float when is_single)
  std::string_view symbol;  // kSymbol: address of this variable or function ...
  int64_t offset = 0;       // ... plus this,
  uint64_t byte_mask = 0;   // of which only these bits are stored when not 0: 0xFF00(sym)
  uint32_t index = 0;       // position in the flattened array
};

struct AstVariable {
  std::string_view name;
  uint32_t line = 0;
  Linkage linkage = Linkage::kLocal;
  Space space = Space::kGlobal;
  Type type = Type::kB32;
  uint32_t vector = 1;  // .v2, .v4
  uint32_t align = 0;   // 0: natural
  bool is_array = false;
  bool is_unsized = false;  // extern shared [] and the like
  uint64_t elements = 1;    // product of the dimensions
  uint32_t range = 0;       // %r<range>; 0 for a single name
  std::vector<InitValue> init;

  uint64_t bytes() const { return uint64_t{type_bytes(type)} * vector * elements; }
  uint32_t alignment() const {
    uint32_t natural = type_bytes(type) * vector;
    return align > natural ? align : (align != 0 ? align : (natural != 0 ? natural : 1));
  }
};

struct AstOperand {
  enum class Kind : uint8_t {
    kName,  // register, special register (with .component), variable, function, label
    kInteger,
    kFloat,
    kAddress,  // [base + offset]; base is `name`, or none when the address is a number
    kVector,   // {…}, also the lists in (…) of a call
    kPair,     // p|q: items[0], items[1]
  };
  Kind kind = Kind::kName;
  bool negated = false;  // !p
  bool is_single = false;
  std::string_view name;
  std::string_view component;  // x, y, z, w of %tid.x
  uint64_t bits = 0;
  int64_t offset = 0;  // name + offset
  std::vector<AstOperand> items;
};

struct AstInstruction {
  uint32_t line = 0;
  std::string_view guard;
  bool guard_negated = false;
  std::string_view opcode;
  std::vector<std::string_view> modifiers;
  std::vector<AstOperand> operands;
};

struct AstPrototype {
  std::string_view name;
  std::vector<AstVariable> returns;
  std::vector<AstVariable> params;
};

// A list of labels or functions: .branchtargets, .calltargets.
struct AstTargets {
  std::string_view name;
  std::vector<std::string_view> targets;
};

struct AstStatement {
  enum class Kind : uint8_t {
    kInstruction,
    kVariable,
    kLabel,
    kScopeBegin,
    kScopeEnd,
    kPrototype,
    kTargets,
  };
  Kind kind = Kind::kInstruction;
  uint32_t index = 0;  // into AstFunction::instructions, variables, prototypes, targets
  std::string_view label;
};

struct AstFunction {
  std::string_view name;
  uint32_t line = 0;
  Linkage linkage = Linkage::kLocal;
  bool is_entry = false;
  bool has_body = false;
  bool noreturn = false;
  uint32_t max_threads = 0;
  uint32_t reqd_threads[3] = {0, 0, 0};
  std::vector<AstVariable> returns;
  std::vector<AstVariable> params;
  std::vector<AstStatement> body;
  std::vector<AstInstruction> instructions;
  std::vector<AstVariable> variables;
  std::vector<AstPrototype> prototypes;
  std::vector<AstTargets> targets;
};

struct AstAlias {
  std::string_view name;
  std::string_view target;
};

struct AstModule {
  uint32_t version_major = 0, version_minor = 0;
  std::string_view target;
  std::vector<AstVariable> variables;
  std::vector<AstFunction> functions;
  std::vector<AstAlias> aliases;
};

}  // namespace farlane::softcuda
