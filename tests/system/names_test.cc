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

}  // namespace
}  // namespace farlane::system_test
