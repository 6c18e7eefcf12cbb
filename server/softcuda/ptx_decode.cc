#include "server/softcuda/ptx_decode.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "server/softcuda/exec_handlers.h"
#include "server/softcuda/ptx_lexer.h"

namespace farlane::softcuda {
namespace {

uint32_t register_bytes(Type type) {
  if (type == Type::kPred) return 4;
  return std::max(type_bytes(type), 2u) * kLanes;
}

uint32_t value_bytes(Type type) {
  return std::max(type_bytes(type), 2u);
}

}  // namespace

// ---- modifiers
// -----------------------------------------------------------------------------------

bool Modifiers::take(std::string_view word) {
  auto it = std::find(words_.begin(), words_.end(), word);
  if (it == words_.end()) return false;
  words_.erase(it);
  return true;
}

int Modifiers::take_one_of(std::span<const std::string_view> words) {
  int index = 0;
  for (std::string_view word : words) {
    if (take(word)) return index;
    ++index;
  }
  return -1;
}

std::optional<Type> Modifiers::take_type() {
  for (auto it = words_.begin(); it != words_.end(); ++it) {
    if (auto type = type_from_name(*it)) {
      words_.erase(it);
      return type;
    }
  }
  return std::nullopt;
}

void Modifiers::ignore(std::initializer_list<std::string_view> words) {
  for (std::string_view word : words) take(word);
}

void Modifiers::ignore_prefix(std::string_view prefix) {
  std::erase_if(words_, [&](std::string_view word) { return word.starts_with(prefix); });
}

// ---- construction
// --------------------------------------------------------------------------------

Decoder::Decoder(const Linker& linker, uint32_t function_index, std::vector<Function>& functions)
    : linker_(linker),
      linked_(linker.functions()[function_index]),
      function_(*linked_.ast),
      out_(functions[function_index]) {
  out_.name = std::string(function_.name);
  out_.is_entry = function_.is_entry;
  out_.defined = function_.has_body;
  out_.callees = linked_.functions;
  out_.calls_indirectly = linked_.calls_indirectly;
  open_scope();
  if (out_.is_entry) {
    uint32_t offset = 0;
    for (const AstVariable& param : function_.params) {
      auto bytes = static_cast<uint32_t>(param.bytes());
      offset = (offset + param.alignment() - 1) / param.alignment() * param.alignment();
      Name name{Name::Kind::kEntryParam, param.type, offset, bytes, 0, &param};
      scopes_.back().names[param.name] = name;
      out_.params.push_back(ParamSlot{offset, bytes, kNoOperand});
      offset += bytes;
    }
  } else {
    declare_formals(function_.params, out_.params);
    declare_formals(function_.returns, out_.returns);
  }
}

void Decoder::declare_formals(const std::vector<AstVariable>& formals,
                              std::vector<ParamSlot>& slots) {
  for (const AstVariable& formal : formals) {
    declare(formal);
    const Name& name = formal.name.empty() ? Name{} : scopes_.back().names[formal.name];
    if (formal.space == Space::kReg) {
      slots.push_back(
          ParamSlot{0, value_bytes(formal.type), operand_code(Base::kFrame, name.offset)});
    } else {
      slots.push_back(ParamSlot{name.offset, name.bytes, kNoOperand});
    }
  }
}

uint32_t Decoder::allocate_register(Type type, uint32_t count) {
  uint32_t bytes = register_bytes(type);
  uint32_t alignment = type == Type::kPred ? 4 : 64;
  uint32_t offset = (register_cursor_ + alignment - 1) / alignment * alignment;
  register_cursor_ = offset + bytes * count;
  if (register_cursor_ >= (1u << 30)) fail("this function has too many registers");
  out_.register_bytes = std::max(out_.register_bytes, register_cursor_);
  return offset;
}

uint32_t Decoder::allocate_local(uint64_t bytes, uint32_t alignment) {
  uint64_t offset = (uint64_t{local_cursor_} + alignment - 1) / alignment * alignment;
  if (offset + bytes > (1u << 26)) fail("this function's local memory is over 64 MiB");
  local_cursor_ = static_cast<uint32_t>(offset + bytes);
  out_.local_bytes = std::max(out_.local_bytes, (local_cursor_ + 15) / 16 * 16);
  return static_cast<uint32_t>(offset);
}

void Decoder::open_scope() {
  Scope scope;
  scope.id = static_cast<uint32_t>(scope_parents_.size());
  scope_parents_.push_back(scopes_.empty() ? scope.id : scopes_.back().id);
  scope.register_cursor = register_cursor_;
  scope.local_cursor = local_cursor_;
  scopes_.push_back(std::move(scope));
}

// What an inner scope declared is gone, so the next scope may use its bytes.
void Decoder::close_scope() {
  register_cursor_ = scopes_.back().register_cursor;
  local_cursor_ = scopes_.back().local_cursor;
  scopes_.pop_back();
}

void Decoder::declare(const AstVariable& variable) {
  Name name;
  name.type = variable.type;
  name.ast = &variable;
  name.range = variable.range;
  Scope& scope = scopes_.back();
  switch (variable.space) {
    case Space::kReg:
      name.kind = Name::Kind::kRegister;
      name.offset = allocate_register(variable.type, std::max(variable.range, 1u));
      break;
    case Space::kLocal:
    case Space::kParam:
      name.kind = Name::Kind::kFrame;
      name.bytes = static_cast<uint32_t>(variable.bytes());
      name.offset = allocate_local(variable.bytes(), std::max(variable.alignment(), 4u));
      break;
    case Space::kGlobal:
    case Space::kConst:
    case Space::kShared:
    case Space::kGeneric:
      name.kind = Name::Kind::kStatic;
      break;
  }
  auto& table = variable.range != 0 ? scope.ranges : scope.names;
  table[variable.name] = name;
}

// ---- names
// ---------------------------------------------------------------------------------------

const Decoder::Name* Decoder::lookup(std::string_view name, uint32_t* index) const {
  *index = 0;
  size_t digits = name.size();
  while (digits > 0 && name[digits - 1] >= '0' && name[digits - 1] <= '9') --digits;
  uint32_t number = 0;
  bool numbered = digits < name.size() && name.size() - digits < 9 &&
                  (name[digits] != '0' || name.size() - digits == 1);
  if (numbered) {
    for (char c : name.substr(digits)) number = number * 10 + static_cast<uint32_t>(c - '0');
  }
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    auto it = scope->names.find(name);
    if (it != scope->names.end()) return &it->second;
    if (!numbered) continue;
    // %r1<5> style ranges may themselves end in a digit; the longest digit tail is the number.
    auto range = scope->ranges.find(name.substr(0, digits));
    if (range != scope->ranges.end() && number < range->second.range) {
      *index = number;
      return &range->second;
    }
  }
  return nullptr;
}

bool Decoder::is_register(std::string_view name) const {
  uint32_t index;
  const Name* found = lookup(name, &index);
  return found != nullptr && found->kind == Name::Kind::kRegister;
}

Type Decoder::register_type(std::string_view name) const {
  uint32_t index;
  const Name* found = lookup(name, &index);
  if (found == nullptr || found->kind != Name::Kind::kRegister) {
    fail("\"" + std::string(name) + "\" is not a register");
  }
  return found->type;
}

std::optional<uint32_t> Decoder::register_code(std::string_view name) const {
  uint32_t index;
  const Name* found = lookup(name, &index);
  if (found == nullptr || found->kind != Name::Kind::kRegister) return std::nullopt;
  return operand_code(Base::kFrame, found->offset + index * register_bytes(found->type));
}

std::optional<ParamSlot> Decoder::frame_variable(std::string_view name) const {
  uint32_t index;
  const Name* found = lookup(name, &index);
  if (found == nullptr || found->kind != Name::Kind::kFrame) return std::nullopt;
  return ParamSlot{found->offset, found->bytes, kNoOperand};
}

const Symbol* Decoder::find_symbol(std::string_view name) const {
  return linker_.find(linked_.text, name);
}

const AstTargets* Decoder::find_targets(std::string_view name) const {
  for (const AstTargets& targets : function_.targets) {
    if (targets.name == name) return &targets;
  }
  return nullptr;
}

const AstPrototype* Decoder::find_prototype(std::string_view name) const {
  for (const AstPrototype& prototype : function_.prototypes) {
    if (prototype.name == name) return &prototype;
  }
  return nullptr;
}

std::optional<uint32_t> Decoder::special(std::string_view name, std::string_view component,
                                         Type* type) {
  auto code = [](Special s, size_t plus = 0) {
    return operand_code(Base::kSpecial, special_offset(s) + static_cast<uint32_t>(plus) * 128);
  };
  *type = Type::kU32;
  if (!component.empty()) {
    size_t axis = std::string_view("xyzw").find(component);
    if (component.size() != 1 || axis == std::string_view::npos) return std::nullopt;
    struct Row {
      std::string_view name;
      Special first;
      Special w;  // for .w
    };
    constexpr Row kRows[] = {
        {"%tid", Special::kTidX, Special::kZero},
        {"%ntid", Special::kNtidX, Special::kOne},
        {"%ctaid", Special::kCtaidX, Special::kZero},
        {"%nctaid", Special::kNctaidX, Special::kOne},
        {"%clusterid", Special::kCtaidX, Special::kZero},
        {"%nclusterid", Special::kNctaidX, Special::kOne},
    };
    for (const Row& row : kRows) {
      if (row.name == name) return axis == 3 ? code(row.w) : code(row.first, axis);
    }
    if (name == "%cluster_ctaid") return code(Special::kZero);
    if (name == "%cluster_nctaid") return code(Special::kOne);
    return std::nullopt;
  }
  struct Row {
    std::string_view name;
    Special special;
  };
  constexpr Row kRows[] = {
      {"%laneid", Special::kLaneId},
      {"%warpid", Special::kWarpId},
      {"%nwarpid", Special::kNwarpId},
      {"%smid", Special::kSmId},
      {"%nsmid", Special::kNsmId},
      {"%lanemask_eq", Special::kLaneMaskEq},
      {"%lanemask_le", Special::kLaneMaskLe},
      {"%lanemask_lt", Special::kLaneMaskLt},
      {"%lanemask_ge", Special::kLaneMaskGe},
      {"%lanemask_gt", Special::kLaneMaskGt},
      {"%dynamic_smem_size", Special::kDynamicSharedBytes},
      {"%total_smem_size", Special::kTotalSharedBytes},
      {"%aggr_smem_size", Special::kTotalSharedBytes},
      {"%cluster_ctarank", Special::kZero},
      {"%cluster_nctarank", Special::kOne},
      {"%reserved_smem_offset_begin", Special::kZero},
      {"%reserved_smem_offset_end", Special::kZero},
      {"%envreg1", Special::kEnvReg1},
      {"%envreg2", Special::kEnvReg2},
  };
  for (const Row& row : kRows) {
    if (row.name == name) return code(row.special);
  }
  if (name.starts_with("%envreg")) return code(Special::kZero);
  if (name == "%gridid" || name == "%current_graph_exec") {
    *type = Type::kU64;
    return name == "%gridid" ? code(Special::kGridId) : constant(0, 8);
  }
  if (name == "%is_explicit_cluster") {
    *type = Type::kPred;
    return constant(0, 4);
  }
  Instr in;
  in.run = run_clock;
  if (name == "%clock" || name == "%clock_hi" || name == "%globaltimer_lo" ||
      name == "%globaltimer_hi") {
    in.flag = false;
  } else if (name == "%clock64" || name == "%globaltimer") {
    in.flag = true;
    *type = Type::kU64;
  } else {
    return std::nullopt;
  }
  in.mode = static_cast<uint8_t>(name.starts_with("%clock") ? Clock::kCycles : Clock::kNanoseconds);
  in.aux = name.ends_with("_hi") ? 1 : 0;
  in.d = temporary(in.flag ? 8 : 4);
  emit(in);
  return in.d;
}

// ---- operands
// ------------------------------------------------------------------------------------

void Decoder::fail(const std::string& what) const {
  throw PtxError(ast_ != nullptr ? ast_->line : function_.line, what);
}

void Decoder::unknown() const {
  std::string name(ast_->opcode);
  for (std::string_view word : ast_->modifiers) name += "." + std::string(word);
  fail("instruction \"" + name + "\" is not known to the software device");
}

const AstOperand& Decoder::operand(size_t index) const {
  if (index >= ast_->operands.size()) {
    fail("\"" + std::string(ast_->opcode) + "\" has too few operands");
  }
  return ast_->operands[index];
}

void Decoder::need_operands(size_t least, size_t most) {
  if (operand_count() < least || operand_count() > most) {
    fail("\"" + std::string(ast_->opcode) + "\" has " + std::to_string(operand_count()) +
         " operands, not " + std::to_string(least));
  }
}

Type Decoder::need_type() {
  auto type = modifiers().take_type();
  if (!type) unknown();
  return *type;
}

uint32_t Decoder::constant(uint64_t bits, uint32_t bytes) {
  std::string key(reinterpret_cast<const char*>(&bits), 8);
  key += static_cast<char>(bytes);
  auto [it, added] = constant_codes_.try_emplace(key, 0);
  if (added) {
    size_t offset = (out_.constants.size() + 63) / 64 * 64;
    out_.constants.resize(offset + size_t{bytes} * kLanes);
    for (uint32_t i = 0; i < kLanes; ++i) {
      std::memcpy(out_.constants.data() + offset + size_t{i} * bytes, &bits, std::min(bytes, 8u));
    }
    it->second = operand_code(Base::kConstants, static_cast<uint32_t>(offset));
  }
  return it->second;
}

uint32_t Decoder::temporary(uint32_t bytes) {
  Type type = bytes == 16  ? Type::kB128
              : bytes == 8 ? Type::kB64
              : bytes == 4 ? Type::kB32
                           : Type::kB16;
  return operand_code(Base::kFrame, allocate_register(type, 1));
}

uint32_t Decoder::immediate(const AstOperand& operand, Type type) {
  uint64_t bits = operand.bits;
  if (operand.kind == AstOperand::Kind::kFloat) {
    if (operand.is_single && type == Type::kF64) {
      bits = std::bit_cast<uint64_t>(
          static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(bits))));
    } else if (!operand.is_single && (type == Type::kF32 || type_bytes(type) == 4)) {
      bits = std::bit_cast<uint32_t>(static_cast<float>(std::bit_cast<double>(bits)));
    }
  } else if (type == Type::kF32) {
    bits = std::bit_cast<uint32_t>(static_cast<float>(static_cast<int64_t>(bits)));
  } else if (type == Type::kF64) {
    bits = std::bit_cast<uint64_t>(static_cast<double>(static_cast<int64_t>(bits)));
  }
  if (type == Type::kPred) return constant(bits != 0 ? kAllLanes : 0, 4);
  return constant(bits, value_bytes(type));
}

uint32_t Decoder::address_value(const AstOperand& operand, uint32_t bytes) {
  uint32_t index;
  const Name* name = lookup(operand.name, &index);
  auto plus = static_cast<uint64_t>(operand.offset);
  if (name != nullptr && name->kind == Name::Kind::kEntryParam) {
    return constant(name->offset + plus, bytes);
  }
  if (name != nullptr && name->kind == Name::Kind::kFrame) {
    Instr in;
    in.run = run_frame_address;
    in.flag = bytes == 8;
    in.imm = name->offset + plus;
    in.d = temporary(bytes);
    emit(in);
    return in.d;
  }
  const LinkedVariable* variable = nullptr;
  if (name != nullptr && name->kind == Name::Kind::kStatic) {
    variable = &linker_.inner_variable(name->ast);
  } else if (const Symbol* symbol = find_symbol(operand.name)) {
    if (symbol->kind == Symbol::Kind::kFunction) {
      return constant(kCodeWindow + 16 * (uint64_t{symbol->index} + 1), bytes);
    }
    variable = &linker_.variables()[symbol->index];
  }
  if (variable == nullptr) {
    fail("\"" + std::string(operand.name) + "\" is not declared");
  }
  if (variable->dynamic_shared) {
    uint32_t code = operand_code(
        Base::kSpecial,
        special_offset(bytes == 8 ? Special::kDynamicShared64 : Special::kDynamicShared32));
    if (plus != 0) fail("an offset from dynamic shared memory is not known here");
    return code;
  }
  return constant(variable->address + plus, bytes);
}

uint32_t Decoder::source_relaxed(const AstOperand& operand, Type type, uint32_t* width) {
  *width = value_bytes(type);
  switch (operand.kind) {
    case AstOperand::Kind::kInteger:
    case AstOperand::Kind::kFloat:
      return immediate(operand, type);
    case AstOperand::Kind::kName:
      break;
    case AstOperand::Kind::kAddress:
    case AstOperand::Kind::kVector:
    case AstOperand::Kind::kPair:
      fail("this kind of operand is not known for \"" + std::string(opcode()) + "\"");
  }
  if (operand.negated) fail("\"!\" is for predicates");
  if (operand.name == "WARP_SZ") return constant(32, *width);
  uint32_t index;
  const Name* name = lookup(operand.name, &index);
  if (name != nullptr && name->kind == Name::Kind::kRegister) {
    if (operand.offset != 0 || !operand.component.empty()) fail("a register has no parts here");
    if (name->type == Type::kPred) {
      fail("\"" + std::string(operand.name) + "\" is a predicate");
    }
    *width = value_bytes(name->type);
    return operand_code(Base::kFrame, name->offset + index * register_bytes(name->type));
  }
  if (operand.name.starts_with("%") && name == nullptr) {
    Type special_type;
    if (auto code = special(operand.name, operand.component, &special_type)) {
      *width = value_bytes(special_type);
      return *code;
    }
    fail("\"" + std::string(operand.name) + "\" is not a register that is declared or known");
  }
  *width = type_bytes(type) == 4 ? 4 : 8;
  return address_value(operand, *width);
}

uint32_t Decoder::source(const AstOperand& operand, Type type) {
  if (type == Type::kPred) {
    bool negated = false;
    uint32_t code = predicate_source(operand, &negated);
    if (negated) fail("\"!\" is not known here");
    return code;
  }
  uint32_t width = 0;
  uint32_t code = source_relaxed(operand, type, &width);
  if (width != value_bytes(type)) {
    // Special registers may be read narrower than they are.
    if (code >> 30 == static_cast<uint32_t>(Base::kSpecial) && width > value_bytes(type)) {
      fail("\"" + std::string(operand.name) + "\" has " + std::to_string(width * 8) +
           " bits; read it with a cvt");
    }
    fail("\"" + std::string(operand.name) + "\" has " + std::to_string(width * 8) +
         " bits, not the " + std::to_string(value_bytes(type) * 8) + " of ." +
         std::string(type_name(type)));
  }
  return code;
}

uint32_t Decoder::destination_relaxed(const AstOperand& operand, Type type, uint32_t* width) {
  if (operand.kind == AstOperand::Kind::kName && operand.name == "_") {
    *width = value_bytes(type);
    return temporary(*width);
  }
  if (operand.kind != AstOperand::Kind::kName || !operand.component.empty() ||
      !is_register(operand.name)) {
    fail("the destination of \"" + std::string(opcode()) + "\" is not a register");
  }
  if (register_type(operand.name) == Type::kPred) {
    fail("\"" + std::string(operand.name) + "\" is a predicate");
  }
  *width = value_bytes(register_type(operand.name));
  return *register_code(operand.name);
}

uint32_t Decoder::destination(const AstOperand& operand, Type type) {
  if (type == Type::kPred) return predicate_destination(operand);
  uint32_t width = 0;
  uint32_t code = destination_relaxed(operand, type, &width);
  if (width != value_bytes(type)) {
    fail("\"" + std::string(operand.name) + "\" has " + std::to_string(width * 8) +
         " bits, not the " + std::to_string(value_bytes(type) * 8) + " of ." +
         std::string(type_name(type)));
  }
  return code;
}

uint32_t Decoder::predicate_source(const AstOperand& operand, bool* negated) {
  *negated = operand.negated;
  if (operand.kind == AstOperand::Kind::kInteger) {
    return constant(operand.bits != 0 ? kAllLanes : 0, 4);
  }
  if (operand.kind == AstOperand::Kind::kName && !is_register(operand.name)) {
    Type type = Type::kU32;
    auto code = special(operand.name, operand.component, &type);
    if (code && type == Type::kPred) return *code;
  }
  if (operand.kind != AstOperand::Kind::kName || register_type(operand.name) != Type::kPred) {
    fail("\"" + std::string(operand.name) + "\" is not a predicate");
  }
  return *register_code(operand.name);
}

uint32_t Decoder::predicate_destination(const AstOperand& operand) {
  if (operand.kind == AstOperand::Kind::kName && operand.name == "_") return kNoOperand;
  if (operand.kind != AstOperand::Kind::kName || register_type(operand.name) != Type::kPred) {
    fail("\"" + std::string(operand.name) + "\" is not a predicate");
  }
  return *register_code(operand.name);
}

uint64_t Decoder::number(const AstOperand& operand) const {
  if (operand.kind == AstOperand::Kind::kName && operand.name == "WARP_SZ") return kLanes;
  if (operand.kind != AstOperand::Kind::kInteger) {
    fail("\"" + std::string(opcode()) + "\" needs a constant here");
  }
  return operand.bits;
}

void Decoder::address(const AstOperand& operand, Space space, Instr& in) {
  if (operand.kind != AstOperand::Kind::kAddress || !operand.items.empty()) {
    fail("\"" + std::string(opcode()) + "\" needs an address in brackets");
  }
  in.space = space;
  in.imm = static_cast<uint64_t>(operand.offset);
  if (operand.name.empty()) {
    in.a = constant(0, 8);
    return;
  }
  uint32_t index;
  const Name* name = lookup(operand.name, &index);
  if (name != nullptr && name->kind == Name::Kind::kRegister) {
    uint32_t width = value_bytes(name->type);
    if (width < 4 || width > 8) fail("an address has 32 or 64 bits");
    in.a = operand_code(Base::kFrame, name->offset + index * register_bytes(name->type));
    in.address32 = width == 4;
    // A parameter of a function is in local memory; so are the addresses made from it.
    if (space == Space::kParam && !out_.is_entry) in.space = Space::kLocal;
    return;
  }
  if (name != nullptr && name->kind == Name::Kind::kFrame) {
    in.frame_relative = true;
    in.space = Space::kLocal;
    in.imm += name->offset;
    in.a = constant(0, 8);
    if (operand.offset < 0 || static_cast<uint64_t>(operand.offset) >= name->bytes) {
      fail("[" + std::string(operand.name) + "+" + std::to_string(operand.offset) +
           "] is outside the variable's " + std::to_string(name->bytes) + " bytes");
    }
    return;
  }
  AstOperand base = operand;
  base.offset = 0;
  in.a = address_value(base, 8);
  if (space == Space::kGeneric) {
    // ld [shared_variable]: the address is the variable's in its own space.
    const LinkedVariable* variable = nullptr;
    if (name != nullptr && name->kind == Name::Kind::kStatic) {
      variable = &linker_.inner_variable(name->ast);
    } else if (const Symbol* symbol = find_symbol(operand.name);
               symbol != nullptr && symbol->kind == Symbol::Kind::kVariable) {
      variable = &linker_.variables()[symbol->index];
    }
    if (variable != nullptr) in.space = variable->ast->space;
    if (name != nullptr && name->kind == Name::Kind::kEntryParam) in.space = Space::kParam;
  }
}

// ---- statements
// ----------------------------------------------------------------------------------

void Decoder::emit(Instr in) {
  in.line = ast_ != nullptr ? ast_->line : function_.line;
  in.guard = guard_;
  in.guard_xor = guard_xor_;
  out_.code.push_back(in);
}

void Decoder::emit_branch(Instr in, std::string_view label) {
  Fixup fixup;
  fixup.scope = scopes_.back().id;
  fixup.label = label;
  fixup.line = ast_->line;
  fixup.pc = static_cast<uint32_t>(out_.code.size());
  fixups_.push_back(fixup);
  emit(in);
}

uint32_t Decoder::add_list(std::vector<uint32_t> list) {
  out_.lists.push_back(std::move(list));
  return static_cast<uint32_t>(out_.lists.size() - 1);
}

uint32_t Decoder::add_label_list(const std::vector<std::string_view>& labels) {
  uint32_t list = add_list(std::vector<uint32_t>(labels.size()));
  for (uint32_t i = 0; i < labels.size(); ++i) {
    Fixup fixup;
    fixup.scope = scopes_.back().id;
    fixup.label = labels[i];
    fixup.line = ast_->line;
    fixup.list = static_cast<int32_t>(list);
    fixup.list_index = i;
    fixups_.push_back(fixup);
  }
  return list;
}

void Decoder::decode_instruction(const AstInstruction& ast) {
  ast_ = &ast;
  Modifiers modifiers(ast.modifiers);
  modifiers_ = &modifiers;
  guard_ = kNoOperand;
  guard_xor_ = 0;
  if (!ast.guard.empty()) {
    if (register_type(ast.guard) != Type::kPred) {
      fail("\"" + std::string(ast.guard) + "\" is not a predicate");
    }
    guard_ = *register_code(ast.guard);
    guard_xor_ = ast.guard_negated ? kAllLanes : 0;
  }
  using Family = bool (*)(Decoder&);
  constexpr Family kFamilies[] = {
      decode_move,    decode_integer, decode_integer_bits, decode_float,    decode_half,
      decode_compare, decode_convert, decode_memory,       decode_atomic,   decode_control,
      decode_call,    decode_barrier, decode_collective,   decode_mbarrier,
  };
  for (Family family : kFamilies) {
    if (family(*this)) {
      if (!modifiers.rest().empty()) unknown();
      modifiers_ = nullptr;
      return;
    }
  }
  unknown();
}

void Decoder::patch_labels() {
  for (const Fixup& fixup : fixups_) {
    uint32_t scope = fixup.scope;
    for (;;) {
      auto it = labels_.find(std::to_string(scope) + ":" + std::string(fixup.label));
      if (it != labels_.end()) {
        if (fixup.list >= 0) {
          out_.lists[static_cast<uint32_t>(fixup.list)][fixup.list_index] = it->second;
        } else {
          out_.code[fixup.pc].target = it->second;
        }
        break;
      }
      if (scope_parents_[scope] == scope) {
        throw PtxError(fixup.line, "label \"" + std::string(fixup.label) + "\" is not defined");
      }
      scope = scope_parents_[scope];
    }
  }
}

void Decoder::run() {
  if (!function_.has_body) return;
  for (const AstStatement& statement : function_.body) {
    switch (statement.kind) {
      case AstStatement::Kind::kInstruction:
        decode_instruction(function_.instructions[statement.index]);
        break;
      case AstStatement::Kind::kVariable:
        declare(function_.variables[statement.index]);
        break;
      case AstStatement::Kind::kLabel: {
        std::string key = std::to_string(scopes_.back().id) + ":" + std::string(statement.label);
        if (!labels_.try_emplace(key, static_cast<uint32_t>(out_.code.size())).second) {
          fail("label \"" + std::string(statement.label) + "\" is defined twice");
        }
        break;
      }
      case AstStatement::Kind::kScopeBegin:
        open_scope();
        break;
      case AstStatement::Kind::kScopeEnd:
        close_scope();
        break;
      case AstStatement::Kind::kPrototype:
      case AstStatement::Kind::kTargets:
        break;
    }
  }
  // Falling off the end returns.
  guard_ = kNoOperand;
  guard_xor_ = 0;
  Instr end;
  end.run = run_return;
  emit(end);
  patch_labels();
}

}  // namespace farlane::softcuda
