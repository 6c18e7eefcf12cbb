#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "conf/render.h"
#include "conf/server_settings.h"

namespace farlane {

ServerCommandLine parse_server_command_line(int argc, const char* const* argv,
                                            const std::string& version_text) {
  const conf::Table& table = server_settings_table();
  ServerCommandLine result;

  CLI::App app("gpuserverd lets programs on other machines run CUDA on this one.", "gpuserverd");
  app.set_version_flag("--version", version_text);
  app.add_option("--config", result.file,
                 "Settings file (default: $FARLANE_GPUSERVERD_CONFIG, else "
                 "/etc/farlane/server.toml if it exists).");
  std::vector<std::string> values(table.settings.size());
  for (size_t row = 0; row < values.size(); ++row) {
    const conf::Setting& setting = table.settings[row];
    app.add_option(conf::option_name(table, setting), values[row],
                   conf::option_help(table, setting))
        ->type_name(conf::kind_name(setting));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& outcome) {  // --help and --version too
    result.exit_now = true;
    result.exit_code = app.exit(outcome) == 0 ? 0 : 2;
    return result;
  }

  std::vector<conf::Override> overrides;
  for (size_t row = 0; row < values.size(); ++row) {
    const conf::Setting& setting = table.settings[row];
    const std::string option = conf::option_name(table, setting);
    if (app.count(option) > 0) overrides.push_back({setting.key, values[row], option});
  }
  const conf::Environment environment = conf::process_environment();
  if (result.file.empty()) result.file = server_settings_file(environment);
  std::string error;
  if (!load_server_settings(result.file, environment, overrides, &result.settings, &result.origins,
                            &error)) {
    fmt::print(stderr, "gpuserverd: {}\n", error);
    result.exit_now = true;
    result.exit_code = 2;
  }
  return result;
}

}  // namespace farlane
