#include "client/core/command_log.h"

#include <gtest/gtest.h>

#include <thread>

#include "client/core/testing_peer.h"

namespace farlane::client {
namespace {

namespace message = protocol::message;
using testing::Peer;

class CommandLogTest : public ::testing::Test {
 protected:
  explicit CommandLogTest() { reset({}); }

  void reset(const CommandLogOptions& options) {
    log_.reset();
    inbox_.reset();
    auto pair = transport::make_loopback({.queue_frames = 4096});
    channel_ = std::move(pair.a);
    peer_ = std::make_unique<Peer>(std::move(pair.b));
    inbox_ = std::make_unique<Inbox>(channel_.get(), InboxOptions{}, &loss_, &errors_);
    log_ = std::make_unique<CommandLog>(
        channel_.get(), options, inbox_.get(), &loss_,
        CommandLog::Background{[this] { ++wakes_; }, [this](bool) { return is_awake_; }});
  }

  Loss loss_;
  PostedErrors errors_;
  std::unique_ptr<transport::Channel> channel_;
  std::unique_ptr<Peer> peer_;
  std::unique_ptr<Inbox> inbox_;
  std::unique_ptr<CommandLog> log_;
  std::atomic<int> wakes_ = 0;
  bool is_awake_ = true;  // the thread that would send
};

TEST_F(CommandLogTest, CommandsGatherAndLeaveTogether) {
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(log_->post(message::ReuseFence{.device = 0}), static_cast<uint64_t>(i + 1));
  }
  EXPECT_EQ(wakes_, 10);
  EXPECT_EQ(peer_->receive(), 0);
  EXPECT_TRUE(log_->has_unsent());
  EXPECT_TRUE(log_->flush());
  EXPECT_FALSE(log_->has_unsent());
  EXPECT_EQ(peer_->receive(), 1) << "one frame";
  ASSERT_EQ(peer_->commands().size(), 10u);
  EXPECT_EQ(peer_->commands()[9].header.sequence, 10u);
}

TEST_F(CommandLogTest, WithoutBatchingEachLeavesByItself) {
  CommandLogOptions options;
  options.batching = false;
  reset(options);
  for (int i = 0; i < 10; ++i) {
    log_->post(message::ReuseFence{.device = 0});
  }
  EXPECT_EQ(peer_->receive(), 10);
  EXPECT_EQ(wakes_, 0);
}

TEST_F(CommandLogTest, AFullBatchIsClosedByWhoeverFindsItFull) {
  CommandLogOptions options;
  options.batch_bytes_max = 1024;
  reset(options);
  for (int i = 0; i < 100; ++i) {
    EXPECT_NE(log_->post(message::ReuseFence{.device = 0}), 0u);
  }
  log_->flush();
  EXPECT_EQ(peer_->receive(), 3) << "100 commands of 24 bytes, 42 to a batch";
  EXPECT_EQ(peer_->commands().size(), 100u);
}

TEST_F(CommandLogTest, BulkDataFollowsWhatWasPostedBefore) {
  log_->post(message::ReuseFence{.device = 0});
  const std::vector<std::byte> data(5000, std::byte{7});
  const transport::Bytes part = data;
  EXPECT_EQ(
      log_->post_with_body(
          message::CopyIn{.stream = protocol::StreamId::legacy(0), .width = 5000, .height = 1},
          {&part, 1}),
      2u);
  log_->post(message::ReuseFence{.device = 0});
  log_->flush();
  peer_->receive();
  ASSERT_EQ(peer_->commands().size(), 3u);
  EXPECT_EQ(peer_->commands()[1].body_bytes, 5000u);
  for (uint64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(peer_->commands()[i].header.sequence, i + 1);
  }
}

TEST_F(CommandLogTest, SendingWaitsForCredit) {
  log_->set_credit_bytes(48);  // two of these commands
  log_->post(message::ReuseFence{.device = 0});
  EXPECT_TRUE(log_->flush());
  log_->post(message::ReuseFence{.device = 0});
  EXPECT_TRUE(log_->flush());
  log_->post(message::ReuseFence{.device = 0});
  std::thread flusher([&] { EXPECT_TRUE(log_->flush()); });
  // The flusher can only get on when this is consumed.
  peer_->send(0, message::Ack{.executed = 1, .taken_bytes = 24});
  flusher.join();
  peer_->receive();
  EXPECT_EQ(peer_->commands().size(), 3u);
}

TEST_F(CommandLogTest, AQuestionThatFindsTheLineTakenComesNext) {
  log_->set_credit_bytes(24);  // one command
  log_->post(message::ReuseFence{.device = 0});
  ASSERT_TRUE(log_->flush());
  log_->post(message::ReuseFence{.device = 0});
  std::thread courier([&] { EXPECT_TRUE(log_->flush()); });
  while (log_->counters().credit_waits == 0) {
    std::this_thread::yield();
  }
  log_->post(message::ReuseFence{.device = 0});
  std::thread asking([&] {
    EXPECT_EQ(log_->send_now(message::MemoryInfo{.device = 0}, {}, [](uint64_t) {}), 4u);
  });
  while (log_->counters().line_waits == 0) {
    std::this_thread::yield();
  }
  peer_->send(0, message::Ack{.executed = 1, .taken_bytes = 24});
  peer_->send(0, message::Ack{.executed = 2, .taken_bytes = 48});
  courier.join();
  asking.join();
  EXPECT_EQ(peer_->receive(), 3) << "the last one with what was posted before it";
  ASSERT_EQ(peer_->commands().size(), 4u);
  EXPECT_EQ(peer_->commands().back().header.sequence, 4u);
}

TEST_F(CommandLogTest, TheFirstOfAFewCommandsIsSentByItsThreadWhenAQuestionIsUsual) {
  for (const bool on : {true, false}) {
    CommandLogOptions options;
    options.sends_before_questions = on;
    reset(options);
    const auto post = [&] { log_->post(message::ReuseFence{.device = 0}); };
    const auto ask = [&] { log_->send_now(message::MemoryInfo{.device = 0}, {}, [](uint64_t) {}); };
    for (int posts : {1, 16, 2}) {
      for (; posts != 0; --posts) {
        post();
        EXPECT_EQ(peer_->receive(), 0) << "not yet a habit";
      }
      ask();
      EXPECT_EQ(peer_->receive(), 1);
    }
    post();
    EXPECT_EQ(peer_->receive(), on ? 1 : 0);
    EXPECT_EQ(log_->has_unsent(), !on);
    post();
    EXPECT_EQ(peer_->receive(), 0) << "a second one in a row is the courier's";
    log_->flush();
    EXPECT_EQ(peer_->receive(), 1);
    post();
    EXPECT_EQ(peer_->receive(), 0) << "and so are those after it";
    // Waiting for data that comes anyway is as good as a question, and several are no other habit.
    EXPECT_TRUE(log_->flush_to_wait());
    EXPECT_EQ(peer_->receive(), 1);
    ask();
    EXPECT_TRUE(log_->flush_to_wait());
    peer_->receive();
    post();
    EXPECT_EQ(peer_->receive(), on ? 1 : 0);
    // Many commands before a question are.
    for (int i = 0; i < 16; ++i) {
      post();
    }
    ask();
    peer_->receive();
    post();
    EXPECT_EQ(peer_->receive(), 0);
    EXPECT_EQ(log_->counters().sent_first, on ? 2u : 0u);
    log_->flush();
    peer_->receive();
    for (size_t i = 0; i < peer_->commands().size(); ++i) {
      ASSERT_EQ(peer_->commands()[i].header.sequence, i + 1);
    }
  }
}

TEST_F(CommandLogTest, ACommandThatAQuestionFollowsAtOnceWaitsForItWhileSomebodyWouldSendIt) {
  CommandLogOptions options;
  options.hold_us = 3'600'000'000;
  reset(options);
  const auto post = [&] { log_->post(message::ReuseFence{.device = 0}); };
  const auto ask = [&] { log_->send_now(message::MemoryInfo{.device = 0}, {}, [](uint64_t) {}); };
  const auto deadline = transport::Clock::now() + std::chrono::seconds(20);
  const auto& counters = log_->counters();
  // A frame of its own must take longer than what comes before the question; on a busy machine
  // that is not so each time.
  while (counters.held_first < 3) {
    ASSERT_LT(transport::Clock::now(), deadline);
    const uint64_t held = counters.held_first;
    post();
    EXPECT_EQ(log_->holds(), counters.held_first > held);
    if (counters.held_first > held) {
      EXPECT_EQ(peer_->receive(), 0);
      EXPECT_TRUE(log_->has_unsent());
    }
    for (int i = 1; i < 4; ++i) post();
    ask();
    EXPECT_FALSE(log_->holds());
    peer_->receive();
  }
  is_awake_ = false;
  const uint64_t held = counters.held_first;
  for (int i = 0; i < 400; ++i) {
    post();
    if (i % 4 == 3) ask();
    peer_->receive();
  }
  EXPECT_EQ(counters.held_first, held);
  // Fewer leave at once.
  is_awake_ = true;
  for (int i = 0; i < 100; ++i) {
    post();
    post();
    ask();
    peer_->receive();
    EXPECT_FALSE(log_->holds());
  }
  EXPECT_LE(counters.held_first, held + 1);
  ASSERT_EQ(peer_->commands().size(), log_->last_sequence());
  for (size_t i = 0; i < peer_->commands().size(); ++i) {
    ASSERT_EQ(peer_->commands()[i].header.sequence, i + 1);
  }
}

class ManyThreads : public CommandLogTest, public ::testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(ParallelEncoding, ManyThreads, ::testing::Bool());

TEST_P(ManyThreads, PostInOneOrder) {
  CommandLogOptions options;
  options.parallel_encoding = GetParam();
  options.batch_bytes_max = 4096;
  reset(options);
  constexpr int kThreads = 4;
  constexpr int kEach = 5000;
  std::vector<std::thread> threads;
  std::atomic<int> left = kThreads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        log_->post(message::ReuseFence{.device = 0});
        if (i % 64 == 0) {
          log_->flush();
        }
      }
      --left;
    });
  }
  while (left != 0) {
    peer_->receive();
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  log_->flush();
  peer_->receive();
  ASSERT_EQ(peer_->commands().size(), static_cast<size_t>(kThreads * kEach));
  for (size_t i = 0; i < peer_->commands().size(); ++i) {
    ASSERT_EQ(peer_->commands()[i].header.sequence, i + 1);
  }
}

TEST_F(CommandLogTest, AfterTheServerIsGoneNothingIsTaken) {
  peer_->channel().close();
  log_->post(message::ReuseFence{.device = 0});
  EXPECT_FALSE(log_->flush());
  EXPECT_TRUE(loss_.declared());
  EXPECT_EQ(log_->post(message::ReuseFence{.device = 0}), 0u);
}

}  // namespace
}  // namespace farlane::client
