// Values to and from text.
#include <fmt/format.h>

#include <charconv>

#include "conf/load.h"

namespace farlane::conf {
namespace {

struct Unit {
  std::string_view name;
  int64_t bytes;
};
constexpr Unit kUnits[] = {{"TiB", kTiB}, {"GiB", kGiB}, {"MiB", kMiB}, {"KiB", kKiB}, {"B", 1}};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

bool parse_integer(std::string_view text, int64_t* value) {
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    text.remove_prefix(2);
    if (text.starts_with('-')) return false;
    base = 16;
  }
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), *value, base);
  return fault == std::errc{} && end == text.data() + text.size();
}

bool parse_bool(std::string_view text, bool* value) {
  for (std::string_view word : {"true", "1", "on", "yes"}) {
    if (text == word) return *value = true;
  }
  for (std::string_view word : {"false", "0", "off", "no"}) {
    if (text == word) {
      *value = false;
      return true;
    }
  }
  return false;
}

std::string number_text(const Setting& setting, int64_t value) {
  if (setting.kind == Kind::kBytes) return bytes_text(value);
  if (setting.kind == Kind::kAddress) return value == 0 ? "0" : fmt::format("{:#x}", value);
  return fmt::format("{}", value);
}

// What a value must look like: "a whole number, -1 to 1000000".
std::string shape_text(const Setting& setting) {
  switch (setting.kind) {
    case Kind::kText:
      return "text";
    case Kind::kChoice:
      return range_text(setting);
    case Kind::kBool:
      return "true or false";
    case Kind::kInteger:
      return "a whole number, " + range_text(setting);
    case Kind::kBytes:
      return "a number of bytes such as \"4MiB\", " + range_text(setting);
    case Kind::kAddress:
      return "an address, " + range_text(setting);
  }
  return {};
}

}  // namespace

bool parse_bytes(std::string_view text, int64_t* bytes) {
  text = trimmed(text);
  int64_t unit_bytes = 1;
  for (const Unit& unit : kUnits) {
    if (text.ends_with(unit.name)) {
      text = trimmed(text.substr(0, text.size() - unit.name.size()));
      unit_bytes = unit.bytes;
      break;
    }
  }
  int64_t count = 0;
  if (!parse_integer(text, &count)) return false;
  return !__builtin_mul_overflow(count, unit_bytes, bytes);
}

std::string bytes_text(int64_t bytes) {
  for (const Unit& unit : kUnits) {
    if (bytes != 0 && bytes % unit.bytes == 0 && unit.bytes > 1) {
      return fmt::format("{}{}", bytes / unit.bytes, unit.name);
    }
  }
  return fmt::format("{}", bytes);
}

std::string range_text(const Setting& setting) {
  switch (setting.kind) {
    case Kind::kText:
    case Kind::kBool:
      return {};
    case Kind::kChoice: {
      std::string text = "one of ";
      for (const char* choice : setting.choices) {
        if (choice != setting.choices.front()) text += ", ";
        text += choice;
      }
      return text;
    }
    case Kind::kInteger:
    case Kind::kBytes:
    case Kind::kAddress:
      return fmt::format("{} to {}", number_text(setting, setting.minimum),
                         number_text(setting, setting.maximum));
  }
  return {};
}

std::string value_text(const Setting& setting, const void* settings) {
  // Only read through: the table has one kind of accessor.
  void* field = setting.field(const_cast<void*>(settings));
  switch (setting.kind) {
    case Kind::kText:
    case Kind::kChoice:
      return *static_cast<std::string*>(field);
    case Kind::kBool:
      return *static_cast<bool*>(field) ? "true" : "false";
    case Kind::kInteger:
    case Kind::kBytes:
    case Kind::kAddress:
      return number_text(setting, *static_cast<int64_t*>(field));
  }
  return {};
}

bool set_from_text(const Setting& setting, std::string_view text, std::string_view where,
                   void* settings, std::string* error) {
  void* field = setting.field(settings);
  const auto refuse = [&] {
    *error = fmt::format("{}: {} is \"{}\"; it must be {}", where, setting.key, text,
                         shape_text(setting));
    return false;
  };
  switch (setting.kind) {
    case Kind::kText:
      *static_cast<std::string*>(field) = text;
      return true;
    case Kind::kChoice:
      for (const char* choice : setting.choices) {
        if (text == choice) {
          *static_cast<std::string*>(field) = text;
          return true;
        }
      }
      return refuse();
    case Kind::kBool:
      return parse_bool(trimmed(text), static_cast<bool*>(field)) || refuse();
    case Kind::kInteger:
    case Kind::kBytes:
    case Kind::kAddress: {
      int64_t value = 0;
      const bool parsed = setting.kind == Kind::kBytes ? parse_bytes(text, &value)
                                                       : parse_integer(trimmed(text), &value);
      if (!parsed || value < setting.minimum || value > setting.maximum) return refuse();
      *static_cast<int64_t*>(field) = value;
      return true;
    }
  }
  return false;
}

}  // namespace farlane::conf
