// Names of streams, events and the like, made and ended by many threads at once.
#include <gtest/gtest.h>

#include <array>
#include <atomic>

#include "tests/system/rig.h"

namespace farlane::system_test {
namespace {

// A name's index is used again. Whichever thread does so, the server has to hear of the end of the
// one name before it hears of the next.
TEST(Names, ManyThreadsMakeAndEndThem) {
  Rig rig;
  Kernels kernels;
  ASSERT_EQ(kernels.load(), CUDA_SUCCESS);
  constexpr int kThreads = 12;
  constexpr int kRounds = 3000;
  std::atomic<int> failed = 0;
  std::vector<std::future<void>> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.push_back(rig.start([&, t] {
      for (int i = 0; i < kRounds && failed == 0; ++i) {
        std::array<CUevent, 4> events{};
        for (CUevent& event : events) {
          failed += client::event_create(0, CU_EVENT_DISABLE_TIMING, &event) != CUDA_SUCCESS;
        }
        if (t == 0) {
          CUstream stream = nullptr;
          failed += client::stream_create(0, CU_STREAM_NON_BLOCKING, 0, &stream) != CUDA_SUCCESS;
          failed += client::event_record(events[0], stream, 0) != CUDA_SUCCESS;
          failed += client::stream_destroy(stream) != CUDA_SUCCESS;
        }
        for (const CUevent event : events) {
          failed += client::event_destroy(event) != CUDA_SUCCESS;
        }
      }
    }));
  }
  for (auto& thread : threads) thread.get();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(client::device_synchronize(0), CUDA_SUCCESS);
  EXPECT_FALSE(client::session_if_any()->lost()) << client::session_if_any()->loss_sentence();
}

// Two threads end one name: one of them is told that there is no such thing, and nobody's session
// ends.
TEST(Names, OneOfTwoThreadsEndsAName) {
  Rig rig;
  for (int i = 0; i < 500; ++i) {
    CUevent event = nullptr;
    ASSERT_EQ(client::event_create(0, CU_EVENT_DISABLE_TIMING, &event), CUDA_SUCCESS);
    auto other = rig.start([&] { return client::event_destroy(event); });
    const CUresult mine = client::event_destroy(event);
    const CUresult theirs = other.get();
    EXPECT_TRUE((mine == CUDA_SUCCESS && theirs == CUDA_ERROR_INVALID_HANDLE) ||
                (theirs == CUDA_SUCCESS && mine == CUDA_ERROR_INVALID_HANDLE))
        << mine << " and " << theirs;
  }
  EXPECT_EQ(client::device_synchronize(0), CUDA_SUCCESS);
}

// As natively, a context takes with it what was made in it; a program that makes and destroys
// contexts needs no more than one's worth of memory.
TEST(Names, WhatWasMadeInAContextGoesWithIt) {
  Rig rig;
  CUdeviceptr outside = 0;
  ASSERT_EQ(client::memory_allocate(0, 4096, &outside), CUDA_SUCCESS);
  CUevent event = nullptr;
  CUstream stream = nullptr;
  CUdeviceptr block = 0;
  Kernels kernels;
  void* host = nullptr;
  for (int i = 0; i < 8; ++i) {
    CUcontext context = nullptr;
    ASSERT_EQ(client::context_create(0, 0, &context), CUDA_SUCCESS);
    ASSERT_EQ(client::context_push(context), CUDA_SUCCESS);
    ASSERT_EQ(kernels.load(), CUDA_SUCCESS);
    ASSERT_EQ(client::event_create(0, 0, &event), CUDA_SUCCESS);
    ASSERT_EQ(client::stream_create(0, CU_STREAM_NON_BLOCKING, 0, &stream), CUDA_SUCCESS);
    ASSERT_EQ(client::memory_allocate(0, kDeviceBytes / 2, &block), CUDA_SUCCESS) << i;
    ASSERT_EQ(client::host_allocate(4096, 0, &host), CUDA_SUCCESS);
    ASSERT_EQ(kernels.launch_store(stream, block, 7), CUDA_SUCCESS);
    ASSERT_EQ(client::event_record(event, stream, 0), CUDA_SUCCESS);
    ASSERT_EQ(client::context_destroy(context), CUDA_SUCCESS);
    EXPECT_EQ(client::context_destroy(context), CUDA_ERROR_INVALID_CONTEXT);
  }
  using Kind = client::PointerFacts::Kind;
  EXPECT_EQ(client::event_query(event), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(client::stream_query(stream), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(client::module_unload(kernels.module), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(client::pointer_facts(block).kind, Kind::kUnknown);
  EXPECT_EQ(client::pointer_facts(reinterpret_cast<uint64_t>(host)).kind, Kind::kUnknown);
  EXPECT_EQ(client::pointer_facts(outside).kind, Kind::kDevice);
  EXPECT_EQ(client::device_synchronize(0), CUDA_SUCCESS);
}

// What was freed meanwhile is another's when its context goes.
TEST(Names, AContextTakesNothingThatIsNotItsOwn) {
  Rig rig;
  CUcontext primary = nullptr;
  CUcontext context = nullptr;
  CUdeviceptr block = 0;
  CUdeviceptr again = 0;
  ASSERT_EQ(client::context_primary(0, &primary), CUDA_SUCCESS);
  ASSERT_EQ(client::context_create(0, 0, &context), CUDA_SUCCESS);
  ASSERT_EQ(client::context_push(context), CUDA_SUCCESS);
  ASSERT_EQ(client::memory_allocate(0, 4096, &block), CUDA_SUCCESS);
  ASSERT_EQ(client::memory_free(block), CUDA_SUCCESS);
  ASSERT_EQ(client::context_push(primary), CUDA_SUCCESS);
  ASSERT_EQ(client::memory_allocate(0, 4096, &again), CUDA_SUCCESS);
  ASSERT_EQ(again, block);
  ASSERT_EQ(client::context_destroy(context), CUDA_SUCCESS);
  EXPECT_EQ(client::pointer_facts(again).kind, client::PointerFacts::Kind::kDevice);
}

}  // namespace
}  // namespace farlane::system_test
