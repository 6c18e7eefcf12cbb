// What a program that runs through Farlane can be told. Read once, at its first CUDA call.
//
// The initialisers are the defaults; keys, limits, environment names and help stand in
// client_settings.cc. This header is light: it is included by libraries that live in other people's
// processes.
#pragma once

#include <cstdint>
#include <string>

#include "conf/load.h"

namespace farlane {

struct ClientSettings {
  std::string server = "127.0.0.1:4713";
  int64_t devices = 1;  // 0: all

  std::string transport = "auto";  // auto, tcp, shm
  std::string socket_dir;          // empty: the usual places, see transport/endpoint.h
  int64_t shm_ring_bytes = 2 * conf::kMiB;

  int64_t connect_timeout_ms = 2'000;
  int64_t call_timeout_ms = 10'000;

  int64_t spin_us = -1;         // -1: automatic, see effective_spin_us()
  int64_t sender_spin_us = -1;  // -1: automatic
  int64_t receive_after_us = 100;
  int64_t hold_us = 1000;

  bool batching = true;
  int64_t flush_bytes = 64 * conf::kKiB;
  int64_t credit_bytes_max = 0;  // 0: what the server grants

  int64_t inline_bytes_max = 64 * conf::kKiB;
  int64_t copy_chunk_bytes = 4 * conf::kMiB;
  int64_t connections = -1;  // -1: automatic, see effective_connections()
  int64_t lanes_threshold_bytes = 1 * conf::kMiB;
  int64_t wake_bytes = 256 * conf::kKiB;
  int64_t lane_share_bytes = 2 * conf::kMiB;
  int64_t last_piece_bytes = 256 * conf::kKiB;
  int64_t shared_bytes_min = 64 * conf::kKiB;

  int64_t extent_bytes_min = 32 * conf::kMiB;
  int64_t cached_bytes_max = 256 * conf::kMiB;
  int64_t window_base = 0;  // 0: automatic
  int64_t info_age_ms = 50;
  bool reuse_without_fence = false;

  bool local_answers = true;
  bool parallel_encoding = true;
  bool send_before_questions = true;
  bool libraries_by_path = true;
  bool ask_ahead = false;

  int64_t simulate_rtt_us = 0;  // 0: none
  int64_t simulate_gbps = 0;    // 0: the network's own

  std::string log_level = "warning";  // off, error, warning, info, debug
  std::string stats = "0";            // 0, 1, json
  std::string log_file;               // empty: stderr
};

// The process's settings: the file found by client_settings_file(), overridden by the environment.
// False: `*error` is a sentence to show. Throws nothing.
[[nodiscard]] bool load_client_settings(ClientSettings* settings, std::string* error) noexcept;

// The same with everything given. `origins` may be null.
[[nodiscard]] bool load_client_settings(const conf::Environment& environment,
                                        ClientSettings* settings, conf::Origins* origins,
                                        std::string* error);

// The file to read: $FARLANE_CONFIG, else the first that exists of
// $XDG_CONFIG_HOME/farlane/client.toml (~/.config when that is unset) and
// /etc/farlane/client.toml. Empty if there is none. A file named by FARLANE_CONFIG is returned
// whether it exists or not, so that a wrong name is an error and not silence.
std::string client_settings_file(const conf::Environment& environment);

// -1 resolved: 0 on a machine with fewer than 4 CPUs, where spinning takes time from the one that
// is waited for, else 50.
int64_t effective_spin_us(int64_t spin_us);

// The same for whoever waits for an answer, or for the device that somebody waits for: what lasts
// longer than the watching is later by all of a wake-up, which on a virtual machine takes 50 us,
// and CUDA's own waits watch for as long as they last. With 8 CPUs or more 10000, else 200.
int64_t effective_answer_spin_us(int64_t spin_us);

// -1 resolved: half the CPUs, at least 1 and at most 8.
int64_t effective_connections(int64_t connections);

const conf::Table& client_settings_table();

}  // namespace farlane
