#include "server/control.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <random>

#include "generated/protocol/control.pb.h"
#include "protocol/append.h"
#include "protocol/control_client.h"  // the version both sides are built with
#include "protocol/control_server.h"
#include "server/link.h"

namespace farlane::server {

namespace {

using protocol::control::kVersionMajor;
using protocol::control::kVersionMinor;

control::Goodbye::Reason reason_of(SessionEnd end) {
  switch (end) {
    case SessionEnd::kNotYet:
    case SessionEnd::kPeerGone:
      return control::Goodbye::UNSPECIFIED;
    case SessionEnd::kClientDone:
      return control::Goodbye::CLIENT_DONE;
    case SessionEnd::kProtocol:
      return control::Goodbye::PROTOCOL;
    case SessionEnd::kVersion:
      return control::Goodbye::VERSION;
    case SessionEnd::kTimeout:
      return control::Goodbye::TIMEOUT;
    case SessionEnd::kDraining:
      return control::Goodbye::DRAINING;
    case SessionEnd::kWorkerFailed:
      return control::Goodbye::WORKER_FAILED;
  }
  return control::Goodbye::UNSPECIFIED;
}

std::string goodbye(control::Goodbye::Reason reason, const std::string& text) {
  control::Control message;
  message.mutable_goodbye()->set_reason(reason);
  message.mutable_goodbye()->set_text(text);
  return control::serialize(message);
}

}  // namespace

ControlKind read_control(std::span<const std::byte> bytes, HelloFacts* hello, std::string* why) {
  control::Control message;
  if (!control::parse(bytes, &message, why)) return ControlKind::kMalformed;
  if (message.has_hello()) {
    const control::Hello& from = message.hello();
    *hello = {from.major(), from.client(),  from.devices_wanted(), from.heartbeat_ms(),
              from.probe(), from.monitor(), from.session_token(),  from.lane()};
    return ControlKind::kHello;
  }
  if (message.has_goodbye()) {
    *why = message.goodbye().text();
    return ControlKind::kGoodbye;
  }
  return ControlKind::kOther;
}

uint32_t protocol_major() {
  return kVersionMajor;
}

std::string server_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "farlane " FARLANE_VERSION;
  return fmt::format("{}, farlane " FARLANE_VERSION, name.data());
}

std::string device_message(const Host& host, uint32_t device, uint32_t device_count) {
  control::Device message;
  message.ParseFromString(host.device_messages[device]);
  for (uint32_t peer = 0; peer < device_count; ++peer) {
    if (host.can_access_peer(device, peer)) message.add_peers(peer);
  }
  return message.SerializeAsString();
}

std::string welcome_message(const Host& host, const ServerSettings& settings, uint32_t device_count,
                            const std::string& session_token) {
  control::Control message;
  control::Welcome& welcome = *message.mutable_welcome();
  welcome.set_major(kVersionMajor);
  welcome.set_minor(kVersionMinor);
  for (const protocol::Op op : protocol::client_ops()) {
    welcome.add_ops(static_cast<uint32_t>(op));
  }
  welcome.set_server(server_name());
  welcome.set_session_token(session_token);
  for (uint32_t i = 0; i < device_count; ++i) {
    welcome.add_devices()->ParseFromString(device_message(host, i, device_count));
  }
  welcome.set_credit_bytes(static_cast<uint64_t>(settings.credit_bytes));
  welcome.set_heartbeat_ms(static_cast<uint32_t>(settings.client_timeout_ms / 4));
  welcome.set_driver_version(host.driver_version);
  welcome.set_window_base(host.window_base);
  welcome.set_window_bytes(host.window_bytes);
  welcome.set_lanes_max(static_cast<uint32_t>(settings.lanes_max));
  welcome.set_lane_chunk_bytes(static_cast<uint64_t>(settings.lane_chunk_bytes));
  return control::serialize(message);
}

std::string lane_welcome_message() {
  control::Control message;
  message.mutable_welcome()->set_major(kVersionMajor);
  message.mutable_welcome()->set_minor(kVersionMinor);
  return control::serialize(message);
}

std::string new_session_token() {
  std::random_device random;
  std::string token;
  while (token.size() < kSessionTokenBytes) token.push_back(static_cast<char>(random()));
  return token;
}

std::string goodbye_message(SessionEnd end, const std::string& text) {
  return goodbye(reason_of(end), text);
}

std::string busy_message(const std::string& text) {
  return goodbye(control::Goodbye::BUSY, text);
}

std::string status_message(const StatusFacts& facts, const std::vector<std::string>& devices) {
  control::Control message;
  control::Status& status = *message.mutable_status();
  status.set_major(kVersionMajor);
  status.set_minor(kVersionMinor);
  status.set_server(server_name());
  status.set_sessions(facts.sessions);
  status.set_workers_warm(facts.workers_warm);
  status.set_uptime_ms(facts.uptime_ms);
  for (const std::string& device : devices) status.add_devices()->ParseFromString(device);
  for (const uint32_t sessions : facts.device_sessions) status.add_device_sessions(sessions);
  return control::serialize(message);
}

std::vector<std::byte> control_reply_record(const std::string& message) {
  std::vector<std::byte> record;
  protocol::append_record(record,
                          protocol::message::ControlReply{std::as_bytes(std::span(message))}, 0);
  return record;
}

}  // namespace farlane::server
