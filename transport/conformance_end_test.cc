// How connections end: every transport, with and without decorators.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "transport/test_support.h"

namespace farlane::transport::testing {
namespace {

class ConformanceEnd : public ::testing::TestWithParam<Variant> {
 protected:
  ConformanceEnd() { RecordProperty("seed", std::to_string(test_seed())); }
  void expect_gone_for_good(Channel& channel) {
    const size_t frames = sink_.frames.size();
    for (int i = 0; i < 50; ++i) {
      ASSERT_EQ(channel.receive(sink_), ReceiveStatus::kGone);
      ASSERT_EQ(channel.send({bytes_of("x"), {}}), SendStatus::kGone);
      ASSERT_EQ(channel.flush(), SendStatus::kGone);
      ASSERT_TRUE(channel.drained());
      const Ready ready = channel.wait(true, true, patience());
      ASSERT_TRUE(ready.readable);
      ASSERT_TRUE(ready.writable);
      ASSERT_FALSE(ready.timed_out);
    }
    EXPECT_EQ(sink_.frames.size(), frames);
    EXPECT_NE(channel.close_reason(), "");
  }

  Pair pair_ = make_pair(GetParam());
  std::unique_ptr<Channel>& a_ = pair_.a;
  std::unique_ptr<Channel>& b_ = pair_.b;
  Collector sink_;
};

INSTANTIATE_TEST_SUITE_P(Channels, ConformanceEnd, ::testing::ValuesIn(all_variants()),
                         [](const auto& variant) { return name_of(variant.param); });

TEST_P(ConformanceEnd, FramesInFlightAreDeliveredBeforeGone) {
  for (int i = 0; i < 20; ++i) {
    const auto memory = pattern(i * 100, i);
    const Bytes body = memory;
    ASSERT_EQ(send_frame(*a_, bytes_of(std::to_string(i)), {&body, 1}), SendStatus::kSent);
    ASSERT_EQ(drain(*a_), SendStatus::kSent);
  }
  a_->close();
  EXPECT_EQ(receive_to_the_end(*b_, sink_), 20u);
  EXPECT_EQ(text_of(sink_.frames.back().head), "19");
  expect_gone_for_good(*b_);
  expect_gone_for_good(*a_);
}

TEST_P(ConformanceEnd, TheOtherSideMayEndItToo) {
  ASSERT_EQ(send_text(*b_, "last words"), SendStatus::kSent);
  ASSERT_EQ(drain(*b_), SendStatus::kSent);
  b_.reset();
  EXPECT_EQ(receive_to_the_end(*a_, sink_), 1u);
  expect_gone_for_good(*a_);
}

// The peer leaves without reading what we sent: its own frames still count.
TEST_P(ConformanceEnd, PeerLeavesWithUnreadFrames) {
  ASSERT_EQ(send_text(*b_, "unread"), SendStatus::kSent);
  ASSERT_EQ(drain(*b_), SendStatus::kSent);
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(send_text(*a_, std::to_string(i)), SendStatus::kSent);
  }
  ASSERT_EQ(drain(*a_), SendStatus::kSent);
  a_.reset();
  EXPECT_EQ(receive_to_the_end(*b_, sink_), 5u);
  expect_gone_for_good(*b_);
}

// Sending to a peer that left fails sooner or later; receiving is not cut short by it.
TEST_P(ConformanceEnd, SendingToAPeerThatLeft) {
  ASSERT_EQ(send_text(*a_, "before"), SendStatus::kSent);
  ASSERT_EQ(drain(*a_), SendStatus::kSent);
  a_.reset();
  const Deadline deadline = patience();
  SendStatus status = SendStatus::kSent;
  while (status != SendStatus::kGone && Clock::now() < deadline) {
    status = send_text(*b_, "to nobody");
  }
  ASSERT_EQ(status, SendStatus::kGone);
  EXPECT_TRUE(b_->drained());
  EXPECT_EQ(receive_to_the_end(*b_, sink_), 1u);
  expect_gone_for_good(*b_);
}

TEST_P(ConformanceEnd, FrameCutInTheMiddleIsNotDelivered) {
  const auto memory = pattern(1024 * 1024, 3);
  const size_t taken = send_until_stuck(*a_, memory);
  ASSERT_GT(taken, 1u);
  ASSERT_FALSE(a_->drained());
  a_.reset();
  EXPECT_EQ(receive_to_the_end(*b_, sink_), taken - 1);
  for (size_t i = 0; i < sink_.frames.size(); ++i) {
    ASSERT_EQ(text_of(sink_.frames[i].head), std::to_string(i));
    ASSERT_EQ(sink_.frames[i].body, memory) << i;
  }
  expect_gone_for_good(*b_);
}

// A sender that waits for room must learn that there will be none.
TEST_P(ConformanceEnd, PeerClosesWhileWeAreStuck) {
  const auto memory = pattern(1024 * 1024, 3);
  ASSERT_GT(send_until_stuck(*a_, memory), 0u);
  b_->close();
  // A kernel may still take some before it says so.
  const Bytes body = memory;
  SendStatus status = SendStatus::kSent;
  for (int i = 0; i < 100 && status == SendStatus::kSent; ++i) {
    status = send_frame(*a_, bytes_of("more"), {&body, 1});
  }
  EXPECT_EQ(status, SendStatus::kGone);
  EXPECT_TRUE(a_->drained());
}

TEST_P(ConformanceEnd, NothingIsDeliveredAfterOurOwnClose) {
  for (int i = 0; i < 4; ++i) {
    ASSERT_EQ(send_text(*a_, std::to_string(i)), SendStatus::kSent);
  }
  ASSERT_EQ(drain(*a_), SendStatus::kSent);
  ASSERT_EQ(receive_frame(*b_, sink_), ReceiveStatus::kDelivered);  // the others may be read ahead
  b_->close();
  EXPECT_EQ(receive_to_the_end(*b_, sink_), 0u);
  expect_gone_for_good(*b_);
}

TEST_P(ConformanceEnd, CloseWithAStalledFrameInHand) {
  const auto memory = pattern(300'000, 5);
  const Bytes body = memory;
  sink_.stalled = true;
  ASSERT_EQ(send_frame(*a_, bytes_of("h"), {&body, 1}), SendStatus::kSent);
  ASSERT_EQ(pump(*a_, *b_, sink_), ReceiveStatus::kStalled);
  b_->close();
  sink_.stalled = false;
  expect_gone_for_good(*b_);
}

TEST_P(ConformanceEnd, CloseEndsAWaitOnAnotherThread) {
  for (const bool for_read : {true, false}) {
    Pair pair = make_pair(GetParam());
    std::thread closer([&] { pair.a->close(); });
    while (!pair.a->wait(for_read, false, patience()).timed_out &&
           pair.a->receive(sink_) != ReceiveStatus::kGone) {
    }
    closer.join();
    EXPECT_EQ(pair.a->receive(sink_), ReceiveStatus::kGone);
  }
}

TEST_P(ConformanceEnd, CloseEndsAWaitForRoomOnAnotherThread) {
  const auto memory = pattern(1024 * 1024, 3);
  ASSERT_GT(send_until_stuck(*a_, memory), 0u);
  std::thread closer([&] { a_->close(); });
  EXPECT_EQ(drain(*a_), SendStatus::kGone);
  closer.join();
}

TEST_P(ConformanceEnd, PeersCloseEndsAWait) {
  std::thread closer([&] { b_->close(); });
  EXPECT_EQ(receive_frame(*a_, sink_), ReceiveStatus::kGone);
  closer.join();
  expect_gone_for_good(*a_);
}

TEST_P(ConformanceEnd, CloseFromManyThreadsAtOnce) {
  std::vector<std::thread> closers;
  for (int i = 0; i < 4; ++i) {
    closers.emplace_back([&, i] { (i % 2 == 0 ? a_ : b_)->close(); });
  }
  for (std::thread& closer : closers) {
    closer.join();
  }
  expect_gone_for_good(*a_);
  expect_gone_for_good(*b_);
}

// A sender and a receiver at full speed, and a third thread that ends it under them.
TEST_P(ConformanceEnd, CloseUnderSendingAndReceivingThreads) {
  for (Channel* closed : {a_.get(), b_.get()}) {
    Pair pair = make_pair(GetParam());
    closed = closed == a_.get() ? pair.a.get() : pair.b.get();
    std::atomic<size_t> received{0};
    std::atomic<SendStatus> send_end{SendStatus::kSent};
    const auto memory = pattern(10'000, 4);
    std::thread sender([&] {
      const Bytes body = memory;
      SendStatus status = SendStatus::kSent;
      for (size_t i = 0; status == SendStatus::kSent; ++i) {
        status = send_frame(*pair.a, bytes_of(std::to_string(i)), {&body, 1});
      }
      send_end = status;
    });
    std::thread receiver([&] {
      Collector sink;
      while (receive_frame(*pair.b, sink) == ReceiveStatus::kDelivered) {
        EXPECT_EQ(text_of(sink.frames.back().head), std::to_string(received));
        EXPECT_EQ(sink.frames.back().body, memory);
        sink.frames.clear();
        ++received;
        received.notify_all();
      }
    });
    for (size_t seen = 0; seen < 100; seen = received) {
      received.wait(seen);
    }
    closed->close();
    sender.join();
    receiver.join();
    EXPECT_EQ(send_end, SendStatus::kGone);
    EXPECT_EQ(pair.b->receive(sink_), ReceiveStatus::kGone);
  }
}

TEST_P(ConformanceEnd, TheFirstReasonStays) {
  EXPECT_EQ(a_->close_reason(), "");
  a_->close();
  const std::string reason = a_->close_reason();
  EXPECT_EQ(reason, "closed on this side");
  EXPECT_EQ(receive_frame(*b_, sink_), ReceiveStatus::kGone);
  EXPECT_EQ(b_->close_reason(), "peer closed the connection");
  b_.reset();
  a_->close();
  EXPECT_EQ(a_->close_reason(), reason);
}

}  // namespace
}  // namespace farlane::transport::testing
