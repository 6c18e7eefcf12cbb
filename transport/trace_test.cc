#include "transport/trace.h"

#include <gtest/gtest.h>

#include "transport/loopback.h"
#include "transport/test_support.h"

namespace farlane::transport::testing {
namespace {

TEST(Trace, CountsFramesBytesAndRefusals) {
  auto [plain_a, plain_b] = make_loopback({.queue_frames = 1});
  std::vector<std::string> seen;
  const auto remember = [&](Direction direction, Bytes head, size_t body_bytes) {
    seen.push_back((direction == Direction::kSent ? "sent " : "received ") + text_of(head) + " " +
                   std::to_string(body_bytes));
  };
  const auto a = make_trace(std::move(plain_a), remember);
  const auto b = make_trace(std::move(plain_b), remember);
  const auto memory = pattern(1000, 1);
  const Bytes body = memory;
  Collector sink;

  ASSERT_EQ(a->send({bytes_of("one"), {&body, 1}}), SendStatus::kSent);
  ASSERT_EQ(a->send({bytes_of("three"), {}}), SendStatus::kSent);  // held: the queue is full
  ASSERT_EQ(a->send({bytes_of("refused"), {}}), SendStatus::kBusy);
  ASSERT_EQ(a->flush(), SendStatus::kBusy);
  sink.stalled = true;
  ASSERT_EQ(b->receive(sink), ReceiveStatus::kStalled);
  sink.stalled = false;
  ASSERT_EQ(b->receive(sink), ReceiveStatus::kDelivered);
  ASSERT_EQ(b->receive(sink), ReceiveStatus::kNothing);

  const TraceCounts at_a = a->counts();
  EXPECT_EQ(at_a.sent_frames, 2u);
  EXPECT_EQ(at_a.sent_bytes, 3u + 1000 + 5);
  EXPECT_EQ(at_a.busy, 2u);
  EXPECT_EQ(at_a.received_frames, 0u);
  const TraceCounts at_b = b->counts();
  EXPECT_EQ(at_b.received_frames, 1u);
  EXPECT_EQ(at_b.received_bytes, 1003u);
  EXPECT_EQ(at_b.stalled, 1u);
  EXPECT_EQ(at_b.sent_frames, 0u);
  EXPECT_EQ(seen, (std::vector<std::string>{"sent one 1000", "sent three 0", "received one 1000"}));
}

}  // namespace
}  // namespace farlane::transport::testing
