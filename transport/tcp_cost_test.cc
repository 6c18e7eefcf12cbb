// What a frame may cost: system calls and allocations, counted.
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <new>

#include "transport/tcp.h"
#include "transport/test_support.h"

namespace {

thread_local int allocations = 0;
thread_local int sends = 0;
thread_local int receives = 0;

}  // namespace

void* operator new(size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes)) {
    return memory;
  }
  throw std::bad_alloc();
}
void* operator new[](size_t bytes) {
  return operator new(bytes);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, size_t) noexcept {
  std::free(memory);
}

// The program's own definitions come before the C library's.
extern "C" {
ssize_t send(int fd, const void* data, size_t bytes, int flags) {
  ++sends;
  return syscall(SYS_sendto, fd, data, bytes, flags, nullptr, 0);
}
ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  ++sends;
  return syscall(SYS_sendmsg, fd, message, flags);
}
ssize_t recv(int fd, void* data, size_t bytes, int flags) {
  ++receives;
  return syscall(SYS_recvfrom, fd, data, bytes, flags, nullptr, nullptr);
}
ssize_t recvmsg(int fd, msghdr* message, int flags) {
  ++receives;
  return syscall(SYS_recvmsg, fd, message, flags);
}
}

namespace farlane::transport::testing {
namespace {

class CountingSink final : public FrameSink {
 public:
  size_t frames = 0;
  MutableBytes place(Bytes, uint32_t body_bytes) override {
    return MutableBytes(memory_).first(body_bytes);
  }
  void deliver(Bytes, MutableBytes) override { ++frames; }

 private:
  std::vector<std::byte> memory_ = std::vector<std::byte>(kBodyBytesMax);
};

class TcpCost : public ::testing::Test {
 protected:
  void reset() { allocations = sends = receives = 0; }
  Pair pair_ = make_bare_pair(Transport::kTcp);
  CountingSink sink_;
};

TEST_F(TcpCost, SendingWhenIdleIsOneCallAndNoAllocation) {
  const auto memory = pattern(1000, 1);
  const Bytes body = memory;
  for (const size_t head_bytes : {1, 64, 1015, 1016, 1017, 4096, 16384}) {
    const auto head = pattern(head_bytes, 2);
    for (const std::span<const Bytes> parts : {std::span<const Bytes>(), {&body, 1}}) {
      reset();
      ASSERT_EQ(pair_.a->send({head, parts}), SendStatus::kSent);
      EXPECT_EQ(sends, 1) << head_bytes;
      EXPECT_EQ(allocations, 0) << head_bytes;
      EXPECT_TRUE(pair_.a->drained());
      ASSERT_EQ(receive_frame(*pair_.b, sink_), ReceiveStatus::kDelivered);
    }
  }
}

TEST_F(TcpCost, ManySmallFramesCostOneRead) {
  std::string error;
  const auto listener = TcpListener::listen("127.0.0.1", 0, &error);
  ASSERT_TRUE(listener) << error;
  const auto sender = connect_tcp("127.0.0.1", listener->port(), patience(), &error);
  ASSERT_TRUE(sender) << error;
  const int fd = listener->accept(patience(), &error).release();
  const auto receiver = adopt_tcp(fd);
  const auto head = pattern(64, 1);
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(sender->send({head, {}}), SendStatus::kSent);
  }
  const Deadline deadline = patience();
  for (int arrived = 0; arrived < 100 * (8 + 64);) {
    ASSERT_EQ(::ioctl(fd, FIONREAD, &arrived), 0);
    ASSERT_LT(Clock::now(), deadline);
  }
  reset();
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(receiver->receive(sink_), ReceiveStatus::kDelivered) << i;
  }
  EXPECT_EQ(receives, 1);
  EXPECT_EQ(allocations, 0);
}

TEST_F(TcpCost, ReceivingAllocatesNothing) {
  const auto head = pattern(200, 1);
  const auto memory = pattern(3 * 1024 * 1024, 1);
  const Bytes body = memory;
  for (int i = 0; i < 20; ++i) {
    SendStatus status = pair_.a->send({head, {&body, 1}});
    ASSERT_EQ(status, SendStatus::kSent);
    reset();
    while (sink_.frames == static_cast<size_t>(i)) {
      ASSERT_NE(pair_.a->flush(), SendStatus::kGone);
      static_cast<void>(pair_.b->receive(sink_));
      pair_.b->wait(true, false, Deadline{});
    }
    EXPECT_EQ(allocations, 0);
    ASSERT_EQ(drain(*pair_.a), SendStatus::kSent);
  }
}

}  // namespace
}  // namespace farlane::transport::testing
