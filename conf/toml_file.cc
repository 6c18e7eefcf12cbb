#include "conf/toml_file.h"

#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <fmt/format.h>
#include <toml++/toml.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>

#include "conf/load.h"

namespace farlane::conf {
namespace {

constexpr size_t kFileBytesMax = 1 << 20;

bool read_text(const std::string& file, std::string* text, std::string* error) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(std::fopen(file.c_str(), "re"),
                                                           &std::fclose);
  if (in == nullptr) {
    *error = fmt::format("{}: cannot open this settings file: {}", file, std::strerror(errno));
    return false;
  }
  text->resize(kFileBytesMax + 1);
  const size_t bytes = std::fread(text->data(), 1, text->size(), in.get());
  if (std::ferror(in.get()) != 0) {
    *error = fmt::format("{}: cannot read this settings file: {}", file, std::strerror(errno));
    return false;
  }
  if (bytes > kFileBytesMax) {
    *error = fmt::format("{}: this is no settings file: it is larger than {} bytes", file,
                         kFileBytesMax);
    return false;
  }
  text->resize(bytes);
  return true;
}

class Walk {
 public:
  Walk(const Table& table, const std::string& file, std::vector<FileValue>* values,
       std::string* error)
      : table_(table), file_(file), values_(values), error_(error) {}

  bool section(const toml::table& section, const std::string& prefix) {
    for (const auto& [name, node] : section) {
      const std::string key = prefix + std::string(name.str());
      const uint32_t line = name.source().begin.line;
      const toml::table* const inner = node.as_table();
      if (inner != nullptr && is_section(key)) {
        if (!this->section(*inner, key + ".")) return false;
      } else if (!value(key, node, line)) {
        return false;
      }
    }
    return true;
  }

 private:
  bool is_section(const std::string& key) const {
    for (const Setting& setting : table_.settings) {
      if (std::string_view(setting.key).starts_with(key + ".")) return true;
    }
    return false;
  }

  bool value(const std::string& key, const toml::node& node, uint32_t line) {
    const Setting* const setting = find(table_, key);
    if (setting == nullptr) {
      *error_ = fmt::format("{}:{}: there is no setting {}; did you mean {}?", file_, line, key,
                            nearest(key, node));
      return false;
    }
    FileValue found{static_cast<size_t>(setting - table_.settings.data()), {}, line};
    if (!text_of(*setting, node, &found.text)) {
      *error_ = fmt::format("{}:{}: {} is {}; it must be {}", file_, line, key, type_name(node),
                            wanted(*setting));
      return false;
    }
    values_->push_back(std::move(found));
    return true;
  }

  // For an unknown section, the nearest section.
  std::string nearest(const std::string& key, const toml::node& node) const {
    if (!node.is_table()) return nearest_key(table_, key);
    std::string best;
    size_t best_distance = SIZE_MAX;
    for (const Setting& setting : table_.settings) {
      const std::string_view path = setting.key;
      const size_t dot = path.rfind('.');
      if (dot == std::string_view::npos) continue;
      const size_t distance = edit_distance(key, path.substr(0, dot));
      if (distance < best_distance) {
        best_distance = distance;
        best = fmt::format("[{}]", path.substr(0, dot));
      }
    }
    return best.empty() ? nearest_key(table_, key) : best;
  }

  static bool text_of(const Setting& setting, const toml::node& node, std::string* text) {
    switch (setting.kind) {
      case Kind::kText:
      case Kind::kChoice:
        if (const auto* string = node.as_string()) return *text = string->get(), true;
        return false;
      case Kind::kBool:
        if (const auto* boolean = node.as_boolean()) {
          *text = boolean->get() ? "true" : "false";
          return true;
        }
        return false;
      case Kind::kInteger:
        if (const auto* number = node.as_integer()) {
          *text = fmt::format("{}", number->get());
          return true;
        }
        return false;
      case Kind::kBytes:
      case Kind::kAddress:
        if (const auto* number = node.as_integer()) {
          *text = fmt::format("{}", number->get());
          return true;
        }
        if (const auto* string = node.as_string()) return *text = string->get(), true;
        return false;
    }
    return false;
  }

  static std::string_view type_name(const toml::node& node) {
    if (node.is_string()) return "text in quotes";
    if (node.is_integer()) return "a whole number";
    if (node.is_floating_point()) return "a number with a fraction";
    if (node.is_boolean()) return "true or false";
    if (node.is_array()) return "an array";
    if (node.is_table()) return "a section";
    return "a date or time";
  }

  static std::string wanted(const Setting& setting) {
    switch (setting.kind) {
      case Kind::kText:
        return "text in quotes";
      case Kind::kChoice:
        return "text in quotes, " + range_text(setting);
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

  const Table& table_;
  const std::string& file_;
  std::vector<FileValue>* values_;
  std::string* error_;
};

}  // namespace

bool read_toml_file(const Table& table, const std::string& file, std::vector<FileValue>* values,
                    std::string* error) {
  std::string text;
  if (!read_text(file, &text, error)) return false;
  const toml::parse_result result = toml::parse(std::string_view(text), std::string_view(file));
  if (!result) {
    *error = fmt::format("{}:{}: {}", file, result.error().source().begin.line,
                         result.error().description());
    return false;
  }
  return Walk(table, file, values, error).section(result.table(), "");
}

}  // namespace farlane::conf
