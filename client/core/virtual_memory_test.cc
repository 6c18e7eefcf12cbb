#include "client/core/virtual_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <random>

#include "client/core/shared_descriptor.h"

namespace farlane::client {
namespace {

constexpr uint64_t kGranule = VirtualMemory::kGranularityBytes;
constexpr uint64_t kBottom = uint64_t{1} << 44;
constexpr uint64_t kEnd = kBottom + (uint64_t{1} << 36);

CUmemAllocationProp on_device(int device) {
  CUmemAllocationProp made{};
  made.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  made.location = {CU_MEM_LOCATION_TYPE_DEVICE, device};
  return made;
}

class Virtual : public testing::Test {
 protected:
  void SetUp() override { memory_.open(0, kBottom, kEnd); }
  uint64_t reserve(uint64_t granules, uint64_t alignment = 0, uint64_t hint = 0) {
    uint64_t at = 0;
    EXPECT_EQ(memory_.reserve(0, granules * kGranule, alignment, hint, &at), CUDA_SUCCESS);
    return at;
  }
  uint64_t make(uint64_t granules) {
    const uint64_t name = memory_.next_name();
    memory_.keep({name, 0, granules * kGranule, on_device(0)});
    return name;
  }
  VirtualMemory memory_;
};

TEST_F(Virtual, ReservationsNeverOverlapAndComeBack) {
  std::mt19937 random(7);
  std::map<uint64_t, uint64_t> live;
  for (int round = 0; round < 2000; ++round) {
    if (live.size() > 20 || (!live.empty() && random() % 2 == 0)) {
      auto victim = std::next(live.begin(), static_cast<long>(random() % live.size()));
      EXPECT_EQ(memory_.free(victim->first, victim->second), CUDA_SUCCESS);
      live.erase(victim);
      continue;
    }
    const uint64_t alignment = random() % 3 == 0 ? kGranule << (random() % 4) : 0;
    const uint64_t hint = random() % 3 == 0 ? kBottom + random() % 1000 * kGranule : 0;
    const uint64_t granules = 1 + random() % 50;
    const uint64_t at = reserve(granules, alignment, hint);
    EXPECT_EQ(at % (alignment == 0 ? kGranule : alignment), 0u);
    EXPECT_GE(at, kBottom);
    EXPECT_LE(at + granules * kGranule, kEnd);
    for (const auto& [start, bytes] : live) {
      EXPECT_TRUE(at + granules * kGranule <= start || start + bytes <= at);
    }
    live[at] = granules * kGranule;
  }
  for (const auto& [start, bytes] : live) {
    EXPECT_EQ(memory_.free(start, bytes), CUDA_SUCCESS);
  }
  // All of it is there again, in one piece.
  EXPECT_NE(reserve((kEnd - kBottom) / kGranule), 0u);
}

TEST_F(Virtual, AHintIsTakenWhereItIsFree) {
  const uint64_t wanted = kBottom + 100 * kGranule;
  EXPECT_EQ(reserve(4, 0, wanted), wanted);
  EXPECT_EQ(reserve(4, 0, wanted + 4 * kGranule), wanted + 4 * kGranule);
  EXPECT_NE(reserve(4, 0, wanted), wanted);
  EXPECT_EQ(memory_.free(wanted, 4 * kGranule), CUDA_SUCCESS);
  EXPECT_EQ(reserve(2, 0, wanted + kGranule), wanted + kGranule);
}

TEST_F(Virtual, OnlyWholeReservationsAreFreed) {
  const uint64_t at = reserve(4);
  EXPECT_EQ(memory_.free(at, 2 * kGranule), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(memory_.free(at + kGranule, 3 * kGranule), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(memory_.map(at, kGranule, make(1)), CUDA_SUCCESS);
  EXPECT_EQ(memory_.free(at, 4 * kGranule), CUDA_ERROR_INVALID_VALUE) << "still mapped";
  std::vector<uint64_t> gone;
  EXPECT_EQ(memory_.unmap(at, kGranule, &gone), CUDA_SUCCESS);
  EXPECT_EQ(memory_.free(at, 4 * kGranule), CUDA_SUCCESS);
  EXPECT_EQ(memory_.free(at, 4 * kGranule), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(Virtual, WhatIsThereIsCounted) {
  EXPECT_EQ(memory_.created_bytes(0), 0u);
  const uint64_t one = make(3);
  make(2);
  EXPECT_EQ(memory_.created_bytes(0), 5 * kGranule);
  EXPECT_EQ(memory_.created_bytes(1), 0u);
  bool gone = false;
  EXPECT_EQ(memory_.release(one, &gone), CUDA_SUCCESS);
  EXPECT_EQ(memory_.created_bytes(0), 2 * kGranule);
}

TEST_F(Virtual, MappingsAreChecked) {
  const uint64_t at = reserve(4);
  const uint64_t memory = make(2);
  EXPECT_EQ(memory_.map(at, 3 * kGranule, memory), CUDA_ERROR_NOT_SUPPORTED) << "too much";
  EXPECT_EQ(memory_.map(at + 256, kGranule, memory), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(memory_.map(at + 3 * kGranule, 2 * kGranule, memory), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(memory_.map(at, kGranule, memory + 1), CUDA_ERROR_INVALID_VALUE) << "no such memory";
  EXPECT_EQ(memory_.map(at + kGranule, 2 * kGranule, memory), CUDA_SUCCESS);
  EXPECT_EQ(memory_.map(at + 2 * kGranule, kGranule, memory), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(memory_.map(at, 2 * kGranule, memory), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(memory_.map(at, kGranule, memory), CUDA_SUCCESS) << "a second time elsewhere";
}

TEST_F(Virtual, AccessGoesWithWholeMappings) {
  const uint64_t at = reserve(4);
  for (uint64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(memory_.map(at + i * kGranule, kGranule, make(1)), CUDA_SUCCESS);
  }
  EXPECT_FALSE(memory_.is_accessible(at, 1));
  EXPECT_EQ(memory_.set_access(at, 2 * kGranule, 0, CU_MEM_ACCESS_FLAGS_PROT_READWRITE),
            CUDA_SUCCESS);
  EXPECT_EQ(memory_.set_access(at, 4 * kGranule, 0, CU_MEM_ACCESS_FLAGS_PROT_READWRITE),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_TRUE(memory_.is_accessible(at + 10, 2 * kGranule - 10));
  EXPECT_FALSE(memory_.is_accessible(at + 10, 2 * kGranule - 9));
  unsigned flags = 0;
  EXPECT_EQ(memory_.get_access(at + kGranule + 5, 0, &flags), CUDA_SUCCESS);
  EXPECT_EQ(flags, unsigned{CU_MEM_ACCESS_FLAGS_PROT_READWRITE});
  EXPECT_EQ(memory_.get_access(at + kGranule + 5, 1, &flags), CUDA_SUCCESS);
  EXPECT_EQ(flags, 0u);
  EXPECT_EQ(memory_.get_access(at + 3 * kGranule, 0, &flags), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(Virtual, MemoryLivesUntilNothingRefersToIt) {
  const uint64_t at = reserve(2);
  const uint64_t memory = make(1);
  std::vector<uint64_t> dropped;
  bool gone = true;
  EXPECT_EQ(memory_.map(at, kGranule, memory), CUDA_SUCCESS);
  EXPECT_EQ(memory_.release(memory, &gone), CUDA_SUCCESS);
  EXPECT_FALSE(gone);
  EXPECT_EQ(memory_.release(memory, &gone), CUDA_ERROR_INVALID_VALUE) << "no handle is left";
  EXPECT_EQ(memory_.map(at + kGranule, kGranule, memory), CUDA_ERROR_INVALID_VALUE);
  uint64_t again = 0;
  EXPECT_EQ(memory_.retain(at + 77, &again), CUDA_SUCCESS);
  EXPECT_EQ(again, memory);
  EXPECT_EQ(memory_.map(at + kGranule, kGranule, memory), CUDA_SUCCESS);
  EXPECT_EQ(memory_.release(again, &gone), CUDA_SUCCESS);
  EXPECT_FALSE(gone);
  EXPECT_EQ(memory_.unmap(at, kGranule, &dropped), CUDA_SUCCESS);
  EXPECT_TRUE(dropped.empty());
  EXPECT_EQ(memory_.unmap(at + kGranule, kGranule, &dropped), CUDA_SUCCESS);
  EXPECT_EQ(dropped, std::vector<uint64_t>{memory});
  EXPECT_EQ(memory_.retain(at, &again), CUDA_ERROR_INVALID_VALUE);
}

// An exported descriptor keeps memory as a handle does, though the program cannot name it any more.
TEST_F(Virtual, ADescriptorKeepsWhatItStandsFor) {
  const uint64_t name = make(1);
  VirtualMemory::Physical held;
  ASSERT_EQ(memory_.hold(name, &held), CUDA_SUCCESS);
  EXPECT_EQ(held.name, name);
  memory_.set_descriptor(name, SharedDescriptor::make({}));
  transport::Fd exported(memory_.descriptor(name)->open());
  ASSERT_TRUE(exported);
  bool gone = false;
  EXPECT_EQ(memory_.release(name, &gone), CUDA_SUCCESS);
  EXPECT_EQ(memory_.release(name, &gone), CUDA_SUCCESS);
  EXPECT_FALSE(gone);
  EXPECT_EQ(memory_.release(name, &gone), CUDA_ERROR_INVALID_VALUE) << "no handle is left";
  EXPECT_EQ(memory_.hold(name, &held), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(memory_.created_bytes(0), kGranule);
  EXPECT_TRUE(memory_.take_closed().empty());
  exported.reset();
  EXPECT_EQ(memory_.take_closed(), std::vector{name});
  EXPECT_TRUE(memory_.take_closed().empty());
  EXPECT_EQ(memory_.created_bytes(0), 0u);
}

TEST_F(Virtual, ADescriptorKeepsWhatIsUnmappedAndGoesWithItsDevice) {
  std::vector<transport::Fd> exported;
  for (int round = 0; round < 2; ++round) {
    const uint64_t name = make(1);
    const uint64_t at = reserve(1);
    ASSERT_EQ(memory_.map(at, kGranule, name), CUDA_SUCCESS);
    memory_.set_descriptor(name, SharedDescriptor::make({}));
    exported.emplace_back(memory_.descriptor(name)->open());
    bool gone = false;
    EXPECT_EQ(memory_.release(name, &gone), CUDA_SUCCESS);
    std::vector<uint64_t> ended;
    EXPECT_EQ(memory_.unmap(at, kGranule, &ended), CUDA_SUCCESS);
    EXPECT_TRUE(ended.empty());
  }
  exported.pop_back();
  EXPECT_EQ(memory_.take_closed().size(), 1u);
  memory_.forget(0);
  exported.clear();
  EXPECT_TRUE(memory_.take_closed().empty());
}

}  // namespace
}  // namespace farlane::client
