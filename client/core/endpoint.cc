#include "client/core/endpoint.h"

#include <charconv>

namespace farlane::client {

bool split_host_port(const std::string& server, std::string* host, uint16_t* port,
                     std::string* error) {
  const size_t colon = server.rfind(':');
  if (colon != std::string::npos && colon != 0) {
    const char* begin = server.data() + colon + 1;
    const char* end = server.data() + server.size();
    const auto [stop, wrong] = std::from_chars(begin, end, *port);
    if (wrong == std::errc() && stop == end && begin != end && *port != 0) {
      *host = server.substr(0, colon);
      if (host->size() > 2 && host->front() == '[' && host->back() == ']') {
        *host = host->substr(1, host->size() - 2);
      }
      return true;
    }
  }
  *error = "\"" + server +
           "\" is neither HOST:PORT nor unix:/PATH (setting: server, environment: FARLANE_SERVER)";
  return false;
}

bool endpoint_of(const ClientSettings& settings, transport::Endpoint* endpoint,
                 std::string* error) {
  constexpr std::string_view kUnix = "unix:";
  *endpoint = {};
  if (settings.server.starts_with(kUnix) && settings.server.size() > kUnix.size()) {
    endpoint->socket_path = settings.server.substr(kUnix.size());
  } else if (!split_host_port(settings.server, &endpoint->host, &endpoint->port, error)) {
    return false;
  }
  endpoint->choice = settings.transport == "tcp"   ? transport::Choice::kTcp
                     : settings.transport == "shm" ? transport::Choice::kShm
                                                   : transport::Choice::kAuto;
  endpoint->socket_folders = transport::socket_folders(settings.socket_dir);
  endpoint->shm_ring_bytes = static_cast<size_t>(settings.shm_ring_bytes);
  endpoint->tcp_wake_bytes = static_cast<uint32_t>(settings.wake_bytes);
  return true;
}

}  // namespace farlane::client
