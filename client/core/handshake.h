// What a session's two sides tell each other before the first command.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "conf/client_settings.h"
#include "protocol/control_client.h"
#include "transport/channel.h"

namespace farlane::client {

class Session;

// A connection to the settings' server, by the transport they choose: the session's first, and any
// further one.
std::unique_ptr<transport::Channel> connect_server(const ClientSettings& settings,
                                                   transport::Deadline deadline,
                                                   std::string* error);

protocol::control::Hello make_hello(const ClientSettings& settings);
// Versions and ops. False: *error says which side is older.
bool check_welcome(const protocol::control::Welcome& welcome, const std::string& server,
                   std::string* error);
// The devices that CUDA_VISIBLE_DEVICES leaves visible, in its order.
void make_devices(const protocol::control::Welcome& welcome, Session* session);
// The places of `devices` in the order that programs count them in, before CUDA_VISIBLE_DEVICES:
// the session's own, whose first is the one that the server chose for it, or by PCI address if the
// CUDA_DEVICE_ORDER value says so.
std::vector<uint32_t> device_order(const char* value,
                                   std::span<const protocol::control::Device> devices);
// Which of `devices` a CUDA_VISIBLE_DEVICES value names: ordinals or UUID prefixes ("GPU-…"), up to
// the first that names none, as CUDA has it. Null value: all.
std::vector<uint32_t> visible_devices(const char* value,
                                      std::span<const protocol::control::Device> devices);

// Where a session's device addresses may lie.
struct Window {
  uint64_t base = 0;
  uint64_t bytes_per_device = 0;
};
// `base` 0: the usual ones; else only that.
std::span<const Window> window_candidates(uint64_t base);

}  // namespace farlane::client
