#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "client/cli/commands.h"
#include "client/core/endpoint.h"
#include "conf/client_settings.h"
#include "conf/render.h"
#include "conf/server_settings.h"

namespace farlane::cli {

bool apply_options(const ServerOptions& options, ClientSettings* settings) {
  const char* const named = std::getenv("FARLANE_CONFIG");
  const std::string config = options.config.empty() && named != nullptr ? named : options.config;
  if (!config.empty()) {
    // The program may change its folder before its first CUDA call.
    std::error_code fault;
    const std::filesystem::path whole = std::filesystem::absolute(config, fault);
    ::setenv("FARLANE_CONFIG", fault ? config.c_str() : whole.c_str(), 1);
  }
  if (!options.server.empty()) ::setenv("FARLANE_SERVER", options.server.c_str(), 1);
  transport::Endpoint endpoint;
  std::string error;
  // As the program will do it, whose errors are harder to see.
  if (!load_client_settings(settings, &error) ||
      !client::endpoint_of(*settings, &endpoint, &error)) {
    fmt::print(stderr, "farlane: {}\n", error);
    return false;
  }
  return true;
}

int settings_command(const SettingsOptions& options) {
  if (options.markdown) {
    fmt::print("{}", conf::configuration_page());
    return kExitFine;
  }
  if (!options.example.empty()) {
    fmt::print("{}", conf::example_file(options.example == "client" ? client_settings_table()
                                                                    : server_settings_table()));
    return kExitFine;
  }
  const conf::Environment environment = conf::process_environment();
  conf::Origins origins;
  std::string error;
  if (options.server) {
    ServerSettings settings;
    if (!load_server_settings(server_settings_file(environment), environment, {}, &settings,
                              &origins, &error)) {
      fmt::print(stderr, "farlane: {}\n", error);
      return kExitProblem;
    }
    fmt::print("{}", conf::effective_values(server_settings_table(), &settings, origins));
    return kExitFine;
  }
  ClientSettings settings;
  if (!load_client_settings(environment, &settings, &origins, &error)) {
    fmt::print(stderr, "farlane: {}\n", error);
    return kExitProblem;
  }
  fmt::print("{}", conf::effective_values(client_settings_table(), &settings, origins));
  return kExitFine;
}

}  // namespace farlane::cli
