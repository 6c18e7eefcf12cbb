#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "client/cli/commands.h"
#include "client/cli/findings.h"
#include "client/cli/install_paths.h"
#include "client/cli/program_check.h"
#include "client/cli/server_probe.h"
#include "conf/client_settings.h"
#include "conf/server_settings.h"

extern char** environ;

namespace farlane::cli {
namespace {

// Enough for a median; over a network of 1 ms, a twentieth of a second.
constexpr int kProbes = 20;

// Variables of ours that are no settings.
constexpr const char* kOtherVariables[] = {"FARLANE_CONFIG", "FARLANE_GPUSERVERD_CONFIG"};

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string{} : value;
}

void check_variables(Findings* findings) {
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::string_view name = text.substr(0, text.find('='));
    if (!name.starts_with("FARLANE_") || name.starts_with("FARLANE_TEST_")) continue;
    const conf::Table& table =
        name.starts_with("FARLANE_GPUSERVERD_") ? server_settings_table() : client_settings_table();
    const bool known =
        std::any_of(table.settings.begin(), table.settings.end(),
                    [&](const conf::Setting& setting) { return name == setting.environment; }) ||
        std::find(std::begin(kOtherVariables), std::end(kOtherVariables), name) !=
            std::end(kOtherVariables);
    if (!known) {
      findings->problem(
          fmt::format("the environment variable {} means nothing to Farlane; did you mean {}?",
                      name, conf::nearest_environment(table, name)));
    }
  }
}

// False if there are no usable settings to go on with.
bool check_settings(ClientSettings* settings, Findings* findings) {
  const conf::Environment environment = conf::process_environment();
  const std::string file = client_settings_file(environment);
  conf::Origins origins;
  std::string error;
  if (!load_client_settings(environment, settings, &origins, &error)) {
    findings->problem(error);
    return false;
  }
  findings->fine(file.empty() ? "no settings file, which is fine: defaults and environment hold"
                              : fmt::format("settings file {}", file));
  const conf::Table& table = client_settings_table();
  for (size_t row = 0; row < table.settings.size(); ++row) {
    if (origins[row] == "default") continue;
    const conf::Setting& setting = table.settings[row];
    findings->fine(fmt::format("{} = {} (from {})", setting.key,
                               conf::value_text(setting, settings), origins[row]));
  }
  check_variables(findings);
  return true;
}

std::string duration_text(uint64_t milliseconds) {
  const uint64_t seconds = milliseconds / 1000;
  if (seconds < 120) return fmt::format("{} s", seconds);
  if (seconds < 7200) return fmt::format("{} min", seconds / 60);
  return fmt::format("{} h", seconds / 3600);
}

ServerProbe check_server(const ClientSettings& settings, Findings* findings) {
  ServerProbe probe = probe_server(settings, kProbes);
  if (!probe.error.empty()) {
    findings->problem(probe.connected ? fmt::format("{}: {}", settings.server, probe.error)
                                      : probe.error);
    return probe;
  }
  findings->fine(fmt::format("{} answers: {}, protocol {}.{}, up for {}", settings.server,
                             probe.server, probe.major, probe.minor,
                             duration_text(probe.uptime_ms)));
  findings->fine(fmt::format("transport: {}", probe.transport));
  if (!probe.remark.empty()) findings->fine(probe.remark);
  std::vector<double> answers = probe.answer_us;
  std::sort(answers.begin(), answers.end());
  findings->fine(fmt::format("round trip: {:.0f} us at best, {:.0f} us median of {}",
                             answers.front(), answers[answers.size() / 2], answers.size()));
  findings->fine(
      fmt::format("{} sessions now, {} workers warm", probe.sessions, probe.workers_warm));
  if (probe.devices.empty()) {
    findings->problem("the server has no device");
  }
  for (size_t i = 0; i < probe.devices.size(); ++i) {
    const ProbedDevice& device = probe.devices[i];
    const std::string sessions =
        device.sessions < 0
            ? ""
            : fmt::format(", {} session{}", device.sessions, device.sessions == 1 ? "" : "s");
    findings->fine(fmt::format("device {}: {}, {:.1f} GiB, compute capability {}.{}{}", i,
                               device.name,
                               static_cast<double>(device.memory_bytes) / (uint64_t{1} << 30),
                               device.arch / 10, device.arch % 10, sessions));
  }
  return probe;
}

Findings check_libraries() {
  Findings findings;
  std::string error;
  const std::string folder = library_folder_checked(&error);
  if (folder.empty()) {
    findings.problem(error);
  } else {
    findings.fine(fmt::format("client libraries in {}", folder));
  }
  return findings;
}

bool print(const char* title, const Findings& findings) {
  fmt::print("{}\n", title);
  for (const Finding& finding : findings.all()) {
    const char* mark = "";
    switch (finding.weight) {
      case Weight::kFine:
        mark = "ok     ";
        break;
      case Weight::kNote:
        mark = "note   ";
        break;
      case Weight::kProblem:
        mark = "PROBLEM";
        break;
    }
    fmt::print("  {}  {}\n", mark, finding.text);
  }
  return !findings.has_problem();
}

}  // namespace

int doctor_command(const ServerOptions& options, const std::string& program) {
  // Not apply_options(): a wrong setting is a finding here.
  if (!options.config.empty()) ::setenv("FARLANE_CONFIG", options.config.c_str(), 1);
  if (!options.server.empty()) ::setenv("FARLANE_SERVER", options.server.c_str(), 1);

  bool fine = print("Client libraries", check_libraries());
  ClientSettings settings;
  Findings about_settings;
  const bool loaded = check_settings(&settings, &about_settings);
  fine = print("Settings", about_settings) && fine;

  ServerProbe probe;
  if (loaded) {
    Findings about_server;
    probe = check_server(settings, &about_server);
    fine = print("Server", about_server) && fine;
  }
  if (!program.empty()) {
    ProgramCheckInput input{
        program, variable("PATH"), variable("LD_LIBRARY_PATH"), library_folder(), {}};
    if (!probe.devices.empty()) {
      const ProbedDevice& device = probe.devices.front();
      input.device = DeviceAbility{device.name, device.arch,
                                   device.name.starts_with("Farlane Software Device")};
    }
    fine = print("Program", check_program(input)) && fine;
  }
  fmt::print("{}\n", fine ? "All is well." : "There are problems; see above.");
  return fine ? kExitFine : kExitProblem;
}

}  // namespace farlane::cli
