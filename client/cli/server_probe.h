// Asks a server how it is, without opening a session.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "conf/client_settings.h"

namespace farlane::cli {

struct ProbedDevice {
  std::string name;
  uint64_t memory_bytes = 0;
  uint32_t arch = 0;      // 75, 90, ...; 0 if it did not say
  int64_t sessions = -1;  // those that have it; -1 if it did not say
};

struct ServerProbe {
  std::string error;  // empty: the server answered and is compatible
  bool connected = false;
  std::string transport;  // "TCP", "shared memory (/run/farlane/farlane-4713.sock)"
  std::string remark;     // why it is not shared memory although it might be
  std::string server;     // its name and version
  uint32_t major = 0, minor = 0;
  uint32_t sessions = 0;
  uint32_t workers_warm = 0;
  uint64_t uptime_ms = 0;
  std::vector<ProbedDevice> devices;
  std::vector<double> answer_us;  // one per probe: from the question sent to the answer read
};

// Connects `probes` times, one after the other, as a program with these settings would, each within
// timeouts.connect_timeout_ms; stops at the first that fails.
ServerProbe probe_server(const ClientSettings& settings, int probes);

}  // namespace farlane::cli
