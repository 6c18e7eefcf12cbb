#include "client/core/long_calls.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace farlane::client {
namespace {

constexpr LongCalls::Limits kLimits = {.bytes = 100, .calls = 2};

bool never(uint64_t*) {
  ADD_FAILURE() << "asked although nothing was posted";
  return false;
}

TEST(LongCalls, ThereIsRoomAgainWhenOneIsOver) {
  LongCalls calls(kLimits);
  LongCalls::Call first, second;
  ASSERT_TRUE(calls.begin(60, 10, never, &first));
  std::atomic<bool> is_over = false;
  std::thread waits([&] {
    EXPECT_TRUE(calls.begin(60, 10, never, &second));
    EXPECT_TRUE(is_over) << "more than the limit at once";
  });
  is_over = true;
  calls.over(first);
  waits.join();
  EXPECT_NE(first.number, second.number);
}

TEST(LongCalls, ResultsAndTheNumberOfCallsAreLimitedToo) {
  LongCalls calls(kLimits);
  LongCalls::Call call;
  int asked = 0;
  const auto lost = [&](uint64_t*) {
    ++asked;
    return false;
  };
  ASSERT_TRUE(calls.begin(1, 60, lost, &call));
  calls.posted(call, 7);
  EXPECT_FALSE(calls.begin(1, 60, lost, &call));
  EXPECT_EQ(asked, 1);
  ASSERT_TRUE(calls.begin(1, 1, lost, &call));
  EXPECT_FALSE(calls.begin(1, 1, lost, &call));
  EXPECT_EQ(asked, 2);
}

// Until it was executed the server may have the arguments.
TEST(LongCalls, APostedOneIsAskedAbout) {
  LongCalls calls(kLimits);
  LongCalls::Call call;
  uint64_t known = 4;
  const auto ask = [&](uint64_t* executed) {
    *executed = ++known;
    return true;
  };
  ASSERT_TRUE(calls.begin(60, 0, ask, &call));
  calls.posted(call, 7);
  EXPECT_EQ(known, 4u) << "nobody needs to know yet";
  ASSERT_TRUE(calls.begin(60, 0, ask, &call));
  EXPECT_EQ(known, 7u);
}

}  // namespace
}  // namespace farlane::client
