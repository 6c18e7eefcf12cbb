// While a copy cannot go on, the session's other work does, except for what CUDA orders behind it.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <span>
#include <vector>

#include "tests/system/rig.h"

namespace farlane::system_test {
namespace {

using client::event_create;
using client::event_query;
using client::event_record;
using client::memory_allocate;
using client::stream_create;
using client::stream_query;
using client::stream_synchronize;
using client::stream_wait_event;
using conf::kKiB;

// A worker with a single staging slot of 64 KiB, and a copy to the host of four of them that waits
// behind a closed gate: its first piece has the slot, the others wait for it.
class HeldUp {
 public:
  static constexpr uint32_t kWords = 64 * 1024;

  explicit HeldUp(unsigned flags = CU_STREAM_NON_BLOCKING) : rig_(options(true)) {
    EXPECT_EQ(kernels.load(), CUDA_SUCCESS);
    EXPECT_EQ(gate.make(), CUDA_SUCCESS);
    EXPECT_EQ(memory_allocate(0, kWords * 4, &source), CUDA_SUCCESS);
    EXPECT_EQ(memory_allocate(0, 4096, &other_data), CUDA_SUCCESS);
    EXPECT_EQ(stream_create(0, flags, 0, &held), CUDA_SUCCESS);
    EXPECT_EQ(stream_create(0, flags, 0, &other), CUDA_SUCCESS);
    EXPECT_EQ(client::host_allocate(kWords * 4, 0, &memory_), CUDA_SUCCESS);
    got = std::span(static_cast<uint32_t*>(memory_), kWords);
    std::fill(got.begin(), got.end(), 0);
    EXPECT_EQ(fill_words(source, 5, kWords, held), CUDA_SUCCESS);
    EXPECT_EQ(stream_synchronize(held), CUDA_SUCCESS);
    EXPECT_EQ(kernels.launch_wait_for(held, gate.address()), CUDA_SUCCESS);
    EXPECT_EQ(to_host(got.data(), source, kWords * 4, held, true), CUDA_SUCCESS);
  }
  ~HeldUp() { EXPECT_EQ(client::host_free(memory_), CUDA_SUCCESS); }

  Kernels kernels;
  Gate gate;
  CUdeviceptr source = 0;
  CUdeviceptr other_data = 0;
  CUstream held = nullptr;
  CUstream other = nullptr;
  std::span<uint32_t> got;

  void expect_whole() {
    EXPECT_EQ(stream_synchronize(held), CUDA_SUCCESS);
    EXPECT_EQ(std::vector<uint32_t>(got.begin(), got.end()), std::vector<uint32_t>(kWords, 5));
  }
  Rig& rig() { return rig_; }

  static RigOptions options(bool overtaking) {
    RigOptions options;
    options.server.overtaking = overtaking;
    options.server.staging_slot_bytes = 64 * kKiB;
    options.server.staging_slots = 1;
    return options;
  }

 private:
  Rig rig_;
  void* memory_ = nullptr;
};

TEST(Overtaking, AnotherStreamGoesOn) {
  HeldUp held;
  for (uint32_t i = 1; i < 20; ++i) {
    ASSERT_EQ(fill_words(held.other_data, i, 1024, held.other), CUDA_SUCCESS);
    ASSERT_EQ(held.kernels.launch_scale_add(held.other, held.other_data, 1024, 3, 1), CUDA_SUCCESS);
    ASSERT_EQ(stream_synchronize(held.other), CUDA_SUCCESS);
    uint32_t word = 0;
    ASSERT_EQ(to_host(&word, held.other_data, 4, held.other, false), CUDA_SUCCESS);
    EXPECT_EQ(word, 3 * i + 1);
  }
  EXPECT_EQ(stream_query(held.held), CUDA_ERROR_NOT_READY);
  held.gate.open();
  held.expect_whole();
}

TEST(Overtaking, OffTheOtherStreamWaits) {
  RigOptions options = HeldUp::options(false);
  options.by_hand = true;
  Rig rig(options);
  Kernels kernels;
  Gate gate;
  CUstream held = nullptr;
  CUstream other = nullptr;
  CUdeviceptr data = 0;
  void* memory = nullptr;
  constexpr size_t kBytes = HeldUp::kWords * 4;
  ASSERT_EQ(rig.pumped([&] { return kernels.load(); }), CUDA_SUCCESS);
  ASSERT_EQ(rig.pumped([&] { return gate.make(); }), CUDA_SUCCESS);
  ASSERT_EQ(rig.pumped([&] { return memory_allocate(0, kBytes, &data); }), CUDA_SUCCESS);
  ASSERT_EQ(client::host_allocate(kBytes, 0, &memory), CUDA_SUCCESS);
  ASSERT_EQ(stream_create(0, CU_STREAM_NON_BLOCKING, 0, &held), CUDA_SUCCESS);
  ASSERT_EQ(stream_create(0, CU_STREAM_NON_BLOCKING, 0, &other), CUDA_SUCCESS);
  ASSERT_EQ(kernels.launch_wait_for(held, gate.address()), CUDA_SUCCESS);
  ASSERT_EQ(to_host(memory, data, kBytes, held, true), CUDA_SUCCESS);
  ASSERT_EQ(fill_words(data, 1, 16, other), CUDA_SUCCESS);
  auto synchronised = rig.start([&] { return stream_synchronize(other); });
  for (int i = 0; i < 20'000; ++i) rig.step();
  EXPECT_EQ(synchronised.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  gate.open();
  EXPECT_EQ(rig.pumped([&] { return synchronised.get(); }), CUDA_SUCCESS);
  EXPECT_EQ(rig.pumped([&] { return stream_synchronize(held); }), CUDA_SUCCESS);
  EXPECT_EQ(client::host_free(memory), CUDA_SUCCESS);
}

TEST(Overtaking, TheSameStreamKeepsItsOrder) {
  HeldUp held;
  // Would spoil what the copy has not read yet.
  ASSERT_EQ(fill_words(held.source, 6, HeldUp::kWords, held.held), CUDA_SUCCESS);
  ASSERT_EQ(fill_words(held.other_data, 1, 1024, held.other), CUDA_SUCCESS);
  ASSERT_EQ(stream_synchronize(held.other), CUDA_SUCCESS);
  held.gate.open();
  held.expect_whole();
  uint32_t word = 0;
  ASSERT_EQ(to_host(&word, held.source, 4, held.held, false), CUDA_SUCCESS);
  EXPECT_EQ(word, 6u);
}

TEST(Overtaking, EventsCarryTheOrderToOtherStreams) {
  HeldUp held;
  CUevent event = nullptr;
  CUstream third = nullptr;
  ASSERT_EQ(event_create(0, CU_EVENT_DISABLE_TIMING, &event), CUDA_SUCCESS);
  ASSERT_EQ(stream_create(0, CU_STREAM_NON_BLOCKING, 0, &third), CUDA_SUCCESS);
  ASSERT_EQ(event_record(event, held.held, 0), CUDA_SUCCESS);
  ASSERT_EQ(stream_wait_event(held.other, event, 0), CUDA_SUCCESS);
  ASSERT_EQ(fill_words(held.source, 7, HeldUp::kWords, held.other), CUDA_SUCCESS);
  // Questions about what is held up are answered, and do not wait.
  EXPECT_EQ(event_query(event), CUDA_ERROR_NOT_READY);
  EXPECT_EQ(stream_query(held.other), CUDA_ERROR_NOT_READY);
  ASSERT_EQ(fill_words(held.other_data, 1, 1024, third), CUDA_SUCCESS);
  ASSERT_EQ(stream_synchronize(third), CUDA_SUCCESS);
  held.gate.open();
  held.expect_whole();
  EXPECT_EQ(client::event_synchronize(event), CUDA_SUCCESS);
  EXPECT_EQ(event_query(event), CUDA_SUCCESS);
  uint32_t word = 0;
  ASSERT_EQ(to_host(&word, held.source, 4, held.other, false), CUDA_SUCCESS);
  EXPECT_EQ(word, 7u);
}

TEST(Overtaking, TheLegacyStreamWaitsForBlockingStreams) {
  HeldUp held(CU_STREAM_DEFAULT);
  // Behind the copy, as the legacy stream is; and the other stream is behind the legacy stream.
  ASSERT_EQ(fill_words(held.source, 8, HeldUp::kWords, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(fill_words(held.source, 9, 16, held.other), CUDA_SUCCESS);
  held.gate.open();
  held.expect_whole();
  std::vector<uint32_t> words(17);
  ASSERT_EQ(to_host(words.data(), held.source, 17 * 4, nullptr, false), CUDA_SUCCESS);
  EXPECT_EQ(words[15], 9u);
  EXPECT_EQ(words[16], 8u);
}

TEST(Overtaking, FreedMemoryWaits) {
  HeldUp held;
  ASSERT_EQ(client::memory_free(held.source), CUDA_SUCCESS);
  // The block, or one at its place, for another stream.
  CUdeviceptr next = 0;
  ASSERT_EQ(memory_allocate(0, HeldUp::kWords * 4, &next), CUDA_SUCCESS);
  ASSERT_EQ(fill_words(next, 1, HeldUp::kWords, held.other), CUDA_SUCCESS);
  held.gate.open();
  held.expect_whole();
}

TEST(Overtaking, NamesAreUsedAgain) {
  HeldUp held;
  for (int i = 0; i < 50; ++i) {
    CUevent event = nullptr;
    CUstream stream = nullptr;
    ASSERT_EQ(event_create(0, CU_EVENT_DISABLE_TIMING, &event), CUDA_SUCCESS);
    ASSERT_EQ(stream_create(0, CU_STREAM_NON_BLOCKING, 0, &stream), CUDA_SUCCESS);
    ASSERT_EQ(event_record(event, held.held, 0), CUDA_SUCCESS);
    ASSERT_EQ(stream_wait_event(stream, event, 0), CUDA_SUCCESS);
    ASSERT_EQ(client::stream_destroy(stream), CUDA_SUCCESS);
    ASSERT_EQ(client::event_destroy(event), CUDA_SUCCESS);
  }
  held.gate.open();
  held.expect_whole();
  EXPECT_EQ(client::device_synchronize(0), CUDA_SUCCESS);
}

TEST(Overtaking, MoreThanFitsHoldsUpTheLog) {
  HeldUp held;
  auto flood = held.rig().start([&] {
    for (uint32_t i = 0; i < 60'000; ++i) {
      if (const CUresult result = fill_words(held.other_data, i, 1, held.held);
          result != CUDA_SUCCESS) {
        return result;
      }
    }
    return stream_synchronize(held.held);
  });
  EXPECT_EQ(stream_query(held.held), CUDA_ERROR_NOT_READY);
  held.gate.open();
  EXPECT_EQ(flood.get(), CUDA_SUCCESS);
  held.expect_whole();
  uint32_t word = 0;
  ASSERT_EQ(to_host(&word, held.other_data, 4, held.held, false), CUDA_SUCCESS);
  EXPECT_EQ(word, 59'999u);
}

}  // namespace
}  // namespace farlane::system_test
