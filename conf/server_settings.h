// What gpuserverd can be told. The initialisers are the defaults; keys, limits, environment names
// and help stand in server_settings.cc.
#pragma once

#include <cstdint>
#include <string>

#include "conf/load.h"

namespace farlane {

struct ServerSettings {
  // Loopback only: sessions are not authenticated yet, so opening the port to a network is a
  // decision to be made in words.
  std::string listen = "127.0.0.1:4713";
  std::string port_file;         // empty: none
  std::string device = "auto";   // auto, cuda, software
  std::string software_library;  // empty: found beside the executable
  int64_t software_threads = 0;  // 0: all CPUs

  std::string socket_dir;               // empty: the usual places, see transport/endpoint.h
  std::string socket_access = "owner";  // off, owner, group, all

  int64_t max_sessions = 64;
  int64_t warm_workers = 1;  // per device
  int64_t drain_s = 10;

  std::string nvml_library = "auto";  // auto: see nvml_of() in server/supervisor.cc

  int64_t handshake_timeout_ms = 5'000;
  int64_t heartbeat_ms = 1'000;
  int64_t client_timeout_ms = 30'000;
  int64_t stopped_client_timeout_ms = 86'400'000;
  int64_t spin_us = -1;         // -1: automatic
  int64_t device_spin_us = -1;  // -1: automatic
  int64_t device_looks = 8;

  bool collectives_at_once = true;
  bool overtaking = true;
  int64_t staging_slot_bytes = 4 * conf::kMiB;
  int64_t staging_slots = 8;
  int64_t lanes_max = 16;
  int64_t lane_chunk_bytes = 2 * conf::kMiB;
  int64_t lane_slots = 4;
  int64_t lane_share_bytes = 2 * conf::kMiB;
  int64_t lane_nap_us = 0;
  int64_t wake_bytes = 256 * conf::kKiB;
  int64_t shared_bytes_max = 64 * conf::kGiB;

  std::string libraries_path;
  std::string module_cache_dir;  // empty: see module_cache_folder()
  int64_t module_cache_bytes_max = 4 * conf::kGiB;

  int64_t credit_bytes = 16 * conf::kMiB;
  int64_t window_base = 0x1000'0000'0000;
  int64_t window_bytes = 4 * conf::kTiB;

  std::string log_level = "info";  // off, error, warning, info, debug
  std::string log_file;            // empty: stderr
  bool command_times = false;
};

const conf::Table& server_settings_table();

// The file gpuserverd reads when --config is not given: $FARLANE_GPUSERVERD_CONFIG, else
// /etc/farlane/server.toml if it exists, else none (empty).
std::string server_settings_file(const conf::Environment& environment);

// `file` empty: none is read. `overrides` are the command line's. `origins` may be null.
[[nodiscard]] bool load_server_settings(const std::string& file,
                                        const conf::Environment& environment,
                                        const std::vector<conf::Override>& overrides,
                                        ServerSettings* settings, conf::Origins* origins,
                                        std::string* error);

// What the command line of gpuserverd asks for.
struct ServerCommandLine {
  bool exit_now = false;  // --help, --version or a mistake was dealt with; the text is printed
  int exit_code = 0;
  ServerSettings settings;
  conf::Origins origins;
  std::string file;  // the settings file that was read; empty if none
};
// Every setting is an option: `timeouts.heartbeat_ms` is --heartbeat-ms. Plus --config, --help and
// --version. In library farlane_server_command_line, which needs CLI11.
ServerCommandLine parse_server_command_line(int argc, const char* const* argv,
                                            const std::string& version_text);

}  // namespace farlane
