#include "client/core/inbox.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "client/core/testing_peer.h"

namespace farlane::client {
namespace {

namespace message = protocol::message;
using testing::Peer;

class InboxTest : public ::testing::Test {
 protected:
  InboxTest() { reset({0, 10'000}); }

  void reset(const InboxOptions& options) {
    auto pair = transport::make_loopback();
    inbox_.reset();
    channel_ = std::move(pair.a);
    peer_ = std::make_unique<Peer>(std::move(pair.b));
    inbox_ = std::make_unique<Inbox>(channel_.get(), options, &loss_, &errors_);
  }

  Loss loss_;
  PostedErrors errors_;
  std::unique_ptr<transport::Channel> channel_;
  std::unique_ptr<Peer> peer_;
  std::unique_ptr<Inbox> inbox_;
};

TEST_F(InboxTest, AnAnswerReachesItsWaiter) {
  Inbox::Waiter first;
  Inbox::Waiter second;
  inbox_->expect(&first, 1);
  inbox_->expect(&second, 2);
  // The second answer comes first, and one that nobody waits for any more.
  peer_->send(9, message::EchoReply{.result = 0, .executed = 9, .value = 99});
  peer_->send(2, message::EchoReply{.result = 0, .executed = 2, .value = 22});
  EXPECT_TRUE(inbox_->wait_until([&] { return second.done.load(); }, "test"));
  EXPECT_FALSE(first.done);
  message::EchoReply reply;
  protocol::Fault fault;
  ASSERT_TRUE(decode(second.record, reply, fault)) << fault.text();
  EXPECT_EQ(reply.value, 22u);
  peer_->send(1, message::EchoReply{.result = 0, .executed = 2, .value = 11});
  EXPECT_TRUE(inbox_->wait_until([&] { return first.done.load(); }, "test"));
}

TEST_F(InboxTest, ThreadsThatWaitTogetherAllGetTheirs) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 200;
  std::atomic<uint64_t> next = 1;
  std::mutex asked_mutex;
  std::condition_variable asked_changed;
  std::vector<uint64_t> asked;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kRounds; ++i) {
        Inbox::Waiter waiter;
        const uint64_t sequence = next.fetch_add(1);
        inbox_->expect(&waiter, sequence);
        {
          std::lock_guard lock(asked_mutex);
          asked.push_back(sequence);
        }
        asked_changed.notify_one();
        wrong += !inbox_->wait_until([&] { return waiter.done.load(); }, "test");
        message::EchoReply reply;
        protocol::Fault fault;
        wrong += !decode(waiter.record, reply, fault) || reply.value != sequence * 3;
      }
    });
  }
  for (int answered = 0; answered < kThreads * kRounds;) {
    std::vector<uint64_t> now;
    {
      std::unique_lock lock(asked_mutex);
      asked_changed.wait(lock, [&] { return !asked.empty(); });
      now.swap(asked);
    }
    for (auto sequence = now.rbegin(); sequence != now.rend(); ++sequence) {
      peer_->send(*sequence, message::EchoReply{.value = *sequence * 3});
      ++answered;
    }
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(wrong, 0);
}

TEST_F(InboxTest, ALostConnectionEndsEveryWait) {
  Inbox::Waiter waiter;
  inbox_->expect(&waiter, 1);
  std::thread closer([&] { peer_->channel().close(); });
  EXPECT_FALSE(inbox_->wait_until([&] { return waiter.done.load(); }, "test"));
  closer.join();
  inbox_->forget(&waiter);
  EXPECT_TRUE(loss_.declared());
  EXPECT_NE(loss_.sentence().find("farlane doctor"), std::string::npos) << loss_.sentence();
}

TEST_F(InboxTest, ASilentServerIsLostAfterTheDeadline) {
  reset({0, 1});
  Inbox::Waiter waiter;
  inbox_->expect(&waiter, 1);
  EXPECT_FALSE(inbox_->wait_until([&] { return waiter.done.load(); }, "an answer"));
  inbox_->forget(&waiter);
  EXPECT_NE(loss_.sentence().find("call_timeout_ms"), std::string::npos) << loss_.sentence();
}

TEST_F(InboxTest, MalformedFramesEndTheSession) {
  const std::array<std::byte, 24> garbage{std::byte{0xff}, std::byte{0xff}};
  peer_->send_raw(garbage, {});
  EXPECT_FALSE(inbox_->wait_until([] { return false; }, "test"));
  EXPECT_NE(loss_.sentence().find("malformed"), std::string::npos) << loss_.sentence();
}

TEST_F(InboxTest, CopyDataLandsInPlaceAndInRows) {
  std::vector<std::byte> packed(100);
  Inbox::Ticket straight{.id = 1, .to = packed.data(), .pitch = 100, .width = 100, .height = 1};
  inbox_->expect(&straight);
  // 4 rows of 5 bytes, 8 apart.
  std::vector<std::byte> rows(32, std::byte{0xee});
  Inbox::Ticket pitched{.id = 2, .to = rows.data(), .pitch = 8, .width = 5, .height = 4};
  inbox_->expect(&pitched);
  EXPECT_TRUE(inbox_->tickets_into(reinterpret_cast<uint64_t>(rows.data()) + 28, 1));
  EXPECT_FALSE(inbox_->tickets_into(reinterpret_cast<uint64_t>(rows.data()) + 29, 1));

  std::vector<std::byte> data(100);
  for (size_t i = 0; i < data.size(); ++i) {
    data[i] = static_cast<std::byte>(i);
  }
  std::vector<std::byte> head;
  protocol::append_record(head, message::CopyOutData{.ticket = 1, .offset = 0}, 0);
  peer_->send_raw(head, std::span(data).first(60));
  head.clear();
  protocol::append_record(head, message::CopyOutData{.ticket = 1, .offset = 60, .last = 1}, 0);
  peer_->send_raw(head, std::span(data).subspan(60));
  peer_->send(0, message::CopyOutData{.ticket = 2, .offset = 0, .data = std::span(data).first(7)});
  peer_->send(0, message::CopyOutData{
                     .ticket = 2, .offset = 7, .last = 1, .data = std::span(data).subspan(7, 13)});
  EXPECT_TRUE(inbox_->wait_until([&] { return straight.done && pitched.done; }, "test"));
  EXPECT_EQ(packed, data);
  for (size_t row = 0; row < 4; ++row) {
    for (size_t column = 0; column < 8; ++column) {
      const auto expected = column < 5 ? static_cast<std::byte>(row * 5 + column) : std::byte{0xee};
      EXPECT_EQ(rows[row * 8 + column], expected) << row << " " << column;
    }
  }
  EXPECT_FALSE(inbox_->has_tickets());
}

TEST_F(InboxTest, MoreDataThanAskedForEndsTheSession) {
  std::vector<std::byte> memory(16);
  auto* ticket = new Inbox::Ticket{
      .id = 1, .to = memory.data(), .pitch = 8, .width = 8, .height = 1, .detached = true};
  inbox_->expect(ticket);
  const std::vector<std::byte> data(16, std::byte{1});
  peer_->send(0, message::CopyOutData{
                     .ticket = 1, .offset = 4, .last = 1, .data = std::span(data).first(8)});
  EXPECT_FALSE(inbox_->wait_until([] { return false; }, "test"));
  EXPECT_EQ(memory, std::vector<std::byte>(16)) << "nothing was written";
}

TEST_F(InboxTest, TheErrorOfACopyThatNobodyWaitsForIsReportedOnce) {
  std::vector<std::byte> memory(8);
  auto* ticket = new Inbox::Ticket{
      .id = 1, .to = memory.data(), .pitch = 8, .width = 8, .height = 1, .detached = true};
  inbox_->expect(ticket);
  peer_->send(0, message::CopyOutData{.ticket = 1, .result = CUDA_ERROR_INVALID_VALUE, .last = 1});
  inbox_->drain();
  EXPECT_FALSE(inbox_->has_tickets());
  EXPECT_EQ(errors_.take(), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(errors_.take(), CUDA_SUCCESS);
}

TEST_F(InboxTest, PostedErrorsAreReportedOnceAndStickyOnesForEver) {
  peer_->send(5,
              message::PostedError{.sequence = 3, .result = CUDA_ERROR_INVALID_VALUE, .what = "x"});
  inbox_->drain();
  EXPECT_EQ(errors_.take(), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(errors_.take(), CUDA_SUCCESS);
  peer_->send(
      6, message::PostedError{.sequence = 4, .result = CUDA_ERROR_ILLEGAL_ADDRESS, .what = "y"});
  inbox_->drain();
  EXPECT_EQ(errors_.take(), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_EQ(errors_.take(), CUDA_ERROR_ILLEGAL_ADDRESS);
}

// Who was stopped, or whose machine slept, has not looked: then one cannot tell whether the server
// was silent.
TEST_F(InboxTest, OnlyTimeInWhichOneListenedIsSilence) {
  reset({0, 300});
  const auto since = transport::Clock::now() - std::chrono::hours(1);
  EXPECT_FALSE(inbox_->check_silence(since, "test"));
  EXPECT_FALSE(loss_.declared());
  const auto end = transport::Clock::now() + std::chrono::seconds(60);
  while (!inbox_->check_silence(since, "test") && transport::Clock::now() < end) {
    std::this_thread::yield();
  }
  EXPECT_TRUE(loss_.declared());
}

}  // namespace
}  // namespace farlane::client
