// Connecting and listening, and what they say when they cannot.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <vector>

#include "transport/tcp.h"
#include "transport/test_support.h"

namespace farlane::transport::testing {
namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(TcpConnect, ByAddressAndByName) {
  for (const char* host : {"127.0.0.1", "::1", "localhost"}) {
    std::string error;
    const auto listener = TcpListener::listen(host, 0, &error);
    ASSERT_TRUE(listener) << error;
    ASSERT_NE(listener->port(), 0);
    const auto channel = connect_tcp(host, listener->port(), patience(), &error);
    ASSERT_TRUE(channel) << error;
    Fd accepted = listener->accept(patience(), &error);
    ASSERT_TRUE(accepted) << error;
    EXPECT_EQ(channel->peer_name(), listener->address());
    const auto peer = adopt_tcp(accepted.release());
    Collector sink;
    ASSERT_EQ(send_text(*channel, "hello"), SendStatus::kSent);
    EXPECT_EQ(receive_frame(*peer, sink), ReceiveStatus::kDelivered);
  }
}

// A name may stand for several addresses of which one works.
TEST(TcpConnect, TriesEveryAddressOfAName) {
  std::string error;
  const auto listener = TcpListener::listen("127.0.0.1", 0, &error);
  ASSERT_TRUE(listener) << error;
  EXPECT_TRUE(connect_tcp("localhost", listener->port(), patience(), &error)) << error;
}

TEST(TcpConnect, ClosedPortIsRefusedAtOnce) {
  std::string error;
  uint16_t port = 0;
  {
    const auto listener = TcpListener::listen("127.0.0.1", 0, &error);
    ASSERT_TRUE(listener) << error;
    port = listener->port();
  }
  EXPECT_FALSE(connect_tcp("127.0.0.1", port, patience(), &error));
  const std::string name = "127.0.0.1:" + std::to_string(port);
  EXPECT_EQ(error, "cannot connect to " + name + ": " + name +
                       ": connection refused: nothing listens there; check that the server runs "
                       "and that the port is its");
}

TEST(TcpConnect, UnknownNameIsSaidSoInTime) {
  std::string error;
  const auto start = Clock::now();
  EXPECT_FALSE(connect_tcp("no-such-host.invalid", 1, start + std::chrono::seconds(3), &error));
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(20));
  // Which of the two depends on the machine's name service.
  EXPECT_TRUE(contains(error, "cannot find the host \"no-such-host.invalid\"") ||
              contains(error, "was not resolved in time"))
      << error;
  EXPECT_FALSE(connect_tcp("", 1, patience(), &error));
  EXPECT_TRUE(contains(error, "no host given")) << error;
}

// A server that never accepts, with its backlog full: the kernel drops what comes, as a firewall
// or a dead machine would.
TEST(TcpConnect, SilentServerEndsAtTheDeadline) {
  const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof(address);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), bytes), 0);
  ASSERT_EQ(::listen(listener.get(), 0), 0);
  ASSERT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &bytes), 0);
  const uint16_t port = ntohs(address.sin_port);

  std::vector<Fd> backlog;
  std::string error;
  for (;;) {
    ASSERT_LT(backlog.size(), 10u) << "the backlog never fills";
    const auto start = Clock::now();
    const auto patience_short = std::chrono::milliseconds(300);
    Fd fd = connect_tcp_socket("127.0.0.1", port, start + patience_short, &error);
    if (fd) {
      backlog.push_back(std::move(fd));
      continue;
    }
    EXPECT_GE(Clock::now() - start, patience_short);
    EXPECT_LT(Clock::now() - start, std::chrono::seconds(20));
    break;
  }
  EXPECT_TRUE(contains(error, "no answer within 0.3 s")) << error;
}

TEST(TcpConnect, DeadlineInThePastFails) {
  std::string error;
  const auto listener = TcpListener::listen("127.0.0.1", 0, &error);
  ASSERT_TRUE(listener) << error;
  EXPECT_FALSE(connect_tcp("no-such-host.invalid", listener->port(), Deadline::min(), &error));
  EXPECT_NE(error, "");
}

TEST(TcpListener, SaysWhyItCannot) {
  std::string error;
  const auto first = TcpListener::listen("127.0.0.1", 0, &error);
  ASSERT_TRUE(first) << error;
  EXPECT_FALSE(TcpListener::listen("127.0.0.1", first->port(), &error));
  EXPECT_TRUE(contains(error, "another process listens there")) << error;
  EXPECT_FALSE(TcpListener::listen("203.0.113.1", 0, &error));
  EXPECT_TRUE(contains(error, "not one of this machine's")) << error;
}

TEST(TcpListener, AcceptKeepsItsDeadline) {
  std::string error;
  const auto listener = TcpListener::listen("127.0.0.1", 0, &error);
  ASSERT_TRUE(listener) << error;
  error = "old";
  EXPECT_FALSE(listener->accept(Deadline{}, &error));
  EXPECT_EQ(error, "");
  const Deadline deadline = Clock::now() + std::chrono::milliseconds(20);
  EXPECT_FALSE(listener->accept(deadline, &error));
  EXPECT_GE(Clock::now(), deadline);
  EXPECT_EQ(error, "");
}

TEST(TcpOptions, ReachTheSocket) {
  std::string error;
  TcpOptions options;
  options.send_buffer_bytes = 64 * 1024;
  options.receive_buffer_bytes = 32 * 1024;
  const auto listener = TcpListener::listen("127.0.0.1", 0, &error, options);
  ASSERT_TRUE(listener) << error;
  const Fd fd = connect_tcp_socket("127.0.0.1", listener->port(), patience(), &error, options);
  ASSERT_TRUE(fd) << error;
  const auto option = [&](int level, int name) {
    int value = 0;
    socklen_t bytes = sizeof(value);
    EXPECT_EQ(::getsockopt(fd.get(), level, name, &value, &bytes), 0);
    return value;
  };
  EXPECT_EQ(option(SOL_SOCKET, SO_SNDBUF), 2 * 64 * 1024);  // the kernel doubles it: socket(7)
  EXPECT_EQ(option(SOL_SOCKET, SO_RCVBUF), 2 * 32 * 1024);
  EXPECT_EQ(option(SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(option(IPPROTO_TCP, 1 /* TCP_NODELAY */), 1);
}

}  // namespace
}  // namespace farlane::transport::testing
