// What a hostile client can do with bulk lanes: it is refused, or its session ends with a reason.
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include "server/worker_test_client.h"

namespace farlane::server {
namespace {

constexpr protocol::StreamId kLegacy = protocol::StreamId::legacy(0);
constexpr size_t kChunk = 64 * 1024;
constexpr uint64_t kBytes = 2 * 1024 * 1024;

class HostileLanes : public testing::Test {
 protected:
  struct Lane final : transport::FrameSink {
    std::unique_ptr<transport::Channel> channel;
    int welcomes = 0;
    std::string refusal;
    uint64_t data_bytes = 0;
    std::vector<std::byte> body;
    transport::MutableBytes place(transport::Bytes, uint32_t bytes) override {
      body.resize(bytes);
      return body;
    }
    void deliver(transport::Bytes head, transport::MutableBytes data) override {
      data_bytes += data.size();
      protocol::RecordCursor records(head);
      protocol::Record record;
      message::ControlReply reply;
      protocol::Fault fault;
      protocol::control::Control control;
      std::string error;
      if (!records.next(record) || !decode(record, reply, fault) ||
          !protocol::control::decode(reply.message, &control, &error)) {
        return;
      }
      if (const auto* goodbye = std::get_if<protocol::control::Goodbye>(&control)) {
        refusal = goodbye->text;
      } else {
        ++welcomes;
      }
    }
  };

  void SetUp() override {
    spdlog::set_level(spdlog::level::off);
    settings_.lane_chunk_bytes = kChunk;
    settings_.lane_slots = 2;
    settings_.lanes_max = 2;
    settings_.client_timeout_ms = 60'000;
    place_windows(&settings_);
    start();
  }
  void start() {
    client_.reset();
    host_.reset();
    std::string error;
    host_ = Host::start(software_driver(), settings_, 0, &error);
    ASSERT_NE(host_, nullptr) << error;
    client_ = std::make_unique<TestClient>(*host_, settings_, nullptr);
    welcome_ = client_->hello();
    ASSERT_EQ(client_->ask(message::ExtentCreate{0, host_->window_base, kBytes}).result,
              CUDA_SUCCESS);
  }

  TestClient& c() { return *client_; }
  uint64_t base() const { return host_->window_base; }

  std::unique_ptr<Lane> connect(uint32_t number, const std::string& token) {
    auto lane = std::make_unique<Lane>();
    transport::LoopbackPair pair = transport::make_loopback();
    lane->channel = std::move(pair.a);
    c().executor->adopt_lane(std::move(pair.b));
    protocol::control::Hello hello;
    hello.session_token = token;
    hello.lane = number;
    const std::string encoded = protocol::control::encode(hello);
    send(*lane, message::Control{std::as_bytes(std::span(encoded))}, {});
    return lane;
  }
  std::unique_ptr<Lane> open(uint32_t number) {
    auto lane = connect(number, welcome_.session_token);
    c().pump_until([&] {
      pump(*lane);
      return lane->welcomes == 1;
    });
    return lane;
  }
  template <class M>
  void send(Lane& lane, const M& message, std::span<const std::byte> body) {
    std::vector<std::byte> head;
    protocol::append_record(head, message, 0);
    const transport::Bytes part = body;
    transport::Frame frame{head, {}};
    if (!body.empty()) frame.body = std::span<const transport::Bytes>(&part, 1);
    EXPECT_EQ(lane.channel->send(frame), transport::SendStatus::kSent);
  }
  static void pump(Lane& lane) {
    while (lane.channel->receive(lane) == transport::ReceiveStatus::kDelivered) {
    }
  }
  std::string refusal_of(Lane& lane) {
    c().pump_until([&] {
      pump(lane);
      return !lane.refusal.empty();
    });
    return lane.refusal;
  }
  // How the session ends.
  std::string end() {
    c().pump_until([&] { return c().executor->end() != SessionEnd::kNotYet; });
    return std::string(session_end_name(c().executor->end())) + ": " + c().executor->end_text();
  }
  static std::vector<std::byte> bytes(size_t count) { return std::vector<std::byte>(count); }

  ServerSettings settings_;
  std::unique_ptr<Host> host_;
  std::unique_ptr<TestClient> client_;
  protocol::control::Welcome welcome_;
};

TEST_F(HostileLanes, OnesThatCannotBeAreRefusedAndTheSessionGoesOn) {
  const auto first = open(1);
  EXPECT_NE(refusal_of(*connect(2, "another token")).find("does not belong"), std::string::npos);
  EXPECT_NE(refusal_of(*connect(1, welcome_.session_token)).find("there already"),
            std::string::npos);
  EXPECT_NE(refusal_of(*connect(3, welcome_.session_token)).find("copies.lanes_max"),
            std::string::npos);
  EXPECT_NE(refusal_of(*connect(0, welcome_.session_token)).find("which lane"), std::string::npos);
  EXPECT_EQ(c().executor->lanes().open_lanes(), 1u);
  EXPECT_EQ(c().ask(message::Echo{7}).value, 7u);
}

TEST_F(HostileLanes, APieceOverItsLimitEndsTheSession) {
  const auto lane = open(1);
  send(*lane, message::LaneData{1'000'000, 0}, bytes(kChunk + 1));
  EXPECT_NE(end().find("protocol fault: lane 1 sent a piece of 65537 bytes (limit 65536"),
            std::string::npos)
      << end();
}

TEST_F(HostileLanes, SomethingElseThanDataEndsTheSession) {
  const auto lane = open(1);
  send(*lane, message::Echo{1}, {});
  EXPECT_NE(end().find("something else than data"), std::string::npos) << end();
}

TEST_F(HostileLanes, DataBeyondTheCopyEndsTheSession) {
  for (const uint64_t offset : {uint64_t{60'000}, ~uint64_t{0}, ~uint64_t{0} - 10'000}) {
    start();
    const auto lane = open(1);
    const uint64_t command = c().post(message::CopyInLanes{kLegacy, base(), 0, kChunk, 1});
    send(*lane, message::LaneData{command, offset}, bytes(20'000));
    EXPECT_NE(end().find("protocol fault"), std::string::npos) << end();
    EXPECT_NE(end().find("of 65536 bytes"), std::string::npos) << end();
  }
}

TEST_F(HostileLanes, DataTwiceEndsTheSession) {
  const auto lane = open(1);
  const uint64_t command = c().post(message::CopyInLanes{kLegacy, base(), 0, kChunk, 1});
  send(*lane, message::LaneData{command, 0}, bytes(40'000));
  send(*lane, message::LaneData{command, 0}, bytes(40'000));
  EXPECT_NE(end().find("40000 of them there"), std::string::npos) << end();
}

TEST_F(HostileLanes, DataOfNoCopyEndsTheSession) {
  const auto lane = open(1);
  const uint64_t command = c().begin(message::Echo{1});
  c().settle();
  send(*lane, message::LaneData{command, 0}, bytes(100));
  EXPECT_NE(end().find("no copy"), std::string::npos) << end();
}

// Pieces of copies that never come fill the lane's slots, and then it is not read any more.
TEST_F(HostileLanes, DataAheadOfTheLogTakesNoMoreThanTheSlots) {
  const auto lane = open(1);
  for (uint64_t i = 0; i < 20; ++i) send(*lane, message::LaneData{1'000 + i, 0}, bytes(1000));
  c().pump_until([&] { return c().executor->lanes().counters(1).slot_waits != 0; });
  EXPECT_EQ(c().executor->lanes().counters(1).chunks_in, 2u);
  EXPECT_EQ(c().ask(message::Echo{3}).value, 3u);
}

TEST_F(HostileLanes, ACopyWithoutItsDataIsATimeout) {
  settings_.client_timeout_ms = 200;
  start();
  const auto lane = open(1);
  c().post(message::CopyInLanes{kLegacy, base(), 0, kBytes, 1});
  c().executor->run();
  EXPECT_EQ(c().executor->end(), SessionEnd::kTimeout);
  EXPECT_NE(c().executor->end_text().find("timeouts.client_timeout_ms"), std::string::npos);
}

TEST_F(HostileLanes, ACopyOverLanesNeedsOne) {
  c().post(message::CopyOutLanes{kLegacy, base(), 0, kBytes, 1, 1});
  EXPECT_NE(end().find("no lane is open"), std::string::npos) << end();
}

TEST_F(HostileLanes, SizesThatOverflowEndTheSession) {
  const auto lane = open(1);
  c().post(message::CopyInLanes{kLegacy, base(), 1, uint64_t{1} << 40, uint64_t{1} << 40});
  EXPECT_NE(end().find("protocol fault"), std::string::npos) << end();
}

TEST_F(HostileLanes, OneThatListensToNothingHoldsOnlyItsOwnCopiesUp) {
  settings_.client_timeout_ms = 60'000;
  const auto lane = open(1);
  c().post(message::CopyOutLanes{kLegacy, base(), 0, kBytes / 2, 1, 5});
  c().post(message::CopyOutLanes{kLegacy, base(), 0, kBytes / 2, 1, 6});
  // Once it listens everything comes.
  c().pump_until([&] {
    pump(*lane);
    return lane->data_bytes == kBytes && c().tickets[5].last && c().tickets[6].last;
  });
}

TEST_F(HostileLanes, TheEndOfALaneIsTheEndOfTheSession) {
  const auto lane = open(1);
  lane->channel->close();
  EXPECT_NE(end().find("client gone: lane 1 ended"), std::string::npos) << end();
}

}  // namespace
}  // namespace farlane::server
