// Device memory: when it is full, when a freed block may be used again, when it goes back.
#include <gtest/gtest.h>

#include "client/core/memory_pool.h"
#include "tests/system/rig.h"

namespace farlane::system_test {
namespace {

using client::memory_allocate;
using client::memory_free;
using client::stream_create;
using client::stream_synchronize;

constexpr uint64_t kMiB = uint64_t{1} << 20;

TEST(Memory, IsFullExactlyWhenTheDeviceIs) {
  for (const int64_t extent_bytes : {2 * kMiB, 32 * kMiB}) {
    RigOptions options;
    options.client.extent_bytes_min = extent_bytes;
    Rig rig(options);
    const uint64_t free_bytes = device_free_bytes();
    std::vector<CUdeviceptr> blocks;
    CUdeviceptr block = 0;
    CUresult result = CUDA_SUCCESS;
    while ((result = memory_allocate(0, 2 * kMiB, &block)) == CUDA_SUCCESS) {
      blocks.push_back(block);
      ASSERT_LE(blocks.size(), kDeviceBytes / (2 * kMiB));
    }
    EXPECT_EQ(result, CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQ(blocks.size(), free_bytes / (2 * kMiB));
    EXPECT_EQ(memory_allocate(0, 1, &block), CUDA_ERROR_OUT_OF_MEMORY);
    // Not an error of the session: nothing is reported later.
    EXPECT_EQ(client::device_synchronize(0), CUDA_SUCCESS);
    EXPECT_EQ(fill_words(blocks.front(), 7, 2 * kMiB / 4, nullptr), CUDA_SUCCESS);
    EXPECT_EQ(fill_words(blocks.back(), 8, 2 * kMiB / 4, nullptr), CUDA_SUCCESS);
    uint32_t got = 0;
    EXPECT_EQ(to_host(&got, blocks.front() + 2 * kMiB - 4, 4, nullptr, false), CUDA_SUCCESS);
    EXPECT_EQ(got, 7u);
    // One goes, one fits, and not two.
    ASSERT_EQ(memory_free(blocks.back()), CUDA_SUCCESS);
    ASSERT_EQ(memory_allocate(0, 2 * kMiB, &blocks.back()), CUDA_SUCCESS);
    EXPECT_EQ(memory_allocate(0, 2 * kMiB, &block), CUDA_ERROR_OUT_OF_MEMORY);
    // All go, and one block takes nearly everything: nothing is held back in pieces.
    for (const CUdeviceptr address : blocks) ASSERT_EQ(memory_free(address), CUDA_SUCCESS);
    EXPECT_EQ(memory_allocate(0, free_bytes / (2 * kMiB) * (2 * kMiB), &block), CUDA_SUCCESS);
    size_t now_free = 0;
    size_t total = 0;
    EXPECT_EQ(client::memory_info(0, &now_free, &total), CUDA_SUCCESS);
    EXPECT_LT(now_free, 2 * kMiB);
    EXPECT_EQ(total, kDeviceBytes);
  }
}

TEST(Memory, ABlockOnItsWayOutCountsAsFree) {
  RigOptions options;
  options.client.cached_bytes_max = 0;
  Rig rig(options);
  Kernels kernels;
  Gate gate;
  CUstream stream = nullptr;
  CUdeviceptr block = 0;
  ASSERT_EQ(kernels.load(), CUDA_SUCCESS);
  ASSERT_EQ(gate.make(), CUDA_SUCCESS);
  ASSERT_EQ(stream_create(0, CU_STREAM_NON_BLOCKING, 0, &stream), CUDA_SUCCESS);
  ASSERT_EQ(memory_allocate(0, 150 * kMiB, &block), CUDA_SUCCESS);
  ASSERT_EQ(kernels.launch_wait_for(stream, gate.address()), CUDA_SUCCESS);
  ASSERT_EQ(kernels.launch_store(stream, block, 1), CUDA_SUCCESS);
  ASSERT_EQ(memory_free(block), CUDA_SUCCESS);
  // Its memory is needed and cannot go while the kernel may still write to it.
  CUdeviceptr next = 0;
  auto waiting = rig.start([&] { return memory_allocate(0, 150 * kMiB, &next); });
  gate.open();
  EXPECT_EQ(waiting.get(), CUDA_SUCCESS);
  EXPECT_EQ(stream_synchronize(stream), CUDA_SUCCESS) << "the kernel found its memory";
}

// With one stream a freed block is handed out again without a fence. A stream made after that may
// not write to it before the work that still uses it.
TEST(Memory, AReusedBlockIsSafeFromStreamsMadeLater) {
  Rig rig;
  constexpr size_t kCount = 1000;
  Kernels kernels;
  CUdeviceptr gate = 0;  // not a Gate, which has a stream of its own
  CUdeviceptr block = 0;
  CUdeviceptr copy = 0;
  ASSERT_EQ(kernels.load(), CUDA_SUCCESS);
  ASSERT_EQ(memory_allocate(0, 4, &gate), CUDA_SUCCESS);
  ASSERT_EQ(memory_allocate(0, kCount * 4, &block), CUDA_SUCCESS);
  ASSERT_EQ(memory_allocate(0, kCount * 4, &copy), CUDA_SUCCESS);
  ASSERT_EQ(fill_words(gate, 0, 1, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(fill_words(block, 0x11111111, kCount, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(stream_synchronize(nullptr), CUDA_SUCCESS);
  ASSERT_EQ(kernels.launch_wait_for(nullptr, gate), CUDA_SUCCESS);
  ASSERT_EQ(within(copy, block, kCount * 4, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(memory_free(block), CUDA_SUCCESS);
  CUdeviceptr again = 0;
  ASSERT_EQ(memory_allocate(0, kCount * 4, &again), CUDA_SUCCESS);
  ASSERT_EQ(again, block) << "nothing is shown otherwise";
  CUstream later = nullptr;
  ASSERT_EQ(stream_create(0, CU_STREAM_NON_BLOCKING, 0, &later), CUDA_SUCCESS);
  ASSERT_EQ(fill_words(again, 0x22222222, kCount, later), CUDA_SUCCESS);
  EXPECT_EQ(client::stream_query(later), CUDA_ERROR_NOT_READY);
  __atomic_store_n(reinterpret_cast<uint32_t*>(gate), 1, __ATOMIC_RELEASE);
  ASSERT_EQ(stream_synchronize(nullptr), CUDA_SUCCESS);
  ASSERT_EQ(stream_synchronize(later), CUDA_SUCCESS);
  std::vector<uint32_t> got(kCount);
  ASSERT_EQ(to_host(got.data(), copy, kCount * 4, nullptr, false), CUDA_SUCCESS);
  EXPECT_EQ(got, std::vector<uint32_t>(kCount, 0x11111111));
}

TEST(Memory, ALargeBlockIsGoneWhenItIsFreed) {
  Rig rig;
  Kernels kernels;
  CUdeviceptr block = 0;
  ASSERT_EQ(kernels.load(), CUDA_SUCCESS);
  ASSERT_EQ(memory_allocate(0, 64 * kMiB, &block), CUDA_SUCCESS);
  ASSERT_EQ(memory_free(block), CUDA_SUCCESS);
  // It goes when earlier work is done; this question waits for that.
  size_t free_bytes = 0;
  size_t total = 0;
  ASSERT_EQ(client::memory_info(0, &free_bytes, &total), CUDA_SUCCESS);
  ASSERT_EQ(kernels.launch_store(nullptr, block + 4096, 1), CUDA_SUCCESS);
  EXPECT_EQ(client::device_synchronize(0), CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST(Memory, InfoCountsOwnAllocationsWithoutAsking) {
  RigOptions options;
  options.by_hand = true;
  options.client.info_age_ms = 60'000;
  Rig rig(options);
  size_t before = 0;
  size_t after = 0;
  size_t total = 0;
  CUdeviceptr block = 0;
  ASSERT_EQ(rig.pumped([&] { return client::memory_info(0, &before, &total); }), CUDA_SUCCESS);
  EXPECT_EQ(before, device_free_bytes());
  ASSERT_EQ(rig.pumped([&] { return memory_allocate(0, 6 * kMiB, &block); }), CUDA_SUCCESS);
  // The worker does not move, so that an answer is the client's own.
  ASSERT_EQ(client::memory_info(0, &after, &total), CUDA_SUCCESS);
  EXPECT_EQ(after, before - 6 * kMiB);
  EXPECT_EQ(after, device_free_bytes());
  EXPECT_EQ(total, kDeviceBytes);
  ASSERT_EQ(memory_free(block), CUDA_SUCCESS);
  ASSERT_EQ(client::memory_info(0, &after, &total), CUDA_SUCCESS);
  EXPECT_EQ(after, before);
  // What is not counted here is asked for.
  CUstream stream = nullptr;
  ASSERT_EQ(stream_create(0, CU_STREAM_NON_BLOCKING, 0, &stream), CUDA_SUCCESS);
  const uint64_t executed = rig.executed();
  ASSERT_EQ(rig.pumped([&] { return client::memory_info(0, &after, &total); }), CUDA_SUCCESS);
  EXPECT_EQ(rig.executed(), executed + 3);  // the release, the stream, the question
  EXPECT_EQ(after, device_free_bytes());
}

TEST(Memory, InfoIsAskedForEachTimeWhenItMayNotBeOld) {
  RigOptions options;
  options.by_hand = true;
  options.client.info_age_ms = 0;
  Rig rig(options);
  for (int i = 0; i < 3; ++i) {
    const uint64_t executed = rig.executed();
    size_t free_bytes = 0;
    size_t total = 0;
    ASSERT_EQ(rig.pumped([&] { return client::memory_info(0, &free_bytes, &total); }),
              CUDA_SUCCESS);
    EXPECT_EQ(rig.executed(), executed + 1);
  }
}

// What a reader on one stream sees of a block that was freed and handed to a writer on another one
// before the reader could run.
uint32_t read_after_reuse(bool without_fence) {
  RigOptions options;
  options.client.reuse_without_fence = without_fence;
  Rig rig(options);
  Kernels kernels;
  Gate gate;
  CUstream reader = nullptr;
  CUstream writer = nullptr;
  CUdeviceptr block = 0;
  CUdeviceptr copy = 0;
  EXPECT_EQ(kernels.load(), CUDA_SUCCESS);
  EXPECT_EQ(gate.make(), CUDA_SUCCESS);
  EXPECT_EQ(stream_create(0, CU_STREAM_NON_BLOCKING, 0, &reader), CUDA_SUCCESS);
  EXPECT_EQ(stream_create(0, CU_STREAM_NON_BLOCKING, 0, &writer), CUDA_SUCCESS);
  EXPECT_EQ(memory_allocate(0, 4096, &copy), CUDA_SUCCESS);
  EXPECT_EQ(memory_allocate(0, 4096, &block), CUDA_SUCCESS);
  EXPECT_EQ(fill_words(block, 1, 1024, reader), CUDA_SUCCESS);
  EXPECT_EQ(stream_synchronize(reader), CUDA_SUCCESS);
  EXPECT_EQ(kernels.launch_wait_for(reader, gate.address()), CUDA_SUCCESS);
  EXPECT_EQ(within(copy, block, 4096, reader), CUDA_SUCCESS);
  EXPECT_EQ(memory_free(block), CUDA_SUCCESS);
  CUdeviceptr again = 0;
  EXPECT_EQ(memory_allocate(0, 4096, &again), CUDA_SUCCESS);
  EXPECT_EQ(again, block) << "the best fit";
  EXPECT_EQ(fill_words(again, 2, 1024, writer), CUDA_SUCCESS);
  if (without_fence) {
    EXPECT_EQ(stream_synchronize(writer), CUDA_SUCCESS);
  } else {
    EXPECT_EQ(client::stream_query(writer), CUDA_ERROR_NOT_READY) << "it waits for the reader";
  }
  gate.open();
  uint32_t got = 0;
  EXPECT_EQ(to_host(&got, copy, 4, reader, false), CUDA_SUCCESS);
  return got;
}

TEST(Memory, AFreedBlockIsNotUsedBeforeEarlierWorkIsDone) {
  EXPECT_EQ(read_after_reuse(false), 1u);
}

TEST(Memory, WithoutTheFenceTheTestAboveWouldFail) {
  EXPECT_EQ(read_after_reuse(true), 2u);
}

TEST(Memory, FreedAndReusedInOneStreamNeedsNoFence) {
  RigOptions options;
  options.by_hand = true;
  Rig rig(options);
  CUstream stream = nullptr;
  CUdeviceptr block = 0;
  ASSERT_EQ(stream_create(0, CU_STREAM_NON_BLOCKING, 0, &stream), CUDA_SUCCESS);
  ASSERT_EQ(rig.pumped([&] { return client::memory_allocate_async(0, 4096, stream, &block); }),
            CUDA_SUCCESS);
  const uint64_t asked = client::session_if_any()->asked();
  // The worker does not move: nothing here waits for it.
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(fill_words(block, i, 1024, stream), CUDA_SUCCESS);
    ASSERT_EQ(client::memory_free_async(block, stream), CUDA_SUCCESS);
    CUdeviceptr again = 0;
    ASSERT_EQ(client::memory_allocate_async(0, 4096, stream, &again), CUDA_SUCCESS);
    ASSERT_EQ(again, block);
  }
  EXPECT_EQ(client::session_if_any()->asked(), asked);
  EXPECT_EQ(client::session_if_any()->device(0)->memory.counters().fences, 0u);
  EXPECT_EQ(rig.pumped([&] { return stream_synchronize(stream); }), CUDA_SUCCESS);
}

TEST(Memory, FreshMemoryIsZero) {
  RigOptions options;
  options.client.cached_bytes_max = 0;
  constexpr size_t kWords = 4 * kMiB / 4;
  for (int session = 0; session < 2; ++session) {
    Rig rig(options);
    CUdeviceptr block = 0;
    ASSERT_EQ(memory_allocate(0, kWords * 4, &block), CUDA_SUCCESS);
    std::vector<uint32_t> got(kWords, 1);
    ASSERT_EQ(to_host(got.data(), block, kWords * 4, nullptr, false), CUDA_SUCCESS);
    EXPECT_EQ(got, std::vector<uint32_t>(kWords, 0));
    ASSERT_EQ(fill_words(block, 0xdeadbeef, kWords, nullptr), CUDA_SUCCESS);
    ASSERT_EQ(client::device_synchronize(0), CUDA_SUCCESS);
  }
}

// What freed a block must leave it out of the books before another thread is given the address.
TEST(Memory, BooksOfPoolsAreRightWithThreads) {
  Rig rig;
  constexpr int kThreads = 6;
  constexpr size_t kBytes = 4096;
  const CUmemoryPool pool = client::memory_pool::default_of(0);
  for (int round = 0; round < 10; ++round) {
    std::vector<std::future<CUdeviceptr>> held;
    for (int i = 0; i < kThreads; ++i) {
      held.push_back(rig.start([&] {
        CUstream stream = nullptr;
        CUdeviceptr block = 0;
        EXPECT_EQ(stream_create(0, CU_STREAM_NON_BLOCKING, 0, &stream), CUDA_SUCCESS);
        for (int k = 0; k < 2000; ++k) {
          EXPECT_EQ(client::memory_pool::allocate(pool, kBytes, stream, &block), CUDA_SUCCESS);
          EXPECT_EQ(client::memory_pool::free_async(block, stream), CUDA_SUCCESS);
        }
        EXPECT_EQ(client::memory_pool::allocate(pool, kBytes, stream, &block), CUDA_SUCCESS);
        EXPECT_EQ(client::stream_destroy(stream), CUDA_SUCCESS);
        return block;
      }));
    }
    std::vector<CUdeviceptr> blocks;
    for (auto& one : held) blocks.push_back(one.get());
    cuuint64_t used = 0;
    ASSERT_EQ(client::memory_pool::get_attribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used),
              CUDA_SUCCESS);
    EXPECT_EQ(used, kThreads * kBytes);
    for (const CUdeviceptr block : blocks) {
      EXPECT_EQ(client::memory_pool::pool_of(block), pool);
      EXPECT_EQ(client::memory_pool::free(block), CUDA_SUCCESS);
    }
  }
  // What cannot be freed stays in the books.
  CUdeviceptr block = 0;
  ASSERT_EQ(client::memory_pool::allocate(pool, kBytes, nullptr, &block), CUDA_SUCCESS);
  EXPECT_EQ(client::memory_pool::free_async(block, reinterpret_cast<CUstream>(0x1234)),
            CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(client::memory_pool::pool_of(block), pool);
  EXPECT_EQ(client::memory_pool::free(block), CUDA_SUCCESS);
  EXPECT_EQ(client::memory_pool::pool_of(block), nullptr);
}

// As PyTorch sets it: what the program frees stays in its hands, and steps ask for no memory.
TEST(Memory, APoolHoldsWhatItsThresholdSays) {
  for (const bool threshold : {true, false}) {
    RigOptions options;
    options.client.cached_bytes_max = 0;
    Rig rig(options);
    const CUmemoryPool pool = client::memory_pool::default_of(0);
    cuuint64_t bytes = threshold ? ~cuuint64_t{0} : 0;
    ASSERT_EQ(client::memory_pool::set_attribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &bytes),
              CUDA_SUCCESS);
    uint64_t asked = 0;
    for (int step = 0; step < 5; ++step) {
      CUdeviceptr large = 0;
      CUdeviceptr small = 0;
      EXPECT_EQ(client::memory_pool::allocate(pool, 80 * kMiB, nullptr, &large), CUDA_SUCCESS);
      EXPECT_EQ(client::memory_pool::allocate(pool, 10 * kMiB, nullptr, &small), CUDA_SUCCESS);
      EXPECT_EQ(client::memory_pool::free_async(large, nullptr), CUDA_SUCCESS);
      EXPECT_EQ(client::memory_pool::free_async(small, nullptr), CUDA_SUCCESS);
      if (step == 0) asked = client::session_if_any()->asked();
    }
    EXPECT_EQ(client::session_if_any()->asked() - asked, threshold ? 0u : 4 * 2u);
    // Others than the pool get it when there is nothing else.
    CUdeviceptr block = 0;
    EXPECT_EQ(memory_allocate(0, kDeviceBytes / 4 * 3, &block), CUDA_SUCCESS);
  }
}

TEST(Memory, GoesBackWhenTheSessionEnds) {
  const uint64_t before = device_free_bytes();
  {
    Rig rig;
    CUdeviceptr block = 0;
    for (const uint64_t bytes : {kMiB, 10 * kMiB, 100 * kMiB}) {
      ASSERT_EQ(memory_allocate(0, bytes, &block), CUDA_SUCCESS);
    }
    ASSERT_LE(device_free_bytes(), before - 111 * kMiB);
  }
  EXPECT_EQ(device_free_bytes(), before);
}

TEST(Memory, GoesBackAlsoWithWorkUnderWay) {
  const uint64_t before = device_free_bytes();
  {
    Rig rig;
    Kernels kernels;
    Gate gate;
    CUdeviceptr block = 0;
    ASSERT_EQ(kernels.load(), CUDA_SUCCESS);
    ASSERT_EQ(gate.make(), CUDA_SUCCESS);
    ASSERT_EQ(memory_allocate(0, 64 * kMiB, &block), CUDA_SUCCESS);
    ASSERT_EQ(kernels.launch_wait_for(nullptr, gate.address()), CUDA_SUCCESS);
    ASSERT_EQ(fill_words(block, 1, 16 * kMiB, nullptr), CUDA_SUCCESS);
    ASSERT_EQ(client::stream_query(nullptr), CUDA_ERROR_NOT_READY);
    rig.end_client();
    // A worker of its own would just end; here the device has to become idle first.
    gate.open();
    EXPECT_EQ(rig.wait_for_worker(), server::SessionEnd::kPeerGone) << rig.worker_text();
  }
  EXPECT_EQ(device_free_bytes(), before);
}

}  // namespace
}  // namespace farlane::system_test
