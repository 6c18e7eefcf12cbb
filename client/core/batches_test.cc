#include "client/core/batches.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>
#include <vector>

namespace farlane::client {
namespace {

constexpr size_t kBytes = 4096;

// A record here is its own number, as often as it fits.
void fill(const Batches::Place& place) {
  for (size_t at = 0; at < place.bytes.size(); at += sizeof place.sequence) {
    std::memcpy(place.bytes.data() + at, &place.sequence, sizeof place.sequence);
  }
}

uint64_t word(std::span<const std::byte> batch, size_t index) {
  uint64_t value = 0;
  std::memcpy(&value, batch.data() + index * sizeof value, sizeof value);
  return value;
}

TEST(Batches, PlacesFollowOneAnotherAndNumbersGoOn) {
  Batches batches(kBytes);
  for (uint64_t round = 0; round < 3; ++round) {
    EXPECT_TRUE(batches.close().empty());
    for (uint64_t i = 0; i < 4; ++i) {
      const Batches::Place place = batches.take(8 * (i + 1), kBytes);
      EXPECT_EQ(place.sequence, round * 4 + i + 1);
      fill(place);
      batches.commit(place);
    }
    EXPECT_EQ(batches.last_sequence(), round * 4 + 4);
    const std::span<const std::byte> closed = batches.close();
    ASSERT_EQ(closed.size(), 80u);
    EXPECT_EQ(word(closed, 0), round * 4 + 1);
    EXPECT_EQ(word(closed, 1), round * 4 + 2);
    EXPECT_EQ(word(closed, 9), round * 4 + 4);
  }
  EXPECT_EQ(batches.encoding_waits(), 0u);
}

TEST(Batches, AFullBatchTakesNothingButAnEmptyOneTakesAnyRecord) {
  Batches batches(kBytes);
  Batches::Place place = batches.take(1024, 512);
  EXPECT_EQ(place.sequence, 1u);
  fill(place);
  batches.commit(place);
  EXPECT_EQ(batches.take(8, 512).sequence, 0u);
  EXPECT_EQ(batches.close_with(kBytes).sequence, 0u);
  EXPECT_EQ(batches.last_sequence(), 1u) << "what found no room has no number";
  EXPECT_EQ(batches.close().size(), 1024u);
  place = batches.take(512, 512);
  EXPECT_EQ(place.sequence, 2u);
  batches.commit(place);
  EXPECT_EQ(batches.take(8, 512).sequence, 0u);
}

TEST(Batches, ARecordLongerThanABatchIsOurFault) {
  Batches batches(kBytes);
  EXPECT_DEATH(batches.take(kBytes + 8, kBytes), "longer than a batch");
}

TEST(Batches, TheLastPlaceComesWithTheClosing) {
  Batches batches(kBytes);
  const Batches::Place first = batches.take(16, kBytes);
  fill(first);
  batches.commit(first);
  const Batches::Place last = batches.close_with(24);
  EXPECT_EQ(last.sequence, 2u);
  EXPECT_EQ(last.before, 16u);
  const Batches::Place next = batches.take(8, kBytes);
  EXPECT_EQ(next.sequence, 3u);
  EXPECT_EQ(next.before, 0u);
  fill(last);
  const std::span<const std::byte> closed = batches.complete(last);
  ASSERT_EQ(closed.size(), 40u);
  EXPECT_EQ(word(closed, 1), 1u);
  EXPECT_EQ(word(closed, 4), 2u);
  fill(next);
  batches.commit(next);
  EXPECT_EQ(batches.close().size(), 8u);
}

TEST(Batches, ClosingWaitsForWhoIsStillEncoding) {
  Batches batches(kBytes);
  const Batches::Place first = batches.take(8, kBytes);
  const Batches::Place second = batches.take(8, kBytes);
  fill(second);
  batches.commit(second);
  std::thread closer([&] {
    const std::span<const std::byte> closed = batches.close();
    ASSERT_EQ(closed.size(), 16u);
    EXPECT_EQ(word(closed, 0), 1u);
    EXPECT_EQ(word(closed, 1), 2u);
  });
  while (batches.encoding_waits() == 0) {
    std::this_thread::yield();
  }
  fill(first);
  batches.commit(first);
  closer.join();
}

// Every record arrives once, in order, whole, whoever wrote it.
TEST(Batches, ManyThreadsFillOneOrder) {
  constexpr int kThreads = 4;
  constexpr int kEach = 5'000;
  Batches batches(kBytes);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        Batches::Place place;
        while ((place = batches.take(8 * (1 + (t + i) % 5), kBytes / 2)).sequence == 0) {
          std::this_thread::yield();
        }
        fill(place);
        batches.commit(place);
      }
    });
  }
  uint64_t expected = 1;
  int questions = 0;
  const auto look = [&](std::span<const std::byte> batch) {
    for (size_t i = 0; i < batch.size() / 8;) {
      ASSERT_EQ(word(batch, i), expected) << "at word " << i;
      while (i < batch.size() / 8 && word(batch, i) == expected) {
        ++i;
      }
      ++expected;
    }
  };
  while (expected <= uint64_t{kThreads} * kEach + questions) {
    if (expected % 3 == 0) {
      const Batches::Place place = batches.close_with(16);
      ++questions;
      fill(place);
      look(batches.complete(place));
    } else {
      look(batches.close());
    }
    if (HasFatalFailure()) {
      break;
    }
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(expected, batches.last_sequence() + 1);
}

}  // namespace
}  // namespace farlane::client
