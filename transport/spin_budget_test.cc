#include "transport/spin_budget.h"

#include <gtest/gtest.h>

namespace farlane::transport {
namespace {

using namespace std::chrono_literals;

TEST(SpinBudget, IsFullAtFirstAndAfterAnyWaitThatItCovers) {
  SpinBudget budget(48);
  EXPECT_EQ(budget.now(), 48us);
  budget.waited(1ms);
  budget.waited(1ms);
  EXPECT_EQ(budget.now(), 12us);
  budget.waited(48us);
  EXPECT_EQ(budget.now(), 48us);
}

TEST(SpinBudget, ShrinksWithLongWaitsButNotToNothing) {
  SpinBudget budget(48);
  for (int i = 0; i < 100; ++i) budget.waited(1s);
  EXPECT_EQ(budget.now(), 3us);
}

TEST(SpinBudget, OfNothingStaysNothing) {
  SpinBudget budget(0);
  budget.waited(0us);
  EXPECT_EQ(budget.now(), 0us);
  budget.waited(1s);
  EXPECT_EQ(budget.now(), 0us);
}

}  // namespace
}  // namespace farlane::transport
