#include "transport/fault.h"

#include <gtest/gtest.h>

#include "transport/loopback.h"
#include "transport/test_support.h"

namespace farlane::transport::testing {
namespace {

FaultPlan bad_weather(uint64_t seed) {
  FaultPlan plan;
  plan.seed = seed;
  plan.busy_per_mille = 200;
  plan.hold_per_mille = 200;
  plan.late_per_mille = 200;
  plan.short_per_mille = 200;
  return plan;
}

// Everything that the calls returned, one letter each.
std::string run(uint64_t seed) {
  auto [plain_a, plain_b] = make_loopback();
  const auto a = make_faulty(std::move(plain_a), bad_weather(seed));
  const auto b = make_faulty(std::move(plain_b), bad_weather(seed + 1));
  const auto memory = pattern(100, 1);
  const Bytes body = memory;
  Collector sink;
  std::string log;
  for (int i = 0; i < 300; ++i) {
    log += static_cast<char>('a' + static_cast<int>(a->send({bytes_of("head"), {&body, 1}})));
    log += static_cast<char>('A' + static_cast<int>(b->receive(sink)));
  }
  return log;
}

TEST(Fault, FollowsFromItsSeed) {
  const std::string first = run(1);
  EXPECT_EQ(run(1), first);
  EXPECT_NE(run(2), first);
  for (const char seen : {'a', 'b', 'A', 'B'}) {
    EXPECT_NE(first.find(seen), std::string::npos) << seen;
  }
}

TEST(Fault, HeldFrameIsUndrainedUntilItLeft) {
  auto [plain_a, b] = make_loopback();
  FaultPlan plan;
  plan.hold_per_mille = 1000;
  plan.delay_calls_max = 5;
  const auto a = make_faulty(std::move(plain_a), plan);
  auto memory = pattern(100, 1);
  const Bytes body = memory;
  Collector sink;
  ASSERT_EQ(a->send({bytes_of("head"), {&body, 1}}), SendStatus::kSent);
  EXPECT_FALSE(a->drained());
  EXPECT_EQ(b->receive(sink), ReceiveStatus::kNothing);
  int flushes = 0;
  while (a->flush() == SendStatus::kBusy) {
    EXPECT_TRUE(a->wait(false, true, patience()).writable) << "it may be tried again at once";
    ++flushes;
  }
  EXPECT_GE(flushes, 1);
  EXPECT_LE(flushes, 5);
  EXPECT_TRUE(a->drained());
  EXPECT_EQ(b->receive(sink), ReceiveStatus::kDelivered);
  EXPECT_EQ(sink.frames.at(0).body, memory);
}

struct CutCase {
  const char* name;
  bool at_receiver;
  uint64_t FaultPlan::*limit;
  uint64_t value;
  size_t frames_through;
};

class FaultCut : public ::testing::TestWithParam<CutCase> {};

// Frames have a head of 4 and a body of 100 bytes.
INSTANTIATE_TEST_SUITE_P(
    Limits, FaultCut,
    ::testing::Values(CutCase{"SentFrames", false, &FaultPlan::cut_after_sent_frames, 3, 3},
                      CutCase{"NoFrame", false, &FaultPlan::cut_after_sent_frames, 0, 0},
                      CutCase{"SentBytes", false, &FaultPlan::cut_after_sent_bytes, 208, 2},
                      CutCase{"SentBytesBetween", false, &FaultPlan::cut_after_sent_bytes, 207, 1},
                      CutCase{"ReceivedFrames", true, &FaultPlan::cut_after_received_frames, 3, 3},
                      CutCase{"ReceivedBytes", true, &FaultPlan::cut_after_received_bytes, 300, 2}),
    [](const auto& cut) { return std::string(cut.param.name); });

TEST_P(FaultCut, PassesWhatIsWithinAndThenCloses) {
  auto [a, b] = make_loopback();
  FaultPlan plan;
  plan.*GetParam().limit = GetParam().value;
  auto& decorated = GetParam().at_receiver ? b : a;
  decorated = make_faulty(std::move(decorated), plan);
  const auto memory = pattern(100, 1);
  const Bytes body = memory;
  for (int i = 0; i < 10; ++i) {
    static_cast<void>(a->send({bytes_of("head"), {&body, 1}}));
  }
  Collector sink;
  EXPECT_EQ(receive_to_the_end(*b, sink), GetParam().frames_through);
  EXPECT_EQ(a->send({bytes_of("head"), {}}), SendStatus::kGone);
  EXPECT_EQ(decorated->close_reason().find("fault: cut after "), 0u) << decorated->close_reason();
}

TEST(Fault, FrozenReceiverHearsNothingMore) {
  auto [a, plain_b] = make_loopback();
  FaultPlan plan;
  plan.freeze_after_received_frames = 1;
  const auto b = make_faulty(std::move(plain_b), plan);
  Collector sink;
  ASSERT_EQ(send_text(*a, "1"), SendStatus::kSent);
  ASSERT_EQ(send_text(*a, "2"), SendStatus::kSent);
  ASSERT_EQ(b->receive(sink), ReceiveStatus::kDelivered);
  ASSERT_EQ(b->receive(sink), ReceiveStatus::kNothing);
  EXPECT_TRUE(b->wait(true, false, Deadline{}).timed_out) << "a hung peer shows no readiness";
  b->wake();
  EXPECT_TRUE(b->wait(true, false, patience()).woken);
  b->close();
  EXPECT_EQ(b->receive(sink), ReceiveStatus::kGone);
}

TEST(Fault, FrozenSenderNeverDrains) {
  auto [plain_a, b] = make_loopback();
  FaultPlan plan;
  plan.freeze_after_sent_frames = 1;
  const auto a = make_faulty(std::move(plain_a), plan);
  Collector sink;
  ASSERT_EQ(a->send({bytes_of("1"), {}}), SendStatus::kSent);
  ASSERT_EQ(a->send({bytes_of("2"), {}}), SendStatus::kSent);
  EXPECT_EQ(a->flush(), SendStatus::kBusy);
  EXPECT_FALSE(a->drained());
  EXPECT_TRUE(a->wait(false, true, Deadline{}).timed_out);
  ASSERT_EQ(b->receive(sink), ReceiveStatus::kDelivered);
  EXPECT_EQ(b->receive(sink), ReceiveStatus::kNothing);
  a->close();
  EXPECT_EQ(a->flush(), SendStatus::kGone);
  EXPECT_TRUE(a->drained());
}

}  // namespace
}  // namespace farlane::transport::testing
