// Every message of wire.api: what is written is read, anything less or else is refused, and no
// bytes of a peer make the decoder read outside the record (which the address sanitizer watches).
#include "generated/protocol/messages.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "protocol/limits.h"
#include "protocol/record.h"
#include "protocol/testing/any_message.h"

namespace farlane::protocol {
namespace {

using testing::AnyMessage;
using testing::Fill;
using testing::Filler;
using testing::message_types;
using testing::MessageType;
using testing::Random;

constexpr uint64_t kSequence = 0x0123456789abcdef;
constexpr uint8_t kLane = 3;

std::vector<std::byte> encoded(const AnyMessage& message) {
  return message.encoded(kSequence, kLane);
}

std::unique_ptr<AnyMessage> filled(const MessageType& type, Filler& filler) {
  std::unique_ptr<AnyMessage> message = type.make();
  message->fill(filler);
  return message;
}

// The record in memory of exactly its size, so that a read past its end is a read outside.
class Exact {
 public:
  Exact(const RecordHeader& header, std::span<const std::byte> payload)
      : memory_(new std::byte[payload.size()]), record_{header, {memory_.get(), payload.size()}} {
    if (!payload.empty()) std::memcpy(memory_.get(), payload.data(), payload.size());
  }
  const Record& record() const { return record_; }

 private:
  std::unique_ptr<std::byte[]> memory_;
  Record record_;
};

RecordHeader header_of(std::span<const std::byte> bytes) {
  RecordHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  return header;
}

Exact exact(std::span<const std::byte> bytes) {
  return Exact(header_of(bytes), bytes.subspan(sizeof(RecordHeader)));
}

void round_trip(const MessageType& type, Fill fill, uint64_t seed) {
  SCOPED_TRACE(type.name + " seed " + std::to_string(seed));
  Filler filler(fill, seed);
  const std::unique_ptr<AnyMessage> sent = filled(type, filler);
  const std::vector<std::byte> bytes = encoded(*sent);

  RecordCursor records(bytes);
  Record record;
  ASSERT_TRUE(records.next(record)) << records.fault().text();
  EXPECT_TRUE(records.at_end());
  EXPECT_EQ(record.header.bytes, bytes.size());
  EXPECT_EQ(record.header.op, type.op);
  EXPECT_EQ(record.header.sequence, kSequence);
  EXPECT_EQ(record.header.lane, kLane);
  EXPECT_EQ(record.is_reply(), type.is_reply);

  const std::unique_ptr<AnyMessage> got = type.make();
  Fault fault;
  ASSERT_TRUE(got->decode(record, fault)) << fault.text();
  EXPECT_TRUE(sent->equals(*got)) << sent->describe() << "\n" << got->describe();
  EXPECT_EQ(encoded(*got), bytes);
  EXPECT_EQ(sent->describe(), got->describe());
  EXPECT_EQ(got->describe().find(type.name), 0u);
}

TEST(Messages, WhatIsWrittenIsRead) {
  EXPECT_GT(message_types().size(), 100u);
  for (const MessageType& type : message_types()) {
    round_trip(type, Fill::kLowest, 0);
    round_trip(type, Fill::kHighest, 0);
    for (uint64_t seed = 1; seed <= 40; ++seed) round_trip(type, Fill::kRandom, seed);
  }
}

void refuses_every_part(const MessageType& type) {
  SCOPED_TRACE(type.name);
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Filler filler(Fill::kRandom, seed);
    const std::unique_ptr<AnyMessage> sent = filled(type, filler);
    const std::vector<std::byte> bytes = encoded(*sent);
    const std::span<const std::byte> payload =
        std::span<const std::byte>(bytes).subspan(sizeof(RecordHeader));
    for (size_t length = 0; length < payload.size(); ++length) {
      const Exact part(header_of(bytes), payload.first(length));
      const std::unique_ptr<AnyMessage> got = type.make();
      Fault fault;
      EXPECT_FALSE(got->decode(part.record(), fault)) << length << " bytes";
      EXPECT_NE(fault.reason, FaultReason::kNone);
      EXPECT_FALSE(fault.text().empty());
    }
    // The same for the frame: a record whose header announces more than there is.
    for (size_t length = 1; length < bytes.size(); ++length) {
      RecordCursor records{std::span<const std::byte>(bytes).first(length)};
      Record record;
      EXPECT_FALSE(records.next(record)) << length << " bytes";
      EXPECT_EQ(records.fault().reason, FaultReason::kTruncated);
    }
    std::vector<std::byte> longer(payload.begin(), payload.end());
    longer.resize(longer.size() + kRecordAlignment);
    const Exact more(header_of(bytes), longer);
    const std::unique_ptr<AnyMessage> got = type.make();
    Fault fault;
    EXPECT_FALSE(got->decode(more.record(), fault));
  }
}

TEST(Messages, EveryStrictPrefixAndEveryTailIsRefused) {
  for (const MessageType& type : message_types()) refuses_every_part(type);
}

// Puts extreme values at every place of the payload that could be a count. Whatever decodes is
// within limits, because it encodes again, and encoding checks.
void refuses_extremes(const MessageType& type) {
  SCOPED_TRACE(type.name);
  Filler filler(Fill::kRandom, 7);
  const std::unique_ptr<AnyMessage> sent = filled(type, filler);
  const std::vector<std::byte> bytes = encoded(*sent);
  for (size_t at = sizeof(RecordHeader); at + 4 <= bytes.size(); at += 4) {
    for (const uint32_t value : {UINT32_MAX, UINT32_MAX - 7, 0x80000000u, 0x7fffffffu, 0x10000u,
                                 limits::record_bytes_max, 0u}) {
      std::vector<std::byte> changed = bytes;
      std::memcpy(changed.data() + at, &value, sizeof value);
      const Exact whole = exact(changed);
      const std::unique_ptr<AnyMessage> got = type.make();
      Fault fault;
      if (got->decode(whole.record(), fault)) {
        EXPECT_EQ(encoded(*got).size(), changed.size());
      } else {
        EXPECT_NE(fault.reason, FaultReason::kNone);
      }
    }
  }
}

TEST(Messages, ExtremeLengthsAreRefused) {
  for (const MessageType& type : message_types()) refuses_extremes(type);
}

void stands_mutations(const MessageType& type) {
  SCOPED_TRACE(type.name);
  Random random(0xfa51a9e);
  for (int round = 0; round < 300; ++round) {
    Filler filler(Fill::kRandom, random.next());
    const std::unique_ptr<AnyMessage> sent = filled(type, filler);
    std::vector<std::byte> bytes = encoded(*sent);
    const size_t payload_bytes = bytes.size() - sizeof(RecordHeader);
    for (uint64_t changes = random.below(6) + 1; payload_bytes != 0 && changes != 0; --changes) {
      bytes[sizeof(RecordHeader) + random.below(payload_bytes)] =
          static_cast<std::byte>(random.next());
    }
    if (random.below(4) == 0) bytes.resize(sizeof(RecordHeader) + random.below(payload_bytes + 1));
    const Exact whole = exact(bytes);
    const std::unique_ptr<AnyMessage> got = type.make();
    Fault fault;
    if (got->decode(whole.record(), fault)) {
      (void)got->describe();
      EXPECT_EQ(encoded(*got).size(), bytes.size());
    }
  }
}

TEST(Messages, RandomMutationsNeverReadOutside) {
  for (const MessageType& type : message_types()) stands_mutations(type);
}

// Decoding as what it is not.
void refuses_another_op(const MessageType& type) {
  SCOPED_TRACE(type.name);
  Filler filler(Fill::kRandom, 1);
  const std::unique_ptr<AnyMessage> sent = filled(type, filler);
  std::vector<std::byte> bytes = encoded(*sent);
  for (const bool change_op : {true, false}) {
    RecordHeader header = header_of(bytes);
    if (change_op) {
      header.op ^= 0x4000;
    } else {
      header.flags ^= kReply;
    }
    const Record record{header, std::span<const std::byte>(bytes).subspan(sizeof header)};
    const std::unique_ptr<AnyMessage> got = type.make();
    Fault fault;
    EXPECT_FALSE(got->decode(record, fault));
    EXPECT_EQ(fault.reason, FaultReason::kWrongDirection);
  }
}

TEST(Messages, AnotherOpOrTheOtherDirectionIsRefused) {
  for (const MessageType& type : message_types()) refuses_another_op(type);
}

TEST(Messages, AHandleOfTheWrongKindIsRefused) {
  message::StreamDestroy sent{StreamId::make(5, 1)};
  std::vector<std::byte> bytes(message::encoded_bytes(sent));
  message::encode(bytes, sent, kSequence);
  const uint64_t event = EventId::make(5, 1).bits();
  for (const uint64_t bits : {event, uint64_t{0}, uint64_t{1}, uint64_t{2}, UINT64_MAX}) {
    std::memcpy(bytes.data() + sizeof(RecordHeader), &bits, sizeof bits);
    const Exact whole = exact(bytes);
    message::StreamDestroy got;
    Fault fault;
    EXPECT_FALSE(message::decode(whole.record(), got, fault));
    EXPECT_EQ(fault.reason, FaultReason::kWrongKind);
    EXPECT_STREQ(fault.field, "stream_destroy.stream");
    EXPECT_EQ(fault.value, bits);
  }
}

TEST(Messages, AValueOverItsLimitIsRefusedByName) {
  const std::vector<std::byte> params(64);
  message::Launch sent;
  sent.stream = StreamId::legacy(0);
  sent.kernel = KernelId::make(1, 1);
  sent.params = params;
  std::vector<std::byte> bytes(message::encoded_bytes(sent));
  message::encode(bytes, sent, kSequence);
  const uint32_t count = limits::param_bytes_max + 1;
  std::memcpy(bytes.data() + sizeof(RecordHeader) + 52, &count, sizeof count);
  const Exact whole = exact(bytes);
  message::Launch got;
  Fault fault;
  ASSERT_FALSE(message::decode(whole.record(), got, fault));
  EXPECT_EQ(fault.text(), "launch.params: over its limit (32765, limit 32764)");
}

TEST(MessagesDeathTest, EncodingOverALimitIsOurOwnFault) {
  const std::vector<std::byte> params(limits::param_bytes_max + 1);
  message::Launch launch;
  launch.stream = StreamId::legacy(0);
  launch.kernel = KernelId::make(1, 1);
  launch.params = params;
  std::vector<std::byte> space(message::encoded_bytes(launch));
  EXPECT_DEATH(message::encode(space, launch, 1), "launch.params is over param_bytes_max");
  launch.params = {};
  space.resize(message::encoded_bytes(launch) - 8);
  EXPECT_DEATH(message::encode(space, launch, 1), "longer than the space made for it");
  launch.kernel = KernelId();
  EXPECT_DEATH(message::encode(space, launch, 1), "");
}

void has_a_prefix(const MessageType& type) {
  const std::unique_ptr<AnyMessage> sent = type.make();
  if (!sent->set_prefix(-7, 41)) return;
  const std::vector<std::byte> bytes = encoded(*sent);
  const Exact whole = exact(bytes);
  ReplyPrefix prefix;
  Fault fault;
  ASSERT_TRUE(decode(whole.record(), prefix, fault)) << type.name;
  EXPECT_EQ(prefix.result, -7);
  EXPECT_EQ(prefix.executed, 41u);
}

TEST(Messages, ThePrefixOfEveryReplyIsReadable) {
  for (const MessageType& type : message_types()) has_a_prefix(type);
}

TEST(Messages, OpNames) {
  EXPECT_STREQ(op_name(53), "launch");
  EXPECT_EQ(op_name(12345), nullptr);
  EXPECT_FALSE(client_ops().empty());
  EXPECT_FALSE(server_ops().empty());
}

}  // namespace
}  // namespace farlane::protocol
