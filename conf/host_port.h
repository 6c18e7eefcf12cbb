// "HOST:PORT" as settings and options have it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace farlane::conf {

struct HostPort {
  std::string host;  // a name, an IPv4 address, or an IPv6 address without its brackets
  uint16_t port = 0;
};

// "gpu7:4713", "10.0.0.7:4713", "[::1]:4713". False: `*error` says what is missing. Throws nothing
// but for lack of memory.
[[nodiscard]] bool parse_host_port(std::string_view text, HostPort* result, std::string* error);

}  // namespace farlane::conf
