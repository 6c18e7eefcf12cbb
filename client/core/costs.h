// What the commands of this program have cost so far, here and in its worker. For farlane-bench
// split, which finds the function by its name: programs need not know of it.
#pragma once

#include <cstdint>

namespace farlane::client {

// Of one kind; times as in command_times of protocol/api/wire.api.
struct CommandCosts {
  const char* name;  // lives for ever
  uint64_t count;
  uint64_t decode_ns;
  uint64_t driver_ns;
  uint64_t wait_ns;
  uint64_t reply_ns;
};

inline constexpr uint32_t kCommandKindsMax = 192;

struct Costs {
  // Waits of this side; counted only with FARLANE_STATS.
  uint64_t credit_wait_ns;
  uint64_t network_wait_ns;
  // The worker's.
  uint64_t frames;
  uint64_t receive_ns;
  uint32_t kinds;
  CommandCosts commands[kCommandKindsMax];
};

// False: there is no session, or the server's setting log.command_times is off. Asks the server.
extern "C" bool farlane_costs(Costs* costs);

}  // namespace farlane::client
