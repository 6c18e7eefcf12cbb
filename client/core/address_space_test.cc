#include "client/core/address_space.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

namespace farlane::client {
namespace {

constexpr uint64_t kBase = uint64_t{1} << 44;
constexpr uint64_t kMiB = 1 << 20;

// A server with so much physical memory, which checks what it is asked for.
class FakeBacking : public Backing {
 public:
  explicit FakeBacking(uint64_t physical_bytes) : left_(physical_bytes) {}

  CUresult extent_create(uint64_t address, uint64_t bytes) override {
    EXPECT_EQ(address % (2 * kMiB), 0u);
    EXPECT_EQ(bytes % (2 * kMiB), 0u);
    for (const auto& [start, size] : extents_) {
      EXPECT_TRUE(address + bytes <= start || start + size <= address) << "overlapping extents";
    }
    if (bytes > left_) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    left_ -= bytes;
    extents_[address] = bytes;
    return CUDA_SUCCESS;
  }
  void extent_release(uint64_t address, uint64_t bytes) override {
    auto found = extents_.find(address);
    ASSERT_NE(found, extents_.end());
    EXPECT_EQ(found->second, bytes) << "only whole extents can be given back";
    left_ += bytes;
    extents_.erase(found);
  }
  void reuse_fence() override { ++fences_; }

  bool is_backed(uint64_t address, uint64_t bytes) const {
    auto after = extents_.upper_bound(address);
    return after != extents_.begin() &&
           address + bytes <= std::prev(after)->first + std::prev(after)->second;
  }
  int fences() const { return fences_; }
  size_t extents() const { return extents_.size(); }

 private:
  uint64_t left_;
  std::map<uint64_t, uint64_t> extents_;
  int fences_ = 0;
};

AddressSpaceOptions options() {
  AddressSpaceOptions made;
  made.base = kBase;
  made.bytes = uint64_t{1} << 40;
  return made;
}

uint64_t must_allocate(AddressSpace& space, uint64_t bytes,
                       uint64_t stream = AddressSpace::kAnyStream) {
  uint64_t address = 0;
  EXPECT_EQ(space.allocate(bytes, stream, stream != AddressSpace::kAnyStream, &address),
            CUDA_SUCCESS);
  return address;
}

TEST(AddressSpace, SmallBlocksShareOneExtent) {
  FakeBacking backing(1 << 30);
  AddressSpace space;
  space.open(options(), &backing);
  for (int i = 0; i < 100; ++i) {
    must_allocate(space, 1000);
  }
  EXPECT_EQ(backing.extents(), 1u);
  EXPECT_EQ(space.bytes_in_use(), 100'000u);
}

TEST(AddressSpace, OutOfMemoryIsExact) {
  // 40 MiB: one 32 MiB extent fits, the second does not, but its exact 8 MiB do.
  FakeBacking backing(40 * kMiB);
  AddressSpace space;
  space.open(options(), &backing);
  must_allocate(space, 32 * kMiB);
  const uint64_t last = must_allocate(space, 8 * kMiB);
  uint64_t address = 0;
  EXPECT_EQ(space.allocate(1, AddressSpace::kAnyStream, false, &address), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_TRUE(space.free(last, AddressSpace::kAnyStream));
  EXPECT_EQ(space.allocate(8 * kMiB, AddressSpace::kAnyStream, false, &address), CUDA_SUCCESS);
}

TEST(AddressSpace, FreeExtentsAreGivenBackBeforeOutOfMemory) {
  FakeBacking backing(64 * kMiB);
  AddressSpace space;
  space.open(options(), &backing);
  const uint64_t first = must_allocate(space, 32 * kMiB);
  const uint64_t second = must_allocate(space, 32 * kMiB);
  space.free(first, AddressSpace::kAnyStream);
  space.free(second, AddressSpace::kAnyStream);
  must_allocate(space, 64 * kMiB);
  EXPECT_EQ(backing.extents(), 1u);
}

TEST(AddressSpace, CachedExtentsAreLimited) {
  FakeBacking backing(uint64_t{8} << 30);
  AddressSpace space;
  AddressSpaceOptions small_cache = options();
  small_cache.cached_bytes_max = 64 * kMiB;
  space.open(small_cache, &backing);
  std::vector<uint64_t> blocks;
  for (int i = 0; i < 8; ++i) {
    blocks.push_back(must_allocate(space, 32 * kMiB));
  }
  for (uint64_t block : blocks) {
    space.free(block, AddressSpace::kAnyStream);
  }
  EXPECT_EQ(space.bytes_free(), 64 * kMiB);
}

TEST(AddressSpace, MoreIsHeldWhereAPoolWantsIt) {
  FakeBacking backing(uint64_t{8} << 30);
  AddressSpace space;
  AddressSpaceOptions small_cache = options();
  small_cache.cached_bytes_max = 64 * kMiB;
  space.open(small_cache, &backing);
  constexpr uint64_t kStream = 7;
  space.hold(1 << 30);
  // A training step: it takes and gives back the same, again and again.
  for (int step = 0; step < 4; ++step) {
    std::vector<uint64_t> blocks;
    for (const uint64_t size : {300 * kMiB, 50 * kMiB, 200 * kMiB, kMiB}) {
      blocks.push_back(must_allocate(space, size, kStream));
    }
    for (const uint64_t block : blocks) {
      EXPECT_TRUE(space.free(block, kStream));
    }
  }
  EXPECT_EQ(space.counters().extents_created, 4u) << "only the first step asked";
  EXPECT_EQ(space.counters().extents_released, 0u);
  // Part of it goes back by name, the rest when the pool no longer wants it.
  space.trim(100 * kMiB);
  EXPECT_EQ(space.bytes_free(), (50 + 32) * kMiB);
  const uint64_t taken = must_allocate(space, 50 * kMiB, kStream);
  space.hold(0);
  EXPECT_EQ(space.bytes_free(), 32 * kMiB);
  EXPECT_TRUE(space.free(taken, kStream));
  EXPECT_EQ(space.bytes_free(), 32 * kMiB) << "the limit of the options holds again";
}

TEST(AddressSpace, ABigBlockGoesBackAtOnce) {
  FakeBacking backing(1 << 30);
  AddressSpace space;
  space.open(options(), &backing);
  const uint64_t block = must_allocate(space, 64 * kMiB);
  EXPECT_TRUE(space.free(block, AddressSpace::kAnyStream));
  EXPECT_FALSE(backing.is_backed(block, 1)) << "touching it is an illegal address, as in CUDA";
  EXPECT_EQ(space.bytes_free(), 0u);
}

TEST(AddressSpace, ReuseIsFencedUnlessItIsSafe) {
  FakeBacking backing(1 << 30);
  AddressSpace space;
  AddressSpaceOptions one_extent = options();
  space.open(one_extent, &backing);
  // The whole extent, so that the next block must come from what was freed.
  uint64_t block = must_allocate(space, 32 * kMiB);
  space.free(block, AddressSpace::kAnyStream);
  EXPECT_EQ(must_allocate(space, 32 * kMiB), block);
  EXPECT_EQ(backing.fences(), 1) << "another stream may still use it";
  // After a synchronisation it is safe.
  space.free(block, AddressSpace::kAnyStream);
  space.all_work_finished();
  EXPECT_EQ(must_allocate(space, 32 * kMiB), block);
  EXPECT_EQ(backing.fences(), 1);
  // A stream may have its own block back at once, another stream may not.
  space.free(block, 7);
  EXPECT_EQ(must_allocate(space, 32 * kMiB, 7), block);
  EXPECT_EQ(backing.fences(), 1);
  space.free(block, 7);
  EXPECT_EQ(must_allocate(space, 32 * kMiB, 8), block);
  EXPECT_EQ(backing.fences(), 2);
}

TEST(AddressSpace, FreeTakesOnlyLiveStarts) {
  FakeBacking backing(1 << 30);
  AddressSpace space;
  space.open(options(), &backing);
  const uint64_t block = must_allocate(space, 4096);
  EXPECT_FALSE(space.free(block + 512, AddressSpace::kAnyStream));
  EXPECT_FALSE(space.free(kBase - 512, AddressSpace::kAnyStream));
  EXPECT_TRUE(space.free(block, AddressSpace::kAnyStream));
  EXPECT_FALSE(space.free(block, AddressSpace::kAnyStream)) << "freed twice";
}

TEST(AddressSpace, RangesAreExact) {
  FakeBacking backing(1 << 30);
  AddressSpace space;
  space.open(options(), &backing);
  const uint64_t block = must_allocate(space, 1000);
  EXPECT_TRUE(space.is_inside(block, 1000));
  EXPECT_TRUE(space.is_inside(block + 999, 1));
  EXPECT_FALSE(space.is_inside(block, 1001)) << "the rounding is not the program's";
  EXPECT_FALSE(space.is_inside(block + 1000, 0));
  EXPECT_FALSE(space.is_inside(block + 1, UINT64_MAX));
}

TEST(AddressSpace, RandomUseKeepsBlocksApart) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  FakeBacking backing(512 * kMiB);
  AddressSpace space;
  AddressSpaceOptions small_cache = options();
  small_cache.cached_bytes_max = 32 * kMiB;
  space.open(small_cache, &backing);
  std::map<uint64_t, uint64_t> live;  // start, bytes
  for (int i = 0; i < 20'000; ++i) {
    if (live.empty() || random() % 5 < 3) {
      const uint64_t bytes = 1 + random() % (random() % 50 == 0 ? 64 * kMiB : 100'000);
      const uint64_t stream = random() % 4;
      uint64_t address = 0;
      const CUresult result = space.allocate(bytes, stream, stream != 0, &address);
      if (result == CUDA_ERROR_OUT_OF_MEMORY) {
        continue;
      }
      ASSERT_EQ(result, CUDA_SUCCESS);
      ASSERT_EQ(address % AddressSpace::kAlignmentBytes, 0u);
      ASSERT_TRUE(backing.is_backed(address, bytes));
      auto after = live.lower_bound(address);
      ASSERT_TRUE(after == live.end() || address + bytes <= after->first);
      ASSERT_TRUE(after == live.begin() ||
                  std::prev(after)->first + std::prev(after)->second <= address);
      live[address] = bytes;
    } else {
      auto victim = std::next(live.begin(), static_cast<long>(random() % live.size()));
      ASSERT_TRUE(space.free(victim->first, random() % 4));
      live.erase(victim);
    }
  }
  for (const auto& [address, bytes] : live) {
    ASSERT_TRUE(space.free(address, AddressSpace::kAnyStream));
  }
  EXPECT_EQ(space.bytes_in_use(), 0u);
  // Everything is whole again: nothing was lost to fragments.
  must_allocate(space, 512 * kMiB);
}

}  // namespace
}  // namespace farlane::client
