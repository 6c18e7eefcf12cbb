// What every transport must do, with and without decorators, while the connection lives. The other
// parts of the suite are conformance_end_test.cc and conformance_stream_test.cc.
#include <gtest/gtest.h>

#include <array>
#include <thread>

#include "transport/test_support.h"

namespace farlane::transport::testing {
namespace {

class Conformance : public ::testing::TestWithParam<Variant> {
 protected:
  Conformance() { RecordProperty("seed", std::to_string(test_seed())); }
  Pair pair_ = make_pair(GetParam());
  Channel& a_ = *pair_.a;
  Channel& b_ = *pair_.b;
  Collector sink_;
};

INSTANTIATE_TEST_SUITE_P(Channels, Conformance, ::testing::ValuesIn(all_variants()),
                         [](const auto& variant) { return name_of(variant.param); });

TEST_P(Conformance, FramesArriveWholeAndInOrder) {
  constexpr size_t kFrames = 300;
  for (size_t i = 0; i < kFrames; ++i) {
    // Sizes around the alignment, the read-ahead and beyond it; every third frame without a body.
    const auto head = pattern(1 + i * 37 % 5000, i);
    const auto body_bytes = pattern(i % 3 == 0 ? 0 : i * 977 % 200'000, i + kFrames);
    const Bytes body = body_bytes;
    ASSERT_EQ(send_frame(a_, head, {&body, 1}), SendStatus::kSent) << i;
    ASSERT_EQ(pump(a_, b_, sink_), ReceiveStatus::kDelivered) << i;
    ASSERT_EQ(drain(a_), SendStatus::kSent);
    ASSERT_EQ(sink_.frames.size(), i + 1);
    ASSERT_EQ(sink_.frames.back().head, head) << i;
    ASSERT_EQ(sink_.frames.back().body, body_bytes) << i;
  }
  EXPECT_EQ(a_.close_reason(), "");
  EXPECT_EQ(b_.close_reason(), "");
}

TEST_P(Conformance, BothDirectionsAreIndependent) {
  ASSERT_EQ(send_text(a_, "from a"), SendStatus::kSent);
  ASSERT_EQ(send_text(b_, "from b"), SendStatus::kSent);
  Collector at_a;
  ASSERT_EQ(pump(b_, a_, at_a), ReceiveStatus::kDelivered);
  ASSERT_EQ(pump(a_, b_, sink_), ReceiveStatus::kDelivered);
  EXPECT_EQ(text_of(at_a.frames.at(0).head), "from b");
  EXPECT_EQ(text_of(sink_.frames.at(0).head), "from a");
}

TEST_P(Conformance, NothingArrivesWhereNothingWasSent) {
  EXPECT_EQ(b_.receive(sink_), ReceiveStatus::kNothing);
  EXPECT_TRUE(a_.drained());
  EXPECT_EQ(a_.flush(), SendStatus::kSent);
}

TEST_P(Conformance, APeerThatSaysNothingAndAnswersIsStopped) {
  using std::chrono::hours;
  using std::chrono::milliseconds;
  ASSERT_EQ(send_text(a_, "the last word"), SendStatus::kSent);
  ASSERT_EQ(pump(a_, b_, sink_), ReceiveStatus::kDelivered);
  if (GetParam().transport == Transport::kLoopback) {
    EXPECT_FALSE(b_.peer_is_stopped(milliseconds(0)));  // it cannot tell
    return;
  }
  while (!b_.peer_is_stopped(milliseconds(20)) && Clock::now() < patience()) {
    std::this_thread::yield();
  }
  EXPECT_TRUE(b_.peer_is_stopped(milliseconds(20)));
  if (GetParam().transport == Transport::kTcp) {
    EXPECT_FALSE(b_.peer_is_stopped(hours(1)));
  }
  // What lies here unread keeps it from saying more.
  const auto unread = pattern(256 * 1024, 3);
  const Bytes body = unread;
  static_cast<void>(send_frame(a_, bytes_of("more"), {&body, 1}));
  while (b_.peer_is_stopped(milliseconds(0)) && Clock::now() < patience()) {
    static_cast<void>(a_.flush());
  }
  EXPECT_FALSE(b_.peer_is_stopped(milliseconds(0)));
}

TEST_P(Conformance, APeerThatIsGoneIsNotStopped) {
  a_.close();
  ASSERT_EQ(receive_frame(b_, sink_), ReceiveStatus::kGone);
  EXPECT_FALSE(b_.peer_is_stopped(std::chrono::milliseconds(0)));
}

TEST_P(Conformance, BusyTakesNothing) {
  const auto memory = pattern(1024 * 1024, 7);
  const size_t taken = send_until_stuck(a_, memory);
  ASSERT_GT(taken, 0u);
  EXPECT_FALSE(a_.drained());
  // Nothing of this one may arrive.
  const auto refused = bytes_of("refused");
  EXPECT_EQ(a_.send({refused, {}}), SendStatus::kBusy);
  for (size_t i = 0; i < taken; ++i) {
    ASSERT_EQ(pump(a_, b_, sink_), ReceiveStatus::kDelivered) << i << " of " << taken;
    ASSERT_EQ(text_of(sink_.frames.back().head), std::to_string(i));
    ASSERT_EQ(sink_.frames.back().body, memory) << i;
    sink_.frames.back().body = {};
  }
  ASSERT_EQ(drain(a_), SendStatus::kSent);
  ASSERT_EQ(send_text(a_, "after"), SendStatus::kSent);
  ASSERT_EQ(pump(a_, b_, sink_), ReceiveStatus::kDelivered);
  EXPECT_EQ(text_of(sink_.frames.back().head), "after");
}

TEST_P(Conformance, HeadMayBeReusedAtOnce) {
  const auto memory = pattern(1024 * 1024, 8);
  const Bytes body = memory;
  std::array<std::byte, 9> head{};
  size_t taken = 0;
  // Far enough that the last ones wait in the sender's hands.
  for (; taken < 100; ++taken) {
    head.fill(static_cast<std::byte>(taken));
    SendStatus status = a_.send({head, {&body, 1}});
    while (status == SendStatus::kBusy && a_.wait(false, true, Deadline{}).writable) {
      status = a_.send({head, {&body, 1}});
    }
    head.fill(std::byte{0xff});
    if (status == SendStatus::kBusy) {
      break;
    }
    ASSERT_EQ(status, SendStatus::kSent);
  }
  for (size_t i = 0; i < taken; ++i) {
    ASSERT_EQ(pump(a_, b_, sink_), ReceiveStatus::kDelivered);
    ASSERT_EQ(sink_.frames.back().head, std::vector<std::byte>(9, static_cast<std::byte>(i)));
    sink_.frames.back().body = {};
  }
}

TEST_P(Conformance, BodyPartsAreJoinedInTheSinksMemory) {
  std::vector<std::vector<std::byte>> parts;
  std::vector<Bytes> body;
  std::vector<std::byte> joined;
  for (size_t i = 0; i < kBodyPartsMax; ++i) {
    parts.push_back(pattern(i % 5 == 3 ? 0 : 1 + i * i * 1009, i));  // empty parts among them
    joined.insert(joined.end(), parts.back().begin(), parts.back().end());
  }
  body.assign(parts.begin(), parts.end());
  ASSERT_EQ(send_frame(a_, bytes_of("head"), body), SendStatus::kSent);
  ASSERT_EQ(pump(a_, b_, sink_), ReceiveStatus::kDelivered);
  EXPECT_EQ(sink_.frames.at(0).body, joined);
}

TEST_P(Conformance, StalledSinkIsAskedAgainAndLosesNothing) {
  const auto memory = pattern(100'000, 9);
  const Bytes body = memory;
  sink_.stalled = true;
  ASSERT_EQ(send_frame(a_, bytes_of("first"), {&body, 1}), SendStatus::kSent);
  for (int i = 1; i <= 3; ++i) {
    ASSERT_EQ(pump(a_, b_, sink_), ReceiveStatus::kStalled);
    EXPECT_EQ(sink_.places_refused, i);
  }
  ASSERT_EQ(drain(a_), SendStatus::kSent);
  ASSERT_EQ(send_text(a_, "second"), SendStatus::kSent);
  ASSERT_EQ(drain(a_), SendStatus::kSent);
  ASSERT_EQ(pump(a_, b_, sink_), ReceiveStatus::kStalled);
  EXPECT_TRUE(sink_.frames.empty());
  sink_.stalled = false;
  ASSERT_EQ(pump(a_, b_, sink_), ReceiveStatus::kDelivered);
  ASSERT_EQ(pump(a_, b_, sink_), ReceiveStatus::kDelivered);
  EXPECT_EQ(text_of(sink_.frames.at(0).head), "first");
  EXPECT_EQ(sink_.frames.at(0).body, memory);
  EXPECT_EQ(text_of(sink_.frames.at(1).head), "second");
}

TEST_P(Conformance, StalledReaderWaitsForItsSinkAndNotForBytes) {
  const auto memory = pattern(100'000, 9);
  const Bytes body = memory;
  sink_.stalled = true;
  ASSERT_EQ(send_frame(a_, bytes_of("first"), {&body, 1}), SendStatus::kSent);
  ASSERT_EQ(pump(a_, b_, sink_), ReceiveStatus::kStalled);
  EXPECT_TRUE(b_.wait(true, false, Deadline{}).timed_out);
  std::thread owner_of_memory([&] { b_.wake(); });
  EXPECT_TRUE(b_.wait(true, false, patience()).woken);
  owner_of_memory.join();
  sink_.stalled = false;
  EXPECT_EQ(pump(a_, b_, sink_), ReceiveStatus::kDelivered);
}

TEST_P(Conformance, SmallestAndLargestFrames) {
  for (const size_t head_bytes : {size_t{1}, size_t{kHeadBytesMax}}) {
    for (const size_t body_bytes : {size_t{0}, size_t{1}, size_t{kBodyBytesMax}}) {
      const auto head = pattern(head_bytes, head_bytes);
      const auto memory = pattern(body_bytes, body_bytes);
      const Bytes body = memory;
      ASSERT_EQ(send_frame(a_, head, {&body, 1}), SendStatus::kSent);
      ASSERT_EQ(pump(a_, b_, sink_), ReceiveStatus::kDelivered);
      EXPECT_EQ(sink_.frames.back().head, head);
      EXPECT_EQ(sink_.frames.back().body, memory);
      ASSERT_EQ(drain(a_), SendStatus::kSent);
    }
  }
}

TEST_P(Conformance, OversizedFramesAreOurOwnFault) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const std::vector<std::byte> head(kHeadBytesMax + 1);
  const std::vector<std::byte> memory(kBodyBytesMax + 1);
  const Bytes body = memory;
  const Frame no_head{{}, {}};
  const Frame large_head{head, {}};
  const Frame large_body{Bytes(head).first(1), {&body, 1}};
  for (const Frame* frame : {&no_head, &large_head, &large_body}) {
    EXPECT_DEATH(
        {
          while (a_.send(*frame) == SendStatus::kBusy) {
          }
        },
        "fault of our own in transport");
  }
}

TEST_P(Conformance, WakeIsRememberedAndConsumed) {
  a_.wake();
  a_.wake();
  EXPECT_TRUE(a_.wait(true, false, patience()).woken);
  const Ready second = a_.wait(true, false, Deadline{});
  EXPECT_FALSE(second.woken);
  EXPECT_TRUE(second.timed_out);
}

TEST_P(Conformance, WakeReachesAWaitingThread) {
  for (int i = 0; i < 200; ++i) {
    std::thread waker([&] { a_.wake(); });
    // Asking for nothing else: only the wake can end it.
    const Ready ready = a_.wait(i % 2 == 0, false, patience());
    waker.join();
    ASSERT_TRUE(ready.woken);
    ASSERT_FALSE(ready.timed_out);
  }
}

TEST_P(Conformance, WaitKeepsItsDeadline) {
  const Deadline deadline = Clock::now() + std::chrono::milliseconds(30);
  const Ready ready = a_.wait(true, false, deadline);
  EXPECT_TRUE(ready.timed_out);
  EXPECT_FALSE(ready.readable || ready.woken);
  EXPECT_GE(Clock::now(), deadline);
  EXPECT_TRUE(a_.wait(true, false, Deadline::min()).timed_out);
}

TEST_P(Conformance, WaitSeesWhatCanBeDone) {
  EXPECT_TRUE(a_.wait(true, true, patience()).writable);
  ASSERT_EQ(send_text(a_, "x"), SendStatus::kSent);
  ASSERT_EQ(drain(a_), SendStatus::kSent);
  EXPECT_TRUE(b_.wait(true, false, Deadline::max()).readable);
}

// The transport may have read several frames at once: the socket is empty then, the channel not.
TEST_P(Conformance, WaitSeesFramesThatWereReadAhead) {
  for (const char* text : {"1", "2", "3", "4"}) {
    ASSERT_EQ(send_text(a_, text), SendStatus::kSent);
  }
  ASSERT_EQ(drain(a_), SendStatus::kSent);
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(b_.wait(true, false, patience()).readable);
    ASSERT_EQ(receive_frame(b_, sink_), ReceiveStatus::kDelivered);
  }
  EXPECT_EQ(text_of(sink_.frames.at(3).head), "4");
}

TEST_P(Conformance, SinkMayAnswerFromWithin) {
  class Answering final : public Collector {
   public:
    explicit Answering(Channel* channel) : channel_(channel) {}
    void deliver(Bytes head, MutableBytes body) override {
      Collector::deliver(head, body);
      EXPECT_EQ(send_frame(*channel_, head), SendStatus::kSent);
    }

   private:
    Channel* const channel_;
  };
  Answering answering(&b_);
  ASSERT_EQ(send_text(a_, "question"), SendStatus::kSent);
  ASSERT_EQ(pump(a_, b_, answering), ReceiveStatus::kDelivered);
  ASSERT_EQ(pump(b_, a_, sink_), ReceiveStatus::kDelivered);
  EXPECT_EQ(text_of(sink_.frames.at(0).head), "question");
}

TEST_P(Conformance, PeerHasAName) {
  EXPECT_NE(a_.peer_name(), "");
}

}  // namespace
}  // namespace farlane::transport::testing
