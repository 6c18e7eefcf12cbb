// The commands of `farlane`. Each returns the exit code of the process.
#pragma once

#include <string>
#include <vector>

#include "conf/client_settings.h"

namespace farlane::cli {

inline constexpr int kExitFine = 0;
inline constexpr int kExitProblem = 1;
inline constexpr int kExitUsage = 2;
// As shells have them.
inline constexpr int kExitNotExecutable = 126;
inline constexpr int kExitNotFound = 127;

struct RunOptions {
  std::string server;  // empty: the settings decide
  std::string config;
  std::string devices;
  std::vector<std::string> program;  // and its arguments
};
// Returns only on failure.
int run_command(const RunOptions& options);

struct ServerOptions {
  std::string server;
  std::string config;
};
// Puts the options into the environment, where the settings look, and checks that the settings
// load. False: the reason has been printed.
bool apply_options(const ServerOptions& options, ClientSettings* settings);

int devices_command(const ServerOptions& options);
int doctor_command(const ServerOptions& options, const std::string& program);

struct SettingsOptions {
  bool markdown = false;
  bool server = false;  // gpuserverd's instead of the client's
  std::string example;  // "client" or "server"
};
int settings_command(const SettingsOptions& options);

}  // namespace farlane::cli
