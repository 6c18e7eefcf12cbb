// Resolves names across several PTX texts and lays out what has an address: module variables in one
// host allocation, shared variables in each kernel's shared memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "server/softcuda/exec_program.h"
#include "server/softcuda/ptx_ast.h"

namespace farlane::softcuda {

struct Symbol {
  enum class Kind : uint8_t { kVariable, kFunction };
  Kind kind = Kind::kVariable;
  uint32_t index = 0;  // into Linker::variables() or functions()
};

struct LinkedVariable {
  const AstVariable* ast = nullptr;
  uint64_t bytes = 0;
  uint64_t address = 0;         // global, const: host address. shared: offset
  bool dynamic_shared = false;  // extern shared []: starts where the static part ends
  bool module_scope = true;
  size_t text = 0;
};

struct LinkedFunction {
  const AstFunction* ast = nullptr;  // the definition, or a declaration when there is none
  size_t text = 0;
  Builtin builtin = Builtin::kNone;
  std::vector<uint32_t> variables;  // shared variables named in the body
  std::vector<uint32_t> functions;  // functions named in the body
  bool calls_indirectly = false;
};

class Linker {
 public:
  // The modules must outlive the linker. Throws PtxError.
  explicit Linker(const std::vector<AstModule>& modules);

  const Symbol* find(size_t text, std::string_view name) const;
  // A static variable declared inside a function's body.
  const LinkedVariable& inner_variable(const AstVariable* ast) const;
  const std::vector<LinkedVariable>& variables() const { return variables_; }
  const std::vector<LinkedFunction>& functions() const { return functions_; }

  // Per function: bytes of static shared memory that it and its callees use.
  uint32_t shared_static_bytes(uint32_t function) const { return shared_bytes_[function]; }
  uint64_t const_bytes() const { return const_bytes_; }

  struct Free {
    void operator()(std::byte* p) const;
  };
  using Storage = std::unique_ptr<std::byte, Free>;
  Storage take_storage() { return std::move(storage_); }
  uint64_t storage_bytes() const { return storage_bytes_; }

 private:
  void collect(const std::vector<AstModule>& modules);
  uint32_t add_variable(const AstVariable& ast, size_t text, bool module_scope);
  uint32_t add_function(const AstFunction& ast, size_t text);
  void bind(size_t text, std::string_view name, Symbol symbol);
  void scan_bodies();
  void layout_globals();
  void layout_shared();
  void initialise();
  uint64_t symbol_value(size_t text, std::string_view name, uint32_t line) const;

  std::vector<LinkedVariable> variables_;
  std::vector<LinkedFunction> functions_;
  std::vector<std::unordered_map<std::string_view, Symbol>> texts_;
  std::unordered_map<std::string_view, Symbol> shared_names_;  // visible between the texts
  std::unordered_map<const AstVariable*, uint32_t> inner_;
  std::vector<uint32_t> shared_bytes_;
  Storage storage_;
  uint64_t storage_bytes_ = 0;
  uint64_t const_bytes_ = 0;
};

}  // namespace farlane::softcuda
