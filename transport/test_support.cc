#include "transport/test_support.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstdlib>
#include <cstring>

#include "transport/loopback.h"
#include "transport/shm.h"
#include "transport/tcp.h"
#include "transport/throttle.h"
#include "transport/trace.h"

namespace farlane::transport::testing {

std::string name_of(const Variant& variant) {
  std::string transport;
  switch (variant.transport) {
    case Transport::kLoopback:
      transport = "loopback";
      break;
    case Transport::kTcp:
      transport = "tcp";
      break;
    case Transport::kShm:
      transport = "shm";
      break;
  }
  switch (variant.decoration) {
    case Decoration::kNone:
      return transport;
    case Decoration::kFault:
      return transport + "_fault";
    case Decoration::kTrace:
      return transport + "_trace";
    case Decoration::kThrottle:
      return transport + "_throttle";
  }
  return transport;
}

std::vector<Variant> all_variants() {
  std::vector<Variant> variants;
  for (const Transport transport : {Transport::kLoopback, Transport::kTcp, Transport::kShm}) {
    for (const Decoration decoration :
         {Decoration::kNone, Decoration::kFault, Decoration::kTrace, Decoration::kThrottle}) {
      variants.push_back({transport, decoration});
    }
  }
  return variants;
}

namespace {

Pair make_shared_pair() {
  std::string error;
#ifdef __SANITIZE_THREAD__
  // The sanitizer does not know that two mappings are the same memory: over one it sees every race.
  auto [a, b] = make_shm_pair(&error);
  EXPECT_TRUE(a) << error;
  return {std::move(a), std::move(b)};
#else
  int fds[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  Pair pair;
  ShmOptions options;
  options.first_frame_over_socket = false;
  pair.a = adopt_shm_client(Fd(fds[0]), "test", options, &error);
  EXPECT_TRUE(pair.a) << error;
  pair.b = accept_shm(Fd(fds[1]), patience(), &error);
  EXPECT_TRUE(pair.b) << error;
  return pair;
#endif
}

}  // namespace

Pair make_bare_pair(Transport transport) {
  if (transport == Transport::kShm) {
    return make_shared_pair();
  }
  if (transport == Transport::kLoopback) {
    auto [a, b] = make_loopback();
    return {std::move(a), std::move(b)};
  }
  std::string error;
  const auto listener = TcpListener::listen("127.0.0.1", 0, &error);
  EXPECT_TRUE(listener) << error;
  Pair pair;
  pair.a = connect_tcp("127.0.0.1", listener->port(), patience(), &error);
  EXPECT_TRUE(pair.a) << error;
  Fd accepted = listener->accept(patience(), &error);
  EXPECT_TRUE(accepted) << error;
  pair.b = adopt_tcp(accepted.release());
  return pair;
}

uint64_t test_seed() {
  const char* seed = std::getenv("FARLANE_TEST_SEED");
  return seed != nullptr ? std::strtoull(seed, nullptr, 0) : 1;
}

Pair make_pair(const Variant& variant) {
  Pair pair = make_bare_pair(variant.transport);
  switch (variant.decoration) {
    case Decoration::kNone:
      break;
    case Decoration::kFault: {
      FaultPlan plan;
      plan.seed = test_seed();
      plan.busy_per_mille = 100;
      plan.hold_per_mille = 100;
      plan.late_per_mille = 100;
      plan.short_per_mille = 200;
      plan.delay_calls_max = 4;
      pair.a = make_faulty(std::move(pair.a), plan);
      plan.seed += 1;
      pair.b = make_faulty(std::move(pair.b), plan);
      break;
    }
    case Decoration::kTrace:
      pair.a = make_trace(std::move(pair.a));
      pair.b = make_trace(std::move(pair.b));
      break;
    case Decoration::kThrottle:
      // Late, but not slow: the suite counts what a network takes.
      pair.a = make_throttled(std::move(pair.a), {.rtt_us = 200});
      pair.b = make_throttled(std::move(pair.b), {.rtt_us = 200});
      break;
  }
  return pair;
}

Deadline patience() {
  return Clock::now() + std::chrono::seconds(60);
}

std::vector<std::byte> bytes_of(const std::string& text) {
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

std::string text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::vector<std::byte> pattern(size_t count, uint64_t salt) {
  std::vector<std::byte> bytes(count);
  uint64_t state = salt * 0x9e3779b97f4a7c15 + 1;
  for (std::byte& byte : bytes) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    byte = static_cast<std::byte>(state);
  }
  return bytes;
}

MutableBytes Collector::place(Bytes head, uint32_t body_bytes) {
  EXPECT_GT(body_bytes, 0u);
  if (stalled) {
    ++places_refused;
    return {};
  }
  placed_head_.assign(head.begin(), head.end());
  place_.assign(body_bytes, std::byte{0xcc});
  return place_;
}

void Collector::deliver(Bytes head, MutableBytes body) {
  EXPECT_EQ(reinterpret_cast<uintptr_t>(head.data()) % 8, 0u) << "heads are 8-byte aligned";
  std::vector<std::byte> copy(head.begin(), head.end());
  if (!body.empty()) {
    EXPECT_EQ(body.data(), place_.data()) << "the body is where place() said";
    EXPECT_EQ(body.size(), place_.size());
    EXPECT_EQ(copy, placed_head_) << "place() and deliver() see the same head";
  }
  frames.push_back({std::move(copy), std::vector<std::byte>(body.begin(), body.end())});
}

SendStatus send_frame(Channel& channel, Bytes head, std::span<const Bytes> body) {
  const Deadline deadline = patience();
  for (;;) {
    const SendStatus status = channel.send({head, body});
    if (status != SendStatus::kBusy || channel.wait(false, true, deadline).timed_out) {
      return status;
    }
  }
}

SendStatus send_text(Channel& channel, const std::string& head) {
  return send_frame(channel, bytes_of(head));
}

SendStatus drain(Channel& channel) {
  const Deadline deadline = patience();
  while (!channel.drained()) {
    const SendStatus status = channel.flush();
    if (status == SendStatus::kGone) {
      return status;
    }
    if (status == SendStatus::kBusy && channel.wait(false, true, deadline).timed_out) {
      return status;
    }
  }
  return SendStatus::kSent;
}

ReceiveStatus receive_frame(Channel& channel, FrameSink& sink) {
  const Deadline deadline = patience();
  for (;;) {
    const ReceiveStatus status = channel.receive(sink);
    if (status != ReceiveStatus::kNothing || channel.wait(true, false, deadline).timed_out) {
      return status;
    }
  }
}

ReceiveStatus pump(Channel& from, Channel& to, FrameSink& sink) {
  const Deadline deadline = patience();
  for (;;) {
    const SendStatus flushed = from.flush();
    const ReceiveStatus status = to.receive(sink);
    if (status != ReceiveStatus::kNothing || Clock::now() > deadline) {
      return status;
    }
    if (flushed == SendStatus::kSent && to.wait(true, false, deadline).timed_out) {
      return status;
    }
  }
}

size_t receive_to_the_end(Channel& channel, FrameSink& sink) {
  size_t frames = 0;
  for (;;) {
    const ReceiveStatus status = receive_frame(channel, sink);
    if (status != ReceiveStatus::kDelivered) {
      EXPECT_EQ(status, ReceiveStatus::kGone);
      return frames;
    }
    ++frames;
  }
}

size_t send_until_stuck(Channel& channel, const std::vector<std::byte>& memory) {
  const Bytes body = memory;
  const Deadline deadline = patience();
  for (size_t taken = 0;;) {
    const std::vector<std::byte> head = bytes_of(std::to_string(taken));
    switch (channel.send({head, {&body, 1}})) {
      case SendStatus::kSent:
        ++taken;
        break;
      case SendStatus::kBusy:
        // A fault may say busy, or hold a frame, although there is room: stuck is who cannot write.
        if (!channel.drained() && !channel.wait(false, true, Deadline{}).writable) {
          return taken;
        }
        break;
      case SendStatus::kGone:
        ADD_FAILURE() << "gone: " << channel.close_reason();
        return taken;
    }
    if (Clock::now() > deadline) {
      ADD_FAILURE() << "never stuck";
      return taken;
    }
  }
}

}  // namespace farlane::transport::testing
