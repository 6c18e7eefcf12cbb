// The server's side of how sessions start and end, as bytes for control records. Keeps libprotobuf
// out of everybody's headers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "server/executor.h"

namespace farlane::server {

// What a client's first message asks for.
struct HelloFacts {
  uint32_t major = 0;
  std::string client;
  uint32_t devices_wanted = 0;
  uint32_t heartbeat_ms = 0;
  bool probe = false;
  bool monitor = false;  // this connection asks monitor_call and nothing else
  std::string session_token;
  uint32_t lane = 0;  // not 0: this connection is a bulk lane of the session with the token
};

enum class ControlKind : uint8_t { kMalformed, kHello, kGoodbye, kOther };
// `why` says what is wrong with a malformed one; of a goodbye it is the text.
ControlKind read_control(std::span<const std::byte> bytes, HelloFacts* hello, std::string* why);

uint32_t protocol_major();
std::string server_name();  // "host, farlane 0.1.0"

// A device's farlane.control.Device. Peers are those among the first `device_count` devices whose
// memory it can reach: others do not exist for a session.
std::string device_message(const Host& host, uint32_t device, uint32_t device_count);

std::string welcome_message(const Host& host, const ServerSettings& settings, uint32_t device_count,
                            const std::string& session_token);
// The answer to the hello of a bulk lane.
std::string lane_welcome_message();
// Bytes that nobody guesses.
std::string new_session_token();
std::string goodbye_message(SessionEnd end, const std::string& text);
std::string busy_message(const std::string& text);

struct StatusFacts {
  uint32_t sessions = 0;
  uint32_t workers_warm = 0;
  uint64_t uptime_ms = 0;
  std::vector<uint32_t> device_sessions;  // of each device
};
std::string status_message(const StatusFacts& facts, const std::vector<std::string>& devices);

// A whole frame as a supervisor sends it, without a channel: prefix, record header, message.
std::vector<std::byte> control_reply_record(const std::string& message);

}  // namespace farlane::server
