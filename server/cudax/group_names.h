// The streams of a group's calls: those that it says its work is ordered with, and no others.
#pragma once

#include "server/cudax/communicators.h"

namespace farlane::server::cudax {

// For as long as `request` stays.
inline Names names_of(const Communicators::Request& request) {
  Names names;
  names.stream = [&request](uint64_t name, CUstream* stream) {
    for (const auto& [known, handle] : request.streams) {
      if (known == name) {
        *stream = handle;
        return true;
      }
    }
    return false;
  };
  names.event = [](uint64_t, CUevent*) { return false; };
  return names;
}

}  // namespace farlane::server::cudax
