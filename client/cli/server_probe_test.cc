#include "client/cli/server_probe.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "generated/protocol/messages.h"
#include "protocol/append.h"
#include "protocol/control_client.h"
#include "transport/fd.h"
#include "transport/tcp.h"

namespace farlane::cli {
namespace {

namespace control = protocol::control;
using transport::Clock;

constexpr auto kDeadline = std::chrono::seconds(10);

ServerProbe probe_server(const std::string& server, int64_t timeout_ms, int probes) {
  ClientSettings settings;
  settings.server = server;
  settings.connect_timeout_ms = timeout_ms;
  settings.transport = "tcp";
  return cli::probe_server(settings, probes);
}

// Takes every frame; remembers the last Hello.
class HelloSink : public transport::FrameSink {
 public:
  transport::MutableBytes place(transport::Bytes, uint32_t) override { return {}; }
  void deliver(transport::Bytes head, transport::MutableBytes) override {
    protocol::RecordCursor records(head);
    protocol::Record record;
    while (records.next(record)) {
      protocol::message::Control message;
      protocol::Fault fault;
      std::string error;
      control::Control decoded;
      if (decode(record, message, fault) && control::decode(message.message, &decoded, &error)) {
        if (const auto* found = std::get_if<control::Hello>(&decoded))
          hello = *found, arrived = true;
      }
    }
  }
  bool arrived = false;
  control::Hello hello;
};

// Accepts `connections` in a thread and lets the test say what happens to each.
class FakeServer {
 public:
  FakeServer(int connections, std::function<void(transport::Channel*)> serve) {
    std::string error;
    listener_ = transport::TcpListener::listen("127.0.0.1", 0, &error);
    EXPECT_NE(listener_, nullptr) << error;
    thread_ = std::thread([this, connections, serve = std::move(serve)] {
      for (int i = 0; i < connections; ++i) {
        std::string reason;
        transport::Fd accepted = listener_->accept(Clock::now() + kDeadline, &reason);
        if (accepted.get() < 0) return;
        const auto channel = transport::adopt_tcp(accepted.release());
        serve(channel.get());
      }
    });
  }
  ~FakeServer() { thread_.join(); }
  std::string address() const { return listener_->address(); }

 private:
  std::unique_ptr<transport::TcpListener> listener_;
  std::thread thread_;
};

void answer(transport::Channel* channel, const control::Control& message) {
  HelloSink sink;
  const auto deadline = Clock::now() + kDeadline;
  while (!sink.arrived && Clock::now() < deadline) {
    if (channel->receive(sink) == transport::ReceiveStatus::kGone) return;
    if (!sink.arrived) channel->wait(true, false, deadline);
  }
  EXPECT_TRUE(sink.hello.probe);
  EXPECT_EQ(sink.hello.major, control::kVersionMajor);
  const std::string bytes = control::encode(message);
  std::vector<std::byte> frame;
  protocol::append_record(
      frame, protocol::message::ControlReply{std::as_bytes(std::span(bytes.data(), bytes.size()))},
      0);
  EXPECT_EQ(channel->send({frame, {}}), transport::SendStatus::kSent);
  // The client closes when it has read the answer.
  while (channel->receive(sink) != transport::ReceiveStatus::kGone && Clock::now() < deadline) {
    channel->wait(true, !channel->drained(), deadline);
  }
}

control::Status good_status() {
  control::Status status;
  status.server = "gpu7 0.1.0";
  status.sessions = 3;
  status.workers_warm = 2;
  status.uptime_ms = 61'000;
  control::Device device;
  device.name = "NVIDIA H100";
  device.memory_bytes = uint64_t{80} << 30;
  device.attributes = {{75, 9}, {76, 0}, {1, 1024}};
  status.devices = {device};
  status.device_sessions = {3};
  return status;
}

TEST(ServerProbe, ReadsTheStatus) {
  FakeServer server(3, [](transport::Channel* channel) { answer(channel, good_status()); });
  const ServerProbe probe = probe_server(server.address(), 10'000, 3);
  EXPECT_EQ(probe.error, "");
  EXPECT_TRUE(probe.connected);
  EXPECT_EQ(probe.server, "gpu7 0.1.0");
  EXPECT_EQ(probe.sessions, 3u);
  EXPECT_EQ(probe.workers_warm, 2u);
  EXPECT_EQ(probe.uptime_ms, 61'000u);
  ASSERT_EQ(probe.devices.size(), 1u);
  EXPECT_EQ(probe.devices[0].name, "NVIDIA H100");
  EXPECT_EQ(probe.devices[0].arch, 90u);
  EXPECT_EQ(probe.devices[0].sessions, 3);
  EXPECT_EQ(probe.answer_us.size(), 3u);
}

TEST(ServerProbe, AnotherVersion) {
  control::Status status = good_status();
  status.major = control::kVersionMajor + 1;
  FakeServer server(1, [&](transport::Channel* channel) { answer(channel, status); });
  const ServerProbe probe = probe_server(server.address(), 10'000, 5);
  EXPECT_NE(probe.error.find("install the same release on both"), std::string::npos) << probe.error;
}

TEST(ServerProbe, Refusal) {
  control::Goodbye goodbye{control::Goodbye::Reason::kDraining, "the server is shutting down"};
  FakeServer server(1, [&](transport::Channel* channel) { answer(channel, goodbye); });
  const ServerProbe probe = probe_server(server.address(), 10'000, 5);
  EXPECT_EQ(probe.error, "the server refused: the server is shutting down");
}

TEST(ServerProbe, SomethingElseListens) {
  FakeServer closes(1, [](transport::Channel* channel) { channel->close(); });
  ServerProbe probe = probe_server(closes.address(), 10'000, 1);
  EXPECT_TRUE(probe.connected);
  EXPECT_NE(probe.error.find("without an answer"), std::string::npos) << probe.error;

  FakeServer garbage(1, [](transport::Channel* channel) {
    const std::vector<std::byte> frame(64, std::byte{0x7f});
    EXPECT_EQ(channel->send({frame, {}}), transport::SendStatus::kSent);
    HelloSink sink;
    const auto deadline = Clock::now() + kDeadline;
    while (channel->receive(sink) != transport::ReceiveStatus::kGone && Clock::now() < deadline) {
      channel->wait(true, !channel->drained(), deadline);
    }
  });
  probe = probe_server(garbage.address(), 10'000, 1);
  EXPECT_NE(probe.error.find("not Farlane's"), std::string::npos) << probe.error;
}

TEST(ServerProbe, SilenceEndsAtTheDeadline) {
  FakeServer silent(1, [](transport::Channel* channel) {
    HelloSink sink;
    const auto deadline = Clock::now() + kDeadline;
    while (channel->receive(sink) != transport::ReceiveStatus::kGone && Clock::now() < deadline) {
      channel->wait(true, false, deadline);
    }
  });
  const ServerProbe probe = probe_server(silent.address(), 50, 1);
  EXPECT_NE(probe.error.find("did not answer within 50 ms"), std::string::npos) << probe.error;
}

TEST(ServerProbe, NobodyListens) {
  // Bound and not listening: nobody else can have the port meanwhile.
  const transport::Fd taken(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof(address);
  auto* const plain = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(taken.get(), plain, size), 0) << std::strerror(errno);
  ASSERT_EQ(::getsockname(taken.get(), plain, &size), 0) << std::strerror(errno);
  const ServerProbe probe =
      probe_server("127.0.0.1:" + std::to_string(ntohs(address.sin_port)), 2'000, 1);
  EXPECT_FALSE(probe.connected);
  EXPECT_NE(probe.error.find("connection refused"), std::string::npos) << probe.error;
  EXPECT_FALSE(probe_server("nonsense", 100, 1).error.empty());
}

}  // namespace
}  // namespace farlane::cli
