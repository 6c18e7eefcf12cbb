// Where the settings' server is, and how it is to be reached.
#pragma once

#include <cstdint>
#include <string>

#include "conf/client_settings.h"
#include "transport/endpoint.h"

namespace farlane::client {

// "host:port", "[::1]:port". False: *error names the setting.
bool split_host_port(const std::string& server, std::string* host, uint16_t* port,
                     std::string* error);
// The address, HOST:PORT or unix:/path, and the choice of a transport. False: *error names the
// setting.
bool endpoint_of(const ClientSettings& settings, transport::Endpoint* endpoint, std::string* error);

}  // namespace farlane::client
