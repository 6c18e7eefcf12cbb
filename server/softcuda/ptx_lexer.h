// Splits PTX text into tokens. Tokens view the text, which must outlive them.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace farlane::softcuda {

enum class TokenKind : uint8_t {
  kEnd,
  kName,     // identifier, register or special register: foo, %r1, $L__BB0_1, _
  kDot,      // directive or modifier without its dot: "reg", "global", "L2::cache_hint"
  kInteger,  // value in `bits`; is_unsigned when it does not fit an int64 or carries a U
  kFloat,  // value in `bits` as a double; is_single when written 0f…, then `bits` is the float's
  kString,
  kPunct,  // one character in text
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  bool is_single = false;
  uint32_t line = 1;
  std::string_view text;
  uint64_t bits = 0;
};

// What is wrong with a text, with its line. Thrown inside the engine's loader only; load_ptx turns
// it into an error string.
class PtxError : public std::runtime_error {
 public:
  PtxError(uint32_t line, const std::string& what)
      : std::runtime_error("ptx: line " + std::to_string(line) + ": " + what) {}
  explicit PtxError(const std::string& what) : std::runtime_error("ptx: " + what) {}
};

std::vector<Token> tokenize(std::string_view text);

}  // namespace farlane::softcuda
