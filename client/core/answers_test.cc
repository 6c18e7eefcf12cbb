#include "client/core/answers.h"

#include <gtest/gtest.h>

namespace farlane::client {
namespace {

std::vector<std::byte> bytes(size_t count) {
  return std::vector<std::byte>(count, std::byte{7});
}

TEST(Answers, FindsWhatWasKept) {
  Answers answers(1 << 20);
  Answers::Answer answer;
  EXPECT_FALSE(answers.find("a", &answer));
  EXPECT_TRUE(answers.keep("a", {0, bytes(3), {}}));
  EXPECT_FALSE(answers.keep("a", {0, bytes(3), {}}));
  answers.keep("b", {5, {}, {}});
  ASSERT_TRUE(answers.find("a", &answer));
  EXPECT_EQ(answer.status, 0);
  EXPECT_EQ(answer.results, bytes(3));
  ASSERT_TRUE(answers.find("b", &answer));
  EXPECT_EQ(answer.status, 5);
  EXPECT_TRUE(answer.results.empty());
}

TEST(Answers, AreReplacedByWhatIsKnownBetter) {
  Answers answers(1 << 20);
  Answers::Answer answer;
  answers.keep("a", {0, bytes(3), {}});
  const size_t before = answers.bytes();
  answers.replace("a", {0, bytes(2), {Written::kYes, Written::kNo}});
  ASSERT_TRUE(answers.find("a", &answer));
  EXPECT_EQ(answer.results, bytes(2));
  EXPECT_EQ(answer.written.size(), 2u);
  EXPECT_EQ(answers.bytes(), before + 1);
  answers.replace("b", {0, bytes(2), {}});
  EXPECT_TRUE(answers.find("b", &answer));
}

TEST(Answers, LargeOnesDoNotAddUpWithoutEnd) {
  constexpr size_t kMax = 1 << 20;
  Answers answers(kMax);
  Answers::Answer answer;
  for (int i = 0; i < 100; ++i) {
    answers.keep("key " + std::to_string(i), {0, bytes(100'000), {}});
    EXPECT_LE(answers.bytes(), kMax);
    EXPECT_TRUE(answers.find("key " + std::to_string(i), &answer));
  }
  EXPECT_FALSE(answers.find("key 0", &answer));
  // One that is too large by itself leaves the others alone.
  answers.keep("huge", {0, bytes(2 * kMax), {}});
  EXPECT_FALSE(answers.find("huge", &answer));
  EXPECT_TRUE(answers.find("key 99", &answer));
}

TEST(Answers, ARepeatedKeyCountsOnce) {
  Answers answers(1 << 20);
  answers.keep("a", {0, bytes(1000), {}});
  const size_t once = answers.bytes();
  answers.keep("a", {0, bytes(1000), {}});
  EXPECT_EQ(answers.bytes(), once);
}

}  // namespace
}  // namespace farlane::client
