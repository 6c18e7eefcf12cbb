// One table of settings per program. From it come the TOML parser, the environment overrides, the
// command-line options, the help text, the example files and docs/configuration.md, so that none of
// them can drift from the others.
//
// A setting is a member of a plain struct. The member's initialiser is the default; the table row
// says everything else. To add one: add the member, add the row, run
// `farlane settings --markdown > docs/configuration.md` (a test says what else is out of date).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

namespace farlane::conf {

enum class Kind : uint8_t {
  kText,     // std::string
  kChoice,   // std::string, one of `choices`
  kBool,     // bool
  kInteger,  // int64_t; the unit is the key's last word (_ms, _us, _s) or it is a count
  kBytes,    // int64_t; written as 1048576 or "1MiB"
  kAddress,  // int64_t; written as 0x100000000000
};

struct Setting {
  const char* key;          // dotted TOML path: "timeouts.connect_timeout_ms"
  const char* environment;  // overrides the file: "FARLANE_CONNECT_TIMEOUT_MS"
  Kind kind;
  void* (*field)(void* settings);
  int64_t minimum;  // of numbers, inclusive
  int64_t maximum;
  std::span<const char* const> choices;
  const char* help;  // sentences, for people
};

struct Table {
  const char* program;             // "client"
  const char* file_name;           // "client.toml"
  const char* environment_prefix;  // what every row's environment name starts with
  std::span<const Setting> settings;
  const void* defaults;  // a default-constructed settings struct
};

namespace detail {
template <class Member>
struct MemberOf;
template <class S, class T>
struct MemberOf<T S::*> {
  using Struct = S;
  using Type = T;
};
template <auto member>
using TypeOf = typename MemberOf<decltype(member)>::Type;
template <auto member>
void* field(void* settings) {
  return &(static_cast<typename MemberOf<decltype(member)>::Struct*>(settings)->*member);
}
}  // namespace detail

// Rows. Each refuses to compile for a member of another type.
template <auto member>
constexpr Setting text(const char* key, const char* environment, const char* help) {
  static_assert(std::is_same_v<detail::TypeOf<member>, std::string>);
  return {key, environment, Kind::kText, &detail::field<member>, 0, 0, {}, help};
}
template <auto member>
constexpr Setting choice(const char* key, const char* environment,
                         std::span<const char* const> choices, const char* help) {
  static_assert(std::is_same_v<detail::TypeOf<member>, std::string>);
  return {key, environment, Kind::kChoice, &detail::field<member>, 0, 0, choices, help};
}
template <auto member>
constexpr Setting flag(const char* key, const char* environment, const char* help) {
  static_assert(std::is_same_v<detail::TypeOf<member>, bool>);
  return {key, environment, Kind::kBool, &detail::field<member>, 0, 1, {}, help};
}
template <auto member>
constexpr Setting integer(const char* key, const char* environment, int64_t minimum,
                          int64_t maximum, const char* help) {
  static_assert(std::is_same_v<detail::TypeOf<member>, int64_t>);
  return {key, environment, Kind::kInteger, &detail::field<member>, minimum, maximum, {}, help};
}
template <auto member>
constexpr Setting bytes(const char* key, const char* environment, int64_t minimum, int64_t maximum,
                        const char* help) {
  static_assert(std::is_same_v<detail::TypeOf<member>, int64_t>);
  return {key, environment, Kind::kBytes, &detail::field<member>, minimum, maximum, {}, help};
}
template <auto member>
constexpr Setting address(const char* key, const char* environment, int64_t minimum,
                          int64_t maximum, const char* help) {
  static_assert(std::is_same_v<detail::TypeOf<member>, int64_t>);
  return {key, environment, Kind::kAddress, &detail::field<member>, minimum, maximum, {}, help};
}

inline constexpr int64_t kKiB = int64_t{1} << 10;
inline constexpr int64_t kMiB = int64_t{1} << 20;
inline constexpr int64_t kGiB = int64_t{1} << 30;
inline constexpr int64_t kTiB = int64_t{1} << 40;

}  // namespace farlane::conf
