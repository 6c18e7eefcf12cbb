// What the instruction families (exec_*.cc) get to see of the instruction they decode, and how they
// ask for operands. One Decoder serves one function.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "server/softcuda/exec_program.h"
#include "server/softcuda/ptx_ast.h"
#include "server/softcuda/ptx_link.h"

namespace farlane::softcuda {

// The dotted words of an instruction. A family takes those it knows; whatever is left is an error.
class Modifiers {
 public:
  explicit Modifiers(const std::vector<std::string_view>& words) : words_(words) {}

  // Takes the word when it is there, anywhere.
  bool take(std::string_view word);
  // Takes the first of these words that is there, and says which; -1 when none is.
  int take_one_of(std::span<const std::string_view> words);
  int take_one_of(std::initializer_list<std::string_view> words) {
    return take_one_of(std::span(words.begin(), words.size()));
  }
  // Takes the first word that is a type.
  std::optional<Type> take_type();
  // Takes words that mean nothing here (cache hints, scopes).
  void ignore(std::initializer_list<std::string_view> words);
  void ignore_prefix(std::string_view prefix);
  const std::vector<std::string_view>& rest() const { return words_; }

 private:
  std::vector<std::string_view> words_;
};

class Decoder {
 public:
  // Lays out the function's parameters, so that calls to it can be decoded before its body is.
  Decoder(const Linker& linker, uint32_t function_index, std::vector<Function>& functions);
  void run();

  // ---- of the instruction being decoded -------------------------------------------------------
  const AstInstruction& ast() const { return *ast_; }
  std::string_view opcode() const { return ast_->opcode; }
  Modifiers& modifiers() { return *modifiers_; }
  size_t operand_count() const { return ast_->operands.size(); }
  const AstOperand& operand(size_t index) const;
  Type need_type();
  void need_operands(size_t least, size_t most);
  [[noreturn]] void fail(const std::string& what) const;
  // "add.xyz is not known to the software device".
  [[noreturn]] void unknown() const;

  // ---- operands -------------------------------------------------------------------------------
  // A register of exactly the type's width, or a constant.
  uint32_t source(size_t index, Type type) { return source(operand(index), type); }
  uint32_t source(const AstOperand& operand, Type type);
  // A register of at least the type's width (cvt, st), or a constant. *width: of what was found.
  uint32_t source_relaxed(const AstOperand& operand, Type type, uint32_t* width);
  uint32_t destination(size_t index, Type type) { return destination(operand(index), type); }
  uint32_t destination(const AstOperand& operand, Type type);
  uint32_t destination_relaxed(const AstOperand& operand, Type type, uint32_t* width);
  uint32_t predicate_source(const AstOperand& operand, bool* negated);
  uint32_t predicate_destination(const AstOperand& operand);  // kNoOperand for "_"
  // A constant broadcast to 32 lanes.
  uint32_t constant(uint64_t bits, uint32_t bytes);
  // The value of an operand that must be a number.
  uint64_t number(const AstOperand& operand) const;
  bool is_number(const AstOperand& operand) const {
    return operand.kind == AstOperand::Kind::kInteger;
  }
  // A scratch register of the frame.
  uint32_t temporary(uint32_t bytes);
  bool is_register(std::string_view name) const;
  Type register_type(std::string_view name) const;
  std::optional<uint32_t> register_code(std::string_view name) const;

  // Fills in.a, imm, address32, frame_relative, space from a [..] operand. `space` is what the
  // instruction says.
  void address(const AstOperand& operand, Space space, Instr& in);
  // The parameter or local variable of this function with that name: its offset in local memory.
  std::optional<ParamSlot> frame_variable(std::string_view name) const;
  bool is_entry() const { return out_.is_entry; }

  void emit(Instr in);
  // Branches name their target by label; it is filled in when the function has ended.
  void emit_branch(Instr in, std::string_view label);
  uint32_t add_list(std::vector<uint32_t> list);
  // A list of branch targets, patched like a branch.
  uint32_t add_label_list(const std::vector<std::string_view>& labels);
  const AstTargets* find_targets(std::string_view name) const;
  const AstPrototype* find_prototype(std::string_view name) const;
  const Symbol* find_symbol(std::string_view name) const;
  const Linker& linker() const { return linker_; }
  Function& out() { return out_; }

 private:
  struct Name {
    enum class Kind : uint8_t { kRegister, kFrame, kEntryParam, kStatic };
    Kind kind = Kind::kRegister;
    Type type = Type::kB32;
    uint32_t offset = 0;
    uint32_t bytes = 0;
    uint32_t range = 0;
    const AstVariable* ast = nullptr;
  };
  struct Scope {
    uint32_t id = 0;
    uint32_t register_cursor = 0;  // what was in use when the scope began
    uint32_t local_cursor = 0;
    std::unordered_map<std::string_view, Name> names;
    std::unordered_map<std::string_view, Name> ranges;
  };
  struct Fixup {
    uint32_t scope = 0;
    std::string_view label;
    uint32_t line = 0;
    uint32_t pc = 0;
    int32_t list = -1;  // index into a list instead of an instruction's target
    uint32_t list_index = 0;
  };

  void declare(const AstVariable& variable);
  void declare_formals(const std::vector<AstVariable>& formals, std::vector<ParamSlot>& slots);
  void open_scope();
  void close_scope();
  uint32_t allocate_register(Type type, uint32_t count);
  uint32_t allocate_local(uint64_t bytes, uint32_t alignment);
  const Name* lookup(std::string_view name, uint32_t* index) const;
  std::optional<uint32_t> special(std::string_view name, std::string_view component, Type* type);
  // The value of a name that is an address, as an operand of `bytes` bytes.
  uint32_t address_value(const AstOperand& operand, uint32_t bytes);
  uint32_t immediate(const AstOperand& operand, Type type);
  void decode_instruction(const AstInstruction& ast);
  void patch_labels();

  const Linker& linker_;
  const LinkedFunction& linked_;
  const AstFunction& function_;
  Function& out_;
  const AstInstruction* ast_ = nullptr;
  Modifiers* modifiers_ = nullptr;
  std::vector<Scope> scopes_;            // the open ones
  std::vector<uint32_t> scope_parents_;  // of every scope so far
  uint32_t register_cursor_ = 0;
  uint32_t local_cursor_ = 0;
  std::unordered_map<std::string, uint32_t> labels_;  // "scope:name" → pc
  std::vector<Fixup> fixups_;
  std::unordered_map<std::string, uint32_t> constant_codes_;
  uint32_t guard_ = kNoOperand;
  uint32_t guard_xor_ = 0;
};

// The families. Each returns false when the opcode is not one of its own.
bool decode_integer(Decoder& decoder);
bool decode_integer_bits(Decoder& decoder);
bool decode_float(Decoder& decoder);
bool decode_half(Decoder& decoder);
bool decode_compare(Decoder& decoder);
bool decode_convert(Decoder& decoder);
bool decode_move(Decoder& decoder);
bool decode_memory(Decoder& decoder);
bool decode_atomic(Decoder& decoder);
bool decode_control(Decoder& decoder);
bool decode_call(Decoder& decoder);
bool decode_barrier(Decoder& decoder);
bool decode_collective(Decoder& decoder);
bool decode_mbarrier(Decoder& decoder);

}  // namespace farlane::softcuda
