// Large copies over bulk lanes: right bytes, in every shape, with one lane and many, in tiny
// pieces, over bad channels; and a lane that breaks.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "tests/system/rig.h"

namespace farlane::system_test {
namespace {

constexpr size_t kKiB = 1024;
constexpr size_t kMiB = 1024 * 1024;

constexpr transport::FaultPlan kRough{
    .busy_per_mille = 200, .hold_per_mille = 200, .late_per_mille = 200, .short_per_mille = 200};

RigOptions with_lanes(int64_t lanes) {
  RigOptions options;
  options.client.connections = lanes;
  options.client.lanes_threshold_bytes = 64 * kKiB;
  options.server.lane_chunk_bytes = 256 * kKiB;
  return options;
}

struct Variant {
  const char* name;
  int64_t lanes;
  void (*change)(RigOptions*);
};
const Variant kVariants[] = {
    {"EightLanes", 8, [](RigOptions*) {}},
    {"OneLane", 1, [](RigOptions*) {}},
    {"Off", 0, [](RigOptions*) {}},
    {"NotOfferedByTheServer", 4, [](RigOptions* options) { options->server.lanes_max = 0; }},
    {"TinyChunks", 4, [](RigOptions* options) { options->server.lane_chunk_bytes = 4 * kKiB; }},
    {"OneSlot", 3,
     [](RigOptions* options) {
       options->server.lane_slots = 1;
       options->server.lane_chunk_bytes = 16 * kKiB;
     }},
    {"RoughLanes", 4,
     [](RigOptions* options) {
       options->client_lane_faults = options->server_lane_faults = kRough;
       options->server.lane_chunk_bytes = 64 * kKiB;
     }},
    {"OneFrameInEachQueue", 4,
     [](RigOptions* options) {
       options->lane_loopback.queue_frames = 1;
       options->server.lane_chunk_bytes = 16 * kKiB;
     }},
    {"EverythingRough", 2,
     [](RigOptions* options) {
       options->client_lane_faults = options->server_lane_faults = kRough;
       options->client_faults = options->server_faults = kRough;
     }},
    {"PiecesThatShrink", 4,
     [](RigOptions* options) { options->client.last_piece_bytes = 4 * kKiB; }},
    {"PiecesAlike", 4, [](RigOptions* options) { options->client.last_piece_bytes = 0; }},
    {"BatchingOff", 2, [](RigOptions* options) { options->client.batching = false; }},
};

class LanesIn : public testing::TestWithParam<Variant> {
 protected:
  RigOptions options() const {
    RigOptions options = with_lanes(GetParam().lanes);
    GetParam().change(&options);
    return options;
  }
  bool over_lanes() const { return GetParam().lanes != 0 && options().server.lanes_max != 0; }
  // That the variant is what its name says.
  void expect_lanes_used() const {
    const client::Lanes& lanes = client::session_if_any()->lanes();
    uint64_t sent = 0;
    uint64_t received = 0;
    for (size_t i = 0; i < lanes.count(); ++i) {
      sent += lanes.counters(i).bytes_sent;
      received += lanes.counters(i).bytes_received;
    }
    EXPECT_EQ(sent != 0, over_lanes());
    EXPECT_EQ(received != 0, over_lanes());
    if (over_lanes()) {
      EXPECT_EQ(lanes.count(), static_cast<size_t>(GetParam().lanes));
    }
  }
};

INSTANTIATE_TEST_SUITE_P(All, LanesIn, testing::ValuesIn(kVariants),
                         [](const auto& test) { return test.param.name; });

TEST_P(LanesIn, CopiesOfManySizesAndOffsetsArrive) {
  Rig rig(options());
  ASSERT_EQ(rig.opened(), CUDA_SUCCESS);
  CUdeviceptr data = 0;
  ASSERT_EQ(client::memory_allocate(0, 4 * kMiB, &data), CUDA_SUCCESS);
  for (const size_t bytes : {64 * kKiB, 64 * kKiB + 4, 300 * kKiB, kMiB + 12, 3 * kMiB}) {
    for (const size_t offset : {size_t{0}, size_t{1}, size_t{777}}) {
      const std::vector<uint32_t> sent = words(bytes / 4, bytes + offset);
      ASSERT_EQ(to_device(data + offset, sent.data(), bytes, nullptr, false), CUDA_SUCCESS);
      std::vector<uint32_t> got(sent.size());
      ASSERT_EQ(to_host(got.data(), data + offset, bytes, nullptr, false), CUDA_SUCCESS);
      EXPECT_EQ(got, sent) << bytes << " bytes at " << offset;
    }
  }
  expect_lanes_used();
}

TEST_P(LanesIn, RowsArriveInTheirPlaces) {
  Rig rig(options());
  ASSERT_EQ(rig.opened(), CUDA_SUCCESS);
  struct Shape {
    size_t width, height, host_pitch, device_pitch;
  };
  CUdeviceptr data = 0;
  ASSERT_EQ(client::memory_allocate(0, 4 * kMiB, &data), CUDA_SUCCESS);
  for (const Shape& shape : {Shape{1000, 1000, 1003, 1024}, Shape{300'000, 5, 300'100, 400'000},
                             Shape{4096, 64, 4096, 5000}, Shape{4096, 64, 5000, 4096},
                             Shape{20'000, 30, 20'000, 20'000}}) {
    const std::vector<uint32_t> salted =
        words(shape.host_pitch * shape.height / 4 + 1, shape.width);
    std::vector<std::byte> sent(shape.host_pitch * shape.height);
    std::memcpy(sent.data(), salted.data(), sent.size());
    ASSERT_EQ(client::fill(data, 0, 0xab, 1, 4 * kMiB, 1, nullptr, true), CUDA_SUCCESS);
    client::Copy in;
    in.to = data;
    in.from = reinterpret_cast<uint64_t>(sent.data());
    in.from_place = client::Place::kHost;
    in.to_place = client::Place::kDevice;
    in.width = shape.width;
    in.height = shape.height;
    in.to_pitch = shape.device_pitch;
    in.from_pitch = shape.host_pitch;
    ASSERT_EQ(client::copy(in, nullptr, false), CUDA_SUCCESS);
    std::vector<std::byte> got(sent.size(), std::byte{0x11});
    client::Copy out;
    out.to = reinterpret_cast<uint64_t>(got.data());
    out.from = data;
    out.to_place = client::Place::kHost;
    out.from_place = client::Place::kDevice;
    out.width = shape.width;
    out.height = shape.height;
    out.to_pitch = shape.host_pitch;
    out.from_pitch = shape.device_pitch;
    ASSERT_EQ(client::copy(out, nullptr, false), CUDA_SUCCESS);
    for (size_t row = 0; row < shape.height; ++row) {
      const size_t at = row * shape.host_pitch;
      ASSERT_EQ(std::memcmp(got.data() + at, sent.data() + at, shape.width), 0)
          << "row " << row << " of " << shape.width;
      // Between rows nothing is touched, there or here.
      for (size_t i = at + shape.width; i < std::min(at + shape.host_pitch, got.size()); ++i) {
        ASSERT_EQ(got[i], std::byte{0x11});
      }
    }
    const size_t gap = shape.device_pitch - shape.width;
    if (gap != 0) {
      std::vector<std::byte> between(gap);
      ASSERT_EQ(to_host(between.data(), data + shape.width, gap, nullptr, false), CUDA_SUCCESS);
      EXPECT_EQ(between, std::vector<std::byte>(gap, std::byte{0xab}));
    }
  }
  expect_lanes_used();
}

TEST_P(LanesIn, KernelsSeeWhatWasCopiedBeforeAndCopiesWhatKernelsWrote) {
  Rig rig(options());
  ASSERT_EQ(rig.opened(), CUDA_SUCCESS);
  Kernels kernels;
  ASSERT_EQ(kernels.load(), CUDA_SUCCESS);
  constexpr size_t kCount = 300'000;
  CUdeviceptr data = 0;
  CUstream stream = nullptr;
  void* pinned = nullptr;
  ASSERT_EQ(client::memory_allocate(0, kCount * 4, &data), CUDA_SUCCESS);
  ASSERT_EQ(client::stream_create(0, CU_STREAM_NON_BLOCKING, 0, &stream), CUDA_SUCCESS);
  ASSERT_EQ(client::host_allocate(kCount * 4, 0, &pinned), CUDA_SUCCESS);
  auto* host = static_cast<uint32_t*>(pinned);
  for (int round = 0; round < 5; ++round) {
    std::vector<uint32_t> expected = words(kCount, static_cast<uint64_t>(round));
    std::memcpy(host, expected.data(), kCount * 4);
    // Everything is posted before anything is waited for, and the same memory takes the answer.
    ASSERT_EQ(to_device(data, host, kCount * 4, stream, true), CUDA_SUCCESS);
    ASSERT_EQ(kernels.launch_scale_add(stream, data, kCount, 3, 7), CUDA_SUCCESS);
    ASSERT_EQ(to_host(host, data, kCount * 4, stream, true), CUDA_SUCCESS);
    ASSERT_EQ(client::stream_synchronize(stream), CUDA_SUCCESS);
    for (uint32_t& word : expected) word = word * 3 + 7;
    ASSERT_EQ(std::vector<uint32_t>(host, host + kCount), expected) << "round " << round;
  }
  expect_lanes_used();
  EXPECT_EQ(client::host_free(pinned), CUDA_SUCCESS);
}

TEST_P(LanesIn, BothDirectionsAtOnceFromSeveralThreads) {
  Rig rig(options());
  ASSERT_EQ(rig.opened(), CUDA_SUCCESS);
  std::vector<std::thread> threads;
  for (uint64_t number = 0; number < 4; ++number) {
    threads.emplace_back([number] {
      client::make_device_current(0);
      CUstream stream = nullptr;
      CUdeviceptr data = 0;
      constexpr size_t kCount = 200'000;
      ASSERT_EQ(client::stream_create(0, CU_STREAM_NON_BLOCKING, 0, &stream), CUDA_SUCCESS);
      ASSERT_EQ(client::memory_allocate(0, kCount * 4, &data), CUDA_SUCCESS);
      for (uint64_t round = 0; round < 4; ++round) {
        const std::vector<uint32_t> sent = words(kCount, number * 100 + round);
        std::vector<uint32_t> got(kCount);
        ASSERT_EQ(to_device(data, sent.data(), kCount * 4, stream, true), CUDA_SUCCESS);
        ASSERT_EQ(to_host(got.data(), data, kCount * 4, stream, true), CUDA_SUCCESS);
        ASSERT_EQ(client::stream_synchronize(stream), CUDA_SUCCESS);
        ASSERT_EQ(got, sent);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  expect_lanes_used();
}

TEST_P(LanesIn, WhatIsOverForOneStreamIsHereForAll) {
  Rig rig(options());
  ASSERT_EQ(rig.opened(), CUDA_SUCCESS);
  constexpr size_t kCount = 500'000;
  CUdeviceptr data = 0;
  CUstream first = nullptr;
  CUstream second = nullptr;
  CUevent event = nullptr;
  void* pinned = nullptr;
  ASSERT_EQ(client::memory_allocate(0, kCount * 4, &data), CUDA_SUCCESS);
  ASSERT_EQ(client::stream_create(0, CU_STREAM_NON_BLOCKING, 0, &first), CUDA_SUCCESS);
  ASSERT_EQ(client::stream_create(0, CU_STREAM_NON_BLOCKING, 0, &second), CUDA_SUCCESS);
  ASSERT_EQ(client::event_create(0, CU_EVENT_DISABLE_TIMING, &event), CUDA_SUCCESS);
  ASSERT_EQ(client::host_allocate(kCount * 4, 0, &pinned), CUDA_SUCCESS);
  auto* host = static_cast<uint32_t*>(pinned);
  for (uint32_t round = 1; round <= 8; ++round) {
    ASSERT_EQ(fill_words(data, round, kCount, first), CUDA_SUCCESS);
    ASSERT_EQ(to_host(host, data, kCount * 4, first, true), CUDA_SUCCESS);
    ASSERT_EQ(client::event_record(event, first, 0), CUDA_SUCCESS);
    ASSERT_EQ(client::stream_wait_event(second, event, 0), CUDA_SUCCESS);
    if (round % 2 == 0) {
      ASSERT_EQ(client::stream_synchronize(second), CUDA_SUCCESS);
    } else {
      uint32_t word = 0;  // a small copy, which goes over the command lane
      ASSERT_EQ(to_host(&word, data, 4, second, false), CUDA_SUCCESS);
    }
    ASSERT_EQ(std::vector<uint32_t>(host, host + kCount), std::vector<uint32_t>(kCount, round));
  }
  EXPECT_EQ(client::host_free(pinned), CUDA_SUCCESS);
}

TEST_P(LanesIn, FreedHostMemoryWaitsForItsCopies) {
  Rig rig(options());
  ASSERT_EQ(rig.opened(), CUDA_SUCCESS);
  CUdeviceptr data = 0;
  ASSERT_EQ(client::memory_allocate(0, 8 * kMiB, &data), CUDA_SUCCESS);
  for (int round = 0; round < 4; ++round) {
    void* pinned = nullptr;
    ASSERT_EQ(client::host_allocate(8 * kMiB, 0, &pinned), CUDA_SUCCESS);
    std::memset(pinned, 0x40 + round, 8 * kMiB);
    ASSERT_EQ(to_device(data, pinned, 8 * kMiB, nullptr, true), CUDA_SUCCESS);
    ASSERT_EQ(client::host_free(pinned), CUDA_SUCCESS);  // unmaps it
    std::vector<uint8_t> got(8 * kMiB);
    ASSERT_EQ(to_host(got.data(), data, got.size(), nullptr, false), CUDA_SUCCESS);
    ASSERT_EQ(got, std::vector<uint8_t>(8 * kMiB, static_cast<uint8_t>(0x40 + round)));
  }
}

TEST(Lanes, TheServersLimitHoldsAndCopiesGoOverTheLanesThereAre) {
  RigOptions options = with_lanes(8);
  options.server.lanes_max = 3;
  Rig rig(options);
  CUdeviceptr data = 0;
  ASSERT_EQ(client::memory_allocate(0, kMiB, &data), CUDA_SUCCESS);
  const std::vector<uint32_t> sent = words(kMiB / 4, 1);
  ASSERT_EQ(to_device(data, sent.data(), kMiB, nullptr, false), CUDA_SUCCESS);
  EXPECT_EQ(client::session_if_any()->lanes().count(), 3u);
}

TEST(Lanes, SmallCopiesOpenNone) {
  Rig rig(with_lanes(4));
  CUdeviceptr data = 0;
  ASSERT_EQ(client::memory_allocate(0, kMiB, &data), CUDA_SUCCESS);
  const std::vector<uint32_t> sent = words(1000, 1);
  ASSERT_EQ(to_device(data, sent.data(), 4000, nullptr, false), CUDA_SUCCESS);
  EXPECT_EQ(client::session_if_any()->lanes().count(), 0u);
}

// The copy's stream is blocked by a kernel, so that its data stay in the lanes' few slots.
TEST(Lanes, AQuestionIsAnsweredWhileACopyToTheHostWaits) {
  RigOptions options = with_lanes(2);
  Rig rig(options);
  HeldStream held;
  void* pinned = nullptr;
  constexpr size_t kBytes = 400 * kKiB;
  ASSERT_EQ(held.make(kBytes), CUDA_SUCCESS);
  ASSERT_EQ(client::host_allocate(kBytes, 0, &pinned), CUDA_SUCCESS);
  ASSERT_EQ(fill_words(held.data, 9, kBytes / 4, held.stream), CUDA_SUCCESS);
  ASSERT_EQ(held.hold(), CUDA_SUCCESS);
  ASSERT_EQ(to_host(pinned, held.data, kBytes, held.stream, true), CUDA_SUCCESS);
  size_t free_bytes = 0;
  size_t total = 0;
  EXPECT_EQ(client::memory_info(0, &free_bytes, &total), CUDA_SUCCESS);
  EXPECT_EQ(client::stream_query(held.stream), CUDA_ERROR_NOT_READY);
  held.gate.open();
  ASSERT_EQ(client::host_free(pinned), CUDA_SUCCESS);
  EXPECT_EQ(client::stream_synchronize(held.stream), CUDA_SUCCESS);
}

TEST(Lanes, TheWorkerNapsWhileOnlyTheyHaveWorkUnlessThatIsOff) {
  constexpr size_t kBytes = 64 * kMiB;
  for (const int64_t nap_us : {0, 50}) {
    RigOptions options = with_lanes(2);
    options.server.lane_nap_us = nap_us;
    Rig rig(options);
    CUdeviceptr data = 0;
    ASSERT_EQ(client::memory_allocate(0, kBytes, &data), CUDA_SUCCESS);
    for (uint64_t round = 0; round < 2; ++round) {
      const std::vector<uint32_t> sent = words(kBytes / 4, round);
      ASSERT_EQ(to_device(data, sent.data(), kBytes, nullptr, false), CUDA_SUCCESS);
      std::vector<uint32_t> got(sent.size());
      ASSERT_EQ(to_host(got.data(), data, kBytes, nullptr, false), CUDA_SUCCESS);
      ASSERT_EQ(got, sent);
    }
    EXPECT_EQ(rig.lane_naps() != 0, nap_us != 0);
  }
}

// As in CUDA, where a copy that waits for its stream occupies nothing that another one needs.
TEST(Lanes, ACopyToTheHostBehindAHeldStreamLeavesSlotsToOthers) {
  RigOptions options = with_lanes(2);
  Rig rig(options);
  HeldStream held;
  CUstream other = nullptr;
  void* pinned = nullptr;
  constexpr size_t kLarge = 8 * kMiB;
  constexpr size_t kSmall = 512 * kKiB;
  ASSERT_EQ(held.make(kLarge), CUDA_SUCCESS);
  ASSERT_EQ(client::stream_create(0, CU_STREAM_NON_BLOCKING, 0, &other), CUDA_SUCCESS);
  ASSERT_EQ(client::host_allocate(kLarge, 0, &pinned), CUDA_SUCCESS);
  ASSERT_EQ(fill_words(held.data, 9, kLarge / 4, held.stream), CUDA_SUCCESS);
  ASSERT_EQ(client::stream_synchronize(held.stream), CUDA_SUCCESS);
  ASSERT_EQ(held.hold(), CUDA_SUCCESS);
  ASSERT_EQ(to_host(pinned, held.data, kLarge, held.stream, true), CUDA_SUCCESS);
  std::vector<uint32_t> got(kSmall / 4);
  auto copied = rig.start([&] { return to_host(got.data(), held.data, kSmall, other, false); });
  EXPECT_EQ(copied.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  held.gate.open();
  EXPECT_EQ(copied.get(), CUDA_SUCCESS);
  EXPECT_EQ(got, std::vector<uint32_t>(kSmall / 4, 9));
  ASSERT_EQ(client::stream_synchronize(held.stream), CUDA_SUCCESS);
  const auto* host = static_cast<const uint32_t*>(pinned);
  EXPECT_EQ(std::vector<uint32_t>(host, host + kLarge / 4), std::vector<uint32_t>(kLarge / 4, 9));
  EXPECT_EQ(client::host_free(pinned), CUDA_SUCCESS);
}

// More than all slots hold, behind a kernel that waits: lanes stop reading, nothing is lost.
TEST(Lanes, ABlockedStreamHoldsTheSenderUp) {
  RigOptions options = with_lanes(2);
  options.server.lane_chunk_bytes = 64 * kKiB;
  options.server.client_timeout_ms = 300;
  options.client.call_timeout_ms = 60'000;
  options.lane_loopback.queue_frames = 2;
  Rig rig(options);
  HeldStream held;
  void* pinned = nullptr;
  constexpr size_t kBytes = 8 * kMiB;
  ASSERT_EQ(held.make(kBytes), CUDA_SUCCESS);
  ASSERT_EQ(client::host_allocate(kBytes, 0, &pinned), CUDA_SUCCESS);
  const std::vector<uint32_t> sent = words(kBytes / 4, 5);
  std::memcpy(pinned, sent.data(), kBytes);
  ASSERT_EQ(held.hold(), CUDA_SUCCESS);
  ASSERT_EQ(to_device(held.data, pinned, kBytes, held.stream, true), CUDA_SUCCESS);
  // Longer than a client may be silent: the copy is held up by the device, not by its client.
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(900);
  while (std::chrono::steady_clock::now() < end) {
    ASSERT_FALSE(client::session_if_any()->lost());
    std::this_thread::yield();
  }
  held.gate.open();
  std::vector<uint32_t> got(kBytes / 4);
  ASSERT_EQ(to_host(got.data(), held.data, kBytes, held.stream, false), CUDA_SUCCESS);
  EXPECT_EQ(got, sent);
  uint64_t waits = 0;
  for (size_t i = 0; i < 2; ++i) waits += client::session_if_any()->lanes().counters(i).busy_waits;
  EXPECT_GT(waits, 0u);
  EXPECT_EQ(client::host_free(pinned), CUDA_SUCCESS);
}

// What a synchronous copy wrote is there for streams that are made after it has returned. With one
// stream its order sees to that, and the copy returns when its data have been taken.
TEST(Lanes, AStreamThatIsMadeLaterSeesWhatASynchronousCopyWrote) {
  for (const bool over_lanes : {true, false}) {
    SCOPED_TRACE(over_lanes ? "over lanes" : "over the command lane");
    Rig rig(with_lanes(over_lanes ? 2 : 0));
    Kernels kernels;
    CUdeviceptr gate = 0;
    CUdeviceptr data = 0;
    constexpr size_t kBytes = 200 * kKiB;
    ASSERT_EQ(kernels.load(), CUDA_SUCCESS);
    ASSERT_EQ(client::memory_allocate(0, 4, &gate), CUDA_SUCCESS);
    ASSERT_EQ(client::memory_allocate(0, kBytes, &data), CUDA_SUCCESS);
    ASSERT_EQ(fill_words(gate, 0, 1, nullptr), CUDA_SUCCESS);
    ASSERT_EQ(client::stream_synchronize(nullptr), CUDA_SUCCESS);
    ASSERT_EQ(kernels.launch_wait_for(nullptr, gate), CUDA_SUCCESS);
    const std::vector<uint32_t> sent = words(kBytes / 4, 8);
    std::vector<uint32_t> got(sent.size());
    // The gate opens when somebody waits, or when the test is over.
    std::atomic<bool> over = false;
    std::thread opener([&, asked = client::session_if_any()->asked()] {
      while (!over.load() && client::session_if_any()->asked() == asked) std::this_thread::yield();
      __atomic_store_n(reinterpret_cast<uint32_t*>(gate), 1, __ATOMIC_RELEASE);
    });
    CUstream stream = nullptr;
    EXPECT_EQ(to_device(data, sent.data(), kBytes, nullptr, false), CUDA_SUCCESS);
    EXPECT_EQ(client::stream_create(0, CU_STREAM_NON_BLOCKING, 0, &stream), CUDA_SUCCESS);
    EXPECT_EQ(to_host(got.data(), data, kBytes, stream, false), CUDA_SUCCESS);
    over = true;
    opener.join();
    EXPECT_EQ(got, sent);
  }
}

TEST(Lanes, PiecesToTheDeviceShrinkTowardsTheEndUnlessThatIsOff) {
  constexpr size_t kBytes = 3 * kMiB;
  constexpr size_t kChunk = 256 * kKiB;
  for (const int64_t last_bytes : {int64_t{0}, int64_t{16 * kKiB}}) {
    RigOptions options = with_lanes(2);
    options.client.lane_share_bytes = 0;
    options.client.last_piece_bytes = last_bytes;
    Rig rig(options);
    CUdeviceptr data = 0;
    ASSERT_EQ(client::memory_allocate(0, kBytes, &data), CUDA_SUCCESS);
    const std::vector<uint32_t> sent = words(kBytes / 4, 6);
    ASSERT_EQ(to_device(data, sent.data(), kBytes, nullptr, false), CUDA_SUCCESS);
    uint64_t pieces = 0;
    const client::Lanes& lanes = client::session_if_any()->lanes();
    for (size_t i = 0; i < lanes.count(); ++i) pieces += lanes.counters(i).chunks_sent;
    // Alike until what is left for each of the two lanes is less than a whole piece. Then a half,
    // and a half of the rest, and so on, each rounded up to 4 KiB; the smallest are of 16 KiB.
    uint64_t expected = (kBytes - 2 * kChunk) / kChunk;
    for (size_t left = 2 * kChunk; left != 0; ++expected) {
      const size_t half = (left / 2 + 4095) / 4096 * 4096;
      left -= std::min(left, last_bytes == 0 ? kChunk : std::max<size_t>(half, 16 * kKiB));
    }
    EXPECT_EQ(pieces, expected);
    std::vector<uint32_t> got(sent.size());
    ASSERT_EQ(to_host(got.data(), data, kBytes, nullptr, false), CUDA_SUCCESS);
    EXPECT_EQ(got, sent);
  }
}

// The pieces of two copies on one stream share the server's slots, so those of the earlier one must
// leave first: whichever thread is quicker.
TEST(Lanes, CopiesOfManyThreadsLeaveInTheOrderOfTheLog) {
  RigOptions options = with_lanes(2);
  options.server.lane_chunk_bytes = 64 * kKiB;
  Rig rig(options);
  constexpr size_t kBytes = 64 * kKiB;
  constexpr int kThreads = 4;
  constexpr int kRounds = 1500;
  CUdeviceptr data = 0;
  ASSERT_EQ(client::memory_allocate(0, kThreads * kBytes, &data), CUDA_SUCCESS);
  std::vector<std::thread> threads;
  for (int number = 0; number < kThreads; ++number) {
    threads.emplace_back([number, data] {
      client::make_device_current(0);
      void* pinned = nullptr;
      ASSERT_EQ(client::host_allocate(kBytes, 0, &pinned), CUDA_SUCCESS);
      const std::vector<uint32_t> sent = words(kBytes / 4, static_cast<uint64_t>(number));
      std::memcpy(pinned, sent.data(), kBytes);
      const CUdeviceptr to = data + static_cast<size_t>(number) * kBytes;
      for (int round = 0; round < kRounds; ++round) {
        ASSERT_EQ(to_device(to, pinned, kBytes, nullptr, true), CUDA_SUCCESS);
      }
      std::vector<uint32_t> got(sent.size());
      ASSERT_EQ(to_host(got.data(), to, kBytes, nullptr, false), CUDA_SUCCESS);
      EXPECT_EQ(got, sent);
      EXPECT_EQ(client::host_free(pinned), CUDA_SUCCESS);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// A stream's work goes on when its name is gone, and the device waits for that too.
TEST(Lanes, ACopyToTheHostOutlivesItsStreamsName) {
  for (const bool over_lanes : {true, false}) {
    SCOPED_TRACE(over_lanes ? "over lanes" : "over the command lane");
    Rig rig(with_lanes(over_lanes ? 2 : 0));
    HeldStream held;
    void* pinned = nullptr;
    constexpr size_t kBytes = 400 * kKiB;
    ASSERT_EQ(held.make(kBytes), CUDA_SUCCESS);
    ASSERT_EQ(client::host_allocate(kBytes, 0, &pinned), CUDA_SUCCESS);
    ASSERT_EQ(fill_words(held.data, 9, kBytes / 4, held.stream), CUDA_SUCCESS);
    ASSERT_EQ(held.hold(), CUDA_SUCCESS);
    ASSERT_EQ(to_host(pinned, held.data, kBytes, held.stream, true), CUDA_SUCCESS);
    ASSERT_EQ(client::stream_destroy(held.stream), CUDA_SUCCESS);
    held.gate.open();
    ASSERT_EQ(client::device_synchronize(0), CUDA_SUCCESS);
    const auto* host = static_cast<const uint32_t*>(pinned);
    EXPECT_EQ(std::vector<uint32_t>(host, host + kBytes / 4), std::vector<uint32_t>(kBytes / 4, 9));
    EXPECT_EQ(client::host_free(pinned), CUDA_SUCCESS);
  }
}

TEST(Lanes, ABadAddressIsAnErrorAndTheLanesGoOn) {
  Rig rig(with_lanes(2));
  CUdeviceptr data = 0;
  ASSERT_EQ(client::memory_allocate(0, kMiB, &data), CUDA_SUCCESS);
  const std::vector<uint32_t> sent = words(kMiB / 4, 3);
  EXPECT_EQ(to_device(data + kMiB / 2, sent.data(), kMiB, nullptr, false),
            CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(to_device(data, sent.data(), kMiB, nullptr, false), CUDA_SUCCESS);
  std::vector<uint32_t> got(sent.size());
  ASSERT_EQ(to_host(got.data(), data, kMiB, nullptr, false), CUDA_SUCCESS);
  EXPECT_EQ(got, sent);
}

// A lane breaks after so many bytes, on either side, in either direction: every call returns, the
// session is lost for ever, the worker says which lane it was.
TEST(Lanes, ALaneThatBreaksEndsTheSession) {
  int broken = 0;
  for (const uint64_t after : {uint64_t{0}, uint64_t{100}, uint64_t{70'000}, uint64_t{200'000}}) {
    for (int where = 0; where < 4; ++where) {
      SCOPED_TRACE("after " + std::to_string(after) + " at " + std::to_string(where));
      RigOptions options = with_lanes(3);
      options.server.lane_chunk_bytes = 64 * kKiB;
      transport::FaultPlan plan;
      // The first frames are the lane's own.
      const uint64_t bytes = after + 400;
      (where % 2 == 0 ? plan.cut_after_sent_bytes : plan.cut_after_received_bytes) = bytes;
      (where < 2 ? options.client_lane_faults : options.server_lane_faults) = plan;
      Rig rig(options);
      CUdeviceptr data = 0;
      ASSERT_EQ(client::memory_allocate(0, 2 * kMiB, &data), CUDA_SUCCESS);
      const std::vector<uint32_t> sent = words(2 * kMiB / 4, 4);
      CUresult result = CUDA_SUCCESS;
      for (int round = 0; round < 20 && result == CUDA_SUCCESS; ++round) {
        result = to_device(data, sent.data(), 2 * kMiB, nullptr, false);
        if (result != CUDA_SUCCESS) break;
        std::vector<uint32_t> got(sent.size());
        result = to_host(got.data(), data, 2 * kMiB, nullptr, false);
        if (result == CUDA_SUCCESS) {
          EXPECT_EQ(got, sent);
        }
      }
      if (client::session_if_any()->lanes().count() == 0) {
        // It broke before it was a lane: then there are none, and that is all.
        EXPECT_EQ(result, CUDA_SUCCESS);
        continue;
      }
      ++broken;
      EXPECT_EQ(result, client::kServerLost);
      EXPECT_EQ(client::device_synchronize(0), client::kServerLost);
      rig.end_client();
      EXPECT_EQ(rig.wait_for_worker(), server::SessionEnd::kPeerGone);
    }
  }
  EXPECT_GT(broken, 8);
}

// The command lane ends while a copy is under way.
TEST(Lanes, ACutSessionReleasesThoseWhoWaitForLanes) {
  for (const bool in : {true, false}) {
    RigOptions options = with_lanes(2);
    options.server.lane_chunk_bytes = 64 * kKiB;
    options.lane_loopback.queue_frames = 1;
    Rig rig(options);
    HeldStream held;
    ASSERT_EQ(held.make(8 * kMiB), CUDA_SUCCESS);
    ASSERT_EQ(held.hold(), CUDA_SUCCESS);
    auto copied = rig.start([&] {
      std::vector<uint32_t> host(2 * kMiB);
      return in ? to_device(held.data, host.data(), 8 * kMiB, held.stream, false)
                : to_host(host.data(), held.data, 8 * kMiB, held.stream, false);
    });
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (client::session_if_any()->lanes().count() == 0 &&
           std::chrono::steady_clock::now() < end) {
      std::this_thread::yield();
    }
    rig.cut();
    EXPECT_EQ(copied.get(), client::kServerLost);
    held.gate.open();
  }
}

}  // namespace
}  // namespace farlane::system_test
