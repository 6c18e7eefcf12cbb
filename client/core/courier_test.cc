#include "client/core/courier.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <thread>

#include "client/core/testing_peer.h"

namespace farlane::client {
namespace {

namespace message = protocol::message;
using testing::Peer;

// A courier with log and inbox, and the server played by the test.
class CourierTest : public ::testing::Test {
 protected:
  void start(const CourierOptions& options, const CommandLogOptions& log_options = {}) {
    courier_.reset();  // ends its thread, which uses all the others
    auto pair = transport::make_loopback();
    channel_ = std::move(pair.a);
    peer_ = std::make_unique<Peer>(std::move(pair.b));
    inbox_ = std::make_unique<Inbox>(channel_.get(), InboxOptions{}, &loss_, &errors_);
    courier_ = std::make_unique<Courier>(channel_.get(), options, &loss_);
    log_ = std::make_unique<CommandLog>(
        channel_.get(), log_options, inbox_.get(), &loss_,
        CommandLog::Background{[this] { courier_->wake(); },
                               [this](bool rouse) { return courier_->watches(rouse); }});
    courier_->start(log_.get(), inbox_.get(), 0);
  }
  void TearDown() override { courier_.reset(); }

  static void wait_for(const std::function<bool()>& condition) {
    const auto deadline = transport::Clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      ASSERT_LT(transport::Clock::now(), deadline);
      std::this_thread::yield();
    }
  }
  // As cudaMemcpyAsync() to pinned memory.
  void post_copy(uint64_t id) {
    auto* ticket = new Inbox::Ticket{.id = id,
                                     .to = memory_.data(),
                                     .pitch = memory_.size(),
                                     .width = memory_.size(),
                                     .height = 1,
                                     .detached = true};
    log_->append(message::CopyOut{.stream = protocol::StreamId::legacy(0),
                                  .width = memory_.size(),
                                  .height = 1,
                                  .ticket = id},
                 [&](uint64_t number) {
                   ticket->sequence = number;
                   inbox_->expect(ticket);
                 });
    courier_->wake();
  }
  void send_data(uint64_t id) {
    peer_->send(0, message::CopyOutData{.ticket = id, .last = 1, .data = std::span(data_)});
  }

  const std::array<std::byte, 8> data_ = {std::byte{1}, std::byte{2}, std::byte{3}};
  std::array<std::byte, 8> memory_{};
  Loss loss_;
  PostedErrors errors_;
  std::unique_ptr<transport::Channel> channel_;
  std::unique_ptr<Peer> peer_;
  std::unique_ptr<Inbox> inbox_;
  std::unique_ptr<Courier> courier_;
  std::unique_ptr<CommandLog> log_;
};

TEST_F(CourierTest, TakesInACopyThatNobodyWaitsFor) {
  for (const int64_t after_us : {0, 100}) {
    start({.receive_after_us = after_us});
    post_copy(1);
    wait_for([&] { return peer_->receive() == 1; });
    send_data(1);
    wait_for([&] { return !inbox_->has_tickets(); });
    EXPECT_EQ(memory_, data_);
    memory_ = {};
  }
}

TEST_F(CourierTest, TakesItInAlsoWhileThereIsAlwaysSomethingToSend) {
  start({.receive_after_us = 100});
  post_copy(1);
  send_data(1);
  wait_for([&] {
    log_->post(message::ReuseFence{.device = 0});
    peer_->receive();
    return !inbox_->has_tickets();
  });
  EXPECT_EQ(memory_, data_);
}

// A command that was kept for a question leaves without one, too.
TEST_F(CourierTest, SendsWhatWasKeptForAQuestion) {
  start({.hold_us = 1000}, {.hold_us = 1000});
  wait_for([&] {
    for (int i = 0; i < 4; ++i) log_->post(message::ReuseFence{.device = 0});
    if (log_->counters().held_first != 0) return true;
    log_->send_now(message::MemoryInfo{.device = 0}, {}, [](uint64_t) {});
    peer_->receive();
    return false;
  });
  wait_for([&] {
    peer_->receive();
    return peer_->commands().size() == log_->last_sequence();
  });
  EXPECT_FALSE(log_->has_unsent());
}

// Whoever waits right away receives for itself and is woken by nobody.
TEST_F(CourierTest, LeavesTheReceiversRoleToAThreadThatWaits) {
  start({.receive_after_us = 3'600'000'000});
  for (uint64_t id = 1; id <= 100; ++id) {
    post_copy(id);
    log_->flush_to_wait();
    peer_->receive();
    send_data(id);
    EXPECT_TRUE(inbox_->wait_until([&] { return !inbox_->has_tickets(); }, "test"));
  }
  EXPECT_EQ(inbox_->counters().follows, 0u);
}

// With the setting off it may find the courier at it, and is served all the same.
TEST_F(CourierTest, ServesAThreadThatWaits) {
  start({.receive_after_us = 0});
  post_copy(1);
  wait_for([&] { return peer_->receive() == 1; });
  std::thread waiting(
      [&] { EXPECT_TRUE(inbox_->wait_until([&] { return !inbox_->has_tickets(); }, "test")); });
  send_data(1);
  waiting.join();
  EXPECT_EQ(memory_, data_);
}

TEST_F(CourierTest, ACopyThatItsCallerWaitsForIsNotTheCouriers) {
  start({.receive_after_us = 0});
  Inbox::Ticket ticket{
      .id = 1, .to = memory_.data(), .pitch = 8, .width = 8, .height = 1, .detached = false};
  log_->send_now(
      message::CopyOut{
          .stream = protocol::StreamId::legacy(0), .width = 8, .height = 1, .ticket = 1},
      {}, [&](uint64_t number) {
        ticket.sequence = number;
        inbox_->expect(&ticket);
      });
  EXPECT_TRUE(inbox_->has_tickets());
  EXPECT_FALSE(inbox_->has_detached());
  send_data(1);
  EXPECT_TRUE(inbox_->wait_until([&] { return ticket.done.load(); }, "test"));
  EXPECT_EQ(inbox_->counters().follows, 0u);
}

}  // namespace
}  // namespace farlane::client
