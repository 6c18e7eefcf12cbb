#include "client/core/few.h"

#include <gtest/gtest.h>

#include <utility>

namespace farlane::client {
namespace {

TEST(Few, ItemsStayInTheirOrderWhenTheyBecomeMany) {
  Few<int, 3> list;
  EXPECT_TRUE(list.empty());
  std::vector<int> same;
  for (int i = 0; i < 10; ++i) {
    list.push_back(i);
    same.push_back(i);
    EXPECT_EQ(list.size(), same.size());
    EXPECT_EQ(std::vector<int>(list.begin(), list.end()), same);
  }
}

TEST(Few, WhatIsAppendedMayBeMoreThanFew) {
  const std::vector<int> five = {1, 2, 3, 4, 5};
  Few<int, 3> at_once;
  at_once.append(five);
  EXPECT_EQ(std::vector<int>(at_once.begin(), at_once.end()), five);
  Few<int, 3> in_two;
  in_two.append(std::span(five).first(3));
  in_two.append({});
  in_two.append(std::span(five).last(2));
  EXPECT_EQ(std::vector<int>(in_two.begin(), in_two.end()), five);
}

TEST(Few, AddsOnlyWhatIsNew) {
  Few<int, 2> list;
  for (const int item : {7, 8, 7, 9, 8, 9}) list.add(item);
  EXPECT_EQ(std::vector<int>(list.begin(), list.end()), (std::vector<int>{7, 8, 9}));
}

// As the calls of a group do, at its end.
TEST(Few, MovesAndStartsAnew) {
  for (const int count : {2, 5}) {
    Few<int, 3> list;
    for (int i = 0; i < count; ++i) list.push_back(i);
    const Few<int, 3> taken = std::exchange(list, {});
    EXPECT_EQ(taken.size(), static_cast<size_t>(count));
    EXPECT_EQ(*(taken.end() - 1), count - 1);
    EXPECT_TRUE(list.empty());
    list.push_back(42);
    EXPECT_EQ(*list.begin(), 42);
  }
}

}  // namespace
}  // namespace farlane::client
