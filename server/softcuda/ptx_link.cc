#include "server/softcuda/ptx_link.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <new>

#include "server/softcuda/ptx_lexer.h"

namespace farlane::softcuda {
namespace {

uint64_t align_up(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

Builtin builtin_of(std::string_view name) {
  if (name == "vprintf") return Builtin::kPrintf;
  if (name == "__assertfail") return Builtin::kAssertFail;
  if (name == "malloc") return Builtin::kMalloc;
  if (name == "free") return Builtin::kFree;
  return Builtin::kNone;
}

void for_each_name(const AstOperand& operand, const std::function<void(std::string_view)>& visit) {
  if (!operand.name.empty()) visit(operand.name);
  for (const AstOperand& item : operand.items) for_each_name(item, visit);
}

}  // namespace

void Linker::Free::operator()(std::byte* p) const {
  std::free(p);
}

Linker::Linker(const std::vector<AstModule>& modules) {
  collect(modules);
  scan_bodies();
  layout_globals();
  layout_shared();
  initialise();
}

const Symbol* Linker::find(size_t text, std::string_view name) const {
  auto it = texts_[text].find(name);
  return it == texts_[text].end() ? nullptr : &it->second;
}

const LinkedVariable& Linker::inner_variable(const AstVariable* ast) const {
  return variables_[inner_.at(ast)];
}

uint32_t Linker::add_variable(const AstVariable& ast, size_t text, bool module_scope) {
  LinkedVariable variable;
  variable.ast = &ast;
  variable.bytes = ast.bytes();
  variable.text = text;
  variable.module_scope = module_scope;
  variable.dynamic_shared = ast.space == Space::kShared && ast.is_unsized;
  variables_.push_back(variable);
  return static_cast<uint32_t>(variables_.size() - 1);
}

uint32_t Linker::add_function(const AstFunction& ast, size_t text) {
  LinkedFunction function;
  function.ast = &ast;
  function.text = text;
  if (!ast.has_body) function.builtin = builtin_of(ast.name);
  functions_.push_back(function);
  return static_cast<uint32_t>(functions_.size() - 1);
}

void Linker::bind(size_t text, std::string_view name, Symbol symbol) {
  texts_[text][name] = symbol;
}

void Linker::collect(const std::vector<AstModule>& modules) {
  texts_.resize(modules.size());
  // Definitions that other texts can see. A second strong one is a fault of the program.
  struct Strong {
    Symbol symbol;
    bool strong;
  };
  std::unordered_map<std::string_view, Strong> global;
  auto define = [&](std::string_view name, Symbol symbol, Linkage linkage, uint32_t line) {
    bool strong = linkage == Linkage::kVisible;
    auto [it, added] = global.try_emplace(name, Strong{symbol, strong});
    if (added) return symbol;
    if (strong && it->second.strong) {
      throw PtxError(line, "\"" + std::string(name) + "\" is defined twice");
    }
    if (strong) it->second = Strong{symbol, true};
    return it->second.symbol;
  };

  for (size_t text = 0; text < modules.size(); ++text) {
    for (const AstVariable& ast : modules[text].variables) {
      const bool dynamic = ast.space == Space::kShared && ast.is_unsized;
      if (ast.linkage == Linkage::kExtern && !dynamic) continue;
      const Symbol* earlier = find(text, ast.name);
      if (earlier != nullptr) {
        throw PtxError(ast.line, "\"" + std::string(ast.name) + "\" is defined twice");
      }
      Symbol symbol{Symbol::Kind::kVariable, add_variable(ast, text, true)};
      bind(text, ast.name, symbol);
      if (ast.linkage != Linkage::kLocal && !dynamic)
        define(ast.name, symbol, ast.linkage, ast.line);
    }
    for (const AstFunction& ast : modules[text].functions) {
      if (!ast.has_body) continue;
      const Symbol* earlier = find(text, ast.name);
      if (earlier != nullptr) {
        throw PtxError(ast.line, "\"" + std::string(ast.name) + "\" is defined twice");
      }
      Symbol symbol{Symbol::Kind::kFunction, add_function(ast, text)};
      bind(text, ast.name, symbol);
      if (ast.linkage != Linkage::kLocal) define(ast.name, symbol, ast.linkage, ast.line);
    }
    for (const AstAlias& alias : modules[text].aliases) {
      const Symbol* target = find(text, alias.target);
      if (target == nullptr || target->kind != Symbol::Kind::kFunction) {
        throw PtxError("alias \"" + std::string(alias.name) + "\" names no function of its text");
      }
      Symbol symbol = *target;
      bind(text, alias.name, symbol);
      define(alias.name, symbol, Linkage::kWeak, 0);
    }
  }

  for (size_t text = 0; text < modules.size(); ++text) {
    // A weak or common definition that lost to another text's.
    auto rebind = [&](std::string_view name) {
      auto it = global.find(name);
      if (it != global.end()) bind(text, name, it->second.symbol);
      return it != global.end();
    };
    for (const AstVariable& ast : modules[text].variables) {
      if (ast.linkage == Linkage::kLocal) continue;
      if (ast.space == Space::kShared && ast.is_unsized) continue;
      if (!rebind(ast.name)) {
        throw PtxError(ast.line, "no text defines the variable \"" + std::string(ast.name) + "\"");
      }
    }
    for (const AstFunction& ast : modules[text].functions) {
      if (ast.linkage != Linkage::kLocal && rebind(ast.name)) continue;
      if (find(text, ast.name) != nullptr) continue;
      // Only declared: a function of the device runtime, or a fault when it is called.
      bind(text, ast.name, Symbol{Symbol::Kind::kFunction, add_function(ast, text)});
    }
  }
}

void Linker::scan_bodies() {
  const size_t count = functions_.size();
  for (size_t i = 0; i < count; ++i) {
    LinkedFunction& function = functions_[i];
    std::unordered_map<std::string_view, uint32_t> inner_names;
    for (const AstVariable& ast : function.ast->variables) {
      if (ast.space == Space::kReg || ast.space == Space::kLocal || ast.space == Space::kParam) {
        continue;
      }
      uint32_t index = add_variable(ast, function.text, false);
      inner_[&ast] = index;
      if (ast.space == Space::kShared) function.variables.push_back(index);
    }
    for (const AstInstruction& in : function.ast->instructions) {
      bool named_target = false;
      auto visit = [&](std::string_view name) {
        const Symbol* symbol = find(function.text, name);
        if (symbol == nullptr) return;
        if (symbol->kind == Symbol::Kind::kFunction) {
          function.functions.push_back(symbol->index);
          named_target = true;
        } else if (variables_[symbol->index].ast->space == Space::kShared) {
          function.variables.push_back(symbol->index);
        }
      };
      for (const AstOperand& operand : in.operands) for_each_name(operand, visit);
      if (in.opcode == "call" && !named_target) function.calls_indirectly = true;
    }
  }
}

void Linker::layout_globals() {
  // Constants first, so that the kernels' const_bytes is one number.
  uint64_t offset = 0;
  for (Space space : {Space::kConst, Space::kGlobal}) {
    for (LinkedVariable& variable : variables_) {
      if (variable.ast->space != space) continue;
      offset = align_up(offset, std::max<uint64_t>(variable.ast->alignment(), 16));
      variable.address = offset;
      offset += variable.bytes;
    }
    if (space == Space::kConst) const_bytes_ = offset;
  }
  storage_bytes_ = align_up(std::max<uint64_t>(offset, 1), 256);
  storage_.reset(static_cast<std::byte*>(std::aligned_alloc(256, storage_bytes_)));
  if (!storage_) {
    throw PtxError("no memory for " + std::to_string(storage_bytes_) + " bytes of variables");
  }
  std::memset(storage_.get(), 0, storage_bytes_);
  for (LinkedVariable& variable : variables_) {
    if (variable.ast->space == Space::kConst || variable.ast->space == Space::kGlobal) {
      variable.address += reinterpret_cast<uint64_t>(storage_.get());
    }
  }
}

// A function's shared variables must lie at the same offsets in every kernel that can reach it, and
// must not overlap those of any of these kernels; kernels that share nothing use the same bytes.
void Linker::layout_shared() {
  const size_t count = functions_.size();
  std::vector<uint32_t> by_pointer;  // functions that an indirect call can reach
  for (const LinkedVariable& variable : variables_) {
    for (const InitValue& value : variable.ast->init) {
      if (value.kind != InitValue::Kind::kSymbol) continue;
      const Symbol* symbol = find(variable.text, value.symbol);
      if (symbol != nullptr && symbol->kind == Symbol::Kind::kFunction) {
        by_pointer.push_back(symbol->index);
      }
    }
  }
  for (const LinkedFunction& function : functions_) {
    for (const AstInstruction& in : function.ast->instructions) {
      if (in.opcode != "mov") continue;
      for (const AstOperand& operand : in.operands) {
        if (operand.kind != AstOperand::Kind::kName) continue;
        const Symbol* symbol = find(function.text, operand.name);
        if (symbol != nullptr && symbol->kind == Symbol::Kind::kFunction) {
          by_pointer.push_back(symbol->index);
        }
      }
    }
  }

  std::vector<std::vector<bool>> uses(count);  // [entry][variable]
  std::vector<std::vector<bool>> reaches(count);
  for (uint32_t entry = 0; entry < count; ++entry) {
    uses[entry].resize(variables_.size());
    std::vector<bool>& seen = reaches[entry];
    seen.resize(count);
    std::vector<uint32_t> work = {entry};
    while (!work.empty()) {
      uint32_t at = work.back();
      work.pop_back();
      if (seen[at]) continue;
      seen[at] = true;
      for (uint32_t variable : functions_[at].variables) uses[entry][variable] = true;
      for (uint32_t callee : functions_[at].functions) work.push_back(callee);
      if (functions_[at].calls_indirectly) {
        work.insert(work.end(), by_pointer.begin(), by_pointer.end());
      }
    }
  }

  shared_bytes_.assign(count, 0);
  std::vector<uint32_t> end(count, 0);  // per entry, of what has been placed so far
  for (uint32_t v = 0; v < variables_.size(); ++v) {
    LinkedVariable& variable = variables_[v];
    if (variable.ast->space != Space::kShared || variable.dynamic_shared) continue;
    uint64_t offset = 0;
    for (uint32_t entry = 0; entry < count; ++entry) {
      if (uses[entry][v]) offset = std::max<uint64_t>(offset, end[entry]);
    }
    offset = align_up(offset, variable.ast->alignment());
    variable.address = offset;
    for (uint32_t entry = 0; entry < count; ++entry) {
      if (uses[entry][v]) end[entry] = static_cast<uint32_t>(offset + variable.bytes);
    }
  }
  shared_bytes_ = end;
}

uint64_t Linker::symbol_value(size_t text, std::string_view name, uint32_t line) const {
  const Symbol* symbol = find(text, name);
  if (symbol == nullptr) {
    throw PtxError(line,
                   "the initial value names \"" + std::string(name) + "\", which is not defined");
  }
  if (symbol->kind == Symbol::Kind::kFunction) return kCodeWindow + 16 * (symbol->index + 1);
  return variables_[symbol->index].address;
}

void Linker::initialise() {
  for (const LinkedVariable& variable : variables_) {
    const AstVariable& ast = *variable.ast;
    if (ast.init.empty()) continue;
    if (ast.space != Space::kGlobal && ast.space != Space::kConst) {
      throw PtxError(ast.line, "only .global and .const variables can have initial values");
    }
    auto* base = reinterpret_cast<std::byte*>(variable.address);
    const uint32_t bytes = type_bytes(ast.type);
    for (const InitValue& value : ast.init) {
      uint64_t bits = value.bits;
      if (value.kind == InitValue::Kind::kSymbol) {
        bits = symbol_value(variable.text, value.symbol, ast.line) +
               static_cast<uint64_t>(value.offset);
        if (value.byte_mask != 0) {
          bits = (bits & value.byte_mask) >> std::countr_zero(value.byte_mask);
        }
      } else if (value.kind == InitValue::Kind::kFloat) {
        if (bytes == 4 && !value.is_single) {
          bits = std::bit_cast<uint32_t>(static_cast<float>(std::bit_cast<double>(bits)));
        } else if (bytes == 8 && value.is_single) {
          bits = std::bit_cast<uint64_t>(
              static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(bits))));
        }
      } else if (ast.type == Type::kF32) {
        bits = std::bit_cast<uint32_t>(static_cast<float>(static_cast<int64_t>(bits)));
      } else if (ast.type == Type::kF64) {
        bits = std::bit_cast<uint64_t>(static_cast<double>(static_cast<int64_t>(bits)));
      }
      uint64_t at = uint64_t{value.index} * bytes;
      if (at + bytes > variable.bytes) {
        throw PtxError(ast.line, "\"" + std::string(ast.name) + "\" has more initial values (" +
                                     std::to_string(ast.init.size()) + ") than elements");
      }
      std::memcpy(base + at, &bits, std::min<uint32_t>(bytes, 8));
    }
  }
}

}  // namespace farlane::softcuda
