// NCCL's communicators that are there, and which of their calls wait for no other rank.
//
// A send or receive makes its connections when its communicator first has one with that peer in
// that direction, and waits for the peer meanwhile. NCCL then connects all channels that it will
// ever use for the two, so what was connected once is connected for all sizes.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>

#include "server/cudax/call.h"

namespace farlane::server::cudax {

class KnownComms {
 public:
  bool contains(uint64_t name) const { return comms_.contains(name); }
  // `context`: the device of its calls; `ranks`: 0 where the library does not tell.
  void add(uint64_t name, CUcontext context, int ranks);
  void forget(uint64_t name);
  // Of all of them.
  bool has_one_device() const { return has_one_device_; }

  // After a call that succeeded.
  void note_call(const Function& function, std::span<const std::byte> arguments);
  // Whether a call is only put into its stream.
  bool is_prompt(const Function& function, std::span<const std::byte> arguments) const;

 private:
  using Connection = std::pair<uint32_t, uint32_t>;  // a function and a peer
  struct Comm {
    CUcontext context = nullptr;
    int ranks = 0;
    std::set<Connection> connections;
  };
  struct Connecting;
  void look_at_devices();

  std::unordered_map<uint64_t, Comm> comms_;
  bool has_one_device_ = true;
  bool has_registered_ = false;
};

}  // namespace farlane::server::cudax
