#include "generated/protocol/dispatch.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "protocol/append.h"

namespace farlane::protocol {
namespace {

// Takes everything and writes down what it was.
struct Everything {
  std::vector<std::string> seen;
  size_t body_bytes = 0;
  int stop_after = -1;

  template <class M>
  bool on(const RecordHeader& header, const M& message) {
    static_assert(!M::kHasBody);
    EXPECT_EQ(header.op, static_cast<uint16_t>(M::kOp));
    seen.push_back(message::describe(message));
    return static_cast<int>(seen.size()) != stop_after;
  }
  template <class M>
  bool on(const RecordHeader&, const M& message, std::span<std::byte> body) {
    static_assert(M::kHasBody);
    seen.push_back(message::describe(message));
    body_bytes += body.size();
    return static_cast<int>(seen.size()) != stop_after;
  }
};

struct Raw : Everything {
  std::vector<uint64_t> replies;
  void on_reply(const Record& record) { replies.push_back(record.header.sequence); }
};

TEST(Dispatch, RecordsComeInOrderAndTheBodyGoesToTheLast) {
  std::vector<std::byte> frame;
  append_record(frame, message::ImagePart{}, 1);
  append_record(frame, message::MemoryInfo{3}, 2);
  append_record(frame, message::ImagePart{}, 3);
  std::vector<std::byte> body(100);
  Everything handler;
  const DispatchResult result = dispatch_command_frame(frame, body, handler);
  EXPECT_EQ(result.status, DispatchStatus::kDone);
  ASSERT_EQ(handler.seen.size(), 3u);
  EXPECT_EQ(handler.seen[1], "memory_info{device=3}");
  EXPECT_EQ(handler.body_bytes, 100u);
}

TEST(Dispatch, ABodyThatNobodyTakesIsRefused) {
  std::vector<std::byte> frame;
  append_record(frame, message::ImagePart{}, 1);
  append_record(frame, message::MemoryInfo{}, 2);
  std::vector<std::byte> body(8);
  Everything handler;
  const DispatchResult result = dispatch_command_frame(frame, body, handler);
  EXPECT_EQ(result.status, DispatchStatus::kMalformed);
  EXPECT_EQ(result.fault.reason, FaultReason::kUnexpectedBody);
}

TEST(Dispatch, AHandlerCanStop) {
  std::vector<std::byte> frame;
  append_record(frame, message::MemoryInfo{}, 1);
  append_record(frame, message::MemoryInfo{}, 2);
  Everything handler;
  handler.stop_after = 1;
  EXPECT_EQ(dispatch_command_frame(frame, {}, handler).status, DispatchStatus::kStopped);
  EXPECT_EQ(handler.seen.size(), 1u);
}

TEST(Dispatch, UnknownOpsAndWrongDirectionsAreRefused) {
  std::vector<std::byte> frame(sizeof(RecordHeader));
  const auto reason = [&](uint16_t op, uint8_t flags, bool to_server) {
    const Record record{{sizeof(RecordHeader), op, flags, 0, 1}, {}};
    Everything handler;
    const DispatchResult result =
        to_server ? dispatch_commands(record, {}, handler) : dispatch_events(record, {}, handler);
    EXPECT_EQ(result.status, DispatchStatus::kMalformed);
    EXPECT_TRUE(handler.seen.empty());
    return result.fault.reason;
  };
  const auto op = [](Op value) { return static_cast<uint16_t>(value); };
  EXPECT_EQ(reason(60000, 0, true), FaultReason::kUnknownOp);
  EXPECT_EQ(reason(60000, 0, false), FaultReason::kUnknownOp);
  EXPECT_EQ(reason(60000, kReply, false), FaultReason::kUnknownOp);
  EXPECT_EQ(reason(op(Op::kAck), 0, true), FaultReason::kWrongDirection);
  EXPECT_EQ(reason(op(Op::kEcho), kReply, true), FaultReason::kWrongDirection);
  EXPECT_EQ(reason(op(Op::kLaunch), 0, false), FaultReason::kWrongDirection);
  EXPECT_EQ(reason(op(Op::kAck), kReply, false), FaultReason::kWrongDirection);
}

TEST(Dispatch, RepliesComeDecodedOrRaw) {
  std::vector<std::byte> frame;
  message::EchoReply reply;
  reply.value = 9;
  append_record(frame, reply, 55);
  append_record(frame, message::Ack{1, 2}, 0);

  Everything decoded;
  EXPECT_TRUE(dispatch_event_frame(frame, {}, decoded));
  ASSERT_EQ(decoded.seen.size(), 2u);
  EXPECT_EQ(decoded.seen[0], "echo_reply{result=0 executed=0 value=9}");

  Raw raw;
  EXPECT_TRUE(dispatch_event_frame(frame, {}, raw));
  EXPECT_EQ(raw.replies, std::vector<uint64_t>{55});
  EXPECT_EQ(raw.seen.size(), 1u);
}

TEST(Dispatch, OnlyMessagesWithABodyTakeOne) {
  EXPECT_TRUE(takes_body(Op::kCopyIn));
  EXPECT_TRUE(takes_body(Op::kImagePart));
  EXPECT_TRUE(takes_body(Op::kCopyOutData));
  EXPECT_FALSE(takes_body(Op::kLaunch));
}

}  // namespace
}  // namespace farlane::protocol
