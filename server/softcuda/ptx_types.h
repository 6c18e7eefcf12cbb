// The scalar types of PTX, as instructions and declarations name them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace farlane::softcuda {

enum class Type : uint8_t {
  kPred,
  kB8,
  kB16,
  kB32,
  kB64,
  kB128,
  kU8,
  kU16,
  kU32,
  kU64,
  kS8,
  kS16,
  kS32,
  kS64,
  kF16,
  kF16x2,
  kBF16,
  kBF16x2,
  kTF32,
  kE4M3x2,
  kE5M2x2,
  kF32,
  kF64,
};

// Bytes of a value of this type in memory. A predicate has none: it is a lane mask (see Operand).
uint32_t type_bytes(Type type);
// From its spelling without the dot ("u32"); none when it is not a type.
std::optional<Type> type_from_name(std::string_view name);
std::string_view type_name(Type type);

constexpr bool is_signed(Type type) {
  return type == Type::kS8 || type == Type::kS16 || type == Type::kS32 || type == Type::kS64;
}
constexpr bool is_unsigned(Type type) {
  return type == Type::kU8 || type == Type::kU16 || type == Type::kU32 || type == Type::kU64;
}
constexpr bool is_bits(Type type) {
  return type == Type::kB8 || type == Type::kB16 || type == Type::kB32 || type == Type::kB64 ||
         type == Type::kB128;
}
constexpr bool is_float(Type type) {
  return type == Type::kF16 || type == Type::kF32 || type == Type::kF64 || type == Type::kBF16 ||
         type == Type::kF16x2 || type == Type::kBF16x2;
}

// The state spaces of PTX.
enum class Space : uint8_t { kReg, kGlobal, kConst, kShared, kLocal, kParam, kGeneric };

}  // namespace farlane::softcuda
