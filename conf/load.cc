#include "conf/load.h"

#include <fmt/format.h>

#include <cstdlib>

#include "conf/toml_file.h"

namespace farlane::conf {

Environment process_environment() {
  return [](const char* name) -> const char* { return std::getenv(name); };
}

const Setting* find(const Table& table, std::string_view key) {
  for (const Setting& setting : table.settings) {
    if (key == setting.key) return &setting;
  }
  return nullptr;
}

bool load(const Table& table, const Sources& sources, void* settings, Origins* origins,
          std::string* error) {
  Origins from(table.settings.size(), "default");

  if (!sources.file.empty()) {
    std::vector<FileValue> values;
    if (!read_toml_file(table, sources.file, &values, error)) return false;
    for (const FileValue& value : values) {
      const std::string where = fmt::format("{}:{}", sources.file, value.line);
      if (!set_from_text(table.settings[value.row], value.text, where, settings, error)) {
        return false;
      }
      from[value.row] = where;
    }
  }

  for (size_t row = 0; row < table.settings.size(); ++row) {
    const Setting& setting = table.settings[row];
    const char* text = sources.environment ? sources.environment(setting.environment) : nullptr;
    if (text == nullptr) continue;
    const std::string where = fmt::format("environment variable {}", setting.environment);
    if (!set_from_text(setting, text, where, settings, error)) return false;
    from[row] = setting.environment;
  }

  for (const Override& given : sources.overrides) {
    const Setting* setting = find(table, given.key);
    if (setting == nullptr) {
      *error = fmt::format("{}: there is no setting {}; did you mean {}?", given.where, given.key,
                           nearest_key(table, given.key));
      return false;
    }
    if (!set_from_text(*setting, given.value, given.where, settings, error)) return false;
    from[static_cast<size_t>(setting - table.settings.data())] = given.where;
  }

  if (origins != nullptr) *origins = std::move(from);
  return true;
}

}  // namespace farlane::conf
