// Long streams over every transport: nothing lost, doubled, reordered or altered.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "transport/test_support.h"

namespace farlane::transport::testing {
namespace {

class ConformanceStream : public ::testing::TestWithParam<Variant> {
 protected:
  ConformanceStream() { RecordProperty("seed", std::to_string(test_seed())); }
  Pair pair_ = make_pair(GetParam());
};

INSTANTIATE_TEST_SUITE_P(Channels, ConformanceStream, ::testing::ValuesIn(all_variants()),
                         [](const auto& variant) { return name_of(variant.param); });

#ifdef __SANITIZE_THREAD__  // which looks at every byte: no other races are in the rest
constexpr uint64_t kStreamBytes = 40'000'000;
#else
constexpr uint64_t kStreamBytes = 200'000'000;
#endif
constexpr size_t kPatternBytes = 2 * 1024 * 1024;

// What frame `i` of a stream consists of. Every body is a window of one long pattern.
size_t body_bytes_of(uint64_t i) {
  return i * 7919 * 61 % (1024 * 1024);
}
size_t offset_of(uint64_t i) {
  return i * 104'729 % (kPatternBytes - 1024 * 1024);
}

struct Head {
  uint64_t index;
  uint64_t checksum;
};

// FNV-1a over words: a second, independent opinion beside the comparison with the pattern.
uint64_t checksum_of(Bytes bytes) {
  uint64_t sum = 0xcbf29ce484222325;
  for (size_t i = 0; i + 8 <= bytes.size(); i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, sizeof(word));
    sum = (sum ^ word) * 0x100000001b3;
  }
  return sum ^ bytes.size();
}

class Checker final : public FrameSink {
 public:
  explicit Checker(const std::vector<std::byte>& expected)
      : expected_(expected), memory_(1024 * 1024) {}
  uint64_t frames() const { return frames_; }
  uint64_t bytes() const { return bytes_; }
  bool failed() const { return failed_; }

  MutableBytes place(Bytes, uint32_t body_bytes) override {
    return MutableBytes(memory_).first(body_bytes);
  }
  void deliver(Bytes head_bytes, MutableBytes body) override {
    Head head{};
    std::memcpy(&head, head_bytes.data(), sizeof(head));
    failed_ = failed_ || head.index != frames_ || body.size() != body_bytes_of(frames_) ||
              head.checksum != checksum_of(body) ||
              !std::equal(body.begin(), body.end(), expected_.begin() + offset_of(frames_));
    ++frames_;
    bytes_ += body.size();
  }

 private:
  const std::vector<std::byte>& expected_;
  std::vector<std::byte> memory_;
  uint64_t frames_ = 0;
  uint64_t bytes_ = 0;
  bool failed_ = false;
};

// One side: sends its stream and checks the other's, both on one thread that waits for either.
void exchange(Channel& channel, const std::vector<std::byte>& ours,
              const std::vector<std::byte>& theirs) {
  const Deadline deadline = patience() + std::chrono::seconds(40);
  Checker checker(theirs);
  uint64_t sent_frames = 0;
  uint64_t sent_bytes = 0;
  while (checker.bytes() < kStreamBytes || sent_bytes < kStreamBytes || !channel.drained()) {
    bool moved = false;
    if (sent_bytes < kStreamBytes) {
      const Bytes body = Bytes(ours).subspan(offset_of(sent_frames), body_bytes_of(sent_frames));
      const Head head{sent_frames, checksum_of(body)};
      if (channel.send({std::as_bytes(std::span(&head, 1)), {&body, 1}}) == SendStatus::kSent) {
        ++sent_frames;
        sent_bytes += body.size();
        moved = true;
      }
    } else {
      ASSERT_NE(channel.flush(), SendStatus::kGone);
    }
    const bool reads = checker.bytes() < kStreamBytes;
    if (reads && channel.receive(checker) == ReceiveStatus::kDelivered) {
      moved = true;
    }
    ASSERT_FALSE(checker.failed()) << "frame " << checker.frames();
    const bool writes = sent_bytes < kStreamBytes || !channel.drained();
    if (!moved && (reads || writes)) {
      ASSERT_FALSE(channel.wait(reads, writes, deadline).timed_out) << channel.close_reason();
    }
  }
}

TEST_P(ConformanceStream, LongStreamsEachWayAtOnce) {
  const auto from_a = pattern(kPatternBytes, 1);
  const auto from_b = pattern(kPatternBytes, 2);
  std::thread at_b([&] { exchange(*pair_.b, from_b, from_a); });
  exchange(*pair_.a, from_a, from_b);
  at_b.join();
}

TEST_P(ConformanceStream, HundredThousandSmallFramesKeepTheirOrder) {
  constexpr uint64_t kFrames = 100'000;
  std::thread sender([&] {
    for (uint64_t i = 0; i < kFrames; ++i) {
      const Head head{i, ~i};
      // Odd sizes too, so that heads arrive at every alignment.
      const Bytes bytes = std::as_bytes(std::span(&head, 1)).first(8 + i % 9);
      ASSERT_EQ(send_frame(*pair_.a, bytes), SendStatus::kSent);
    }
    ASSERT_EQ(drain(*pair_.a), SendStatus::kSent);
  });
  class Counter final : public FrameSink {
   public:
    uint64_t next = 0;
    bool in_order = true;
    MutableBytes place(Bytes, uint32_t) override { return {}; }
    void deliver(Bytes head, MutableBytes) override {
      uint64_t index = 0;
      std::memcpy(&index, head.data(), sizeof(index));
      in_order = in_order && index == next && head.size() == 8 + next % 9 &&
                 reinterpret_cast<uintptr_t>(head.data()) % 8 == 0;
      ++next;
    }
  } counter;
  while (counter.next < kFrames && counter.in_order) {
    ASSERT_EQ(receive_frame(*pair_.b, counter), ReceiveStatus::kDelivered);
  }
  EXPECT_TRUE(counter.in_order) << "frame " << counter.next;
  sender.join();
}

}  // namespace
}  // namespace farlane::transport::testing
