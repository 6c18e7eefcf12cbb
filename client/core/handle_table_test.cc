#include "client/core/handle_table.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

namespace farlane::client {
namespace {

struct Thing {
  int value = 0;
  void reset() { value = 0; }
};
using Things = HandleTable<Thing, protocol::HandleKind::kStream>;

TEST(HandleTable, FindsWhatItMade) {
  auto things = std::make_unique<Things>();
  uint64_t bits = 0;
  Thing* made = things->create(&bits);
  made->value = 7;
  EXPECT_EQ(things->find(bits), made);
  EXPECT_TRUE(protocol::StreamId::from_bits(bits).is_valid());
  EXPECT_GT(bits, 2u) << "0, 1 and 2 are CUDA's";
}

TEST(HandleTable, StaleAndForeignHandlesFindNothing) {
  auto things = std::make_unique<Things>();
  uint64_t bits = 0;
  things->create(&bits);
  EXPECT_TRUE(things->destroy(bits));
  EXPECT_EQ(things->find(bits), nullptr);
  EXPECT_FALSE(things->destroy(bits));
  uint64_t again = 0;
  Thing* reused = things->create(&again);
  EXPECT_NE(again, bits) << "the index is used again under another generation";
  EXPECT_EQ(reused->value, 0);
  EXPECT_EQ(things->find(bits), nullptr);
  for (uint64_t other : {uint64_t{0}, uint64_t{1}, UINT64_MAX, again + 1,
                         again ^ (uint64_t{1} << 60), uint64_t{0xdeadbeef}}) {
    EXPECT_EQ(things->find(other), nullptr) << other;
  }
}

// What was given up may not be gone on the server yet.
TEST(HandleTable, AnIndexRestsBeforeItIsUsedAgain) {
  auto things = std::make_unique<Things>();
  std::set<uint32_t> indices;
  uint64_t first = 0;
  for (size_t i = 0; i <= Things::kRestingMin; ++i) {
    uint64_t bits = 0;
    ASSERT_NE(things->create(&bits), nullptr);
    if (i == 0) {
      first = bits;
    }
    EXPECT_TRUE(indices.insert(static_cast<uint32_t>(bits)).second);
    EXPECT_TRUE(things->destroy(bits));
  }
  uint64_t again = 0;
  ASSERT_NE(things->create(&again), nullptr);
  EXPECT_EQ(static_cast<uint32_t>(again), static_cast<uint32_t>(first));
  EXPECT_NE(again, first);
}

TEST(HandleTable, HandlesAreUniqueOverManyAndOverChunks) {
  auto things = std::make_unique<Things>();
  std::set<uint64_t> seen;
  for (int round = 0; round < 3; ++round) {
    std::vector<uint64_t> now;
    for (uint32_t i = 0; i < Things::kChunkSlots + 10; ++i) {
      uint64_t bits = 0;
      ASSERT_NE(things->create(&bits), nullptr);
      EXPECT_TRUE(seen.insert(bits).second);
      now.push_back(bits);
    }
    for (uint64_t bits : now) {
      EXPECT_TRUE(things->destroy(bits));
    }
  }
}

// The server is told of a name's end between the two steps: until then no other name may take its
// place, however many are made and ended meanwhile.
TEST(HandleTable, IndexIsNotUsedAgainBeforeItIsRecycled) {
  auto things = std::make_unique<Things>();
  uint64_t ending = 0;
  ASSERT_NE(things->create(&ending), nullptr);
  ASSERT_TRUE(things->retire(ending));
  EXPECT_EQ(things->find(ending), nullptr);
  EXPECT_FALSE(things->retire(ending));
  EXPECT_FALSE(things->destroy(ending));
  std::set<uint32_t> indices;
  for (size_t i = 0; i < 4 * Things::kRestingMin; ++i) {
    uint64_t bits = 0;
    ASSERT_NE(things->create(&bits), nullptr);
    indices.insert(static_cast<uint32_t>(bits));
    EXPECT_TRUE(things->destroy(bits));
  }
  EXPECT_FALSE(indices.contains(static_cast<uint32_t>(ending)));
  things->recycle(ending);
  for (size_t i = 0; i < 4 * Things::kRestingMin; ++i) {
    uint64_t bits = 0;
    ASSERT_NE(things->create(&bits), nullptr);
    indices.insert(static_cast<uint32_t>(bits));
    EXPECT_TRUE(things->destroy(bits));
  }
  EXPECT_TRUE(indices.contains(static_cast<uint32_t>(ending)));
}

// What the server would refuse by ending the session is refused here.
TEST(HandleTable, NamesEndWhereTheServerHasNoRoomForMore) {
  auto events = std::make_unique<HandleTable<Thing, protocol::HandleKind::kEvent>>();
  uint64_t bits = 0;
  for (uint32_t i = 0; i < protocol::kHandleIndexMax; ++i) {
    ASSERT_NE(events->create(&bits), nullptr);
  }
  EXPECT_EQ(static_cast<uint32_t>(bits), protocol::kHandleIndexMax - 1);
  EXPECT_EQ(events->create(&bits), nullptr);
}

TEST(HandleTable, ThreadsMakeAndDestroyAtOnce) {
  auto things = std::make_unique<Things>();
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        uint64_t bits = 0;
        Thing* made = things->create(&bits);
        made->value = i;
        wrong += things->find(bits) != made || made->value != i;
        wrong += !things->destroy(bits);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace farlane::client
