#include "transport/throttle.h"

#include <gtest/gtest.h>

#include "transport/loopback.h"
#include "transport/test_support.h"

namespace farlane::transport::testing {
namespace {

using std::chrono::microseconds;

// A clock that a test moves.
class Throttle : public ::testing::Test {
 protected:
  void open(const ThrottleOptions& options, std::shared_ptr<ThrottleLines> lines = nullptr) {
    auto [near, far] = make_loopback();
    near_ = make_throttled(std::move(near), options, std::move(lines), [this] { return now_; });
    far_ = std::move(far);
  }
  SendStatus send(const std::string& head, size_t body_bytes = 0) {
    const Bytes body(memory_.data(), body_bytes);
    return near_->send(
        {bytes_of(head), body_bytes == 0 ? std::span<const Bytes>() : std::span(&body, 1)});
  }

  Clock::time_point now_ = Clock::now();
  std::unique_ptr<Channel> near_;
  std::unique_ptr<Channel> far_;
  const std::vector<std::byte> memory_ = pattern(2'000'000, 1);
  Collector sink_;
};

TEST_F(Throttle, AnAnswerTakesTheRoundTrip) {
  open({.rtt_us = 1000});
  ASSERT_EQ(send("question"), SendStatus::kSent);
  EXPECT_TRUE(near_->drained());
  ASSERT_EQ(far_->receive(sink_), ReceiveStatus::kDelivered);
  ASSERT_EQ(send_text(*far_, "answer"), SendStatus::kSent);
  ASSERT_EQ(near_->receive(sink_), ReceiveStatus::kNothing);
  now_ += microseconds(999);
  ASSERT_EQ(near_->receive(sink_), ReceiveStatus::kNothing);
  now_ += microseconds(1);
  ASSERT_EQ(near_->receive(sink_), ReceiveStatus::kDelivered);
  EXPECT_EQ(text_of(sink_.frames.back().head), "answer");
  EXPECT_EQ(near_->receive(sink_), ReceiveStatus::kNothing);
}

// Ten frames are under way at once: a round-trip time is no bandwidth.
TEST_F(Throttle, FramesUnderWayDoNotWaitForEachOther) {
  open({.rtt_us = 1000});
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(send_text(*far_, std::to_string(i)), SendStatus::kSent);
    ASSERT_EQ(near_->receive(sink_), ReceiveStatus::kNothing);
    now_ += microseconds(10);
  }
  now_ += microseconds(900);
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(near_->receive(sink_), ReceiveStatus::kDelivered);
    EXPECT_EQ(text_of(sink_.frames.back().head), std::to_string(i));
    ASSERT_EQ(near_->receive(sink_), ReceiveStatus::kNothing);
    now_ += microseconds(10);
  }
}

// 8e9 bits/s is a byte in a nanosecond.
TEST_F(Throttle, SentBytesTakeTheLinesTime) {
  open({.gbps = 8});
  ASSERT_EQ(send("h", 999'999), SendStatus::kSent);  // one millisecond
  EXPECT_FALSE(near_->drained());
  EXPECT_EQ(far_->receive(sink_), ReceiveStatus::kNothing);
  EXPECT_EQ(send("next"), SendStatus::kBusy);
  now_ += microseconds(999);
  EXPECT_EQ(near_->flush(), SendStatus::kBusy);
  EXPECT_EQ(far_->receive(sink_), ReceiveStatus::kNothing);
  now_ += microseconds(1);
  EXPECT_EQ(near_->flush(), SendStatus::kSent);
  EXPECT_TRUE(near_->drained());
  ASSERT_EQ(far_->receive(sink_), ReceiveStatus::kDelivered);
  EXPECT_EQ(sink_.frames.back().body.size(), 999'999u);
}

// A sender that wakes up late for its next frame loses nothing of the line's bandwidth.
TEST_F(Throttle, ALateWakeUpCostsNoBandwidth) {
  open({.gbps = 8});
  const Clock::time_point start = now_;
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(send("h", 99'999), SendStatus::kSent);  // 100 us
    EXPECT_FALSE(near_->drained());
    now_ = std::max(now_, start + microseconds(100 * (i + 1) + 60));
    ASSERT_EQ(near_->flush(), SendStatus::kSent) << i;
    ASSERT_EQ(far_->receive(sink_), ReceiveStatus::kDelivered);
  }
  EXPECT_EQ(now_ - start, microseconds(100 * 100 + 60));
}

TEST_F(Throttle, ReceivedBytesTakeTheLinesTimeToo) {
  open({.rtt_us = 100, .gbps = 8});
  const Bytes body(memory_.data(), 999'999);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(far_->send({bytes_of("h"), {&body, 1}}), SendStatus::kSent);
  }
  EXPECT_EQ(near_->receive(sink_), ReceiveStatus::kNothing);
  now_ += microseconds(1099);
  EXPECT_EQ(near_->receive(sink_), ReceiveStatus::kNothing);
  now_ += microseconds(1);
  ASSERT_EQ(near_->receive(sink_), ReceiveStatus::kDelivered);
  EXPECT_EQ(sink_.frames.back().body,
            std::vector<std::byte>(memory_.begin(), memory_.begin() + 999'999));
  now_ += microseconds(999);
  EXPECT_EQ(near_->receive(sink_), ReceiveStatus::kNothing);
  now_ += microseconds(1);
  EXPECT_EQ(near_->receive(sink_), ReceiveStatus::kDelivered);
}

// A short question is passed on at once; the time its bytes take is added to the answer's.
TEST_F(Throttle, AShortFramesTimeIsTheAnswers) {
  open({.rtt_us = 100, .gbps = 0.008});  // a byte in a microsecond
  ASSERT_EQ(send("0123456789"), SendStatus::kSent);
  ASSERT_EQ(far_->receive(sink_), ReceiveStatus::kDelivered);
  ASSERT_EQ(send_text(*far_, "01234"), SendStatus::kSent);
  now_ += microseconds(1);
  EXPECT_EQ(near_->receive(sink_), ReceiveStatus::kNothing);
  now_ += microseconds(10 - 1 + 5 + 100 - 1);
  EXPECT_EQ(near_->receive(sink_), ReceiveStatus::kNothing);
  now_ += microseconds(1);
  EXPECT_EQ(near_->receive(sink_), ReceiveStatus::kDelivered);
}

TEST_F(Throttle, ChannelsShareALine) {
  const auto lines = std::make_shared<ThrottleLines>(8);
  open({.gbps = 8}, lines);
  auto [other_near, other_far] = make_loopback();
  const auto other =
      make_throttled(std::move(other_near), {.gbps = 8}, lines, [this] { return now_; });
  const Bytes body(memory_.data(), 999'999);
  ASSERT_EQ(send("h", 999'999), SendStatus::kSent);
  ASSERT_EQ(other->send({bytes_of("h"), {&body, 1}}), SendStatus::kSent);
  now_ += microseconds(1000);
  EXPECT_EQ(near_->flush(), SendStatus::kSent);
  EXPECT_EQ(other->flush(), SendStatus::kBusy);
  now_ += microseconds(1000);
  EXPECT_EQ(other->flush(), SendStatus::kSent);
}

TEST_F(Throttle, WhatHasArrivedIsDeliveredBeforeTheEnd) {
  open({.rtt_us = 1000});
  ASSERT_EQ(send_text(*far_, "last words"), SendStatus::kSent);
  far_.reset();
  EXPECT_EQ(near_->receive(sink_), ReceiveStatus::kNothing);
  now_ += microseconds(1000);
  EXPECT_EQ(near_->receive(sink_), ReceiveStatus::kDelivered);
  EXPECT_EQ(near_->receive(sink_), ReceiveStatus::kGone);
}

TEST_F(Throttle, AStalledFrameWaitsForItsPlace) {
  open({.rtt_us = 1000});
  const Bytes body(memory_.data(), 100);
  ASSERT_EQ(far_->send({bytes_of("h"), {&body, 1}}), SendStatus::kSent);
  EXPECT_EQ(near_->receive(sink_), ReceiveStatus::kNothing);
  now_ += microseconds(1000);
  sink_.stalled = true;
  EXPECT_EQ(near_->receive(sink_), ReceiveStatus::kStalled);
  EXPECT_TRUE(near_->wait(true, false, Clock::now()).timed_out);
  sink_.stalled = false;
  EXPECT_EQ(near_->receive(sink_), ReceiveStatus::kDelivered);
}

// In real time: a wait ends when the frame is due, with few looks in between.
TEST(ThrottleWait, SleepsUntilAFrameIsDue) {
  auto [plain, far] = make_loopback();
  const auto near = make_throttled(std::move(plain), {.rtt_us = 30'000});
  Collector sink;
  ASSERT_EQ(send_text(*far, "answer"), SendStatus::kSent);
  const auto start = Clock::now();
  int looks = 0;
  while (near->receive(sink) == ReceiveStatus::kNothing) {
    ++looks;
    ASSERT_FALSE(near->wait(true, false, patience()).timed_out);
  }
  EXPECT_GE(Clock::now() - start, microseconds(30'000));
  EXPECT_LE(looks, 3);
  EXPECT_EQ(sink.frames.size(), 1u);
}

TEST(ThrottleWait, SleepsUntilTheLineIsFree) {
  auto [plain, far] = make_loopback();
  const auto near = make_throttled(std::move(plain), {.gbps = 0.08});
  const auto memory = pattern(99'999, 1);
  const Bytes body = memory;
  Collector sink;
  const auto start = Clock::now();
  ASSERT_EQ(near->send({bytes_of("h"), {&body, 1}}), SendStatus::kSent);
  int looks = 0;
  while (near->flush() == SendStatus::kBusy) {
    ++looks;
    ASSERT_FALSE(near->wait(false, true, patience()).timed_out);
  }
  EXPECT_GE(Clock::now() - start, microseconds(10'000));
  EXPECT_LE(looks, 3);
  EXPECT_EQ(far->receive(sink), ReceiveStatus::kDelivered);
}

}  // namespace
}  // namespace farlane::transport::testing
