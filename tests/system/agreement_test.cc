// Numbers that two folders hold separately, because neither may include the other.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "client/core/handshake.h"
#include "protocol/control_client.h"
#include "protocol/limits.h"
#include "server/control.h"
#include "tests/system/rig.h"
#include "transport/channel.h"

namespace farlane::system_test {
namespace {

// A record is never split over frames, and a command's bulk data is one frame's body.
static_assert(protocol::limits::record_bytes_max == transport::kHeadBytesMax);
static_assert(protocol::limits::body_bytes_max == transport::kBodyBytesMax);

protocol::control::Welcome welcome_of(const server::Host& host, const ServerSettings& settings) {
  const std::string encoded = server::welcome_message(host, settings, 1, "token");
  protocol::control::Control control;
  std::string error;
  EXPECT_TRUE(protocol::control::decode(std::as_bytes(std::span(encoded)), &control, &error))
      << error;
  return std::get<protocol::control::Welcome>(control);
}

TEST(Agreement, ClientAcceptsTheServersWelcome) {
  const ServerSettings settings;
  std::string error;
  const auto host = server::Host::start(driver(), settings, 0, &error);
  ASSERT_NE(host, nullptr) << error;
  const protocol::control::Welcome welcome = welcome_of(*host, settings);
  EXPECT_TRUE(client::check_welcome(welcome, "s", &error)) << error;
  EXPECT_EQ(welcome.devices.size(), 1u);
  EXPECT_EQ(welcome.credit_bytes, static_cast<uint64_t>(settings.credit_bytes));
  EXPECT_GE(welcome.driver_version, 13000);
}

TEST(Agreement, BothSidesListTheSameOps) {
  const ServerSettings settings;
  std::string error;
  const auto host = server::Host::start(driver(), settings, 0, &error);
  ASSERT_NE(host, nullptr) << error;
  const std::vector<uint32_t> served = welcome_of(*host, settings).ops;
  const std::vector<uint32_t> sent = client::make_hello(ClientSettings()).ops;
  EXPECT_EQ(std::set<uint32_t>(served.begin(), served.end()),
            std::set<uint32_t>(sent.begin(), sent.end()));
  EXPECT_FALSE(sent.empty());
}

TEST(Agreement, TheServerReadsTheClientsHello) {
  ClientSettings settings;
  settings.devices = 3;
  settings.call_timeout_ms = 8'000;
  const std::string encoded = protocol::control::encode(client::make_hello(settings));
  server::HelloFacts hello;
  std::string why;
  ASSERT_EQ(server::read_control(std::as_bytes(std::span(encoded)), &hello, &why),
            server::ControlKind::kHello)
      << why;
  EXPECT_EQ(hello.major, server::protocol_major());
  EXPECT_EQ(hello.devices_wanted, 3u);
  EXPECT_EQ(hello.heartbeat_ms, 2'000u);
  EXPECT_FALSE(hello.probe);
}

}  // namespace
}  // namespace farlane::system_test
