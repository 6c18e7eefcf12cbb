#include "client/core/work_marks.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace farlane::client {
namespace {

TEST(WorkMarks, NothingPostedIsIdle) {
  const WorkMarks marks;
  EXPECT_TRUE(marks.is_idle());
  EXPECT_TRUE(marks.is_legacy_idle());
}

TEST(WorkMarks, AQuestionCoversWhatWasPostedBeforeIt) {
  WorkMarks marks;
  marks.touch();
  EXPECT_FALSE(marks.is_idle());
  const uint64_t first = marks.begin_question();
  marks.touch();
  const uint64_t second = marks.begin_question();
  marks.finished(first);
  EXPECT_FALSE(marks.is_idle()) << "posted after the first question";
  marks.finished(second);
  EXPECT_TRUE(marks.is_idle());
  marks.finished(first);
  EXPECT_TRUE(marks.is_idle()) << "an answer that comes late takes nothing back";
  marks.touch();
  EXPECT_FALSE(marks.is_idle());
}

TEST(WorkMarks, TheLegacyStreamsQuestionSaysNothingAboutTheOthers) {
  WorkMarks marks;
  marks.touch();
  marks.legacy_finished(marks.begin_question());
  EXPECT_TRUE(marks.is_legacy_idle());
  EXPECT_FALSE(marks.is_idle());
  marks.finished(marks.begin_question());
  EXPECT_TRUE(marks.is_idle());
  marks.touch();
  EXPECT_FALSE(marks.is_legacy_idle());
  marks.finished(marks.begin_question());
  EXPECT_TRUE(marks.is_legacy_idle()) << "everything has finished, so that has too";
}

// A log of two threads: when one of them has posted behind the last question, the device is busy.
TEST(WorkMarks, WorkBehindAQuestionIsNeverTakenForFinished) {
  for (int round = 0; round < 200; ++round) {
    WorkMarks marks;
    std::atomic<int> log = 0;  // the number of the last command
    std::atomic<int> ready = 0;
    int posted = 0;
    std::thread poster([&] {
      ++ready;
      while (ready != 2) {
        std::this_thread::yield();
      }
      posted = log.fetch_add(1, std::memory_order_acq_rel) + 1;
      marks.touch();
    });
    ++ready;
    while (ready != 2) {
      std::this_thread::yield();
    }
    const uint64_t mark = marks.begin_question();
    const int asked = log.fetch_add(1, std::memory_order_acq_rel) + 1;
    marks.finished(mark);
    poster.join();
    // Covered and still counted as busy would only cost a question.
    if (posted > asked) {
      EXPECT_FALSE(marks.is_idle()) << "round " << round;
    }
  }
}

}  // namespace
}  // namespace farlane::client
