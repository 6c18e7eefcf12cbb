#include "client/core/handshake.h"
#include "client/core/endpoint.h"

#include <gtest/gtest.h>

#include "generated/protocol/messages.h"

namespace farlane::client {
namespace {

using Ordinals = std::vector<uint32_t>;

std::vector<protocol::control::Device> three_devices() {
  std::vector<protocol::control::Device> devices(3);
  for (uint8_t i = 0; i < 3; ++i) {
    devices[i].uuid = {0xab, i};
  }
  return devices;
}

TEST(VisibleDevices, FollowsCuda) {
  const auto devices = three_devices();
  EXPECT_EQ(visible_devices(nullptr, devices), (Ordinals{0, 1, 2}));
  EXPECT_EQ(visible_devices("2,0", devices), (Ordinals{2, 0}));
  EXPECT_EQ(visible_devices("", devices), Ordinals{});
  EXPECT_EQ(visible_devices("1,-1,2", devices), Ordinals{1}) << "up to the first that names none";
  EXPECT_EQ(visible_devices("0,9,1", devices), Ordinals{0});
  EXPECT_EQ(visible_devices("1,1", devices), Ordinals{1});
  EXPECT_EQ(visible_devices("GPU-ab02", devices), Ordinals{2});
  EXPECT_EQ(visible_devices("GPU-ab", devices), Ordinals{}) << "an ambiguous prefix names none";
}

TEST(DeviceOrder, IsTheSessionsOrByAddress) {
  std::vector<protocol::control::Device> devices(3);
  devices[0].pci_bus_id = "0000:9b:00.0";
  devices[1].pci_bus_id = "0000:1b:00.0";
  devices[2].pci_bus_id = "0000:5c:00.0";
  EXPECT_EQ(device_order(nullptr, devices), (Ordinals{0, 1, 2}));
  EXPECT_EQ(device_order("FASTEST_FIRST", devices), (Ordinals{0, 1, 2}));
  EXPECT_EQ(device_order("PCI_BUS_ID", devices), (Ordinals{1, 2, 0}));
  EXPECT_EQ(device_order("", devices), (Ordinals{0, 1, 2}));
}

TEST(HostPort, IsSplit) {
  std::string host;
  std::string error;
  uint16_t port = 0;
  EXPECT_TRUE(split_host_port("gpu-node:4713", &host, &port, &error));
  EXPECT_EQ(host, "gpu-node");
  EXPECT_EQ(port, 4713);
  EXPECT_TRUE(split_host_port("[::1]:80", &host, &port, &error));
  EXPECT_EQ(host, "::1");
  for (const char* wrong : {"", "host", ":80", "host:", "host:0", "host:70000", "host:80x"}) {
    error.clear();
    EXPECT_FALSE(split_host_port(wrong, &host, &port, &error)) << wrong;
    EXPECT_NE(error.find("FARLANE_SERVER"), std::string::npos);
  }
}

TEST(Welcome, OlderOrDifferentServersAreRefused) {
  protocol::control::Welcome welcome;
  for (protocol::Op op : protocol::client_ops()) {
    welcome.ops.push_back(static_cast<uint32_t>(op));
  }
  std::string error;
  EXPECT_TRUE(check_welcome(welcome, "s", &error));
  protocol::control::Welcome other_major = welcome;
  other_major.major += 1;
  EXPECT_FALSE(check_welcome(other_major, "s", &error));
  protocol::control::Welcome older = welcome;
  older.ops.pop_back();
  EXPECT_FALSE(check_welcome(older, "s", &error));
  EXPECT_NE(error.find("does not know the command"), std::string::npos) << error;
}

TEST(Windows, AGivenBaseIsTheOnlyCandidate) {
  EXPECT_GT(window_candidates(0).size(), 1u);
  ASSERT_EQ(window_candidates(0x3000'0000'0000).size(), 1u);
  EXPECT_EQ(window_candidates(0x3000'0000'0000)[0].base, 0x3000'0000'0000u);
}

}  // namespace
}  // namespace farlane::client
