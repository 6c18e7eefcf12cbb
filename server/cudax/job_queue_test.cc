#include "server/cudax/job_queue.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <string>

namespace farlane::server::cudax {
namespace {

// What jobs did, in order, and doors that hold them.
class JobQueueTest : public testing::Test {
 protected:
  JobQueue::Job job(const std::string& name, std::vector<uint64_t> names, int door = -1) {
    return {.names = std::move(names),
            .run =
                [this, name, door] {
                  std::unique_lock lock(mutex_);
                  note("begin " + name);
                  if (door >= 0) changed_.wait(lock, [&] { return door < opened_; });
                  note("end " + name);
                },
            .dropped =
                [this, name] {
                  const std::scoped_lock lock(mutex_);
                  note("drop " + name);
                }};
  }
  void note(const std::string& what) {
    log_.push_back(what);
    changed_.notify_all();
  }
  void open(int doors) {
    const std::scoped_lock lock(mutex_);
    opened_ = doors;
    changed_.notify_all();
  }
  // Waits until so much has happened.
  std::vector<std::string> happened(size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(
        changed_.wait_for(lock, std::chrono::seconds(60), [&] { return log_.size() >= count; }));
    return log_;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int opened_ = 0;
  std::vector<std::string> log_;
  JobQueue queue_;  // goes first
};

using Log = std::vector<std::string>;

TEST_F(JobQueueTest, JobsThatShareANameAreDoneInOrder) {
  queue_.submit(job("a", {1}, 0));
  queue_.submit(job("b", {1, 2}));
  queue_.submit(job("c", {2}));
  EXPECT_EQ(happened(1), Log{"begin a"});
  open(1);
  EXPECT_EQ(happened(6), (Log{"begin a", "end a", "begin b", "end b", "begin c", "end c"}));
}

TEST_F(JobQueueTest, OthersAreDoneSideBySide) {
  queue_.submit(job("a", {1}, 0));
  happened(1);
  queue_.submit(job("b", {2}, 1));
  EXPECT_EQ(happened(2), (Log{"begin a", "begin b"}));
  queue_.submit(job("c", {}));
  EXPECT_EQ(happened(4), (Log{"begin a", "begin b", "begin c", "end c"}));
  open(2);
  happened(6);
}

// Two jobs behind one wait for each other, as ranks do: both have threads.
TEST_F(JobQueueTest, WhatBecomesReadyTogetherRunsTogether) {
  queue_.submit(job("a", {1, 2}, 0));
  queue_.submit(job("b", {1}, 1));
  queue_.submit(job("c", {2}, 1));
  happened(1);
  open(1);
  happened(4);  // a has ended, and both have begun
  open(2);
  happened(6);
}

TEST_F(JobQueueTest, WhatHasNotBegunIsDropped) {
  queue_.submit(job("a", {1}, 0));
  queue_.submit(job("b", {1, 2}));
  queue_.submit(job("c", {2}));
  happened(1);
  queue_.drop(1);
  // Dropping and what becomes ready by it go side by side.
  Log log = happened(4);
  std::erase(log, "drop b");
  EXPECT_EQ(log, (Log{"begin a", "begin c", "end c"}));
  open(1);
  EXPECT_EQ(happened(5).back(), "end a");
}

}  // namespace
}  // namespace farlane::server::cudax
