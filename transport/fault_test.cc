#include "transport/fault.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

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

// Any order of calls, from many seeds, over both transports: what arrives is what was taken, in
// order, and an end that was told stays told.
TEST(Fault, AnyInterleavingKeepsTheContract) {
  for (uint64_t seed = test_seed(); seed < test_seed() + 300; ++seed) {
    Pair pair = make_bare_pair(seed % 4 == 0 ? Transport::kTcp : Transport::kLoopback);
    pair.a = make_faulty(std::move(pair.a), bad_weather(seed));
    pair.b = make_faulty(std::move(pair.b), bad_weather(seed + 1));
    std::mt19937_64 random(seed);
    Collector sink;
    size_t taken = 0;
    size_t drained = 0;
    bool send_gone = false;
    bool receive_gone = false;
    const uint64_t close_at = random() % 400;
    const auto told = [&](SendStatus status) {
      EXPECT_TRUE(!send_gone || status == SendStatus::kGone) << "seed " << seed;
      send_gone = status == SendStatus::kGone;
    };
    const auto receive = [&] {
      const ReceiveStatus status = pair.b->receive(sink);
      EXPECT_TRUE(!receive_gone || status == ReceiveStatus::kGone) << "seed " << seed;
      receive_gone = status == ReceiveStatus::kGone;
    };
    const auto memory = pattern(5000, seed);
    for (uint64_t step = 0; step < 500; ++step) {
      if (step == close_at) {
        pair.a->close();
      }
      switch (random() % 4) {
        case 0: {
          const Bytes body = Bytes(memory).first(taken * 37 % memory.size());
          const auto head = bytes_of(std::to_string(taken));
          const SendStatus status = pair.a->send({head, {&body, 1}});
          told(status);
          taken += status == SendStatus::kSent ? 1 : 0;
          break;
        }
        case 1:
          told(pair.a->flush());
          break;
        case 2:
          sink.stalled = random() % 4 == 0;
          receive();
          break;
        case 3:
          receive();
          break;
      }
      // While it is open, drained() means that all that was taken will arrive.
      if (step < close_at && pair.a->drained()) {
        drained = taken;
      }
    }
    sink.stalled = false;
    receive();  // after a stall there is nothing to wait for until this was called
    while (!receive_gone && !::testing::Test::HasFailure()) {
      ASSERT_FALSE(pair.b->wait(true, false, patience()).timed_out) << "seed " << seed;
      receive();
    }
    EXPECT_TRUE(send_gone) << "seed " << seed;
    EXPECT_GE(sink.frames.size(), drained) << "seed " << seed;
    EXPECT_LE(sink.frames.size(), taken) << "seed " << seed;
    for (size_t i = 0; i < sink.frames.size(); ++i) {
      const Bytes body = Bytes(memory).first(i * 37 % memory.size());
      ASSERT_EQ(text_of(sink.frames[i].head), std::to_string(i)) << "seed " << seed;
      ASSERT_TRUE(std::equal(body.begin(), body.end(), sink.frames[i].body.begin(),
                             sink.frames[i].body.end()))
          << "seed " << seed;
    }
  }
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
