#include "server/cudax/known_comms.h"

#include <algorithm>
#include <cstring>

namespace farlane::server::cudax {
namespace {

// Of a call that sends to all ranks and receives from all. Work for this many fits into a kernel's
// arguments; more goes by a ring, and whoever puts it there waits for room, in vain while ranks are
// missing.
constexpr int kExchangeRanksMax = 16;

}  // namespace

// What decides of a Prompt::kConnected call.
struct KnownComms::Connecting {
  uint64_t comm = 0;
  Connection connection;
  bool is_empty = true;
  bool is_between_all = true;

  // False: it is cut off.
  bool read(const Function& function, std::span<const std::byte> arguments) {
    const auto& [count, peer, last] = function.connects;
    if (arguments.size() / sizeof(uint64_t) <= last) return false;
    const auto word = [&](size_t index) {
      uint64_t value = 0;
      std::memcpy(&value, arguments.data() + index * sizeof value, sizeof value);
      return value;
    };
    comm = word(last);
    is_empty = word(count) == 0;
    is_between_all = peer == 0;
    connection = {function.number, is_between_all ? 0 : static_cast<uint32_t>(word(peer))};
    return true;
  }
};

void KnownComms::add(uint64_t name, CUcontext context, int ranks) {
  comms_[name] = {.context = context, .ranks = ranks, .connections = {}};
  look_at_devices();
}

void KnownComms::forget(uint64_t name) {
  if (comms_.erase(name) != 0) look_at_devices();
}

void KnownComms::look_at_devices() {
  has_one_device_ = std::all_of(comms_.begin(), comms_.end(), [&](const auto& each) {
    return each.second.context == comms_.begin()->second.context;
  });
}

void KnownComms::note_call(const Function& function, std::span<const std::byte> arguments) {
  has_registered_ |= function.registers;
  Connecting made;
  if (function.prompt != Prompt::kConnected || !made.read(function, arguments)) return;
  const auto comm = comms_.find(made.comm);
  // Of nothing, the library may make nothing.
  if (comm != comms_.end() && !made.is_empty) comm->second.connections.insert(made.connection);
}

bool KnownComms::is_prompt(const Function& function, std::span<const std::byte> arguments) const {
  if (has_registered_) return false;
  switch (function.prompt) {
    case Prompt::kNo:
      return false;
    case Prompt::kYes:
      return true;
    case Prompt::kConnected:
      break;
  }
  Connecting needed;
  if (!needed.read(function, arguments)) return false;
  const auto comm = comms_.find(needed.comm);
  if (comm == comms_.end() || !comm->second.connections.contains(needed.connection)) return false;
  const int ranks = comm->second.ranks;
  return !needed.is_between_all || (ranks > 0 && ranks <= kExchangeRanksMax);
}

}  // namespace farlane::server::cudax
