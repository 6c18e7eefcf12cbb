#include "transport/spin_budget.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <thread>

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

int64_t preemptions = 0;
int64_t told_preemptions() {
  return preemptions;
}

// A wait that was watched to its end.
void watch(SpinBudget* budget, std::chrono::microseconds wait, bool is_preempted) {
  for (auto elapsed = 0us; elapsed < wait && budget->goes_on(elapsed); elapsed += 50us) {
  }
  if (is_preempted) ++preemptions;
  budget->waited(wait);
}

TEST(SpinBudget, GoesOnForAsLongAsItIs) {
  SpinBudget budget(1000, told_preemptions);
  EXPECT_TRUE(budget.goes_on(0us));
  EXPECT_TRUE(budget.goes_on(999us));
  EXPECT_FALSE(budget.goes_on(1000us));
  budget.waited(1001us);
  EXPECT_FALSE(budget.goes_on(500us));
}

TEST(SpinBudget, LeavesTheProcessorToOthersThatWantIt) {
  SpinBudget budget(1600, told_preemptions);
  watch(&budget, 150us, true);
  EXPECT_EQ(budget.now(), 200us);
  for (int i = 0; i < 100; ++i) watch(&budget, 150us, true);
  EXPECT_EQ(budget.now(), 200us);
  watch(&budget, 300us, false);  // longer than it watches now
  EXPECT_EQ(budget.now(), 400us) << "and does so again when it is alone";
  watch(&budget, 150us, false);
  watch(&budget, 150us, false);
  watch(&budget, 150us, false);
  EXPECT_EQ(budget.now(), 1600us);
}

TEST(SpinBudget, DoesNotAskWhoElseIsThereForShortWaits) {
  static int asked;
  asked = 0;
  SpinBudget budget(1000, [] { return static_cast<int64_t>(++asked); });
  watch(&budget, 50us, false);
  EXPECT_EQ(asked, 0);
  watch(&budget, 500us, false);
  EXPECT_EQ(asked, 2);
}

// On a thread of its own, so that the processor it is bound to is nobody else's affair.
TEST(SpinBudget, CountsWhenTheKernelTakesTheProcessor) {
  int64_t counted = 0;
  std::thread([&] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<unsigned>(::sched_getcpu()), &one);
    ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
    std::atomic<bool> stop = false;
    std::thread other([&] {  // on the same processor
      while (!stop.load(std::memory_order_relaxed)) {
      }
    });
    const int64_t before = thread_preemptions();
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (thread_preemptions() == before && std::chrono::steady_clock::now() < deadline) {
    }
    counted = thread_preemptions() - before;
    stop = true;
    other.join();
  }).join();
  EXPECT_GT(counted, 0);
}

}  // namespace
}  // namespace farlane::transport
