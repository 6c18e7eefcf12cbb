#include "server/softcuda/ptx_parser.h"

#include <bit>
#include <optional>
#include <string>
#include <utility>

namespace farlane::softcuda {
namespace {

std::optional<Space> space_from_name(std::string_view name) {
  if (name == "reg") return Space::kReg;
  if (name == "global") return Space::kGlobal;
  if (name == "const") return Space::kConst;
  if (name == "shared") return Space::kShared;
  if (name == "local") return Space::kLocal;
  if (name == "param") return Space::kParam;
  return std::nullopt;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : tokens_(tokenize(text)) {}

  AstModule run() {
    while (peek().kind != TokenKind::kEnd) top_level();
    if (module_.version_major == 0) throw PtxError("the text has no .version");
    return std::move(module_);
  }

 private:
  // ---- tokens -------------------------------------------------------------------------------
  const Token& peek(size_t ahead = 0) const {
    size_t i = at_ + ahead;
    return i < tokens_.size() ? tokens_[i] : tokens_.back();
  }
  const Token& take() {
    const Token& token = peek();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool is_punct(char c, size_t ahead = 0) const {
    const Token& token = peek(ahead);
    return token.kind == TokenKind::kPunct && token.text[0] == c;
  }
  bool is_dot(std::string_view name) const {
    return peek().kind == TokenKind::kDot && peek().text == name;
  }
  bool accept(char c) {
    if (!is_punct(c)) return false;
    take();
    return true;
  }
  bool accept_dot(std::string_view name) {
    if (!is_dot(name)) return false;
    take();
    return true;
  }
  static std::string shown(const Token& token) {
    if (token.kind == TokenKind::kEnd) return "the end of the text";
    return "\"" + std::string(token.kind == TokenKind::kDot ? "." : "") + std::string(token.text) +
           "\"";
  }
  [[noreturn]] void fail(const std::string& what) const { throw PtxError(peek().line, what); }
  void expect(char c) {
    if (!accept(c)) fail(std::string("expected \"") + c + "\" before " + shown(peek()));
  }
  std::string_view expect_name(const char* what) {
    if (peek().kind != TokenKind::kName) {
      fail(std::string("expected ") + what + " before " + shown(peek()));
    }
    return take().text;
  }
  uint64_t expect_integer(const char* what) {
    if (peek().kind != TokenKind::kInteger) {
      fail(std::string("expected ") + what + " before " + shown(peek()));
    }
    return take().bits;
  }

  // ---- module scope -------------------------------------------------------------------------
  void top_level() {
    const Token& token = peek();
    if (accept(';')) return;
    if (token.kind == TokenKind::kName) return top_level_name();
    if (token.kind != TokenKind::kDot) fail("expected a directive before " + shown(token));
    if (accept_dot("version")) return version();
    if (accept_dot("target")) return target();
    if (accept_dot("address_size")) {
      if (expect_integer("an address size") != 64) fail("only .address_size 64 is supported");
      return;
    }
    if (is_dot("file") || is_dot("loc")) return skip_line();
    if (is_dot("section")) return skip_section();
    if (accept_dot("pragma")) return skip_to_semicolon();
    if (accept_dot("alias")) return alias();
    declaration();
  }

  // Debug data of old compilers: @@DWARF lines come as names after punctuation; nothing else does.
  void top_level_name() { fail("expected a directive before " + shown(peek())); }

  void version() {
    // "8.7" was read as a decimal number.
    const Token& token = take();
    if (token.kind != TokenKind::kFloat && token.kind != TokenKind::kInteger) {
      fail("expected a version");
    }
    size_t dot = token.text.find('.');
    module_.version_major =
        static_cast<uint32_t>(std::stoul(std::string(token.text.substr(0, dot))));
    if (dot != std::string_view::npos) {
      module_.version_minor =
          static_cast<uint32_t>(std::stoul(std::string(token.text.substr(dot + 1))));
    }
  }

  void target() {
    module_.target = expect_name("a target");
    while (accept(',')) expect_name("a target option");
  }

  void skip_line() {
    uint32_t line = peek().line;
    while (peek().line == line && peek().kind != TokenKind::kEnd) take();
  }
  void skip_to_semicolon() {
    while (!is_punct(';')) {
      if (peek().kind == TokenKind::kEnd) fail("expected \";\"");
      take();
    }
    take();
  }
  void skip_section() {
    while (!is_punct('{')) {
      if (peek().kind == TokenKind::kEnd) fail("this .section has no body");
      take();
    }
    while (!is_punct('}')) {
      if (peek().kind == TokenKind::kEnd) fail("this .section has no end");
      take();
    }
    take();
  }
  void alias() {
    AstAlias alias;
    alias.name = expect_name("an alias");
    expect(',');
    alias.target = expect_name("a function");
    expect(';');
    module_.aliases.push_back(alias);
  }

  void declaration() {
    Linkage linkage = Linkage::kLocal;
    for (;;) {
      if (accept_dot("visible")) {
        linkage = Linkage::kVisible;
      } else if (accept_dot("extern")) {
        linkage = Linkage::kExtern;
      } else if (accept_dot("weak")) {
        linkage = Linkage::kWeak;
      } else if (accept_dot("common")) {
        linkage = Linkage::kCommon;
      } else {
        break;
      }
    }
    if (is_dot("entry") || is_dot("func")) return function(linkage);
    if (peek().kind != TokenKind::kDot || !space_from_name(peek().text)) {
      fail("directive " + shown(peek()) + " is not known to the software device");
    }
    for (AstVariable& variable : variables(linkage)) {
      module_.variables.push_back(std::move(variable));
    }
  }

  // `.space .align n .v4 .type name[dim], name2 = init;` with the linkage already taken.
  std::vector<AstVariable> variables(Linkage linkage) {
    AstVariable model = variable_head();
    model.linkage = linkage;
    std::vector<AstVariable> result;
    do {
      AstVariable variable = model;
      variable_name(variable);
      if (accept('=')) initialiser(variable);
      result.push_back(std::move(variable));
    } while (accept(','));
    expect(';');
    return result;
  }

  AstVariable variable_head() {
    AstVariable variable;
    bool typed = false;
    bool spaced = false;
    while (peek().kind == TokenKind::kDot) {
      const Token& token = peek();
      if (token.text == "align") {
        take();
        variable.align = static_cast<uint32_t>(expect_integer("an alignment"));
        if (!std::has_single_bit(variable.align)) fail("an alignment must be a power of two");
      } else if (token.text == "v2" || token.text == "v4" || token.text == "v8") {
        variable.vector = static_cast<uint32_t>(token.text[1] - '0');
        take();
      } else if (token.text == "ptr") {
        take();  // `.param .u64 .ptr .global .align 4 p`: a promise about the pointee
        while (peek().kind == TokenKind::kDot) {
          if (accept_dot("align")) {
            expect_integer("an alignment");
          } else {
            take();
          }
        }
      } else if (token.text == "attribute") {
        take();
        expect('(');
        while (!accept(')')) take();
      } else if (auto space = space_from_name(token.text); space && !spaced) {
        variable.space = *space;
        spaced = true;
        take();
      } else if (auto type = type_from_name(token.text); type && !typed) {
        variable.type = *type;
        typed = true;
        take();
      } else {
        fail("type or attribute " + shown(token) + " is not known to the software device");
      }
    }
    if (!typed) fail("expected a type before " + shown(peek()));
    return variable;
  }

  void variable_name(AstVariable& variable) {
    variable.line = peek().line;
    variable.name = expect_name("a name");
    if (accept('<')) {
      variable.range = static_cast<uint32_t>(expect_integer("a register count"));
      expect('>');
    }
    while (accept('[')) {
      variable.is_array = true;
      if (accept(']')) {
        variable.is_unsized = true;
        variable.elements = 0;
      } else {
        variable.elements *= expect_integer("an array size");
        expect(']');
      }
    }
  }

  // ---- initialisers ---------------------------------------------------------------------------
  void initialiser(AstVariable& variable) {
    uint32_t index = 0;
    if (is_punct('{')) {
      initialiser_list(variable, index);
    } else {
      initialiser_value(variable, index);
    }
    if (variable.is_unsized) {
      variable.elements = index;
      variable.is_unsized = false;
    }
  }
  void initialiser_list(AstVariable& variable, uint32_t& index) {
    expect('{');
    while (!accept('}')) {
      if (is_punct('{')) {
        initialiser_list(variable, index);
      } else {
        initialiser_value(variable, index);
      }
      if (!is_punct('}')) expect(',');
    }
  }
  void initialiser_value(AstVariable& variable, uint32_t& index) {
    InitValue value;
    bool negative = accept('-');
    const Token& token = peek();
    if (token.kind == TokenKind::kFloat) {
      value.kind = InitValue::Kind::kFloat;
      value.is_single = token.is_single;
      value.bits = token.bits;
      if (negative) value.bits ^= token.is_single ? uint64_t{1} << 31 : uint64_t{1} << 63;
      take();
    } else if (token.kind == TokenKind::kInteger && is_punct('(', 1)) {
      value.byte_mask = take().bits;  // 0xFF00(symbol)
      expect('(');
      initialiser_symbol(value);
      expect(')');
    } else if (token.kind == TokenKind::kInteger) {
      value.bits = negative ? uint64_t{0} - token.bits : token.bits;
      take();
    } else {
      initialiser_symbol(value);
    }
    value.index = index++;
    variable.init.push_back(value);
  }
  void initialiser_symbol(InitValue& value) {
    value.kind = InitValue::Kind::kSymbol;
    value.symbol = expect_name("an initial value");
    if (value.symbol == "generic" && accept('(')) {
      value.symbol = expect_name("a variable");
      value.offset += initialiser_offset();
      expect(')');
    }
    value.offset += initialiser_offset();
  }
  int64_t initialiser_offset() {
    int64_t offset = 0;
    while (is_punct('+') || is_punct('-')) {
      bool minus = take().text == "-";
      if (!minus && is_punct('-')) {
        take();
        minus = true;
      }
      auto value = static_cast<int64_t>(expect_integer("an offset"));
      offset += minus ? -value : value;
    }
    return offset;
  }

  // ---- functions ------------------------------------------------------------------------------
  std::vector<AstVariable> parameter_list() {
    std::vector<AstVariable> params;
    expect('(');
    while (!accept(')')) {
      AstVariable param = variable_head();
      if (peek().kind == TokenKind::kName) {
        variable_name(param);
      }
      params.push_back(std::move(param));
      if (!is_punct(')')) expect(',');
    }
    return params;
  }

  void function(Linkage linkage) {
    AstFunction function;
    function.linkage = linkage;
    function.is_entry = take().text == "entry";
    if (!function.is_entry && is_punct('(')) function.returns = parameter_list();
    function.line = peek().line;
    function.name = expect_name("a function name");
    if (is_punct('(')) function.params = parameter_list();
    function_attributes(function);
    if (accept(';')) {
      module_.functions.push_back(std::move(function));
      return;
    }
    function.has_body = true;
    expect('{');
    body(function);
    module_.functions.push_back(std::move(function));
  }

  void function_attributes(AstFunction& function) {
    while (peek().kind == TokenKind::kDot) {
      std::string_view name = take().text;
      uint32_t values[3] = {1, 1, 1};
      uint32_t count = 0;
      if (peek().kind == TokenKind::kString) {  // .pragma "…";
        take();
        accept(';');
        continue;
      }
      if (accept('(')) {  // .attribute(…), .unified(…)
        while (!accept(')')) take();
        continue;
      }
      while (peek().kind == TokenKind::kInteger) {
        uint64_t value = take().bits;
        if (count < 3) values[count++] = static_cast<uint32_t>(value);
        if (!accept(',')) break;
      }
      if (name == "maxntid") function.max_threads = values[0] * values[1] * values[2];
      if (name == "reqntid") {
        for (int i = 0; i < 3; ++i) function.reqd_threads[i] = values[i];
      }
      if (name == "noreturn") function.noreturn = true;
      if (name == "reqnctapercluster" || name == "explicitcluster") {
        fail("thread block clusters (." + std::string(name) +
             ") are not known to the software device");
      }
    }
  }

  void body(AstFunction& function) {
    int depth = 1;
    for (;;) {
      const Token& token = peek();
      AstStatement statement;
      if (token.kind == TokenKind::kEnd) fail("this function has no end");
      if (accept(';')) continue;
      if (accept('{')) {
        ++depth;
        statement.kind = AstStatement::Kind::kScopeBegin;
        function.body.push_back(statement);
      } else if (accept('}')) {
        if (--depth == 0) return;
        statement.kind = AstStatement::Kind::kScopeEnd;
        function.body.push_back(statement);
      } else if (token.kind == TokenKind::kDot) {
        body_directive(function);
      } else if (token.kind == TokenKind::kName && is_punct(':', 1)) {
        labelled(function);
      } else {
        instruction(function);
      }
    }
  }

  void body_directive(AstFunction& function) {
    if (is_dot("loc") || is_dot("file")) return skip_line();
    if (accept_dot("pragma")) return skip_to_semicolon();
    if (is_dot("section")) return skip_section();
    Linkage linkage = Linkage::kLocal;
    if (accept_dot("extern")) linkage = Linkage::kExtern;
    if (peek().kind != TokenKind::kDot || !space_from_name(peek().text)) {
      fail("directive " + shown(peek()) + " is not known to the software device");
    }
    for (AstVariable& variable : variables(linkage)) {
      AstStatement statement;
      statement.kind = AstStatement::Kind::kVariable;
      statement.index = static_cast<uint32_t>(function.variables.size());
      function.variables.push_back(std::move(variable));
      function.body.push_back(statement);
    }
  }

  void labelled(AstFunction& function) {
    std::string_view name = take().text;
    expect(':');
    AstStatement statement;
    statement.label = name;
    if (accept_dot("callprototype")) {
      AstPrototype prototype;
      prototype.name = name;
      if (is_punct('(')) prototype.returns = parameter_list();
      expect_name("\"_\"");
      if (is_punct('(')) prototype.params = parameter_list();
      while (peek().kind == TokenKind::kDot) {
        take();  // .noreturn, .abi_preserve …
        if (peek().kind == TokenKind::kInteger) take();
      }
      expect(';');
      statement.kind = AstStatement::Kind::kPrototype;
      statement.index = static_cast<uint32_t>(function.prototypes.size());
      function.prototypes.push_back(std::move(prototype));
    } else if (is_dot("branchtargets") || is_dot("calltargets")) {
      take();
      AstTargets targets;
      targets.name = name;
      do {
        targets.targets.push_back(expect_name("a target"));
      } while (accept(','));
      expect(';');
      statement.kind = AstStatement::Kind::kTargets;
      statement.index = static_cast<uint32_t>(function.targets.size());
      function.targets.push_back(std::move(targets));
    } else {
      statement.kind = AstStatement::Kind::kLabel;
    }
    function.body.push_back(statement);
  }

  // ---- instructions -----------------------------------------------------------------------------
  void instruction(AstFunction& function) {
    AstInstruction instruction;
    instruction.line = peek().line;
    if (accept('@')) {
      instruction.guard_negated = accept('!');
      instruction.guard = expect_name("a predicate");
    }
    instruction.opcode = expect_name("an instruction");
    while (peek().kind == TokenKind::kDot) instruction.modifiers.push_back(take().text);
    while (!is_punct(';')) {
      instruction.operands.push_back(operand());
      if (!is_punct(';')) expect(',');
    }
    expect(';');
    AstStatement statement;
    statement.index = static_cast<uint32_t>(function.instructions.size());
    function.instructions.push_back(std::move(instruction));
    function.body.push_back(statement);
  }

  AstOperand operand() {
    AstOperand first = simple_operand();
    if (!is_punct('|')) return first;
    AstOperand pair;
    pair.kind = AstOperand::Kind::kPair;
    pair.items.push_back(std::move(first));
    take();
    pair.items.push_back(simple_operand());
    return pair;
  }

  AstOperand list(char end) {
    AstOperand result;
    result.kind = AstOperand::Kind::kVector;
    while (!accept(end)) {
      result.items.push_back(operand());
      if (!is_punct(end)) expect(',');
    }
    return result;
  }

  AstOperand simple_operand() {
    if (accept('{')) return list('}');
    if (accept('(')) return list(')');
    if (accept('[')) {
      AstOperand address = simple_operand();
      while (accept(',')) address.items.push_back(simple_operand());  // tensor coordinates
      expect(']');
      if (address.kind == AstOperand::Kind::kInteger) {
        address.offset = static_cast<int64_t>(address.bits);
        address.name = {};
      } else if (address.kind != AstOperand::Kind::kName) {
        fail("an address is a register, a variable or a number, with an offset");
      }
      address.kind = AstOperand::Kind::kAddress;
      return address;
    }
    AstOperand result;
    result.negated = accept('!');
    const bool minus = accept('-');
    const bool invert = !minus && accept('~');
    const Token& token = peek();
    if (token.kind == TokenKind::kInteger) {
      result.kind = AstOperand::Kind::kInteger;
      result.bits = minus ? uint64_t{0} - token.bits : invert ? ~token.bits : token.bits;
      take();
      return result;
    }
    if (token.kind == TokenKind::kFloat) {
      result.kind = AstOperand::Kind::kFloat;
      result.is_single = token.is_single;
      result.bits = token.bits;
      if (minus) result.bits ^= token.is_single ? uint64_t{1} << 31 : uint64_t{1} << 63;
      take();
      return result;
    }
    if (minus || invert) fail("expected a number before " + shown(token));
    result.name = expect_name("an operand");
    if (peek().kind == TokenKind::kDot) result.component = take().text;
    while (is_punct('+') || is_punct('-')) {
      bool negative = take().text == "-";
      if (!negative && accept('-')) negative = true;
      auto value = static_cast<int64_t>(expect_integer("an offset"));
      result.offset += negative ? -value : value;
    }
    return result;
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  AstModule module_;
};

}  // namespace

AstModule parse_ptx(std::string_view text) {
  return Parser(text).run();
}

}  // namespace farlane::softcuda
