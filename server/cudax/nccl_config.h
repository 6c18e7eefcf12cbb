// NCCL's configuration of a communicator, from the log.
//
// It travels as `in` with the struct's own bytes, as many as the program's version of it has, or as
// many as ours; then two `string`s: the network's and the communicator's name.
#pragma once

#include <nccl.h>

#include <algorithm>
#include <cstring>

#include "server/cudax/call.h"

namespace farlane::server::cudax::role {

struct Config {
  template <class T>
  static T take(Arguments& arguments) {
    const uint64_t count = arguments.word();
    if (count == kNull) return nullptr;
    const std::byte* from = arguments.bytes(count);
    const char* net = text(arguments);
    const char* name = text(arguments);
    if (from == nullptr || count < offsetof(ncclConfig_t, blocking) ||
        count > sizeof(ncclConfig_t)) {
      arguments.fail("a configuration of another size");
      return nullptr;
    }
    const ncclConfig_t fresh = NCCL_CONFIG_INITIALIZER;
    auto* config = static_cast<ncclConfig_t*>(arguments.memory(sizeof fresh));
    std::memcpy(config, &fresh, sizeof fresh);
    std::memcpy(config, from, count);
    config->size = count;
    config->netName = net;
    config->commName = name;
    return config;
  }

 private:
  static const char* text(Arguments& arguments) {
    const uint64_t count = arguments.word();
    if (count == kNull) return nullptr;
    const auto* bytes = reinterpret_cast<const char*>(arguments.bytes(count));
    if (bytes != nullptr && (count == 0 || bytes[count - 1] != 0)) {
      arguments.fail("a name without an end");
    }
    return bytes;
  }
};

}  // namespace farlane::server::cudax::role
