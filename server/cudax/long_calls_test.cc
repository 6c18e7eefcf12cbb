#include "server/cudax/long_calls.h"

#include <gtest/gtest.h>

#include <vector>

namespace farlane::server::cudax {
namespace {

std::vector<std::byte> bytes(size_t count, int value) {
  return std::vector<std::byte>(count, static_cast<std::byte>(value));
}

class LongCallsTest : public testing::Test {
 protected:
  // A piece of so many bytes.
  bool add(uint64_t call, uint64_t total, size_t count, int value = 0) {
    return calls_.add(call, total, bytes(count, value)).empty();
  }
  bool has_arguments(uint64_t call) {
    std::span<const std::byte> all;
    return calls_.arguments(call, &all).empty();
  }
  // Bytes of the next results, -1 where there are none.
  int next(uint64_t call, size_t bytes_max) {
    std::span<const std::byte> some;
    return calls_.next(call, bytes_max, &some).empty() ? static_cast<int>(some.size()) : -1;
  }
  LongCalls calls_{{.bytes = 100, .calls = 3}};
};

TEST_F(LongCallsTest, PiecesOfCallsMayComeMixed) {
  EXPECT_TRUE(add(1, 16, 8, 1));
  EXPECT_TRUE(add(2, 24, 16, 3));
  EXPECT_TRUE(add(1, 16, 8, 2));
  EXPECT_FALSE(has_arguments(2)) << "some are to come";
  std::span<const std::byte> all;
  ASSERT_EQ(calls_.arguments(1, &all), "");
  ASSERT_EQ(all.size(), 16u);
  EXPECT_EQ(all[7], std::byte{1});
  EXPECT_EQ(all[8], std::byte{2});
  EXPECT_EQ(reinterpret_cast<uintptr_t>(all.data()) % 8, 0u);
  calls_.drop(1);
  EXPECT_FALSE(has_arguments(1));
  EXPECT_TRUE(add(2, 24, 8, 4));
  EXPECT_TRUE(has_arguments(2));
  calls_.drop(2);
  calls_.drop(2);
  EXPECT_EQ(calls_.argument_bytes(), 0u);
}

TEST_F(LongCallsTest, WhatNoCallUsesIsLimited) {
  EXPECT_TRUE(add(1, 60, 1));
  EXPECT_FALSE(add(2, 41, 1)) << "what is to come counts";
  EXPECT_FALSE(add(2, ~uint64_t{0}, 1));
  EXPECT_TRUE(add(2, 40, 40));
  EXPECT_EQ(calls_.argument_bytes(), 100u);
  EXPECT_TRUE(add(3, 0, 0));
  EXPECT_FALSE(add(4, 0, 0)) << "one call too many";
  calls_.drop(2);
  EXPECT_TRUE(add(4, 40, 40));
}

TEST_F(LongCallsTest, PiecesAreAsLongAsTheyWereSaidToBe) {
  EXPECT_TRUE(add(1, 16, 8));
  EXPECT_FALSE(add(1, 16, 16));
  EXPECT_FALSE(add(1, 24, 8));
  EXPECT_FALSE(add(2, 4, 8));
}

TEST_F(LongCallsTest, ResultsGoPieceByPieceAndAreGone) {
  EXPECT_EQ(calls_.keep(1, bytes(8, 1), 8), "");
  EXPECT_EQ(next(1, 8), -1) << "all were sent";
  EXPECT_EQ(calls_.keep(1, bytes(40, 1), 8), "");
  EXPECT_EQ(calls_.keep(2, bytes(60, 2), 0), "");
  EXPECT_NE(calls_.keep(3, bytes(1, 3), 0), "") << "too much that nobody fetches";
  EXPECT_EQ(next(1, 20), 20);
  EXPECT_EQ(next(2, 59), 59);
  EXPECT_EQ(next(1, 20), 12);
  EXPECT_EQ(next(1, 20), -1);
  EXPECT_EQ(calls_.result_bytes(), 60u);
  EXPECT_EQ(calls_.keep(1, bytes(2, 1), 1), "");
  EXPECT_NE(calls_.keep(1, bytes(2, 1), 1), "") << "a call has one answer";
  EXPECT_EQ(next(2, 100), 1);
  EXPECT_EQ(next(1, 100), 1);
  EXPECT_EQ(calls_.result_bytes(), 0u);
}

}  // namespace
}  // namespace farlane::server::cudax
