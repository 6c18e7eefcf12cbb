#include "server/softcuda/ptx_lexer.h"

#include <bit>
#include <charconv>
#include <cstdlib>

namespace farlane::softcuda {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' || c == '%';
}
bool is_name_char(char c) {
  return is_name_start(c) || is_digit(c);
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  std::vector<Token> run() {
    std::vector<Token> tokens;
    tokens.reserve(text_.size() / 4);
    for (;;) {
      skip_blank();
      Token token = next();
      tokens.push_back(token);
      if (token.kind == TokenKind::kEnd) return tokens;
    }
  }

 private:
  char peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }

  void skip_blank() {
    while (at_ < text_.size()) {
      char c = text_[at_];
      if (c == '\n') {
        ++line_;
        ++at_;
      } else if (c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v') {
        ++at_;
      } else if (c == '/' && peek(1) == '/') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else if (c == '/' && peek(1) == '*') {
        uint32_t start = line_;
        at_ += 2;
        while (at_ < text_.size() && !(text_[at_] == '*' && peek(1) == '/')) {
          if (text_[at_] == '\n') ++line_;
          ++at_;
        }
        if (at_ >= text_.size()) throw PtxError(start, "this comment has no end");
        at_ += 2;
      } else if (c == '\0') {
        at_ = text_.size();  // the terminator that fat binaries carry
      } else {
        return;
      }
    }
  }

  Token make(TokenKind kind, size_t begin) const {
    Token token;
    token.kind = kind;
    token.line = line_;
    token.text = text_.substr(begin, at_ - begin);
    return token;
  }

  Token next() {
    size_t begin = at_;
    if (at_ >= text_.size()) return make(TokenKind::kEnd, begin);
    char c = text_[at_];
    if (is_name_start(c) && (c != '%' || is_name_char(peek(1)))) {
      while (is_name_char(peek())) ++at_;
      return make(TokenKind::kName, begin);
    }
    if (c == '.' && is_name_char(peek(1))) {
      ++at_;
      begin = at_;
      while (is_name_char(peek()) || (peek() == ':' && peek(1) == ':' && is_name_char(peek(2)))) {
        at_ += peek() == ':' ? 2 : 1;
      }
      return make(TokenKind::kDot, begin);
    }
    if (is_digit(c) || (c == '.' && is_digit(peek(1)))) return number(begin);
    if (c == '"') return string(begin);
    ++at_;
    return make(TokenKind::kPunct, begin);
  }

  Token number(size_t begin) {
    char second = peek(1);
    if (peek() == '0' && (second == 'f' || second == 'F' || second == 'd' || second == 'D')) {
      bool single = second == 'f' || second == 'F';
      size_t digits = single ? 8 : 16;
      at_ += 2;
      size_t first = at_;
      while (is_hex(peek()) && at_ - first < digits) ++at_;
      if (at_ - first != digits) throw PtxError(line_, "a floating-point constant is cut short");
      Token token = make(TokenKind::kFloat, begin);
      token.is_single = single;
      std::from_chars(text_.data() + first, text_.data() + at_, token.bits, 16);
      return token;
    }
    int base = 10;
    if (peek() == '0' && (second == 'x' || second == 'X')) {
      base = 16;
      at_ += 2;
    } else if (peek() == '0' && (second == 'b' || second == 'B')) {
      base = 2;
      at_ += 2;
    }
    size_t first = at_;
    while (base == 16 ? is_hex(peek()) : is_digit(peek())) ++at_;
    if (base == 10 && ((peek() == '.' && is_digit(peek(1))) || peek() == 'e' || peek() == 'E')) {
      return decimal_float(begin);
    }
    if (base == 10 && at_ - first > 1 && text_[first] == '0') base = 8;
    uint64_t value = 0;
    auto [end, error] = std::from_chars(text_.data() + first, text_.data() + at_, value, base);
    if (error != std::errc() || end != text_.data() + at_) {
      throw PtxError(line_, "\"" + std::string(text_.substr(begin, at_ - begin)) +
                                "\" is not a number of at most 64 bits");
    }
    if (peek() == 'U') ++at_;
    Token token = make(TokenKind::kInteger, begin);
    token.bits = value;
    return token;
  }

  Token decimal_float(size_t begin) {
    if (peek() == '.') {
      ++at_;
      while (is_digit(peek())) ++at_;
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      while (is_digit(peek())) ++at_;
    }
    Token token = make(TokenKind::kFloat, begin);
    token.bits = std::bit_cast<uint64_t>(std::strtod(std::string(token.text).c_str(), nullptr));
    return token;
  }

  Token string(size_t begin) {
    ++at_;
    while (peek() != '"') {
      if (at_ >= text_.size() || peek() == '\n') throw PtxError(line_, "this string has no end");
      at_ += peek() == '\\' ? 2 : 1;
    }
    ++at_;
    Token token = make(TokenKind::kString, begin);
    token.text = token.text.substr(1, token.text.size() - 2);
    return token;
  }

  std::string_view text_;
  size_t at_ = 0;
  uint32_t line_ = 1;
};

}  // namespace

std::vector<Token> tokenize(std::string_view text) {
  return Lexer(text).run();
}

}  // namespace farlane::softcuda
