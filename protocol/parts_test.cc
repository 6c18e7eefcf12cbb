// Handles, reader, writer, record cursor, UTF-8, pages of kernels.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <unordered_set>
#include <vector>

#include "generated/protocol/messages.h"
#include "protocol/append.h"
#include "protocol/handles.h"
#include "protocol/kernel_pages.h"
#include "protocol/limits.h"
#include "protocol/reader.h"
#include "protocol/utf8.h"
#include "protocol/writer.h"

namespace farlane::protocol {
namespace {

TEST(Handles, KeepIndexGenerationAndKind) {
  const EventId event = EventId::make(7, 3);
  EXPECT_TRUE(event.is_valid());
  EXPECT_EQ(event.index(), 7u);
  EXPECT_EQ(event.generation(), 3u);
  EXPECT_EQ(EventId::from_bits(event.bits()), event);
  EXPECT_FALSE(StreamId::from_bits(event.bits()).is_valid());
  EXPECT_FALSE(EventId().is_valid());
  EXPECT_EQ(describe(event), "event 7.3");
  EXPECT_EQ(describe(EventId()), "not a event 0x0");
}

TEST(Handles, AreNeverAValueThatCudaReserves) {
  for (const uint64_t bits :
       {StreamId::make(0, 0).bits(), EventId::make(0, 0).bits(), ModuleId::make(0, 0).bits(),
        KernelId::make(0, 0).bits(), StreamId::legacy(0).bits()}) {
    EXPECT_GT(bits, 2u);
  }
}

TEST(Handles, TheLegacyStreamIsNoMadeStream) {
  const StreamId legacy = StreamId::legacy(4);
  EXPECT_TRUE(legacy.is_valid());
  EXPECT_TRUE(legacy.is_legacy());
  EXPECT_EQ(legacy.index(), 4u);
  EXPECT_EQ(describe(legacy), "stream legacy 4");
  EXPECT_FALSE(StreamId::make(4, StreamId::kGenerationMax).is_legacy());
  EXPECT_FALSE(StreamId().is_legacy());
}

TEST(HandlesDeathTest, TheReservedGenerationCannotBeMade) {
  EXPECT_DEATH(StreamId::make(0, StreamId::kGenerationMax + 1), "generation has 24 bits");
}

TEST(Handles, HashAndCompare) {
  std::unordered_set<KernelId> set;
  for (uint32_t i = 0; i < 100; ++i) set.insert(KernelId::make(i, 0));
  EXPECT_EQ(set.size(), 100u);
  EXPECT_TRUE(set.contains(KernelId::make(5, 0)));
  EXPECT_FALSE(set.contains(KernelId::make(5, 1)));
  EXPECT_LT(KernelId::make(5, 0), KernelId::make(5, 1));
}

struct Pair {
  uint32_t first = 0;
  uint32_t second = 0;
};

TEST(Reader, TheFirstFaultStays) {
  alignas(8) const std::array<std::byte, 8> payload{};
  Reader in(payload);
  Pair pair;
  in.fixed(pair, "first");
  EXPECT_TRUE(in.ok());
  in.fixed(pair, "second");
  EXPECT_TRUE(in.bytes(5, 4, "third").empty());
  EXPECT_TRUE(in.string(1, 4, "fourth").empty());
  EXPECT_TRUE(in.list<Pair>(1, 4, "fifth").empty());
  EXPECT_EQ(in.count(1, 4, 8, "sixth"), 0u);
  Fault fault;
  EXPECT_FALSE(in.finish(fault, "all"));
  EXPECT_STREQ(fault.field, "second");
  EXPECT_EQ(fault.reason, FaultReason::kTruncated);
  EXPECT_EQ(fault.text(), "second: truncated (0 bytes, needs 8)");
}

TEST(Reader, ACountThatCannotFitAllocatesNothing) {
  alignas(8) const std::array<std::byte, 32> payload{};
  Reader in(payload);
  EXPECT_EQ(in.count(4, 1000, 8, "fits"), 4u);
  EXPECT_EQ(in.count(5, 1000, 8, "does not fit"), 0u);
  EXPECT_FALSE(in.ok());
}

TEST(Reader, RefusesAPayloadOffItsAlignment) {
  alignas(8) const std::array<std::byte, 24> memory{};
  Reader in{std::span<const std::byte>(memory).subspan(4, 16)};
  Fault fault;
  EXPECT_FALSE(in.finish(fault, "all"));
  EXPECT_EQ(fault.reason, FaultReason::kMisaligned);
}

TEST(Writer, PadsWithZeros) {
  std::array<std::byte, 24> out;
  out.fill(std::byte{0xee});
  Writer writer(out);
  writer.string("abc");
  writer.bytes({});
  writer.fixed(Pair{1, 2});
  EXPECT_EQ(writer.written(), 16u);
  const std::array<uint8_t, 16> expected = {'a', 'b', 'c', 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0};
  EXPECT_EQ(std::memcmp(out.data(), expected.data(), expected.size()), 0);
  EXPECT_EQ(out[16], std::byte{0xee});
}

TEST(WriterDeathTest, AnOverrunIsOurOwnFault) {
  std::array<std::byte, 8> out;
  Writer writer(out);
  writer.fixed(Pair{});
  EXPECT_DEATH(writer.string("x"), "longer than the space");
}

TEST(RecordCursor, WalksTheRecordsOfAFrame) {
  std::vector<std::byte> frame;
  append_record(frame, message::ClientAlive{}, 1);
  append_record(frame, message::EventDestroy{EventId::make(1, 1)}, 2);
  RecordCursor records(frame);
  Record record;
  ASSERT_TRUE(records.next(record));
  EXPECT_EQ(record.header.sequence, 1u);
  EXPECT_TRUE(record.payload.empty());
  EXPECT_FALSE(records.at_end());
  ASSERT_TRUE(records.next(record));
  EXPECT_EQ(record.header.sequence, 2u);
  EXPECT_TRUE(records.at_end());
  EXPECT_FALSE(records.next(record));
  EXPECT_FALSE(records.fault());
}

FaultReason reason_for(uint32_t record_bytes, size_t frame_bytes, size_t misalignment = 0) {
  std::vector<uint64_t> memory(frame_bytes / 8 + 2);
  std::byte* begin = reinterpret_cast<std::byte*>(memory.data()) + misalignment;
  std::memcpy(begin, &record_bytes, sizeof record_bytes);
  RecordCursor records({begin, frame_bytes});
  Record record;
  EXPECT_FALSE(records.next(record));
  EXPECT_FALSE(records.next(record));
  return records.fault().reason;
}

TEST(RecordCursor, RefusesMalformedRecords) {
  EXPECT_EQ(reason_for(0, 64), FaultReason::kTruncated);
  EXPECT_EQ(reason_for(8, 64), FaultReason::kTruncated);
  EXPECT_EQ(reason_for(72, 64), FaultReason::kTruncated);
  EXPECT_EQ(reason_for(UINT32_MAX - 7, 64), FaultReason::kOverLimit);
  EXPECT_EQ(reason_for(20, 64), FaultReason::kMisaligned);
  EXPECT_EQ(reason_for(16, 64, 4), FaultReason::kMisaligned);
  EXPECT_EQ(reason_for(16, 12), FaultReason::kTruncated);
  EXPECT_EQ(reason_for(limits::record_bytes_max + 8, limits::record_bytes_max + 64),
            FaultReason::kOverLimit);
}

TEST(Utf8, KeepsWellFormedTextAndMarksTheRest) {
  EXPECT_EQ(utf8_or_question_marks("héllo €𝄞"), "héllo €𝄞");
  EXPECT_EQ(utf8_or_question_marks("a\xff\xc3"), "a??");
  EXPECT_EQ(utf8_or_question_marks("\xc0\x80"), "??");            // an overlong zero
  EXPECT_EQ(utf8_or_question_marks("\xed\xa0\x80"), "???");       // a surrogate
  EXPECT_EQ(utf8_or_question_marks("\xf4\x90\x80\x80"), "????");  // past the last code point
}

TEST(KernelPages, EveryKernelIsOnOnePage) {
  const std::string name(limits::name_bytes_max, 'n');
  std::vector<message::KernelFacts> all(40);
  for (size_t i = 0; i < all.size(); ++i) {
    all[i].name = name;
    all[i].param_bytes = static_cast<uint32_t>(i);
  }
  size_t first = 0;
  size_t pages = 0;
  while (first < all.size()) {
    message::KernelsMoreReply page;
    page.kernels = pack_kernels(all, first);
    ASSERT_FALSE(page.kernels.empty());
    EXPECT_LE(message::encoded_bytes(page), limits::record_bytes_max);
    EXPECT_EQ(page.kernels.front().param_bytes, first);
    first += page.kernels.size();
    ++pages;
  }
  EXPECT_EQ(first, all.size());
  EXPECT_GT(pages, 1u);
  EXPECT_TRUE(pack_kernels(all, all.size()).empty());
}

}  // namespace
}  // namespace farlane::protocol
