#include "conf/host_port.h"

#include <fmt/format.h>

#include <charconv>

namespace farlane::conf {

bool parse_host_port(std::string_view text, HostPort* result, std::string* error) {
  const size_t colon = text.rfind(':');
  std::string_view host = text.substr(0, colon);
  const std::string_view digits =
      colon == std::string_view::npos ? std::string_view{} : text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']') && host.size() > 2) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find_first_of("[]:") != std::string_view::npos) {
    *error = fmt::format("\"{}\" is not HOST:PORT; an IPv6 address stands in brackets: [::1]:4713",
                         text);
    return false;
  }
  uint16_t port = 0;
  const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (host.empty() || digits.empty() || fault != std::errc{} ||
      end != digits.data() + digits.size()) {
    *error = fmt::format("\"{}\" is not HOST:PORT, for example gpu7:4713", text);
    return false;
  }
  result->host = host;
  result->port = port;
  return true;
}

}  // namespace farlane::conf
