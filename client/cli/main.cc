#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string_view>

#include "client/cli/commands.h"

namespace farlane::cli {
namespace {

constexpr std::string_view kExamples =
    "\n"
    "  farlane run --server gpu7:4713 -- ./program --size 100\n"
    "  farlane doctor ./program\n"
    "\n"
    "Settings: docs/configuration.md, or `farlane settings`.";

// Splits "run [OPTIONS] [--] PROGRAM ARGUMENTS" where the program begins: whatever follows is not
// ours to interpret. Returns the number of leading arguments that are.
int own_arguments(int argc, char** argv, std::vector<std::string>* program) {
  if (argc < 2 || std::string_view(argv[1]) != "run") return argc;
  int at = 2;
  while (at < argc) {
    const std::string_view argument = argv[at];
    if (argument == "--") {
      program->assign(argv + at + 1, argv + argc);
      return at;
    }
    if (!argument.starts_with('-')) {
      program->assign(argv + at, argv + argc);
      return at;
    }
    at += argument == "--server" || argument == "--config" || argument == "--devices" ? 2 : 1;
  }
  return argc;
}

int main_or_throw(int argc, char** argv) {
  RunOptions run;
  const int own = own_arguments(argc, argv, &run.program);

  CLI::App app("Runs CUDA programs on a GPU in another machine.", "farlane");
  app.set_version_flag("--version", "farlane " FARLANE_VERSION_TEXT);
  app.require_subcommand(1);
  app.footer(std::string(kExamples));

  const char* const server_help = "The GPU server, as HOST:PORT (setting: server).";
  const char* const config_help = "The settings file to use instead of the usual ones.";

  CLI::App* const run_app =
      app.add_subcommand("run", "Run a program whose CUDA calls go to the server.");
  run_app->footer("\nPROGRAM and its arguments come last, after --. The exit code is PROGRAM's.");
  run_app->add_option("--server", run.server, server_help)->type_name("HOST:PORT");
  run_app->add_option("--config", run.config, config_help)->type_name("FILE");
  run_app
      ->add_option("--devices", run.devices,
                   "How many of the server's GPUs the program sees, 0 for all (setting: devices).")
      ->type_name("NUMBER");

  ServerOptions server;
  CLI::App* const devices_app = app.add_subcommand("devices", "List the server's GPUs.");
  CLI::App* const doctor_app = app.add_subcommand(
      "doctor", "Check settings and server, and whether a program would run through Farlane.");
  for (CLI::App* command : {devices_app, doctor_app}) {
    command->add_option("--server", server.server, server_help)->type_name("HOST:PORT");
    command->add_option("--config", server.config, config_help)->type_name("FILE");
  }
  std::string program;
  doctor_app->add_option("PROGRAM", program, "A program or library to look at.")->type_name(" ");

  SettingsOptions settings;
  CLI::App* const settings_app =
      app.add_subcommand("settings", "Print the values in effect and where each came from.");
  settings_app->add_flag("--gpuserverd", settings.server, "Those of gpuserverd.");
  settings_app->add_flag("--markdown", settings.markdown, "Print docs/configuration.md instead.");
  settings_app->add_option("--example", settings.example, "Print an example file instead.")
      ->check(CLI::IsMember({"client", "server"}));

  try {
    app.parse(own, argv);
  } catch (const CLI::ParseError& outcome) {  // --help and --version too
    return app.exit(outcome) == 0 ? kExitFine : kExitUsage;
  }
  if (run_app->parsed()) return run_command(run);
  if (devices_app->parsed()) return devices_command(server);
  if (doctor_app->parsed()) return doctor_command(server, program);
  return settings_command(settings);
}

}  // namespace
}  // namespace farlane::cli

int main(int argc, char** argv) {
  try {
    const int code = farlane::cli::main_or_throw(argc, argv);
    if (std::fflush(stdout) == 0) return code;
    fmt::print(stderr, "farlane: cannot write what there is to say: {}\n", std::strerror(errno));
    return farlane::cli::kExitProblem;
  } catch (const std::exception& fault) {
    fmt::print(stderr, "farlane: {}\n", fault.what());
    return farlane::cli::kExitProblem;
  }
}
