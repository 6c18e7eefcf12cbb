// What only TCP can get wrong: bytes instead of frames, addresses, sockets handed about.
#include "transport/tcp.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>
#include <random>
#include <thread>

#include "transport/test_support.h"

namespace farlane::transport::testing {
namespace {

// A channel whose peer is a bare socket in the test's hand.
class TcpBytes : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string error;
    const auto listener = TcpListener::listen("127.0.0.1", 0, &error);
    ASSERT_TRUE(listener) << error;
    raw_ = connect_tcp_socket("127.0.0.1", listener->port(), patience(), &error);
    ASSERT_TRUE(raw_) << error;
    Fd accepted = listener->accept(patience(), &error);
    ASSERT_TRUE(accepted) << error;
    channel_fd_ = accepted.get();
    channel_ = adopt_tcp(accepted.release());
  }

  void write(Bytes bytes) {
    ASSERT_EQ(::send(raw_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  // Until everything written is in the kernel's hands on the channel's side.
  void wait_for_arrival() {
    const Deadline end = patience();
    int unacknowledged = 1;
    while (unacknowledged != 0 && Clock::now() < end) {
      ASSERT_EQ(::ioctl(raw_.get(), SIOCOUTQ, &unacknowledged), 0);
    }
  }
  // And read by it; no whole frame.
  void take_what_was_written() {
    wait_for_arrival();
    int unread = 1;
    while (unread != 0) {
      ASSERT_EQ(channel_->receive(sink_), ReceiveStatus::kNothing);
      ASSERT_EQ(::ioctl(channel_fd_, FIONREAD, &unread), 0);
    }
  }
  // The next byte the raw side can read; -1 at the end of the stream.
  int read_byte() {
    pollfd ready{raw_.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&ready, 1, 60'000), 1);
    uint8_t byte = 0;
    return ::recv(raw_.get(), &byte, 1, 0) == 1 ? byte : -1;
  }

  Fd raw_;
  int channel_fd_ = -1;
  std::unique_ptr<Channel> channel_;
  Collector sink_;
};

std::vector<std::byte> prefix(uint32_t head_bytes, uint32_t body_bytes) {
  std::vector<std::byte> bytes;
  for (const uint32_t number : {head_bytes, body_bytes}) {
    for (int shift = 0; shift < 32; shift += 8) {
      bytes.push_back(static_cast<std::byte>(number >> shift));
    }
  }
  return bytes;
}

std::vector<std::byte> frame(Bytes head, Bytes body) {
  auto bytes = prefix(static_cast<uint32_t>(head.size()), static_cast<uint32_t>(body.size()));
  bytes.insert(bytes.end(), head.begin(), head.end());
  bytes.insert(bytes.end(), body.begin(), body.end());
  return bytes;
}

TEST_F(TcpBytes, WireFormatIsTheDocumentedOne) {
  const auto memory = bytes_of("body");
  const Bytes body = memory;
  ASSERT_EQ(channel_->send({bytes_of("head!"), {&body, 1}}), SendStatus::kSent);
  std::string seen;
  for (int i = 0; i < 17; ++i) {
    seen += static_cast<char>(read_byte());
  }
  EXPECT_EQ(seen, std::string("\5\0\0\0\4\0\0\0head!body", 17));
}

TEST_F(TcpBytes, BadSizesCloseTheConnectionWithAReason) {
  struct Case {
    std::vector<std::byte> bytes;
    const char* reason;
  };
  const Case cases[] = {
      {bytes_of("\xef\xbe\xad\xde garbage"), "frame head of 3735928559 bytes (limit 262144)"},
      {prefix(262'145, 0), "frame head of 262145 bytes (limit 262144)"},
      {prefix(8, 8 * 1024 * 1024 + 1), "frame body of 8388609 bytes (limit 8388608)"},
      {prefix(8, 0xffffffff), "frame body of 4294967295 bytes (limit 8388608)"},
      {prefix(0, 0), "frame head of 0 bytes"},
      {bytes_of("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
       "the other end is not Farlane's: it said \"GET / HT\"; check the port"},
  };
  for (const Case& bad : cases) {
    SetUp();
    write(frame(bytes_of("good"), {}));
    write(bad.bytes);
    EXPECT_EQ(receive_to_the_end(*channel_, sink_), 1u);
    EXPECT_EQ(channel_->close_reason(), bad.reason);
    EXPECT_EQ(channel_->send({bytes_of("x"), {}}), SendStatus::kGone);
    EXPECT_EQ(read_byte(), -1) << "the peer sees the end";
  }
}

TEST_F(TcpBytes, EveryStrictPrefixOfAFrameIsNoFrame) {
  const auto whole = frame(bytes_of("head"), bytes_of("body of it"));
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    SetUp();
    write(frame(bytes_of("good"), {}));
    write(Bytes(whole).first(bytes));
    raw_.reset();
    EXPECT_EQ(receive_to_the_end(*channel_, sink_), 1u) << bytes;
    EXPECT_EQ(channel_->close_reason(), bytes == 0
                                            ? "peer closed the connection"
                                            : "peer closed the connection in the middle of a frame")
        << bytes;
  }
}

TEST_F(TcpBytes, ResetIsNamed) {
  const linger at_once{1, 0};
  ::setsockopt(raw_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  raw_.reset();
  EXPECT_EQ(receive_to_the_end(*channel_, sink_), 0u);
  EXPECT_EQ(channel_->close_reason(), "connection reset by peer");
}

// Odd sizes and every way the kernel may cut the stream.
TEST_F(TcpBytes, StreamCutAtEveryPlaceGivesTheSameFrames) {
  std::vector<std::byte> stream;
  std::vector<Collector::Received> expected;
  for (size_t i = 0; i < 12; ++i) {
    expected.push_back({pattern(1 + i * 5 % 23, i), pattern(i * 7 % 19, i + 100)});
    const auto bytes = frame(expected.back().head, expected.back().body);
    stream.insert(stream.end(), bytes.begin(), bytes.end());
  }
  for (size_t piece = 1; piece <= stream.size(); piece = piece * 2 + 1) {
    sink_.frames.clear();
    for (size_t at = 0; at < stream.size(); at += piece) {
      write(Bytes(stream).subspan(at, std::min(piece, stream.size() - at)));
      while (channel_->receive(sink_) == ReceiveStatus::kDelivered) {
      }
    }
    while (sink_.frames.size() < expected.size()) {
      ASSERT_EQ(receive_frame(*channel_, sink_), ReceiveStatus::kDelivered);
    }
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(sink_.frames[i].head, expected[i].head) << piece << " " << i;
      EXPECT_EQ(sink_.frames[i].body, expected[i].body) << piece << " " << i;
    }
  }
}

// Large heads one after the other, so that they cross the end of the buffer in every way.
TEST_F(TcpBytes, LargeHeadsWrapAround) {
  std::thread writer([&] {
    for (size_t i = 0; i < 60; ++i) {
      const auto bytes = frame(pattern(i % 3 == 0 ? kHeadBytesMax - i : 1 + i * 3001, i), {});
      for (size_t at = 0; at < bytes.size();) {
        pollfd ready{raw_.get(), POLLOUT, 0};
        ::poll(&ready, 1, 60'000);
        const ssize_t sent = ::send(raw_.get(), bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
        at += sent > 0 ? static_cast<size_t>(sent) : 0;
      }
    }
  });
  for (size_t i = 0; i < 60; ++i) {
    EXPECT_EQ(receive_frame(*channel_, sink_), ReceiveStatus::kDelivered);
    EXPECT_EQ(sink_.frames.back().head, pattern(i % 3 == 0 ? kHeadBytesMax - i : 1 + i * 3001, i));
  }
  writer.join();
}

// Frames with a few bytes changed, from a seed: whatever comes of it, the end is orderly.
TEST(TcpGarbage, AlteredStreamsEndInOrder) {
  class Swallow final : public FrameSink {
   public:
    MutableBytes place(Bytes, uint32_t body_bytes) override {
      return MutableBytes(memory_).first(body_bytes);
    }
    void deliver(Bytes head, MutableBytes body) override {
      EXPECT_GT(head.size(), 0u);
      EXPECT_LE(body.size(), kBodyBytesMax);
    }

   private:
    std::vector<std::byte> memory_ = std::vector<std::byte>(kBodyBytesMax);
  } sink;
  std::mt19937_64 random(test_seed());
  for (int round = 0; round < 1000; ++round) {
    std::vector<std::byte> stream;
    for (int i = 0; i < 8; ++i) {
      const auto bytes = frame(pattern(1 + random() % 100, i), pattern(random() % 300, i));
      stream.insert(stream.end(), bytes.begin(), bytes.end());
    }
    for (uint64_t changes = random() % 4; changes > 0; --changes) {
      stream[random() % stream.size()] = static_cast<std::byte>(random());
    }
    int fds[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    Fd peer(fds[0]);
    const size_t before = random() % stream.size();
    const auto channel = adopt_tcp(fds[1], Bytes(stream).first(before));
    ASSERT_EQ(::write(peer.get(), stream.data() + before, stream.size() - before),
              static_cast<ssize_t>(stream.size() - before));
    peer.reset();
    ReceiveStatus status = ReceiveStatus::kDelivered;
    while (status == ReceiveStatus::kDelivered) {
      status = receive_frame(*channel, sink);
    }
    ASSERT_EQ(status, ReceiveStatus::kGone) << "seed " << test_seed() << " round " << round;
    ASSERT_NE(channel->close_reason(), "");
  }
}

// The kernel's word that the peer left is enough: nobody waits for room that never comes.
TEST_F(TcpBytes, HangUpSeenByWaitEndsSending) {
  raw_.reset();
  const Deadline deadline = patience();
  while (!channel_->wait(true, false, deadline).readable) {
    ASSERT_LT(Clock::now(), deadline);
  }
  EXPECT_EQ(channel_->send({bytes_of("x"), {}}), SendStatus::kGone);
  EXPECT_EQ(channel_->close_reason(), "peer closed the connection");
}

TEST_F(TcpBytes, TheDescriptorLivesUntilTheChannelDies) {
  channel_->close();
  EXPECT_NE(::fcntl(channel_fd_, F_GETFD), -1) << "closed early, another file could get its number";
  channel_.reset();
  EXPECT_EQ(::fcntl(channel_fd_, F_GETFD), -1);
}

TEST_F(TcpBytes, SocketsStayWithThisProcess) {
  EXPECT_NE(::fcntl(channel_fd_, F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(::fcntl(raw_.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(TcpBytes, AdoptedBytesComeFirst) {
  const auto first = frame(bytes_of("first"), bytes_of("body of the first"));
  const auto second = frame(bytes_of("second"), bytes_of("body of the second"));
  auto stream = first;
  stream.insert(stream.end(), second.begin(), second.end());
  for (size_t read = 0; read <= stream.size(); ++read) {
    int fds[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    const Fd peer(fds[0]);
    const auto channel = adopt_tcp(fds[1], Bytes(stream).first(read));
    EXPECT_EQ(channel->peer_name(), "unix socket");
    ASSERT_EQ(::write(peer.get(), stream.data() + read, stream.size() - read),
              static_cast<ssize_t>(stream.size() - read));
    Collector sink;
    ASSERT_TRUE(channel->wait(true, false, patience()).readable);
    ASSERT_EQ(receive_frame(*channel, sink), ReceiveStatus::kDelivered);
    ASSERT_EQ(receive_frame(*channel, sink), ReceiveStatus::kDelivered);
    EXPECT_EQ(text_of(sink.frames[0].body), "body of the first");
    EXPECT_EQ(text_of(sink.frames[1].body), "body of the second");
  }
}

// Until the rest of a body is here, or enough of it, a wait goes on.
TEST_F(TcpBytes, AWaitEndsWhenEnoughOfABodyIsHere) {
  const std::vector<std::byte> body(size_t{2} * kTcpWakeBytes);
  write(prefix(4, static_cast<uint32_t>(body.size())));
  write(bytes_of("head"));
  write(Bytes(body).first(1));
  take_what_was_written();
  write(Bytes(body).first(1000));
  wait_for_arrival();
  EXPECT_FALSE(channel_->wait(true, false, Clock::now()).readable);
  write(Bytes(body).first(kTcpWakeBytes));
  EXPECT_TRUE(channel_->wait(true, false, patience()).readable);
  // What is left is less than that much.
  std::thread writer([&] { write(Bytes(body).first(body.size() - 1001 - kTcpWakeBytes)); });
  EXPECT_EQ(receive_frame(*channel_, sink_), ReceiveStatus::kDelivered);
  writer.join();
  // Between bodies any byte counts, and the end of the peer always does.
  write(frame(bytes_of("next"), {}));
  EXPECT_TRUE(channel_->wait(true, false, patience()).readable);
  EXPECT_EQ(receive_frame(*channel_, sink_), ReceiveStatus::kDelivered);
  write(prefix(4, static_cast<uint32_t>(body.size())));
  write(bytes_of("head"));
  take_what_was_written();
  raw_.reset();
  EXPECT_EQ(receive_frame(*channel_, sink_), ReceiveStatus::kGone);
}

TEST(TcpFirstFrame, IsFoundInItsPrefixes) {
  auto stream = frame(bytes_of("hello"), bytes_of("body"));
  const size_t frame_bytes = stream.size();
  stream.push_back(std::byte{7});
  for (size_t bytes = 0; bytes < frame_bytes; ++bytes) {
    const FirstFrame first = parse_first_frame(Bytes(stream).first(bytes));
    EXPECT_EQ(first.state, FirstFrame::State::kIncomplete);
    EXPECT_EQ(first.frame_bytes, bytes < 8 ? 8 : frame_bytes);
  }
  const FirstFrame first = parse_first_frame(stream);
  ASSERT_EQ(first.state, FirstFrame::State::kComplete);
  EXPECT_EQ(first.frame_bytes, frame_bytes);
  EXPECT_EQ(text_of(first.head), "hello");
  EXPECT_EQ(text_of(first.body), "body");
  const FirstFrame refused = parse_first_frame(bytes_of("GET / HTTP/1.1"));
  EXPECT_EQ(refused.state, FirstFrame::State::kRefused);
  EXPECT_EQ(refused.reason, "the other end is not Farlane's: it said \"GET / HT\"; check the port");
}

}  // namespace
}  // namespace farlane::transport::testing
