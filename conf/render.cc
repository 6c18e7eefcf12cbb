#include "conf/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "conf/client_settings.h"
#include "conf/server_settings.h"

namespace farlane::conf {
namespace {

constexpr size_t kColumns = 100;

std::string_view section_of(const Setting& setting) {
  const std::string_view key = setting.key;
  const size_t dot = key.rfind('.');
  return dot == std::string_view::npos ? std::string_view{} : key.substr(0, dot);
}

std::string_view name_in_section(const Setting& setting) {
  const std::string_view key = setting.key;
  const size_t dot = key.rfind('.');
  return dot == std::string_view::npos ? key : key.substr(dot + 1);
}

// The default as TOML.
std::string toml_value(const Table& table, const Setting& setting) {
  const std::string text = value_text(setting, table.defaults);
  switch (setting.kind) {
    case Kind::kText:
    case Kind::kChoice:
      return fmt::format("\"{}\"", text);
    case Kind::kBool:
    case Kind::kInteger:
    case Kind::kAddress:
      return text;
    case Kind::kBytes:
      return text.find_first_not_of("0123456789") == std::string::npos
                 ? text
                 : fmt::format("\"{}\"", text);
  }
  return {};
}

}  // namespace

std::string option_name(const Table& table, const Setting& setting) {
  std::string name = setting.environment;
  name.erase(0, std::string_view(table.environment_prefix).size());
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char letter) {
    return letter == '_' ? '-' : static_cast<char>(std::tolower(letter));
  });
  return "--" + name;
}

std::string option_help(const Table& table, const Setting& setting) {
  std::string text = setting.help;
  const std::string range = range_text(setting);
  if (!range.empty()) text += fmt::format(" ({})", range);
  text += fmt::format(" Default: {}.", toml_value(table, setting));
  return text;
}

std::string kind_name(const Setting& setting) {
  switch (setting.kind) {
    case Kind::kText:
    case Kind::kChoice:
      return "TEXT";
    case Kind::kBool:
      return "BOOL";
    case Kind::kInteger:
      return "INT";
    case Kind::kBytes:
      return "BYTES";
    case Kind::kAddress:
      return "ADDRESS";
  }
  return {};
}

std::string wrapped(std::string_view text, std::string_view prefix, size_t columns) {
  std::string out;
  std::string line(prefix);
  while (!text.empty()) {
    const size_t space = text.find(' ');
    const std::string_view word = text.substr(0, space);
    text = space == std::string_view::npos ? std::string_view{} : text.substr(space + 1);
    if (line.size() > prefix.size() && line.size() + 1 + word.size() > columns) {
      out += line + "\n";
      line = prefix;
    }
    if (line.size() > prefix.size()) line += ' ';
    line += word;
  }
  return out + line + "\n";
}

std::string example_file(const Table& table) {
  std::string out = wrapped(
      fmt::format("Settings of the {}, at their defaults. Uncomment a line to change it. The "
                  "environment variable named with a setting overrides this file.",
                  table.program),
      "# ", kColumns);
  std::string_view section;
  for (const Setting& setting : table.settings) {
    if (section_of(setting) != section) {
      section = section_of(setting);
      out += fmt::format("\n[{}]\n", section);
    }
    out += '\n';
    out += wrapped(setting.help, "# ", kColumns);
    const std::string range = range_text(setting);
    out += range.empty() ? fmt::format("# {}\n", setting.environment)
                         : fmt::format("# {}: {}\n", setting.environment, range);
    out += fmt::format("#{} = {}\n", name_in_section(setting), toml_value(table, setting));
  }
  return out;
}

std::string markdown(const Table& table) {
  std::string out = "| Key | Default | Range | Environment | Meaning |\n|---|---|---|---|---|\n";
  for (const Setting& setting : table.settings) {
    const std::string range =
        setting.kind == Kind::kBool ? std::string("`true`, `false`") : range_text(setting);
    out += fmt::format("| `{}` | `{}` | {} | `{}` | {} |\n", setting.key,
                       toml_value(table, setting), range, setting.environment, setting.help);
  }
  return out;
}

std::string configuration_page() {
  std::string out =
      "# Settings\n"
      "\n"
      "<!-- Made by `farlane settings --markdown`; a test checks that it is current. -->\n"
      "\n"
      "A setting has a key in a TOML file and an environment variable that overrides it. A key\n"
      "ends in its unit: `_ms`, `_us`, `_s`, `_bytes`. Bytes are written as `4194304` or\n"
      "`\"4MiB\"` (KiB, MiB, GiB, TiB). An unknown key, a wrong type and a value out of range are\n"
      "errors that name the file and line.\n"
      "\n"
      "`farlane settings` prints the values in effect and where each came from.\n"
      "\n"
      "## Client\n"
      "\n"
      "Read by the client libraries at the program's first CUDA call, and by the `farlane` "
      "command.\n"
      "The file is the first of:\n"
      "\n"
      "1. what `farlane run --config FILE` or `FARLANE_CONFIG` names,\n"
      "2. `$XDG_CONFIG_HOME/farlane/client.toml` (`~/.config/farlane/client.toml`),\n"
      "3. `/etc/farlane/client.toml`.\n"
      "\n"
      "None is needed. `conf/client.example.toml` has every key.\n"
      "\n";
  out += markdown(client_settings_table());
  out +=
      "\n"
      "## Server\n"
      "\n"
      "Read by `gpuserverd` when it starts, from `--config FILE`, `FARLANE_GPUSERVERD_CONFIG` or\n"
      "`/etc/farlane/server.toml`. None is needed. Every setting is also an option of the "
      "command,\n"
      "named as the end of its environment variable: `FARLANE_GPUSERVERD_HEARTBEAT_MS` is\n"
      "`--heartbeat-ms`. Options override the environment, which overrides the file.\n"
      "`conf/server.example.toml` has every key.\n"
      "\n";
  out += markdown(server_settings_table());
  return out;
}

std::string effective_values(const Table& table, const void* settings, const Origins& origins) {
  size_t key_columns = 0;
  size_t value_columns = 0;
  for (const Setting& setting : table.settings) {
    key_columns = std::max(key_columns, std::string_view(setting.key).size());
    value_columns = std::max(value_columns, value_text(setting, settings).size());
  }
  value_columns = std::min(value_columns, size_t{40});
  std::string out;
  for (size_t row = 0; row < table.settings.size(); ++row) {
    const Setting& setting = table.settings[row];
    const std::string value = value_text(setting, settings);
    out += fmt::format("{:<{}}  {:<{}}  {}\n", setting.key, key_columns,
                       value.empty() ? "\"\"" : value, value_columns, origins[row]);
  }
  return out;
}

}  // namespace farlane::conf
