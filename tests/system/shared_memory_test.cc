// Pinned memory that client and worker both map: right bytes in the order of the streams, and what
// happens where it is not shared, or freed while the device uses it.
#include <gtest/gtest.h>

#include <cstring>

#include "tests/system/rig.h"

namespace farlane::system_test {
namespace {

constexpr size_t kKiB = 1024;
constexpr size_t kMiB = 1024 * 1024;

RigOptions through_shared_memory() {
  RigOptions options;
  options.shared_memory = true;
  options.client.connections = 2;
  options.client.lanes_threshold_bytes = 64 * kKiB;
  return options;
}

bool is_shared(const void* at, size_t bytes) {
  client::SharedRange range;
  return client::shared_range(reinterpret_cast<uint64_t>(at), bytes, &range);
}
size_t lanes() {
  return client::session_if_any()->lanes().count();
}

struct PinnedWords {
  explicit PinnedWords(size_t count) {
    void* at = nullptr;
    EXPECT_EQ(client::host_allocate(count * 4, 0, &at), CUDA_SUCCESS);
    words = static_cast<uint32_t*>(at);
  }
  ~PinnedWords() {
    if (words != nullptr) {
      EXPECT_EQ(client::host_free(words), CUDA_SUCCESS);
    }
  }
  PinnedWords(const PinnedWords&) = delete;
  std::vector<uint32_t> get(size_t count) const { return {words, words + count}; }
  uint32_t* words = nullptr;
};

class SharedMemory : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(rig.opened(), CUDA_SUCCESS); }
  Rig rig{through_shared_memory()};
};

TEST_F(SharedMemory, CopiesOfManySizesAndOffsetsArriveWithoutTravelling) {
  CUdeviceptr data = 0;
  ASSERT_EQ(client::memory_allocate(0, 4 * kMiB, &data), CUDA_SUCCESS);
  PinnedWords host(kMiB);
  ASSERT_TRUE(is_shared(host.words, 4 * kMiB));
  EXPECT_FALSE(is_shared(host.words + 1, 4 * kMiB));
  auto* const at = reinterpret_cast<std::byte*>(host.words);
  for (const size_t bytes : {size_t{4}, 64 * kKiB + 4, 300 * kKiB, 3 * kMiB}) {
    for (const size_t offset : {size_t{0}, size_t{1}, size_t{777}}) {
      for (const bool async : {false, true}) {
        const std::vector<uint32_t> sent = words(bytes / 4, bytes + offset + async);
        std::memcpy(at + offset, sent.data(), bytes);
        ASSERT_EQ(to_device(data + offset, at + offset, bytes, nullptr, async), CUDA_SUCCESS);
        ASSERT_EQ(client::stream_synchronize(nullptr), CUDA_SUCCESS);
        std::memset(at, 0, 4 * kMiB);
        ASSERT_EQ(to_host(at + offset, data + offset, bytes, nullptr, async), CUDA_SUCCESS);
        ASSERT_EQ(client::stream_synchronize(nullptr), CUDA_SUCCESS);
        EXPECT_EQ(std::memcmp(at + offset, sent.data(), bytes), 0) << bytes << " at " << offset;
      }
    }
  }
  EXPECT_EQ(lanes(), 0u);
}

TEST_F(SharedMemory, RowsArriveInTheirPlaces) {
  constexpr size_t kWidth = 1000;
  constexpr size_t kHeight = 500;
  constexpr size_t kHostPitch = 1004;
  constexpr size_t kDevicePitch = 1024;
  constexpr size_t kBytes = kHostPitch * kHeight;
  CUdeviceptr data = 0;
  ASSERT_EQ(client::memory_allocate(0, kMiB, &data), CUDA_SUCCESS);
  PinnedWords host(kBytes / 4);
  auto* const at = reinterpret_cast<std::byte*>(host.words);
  const std::vector<uint32_t> sent = words(kBytes / 4, 3);
  std::memcpy(at, sent.data(), kBytes);
  client::Copy box;
  box.to = data;
  box.from = reinterpret_cast<uint64_t>(at);
  box.width = kWidth;
  box.height = kHeight;
  box.to_pitch = kDevicePitch;
  box.from_pitch = kHostPitch;
  ASSERT_EQ(client::copy(box, nullptr, true), CUDA_SUCCESS);
  ASSERT_EQ(client::stream_synchronize(nullptr), CUDA_SUCCESS);
  std::memset(at, 0x11, kBytes);
  std::swap(box.to, box.from);
  std::swap(box.to_pitch, box.from_pitch);
  ASSERT_EQ(client::copy(box, nullptr, false), CUDA_SUCCESS);
  const auto* const expected = reinterpret_cast<const std::byte*>(sent.data());
  for (size_t row = 0; row < kHeight; ++row) {
    ASSERT_EQ(std::memcmp(at + row * kHostPitch, expected + row * kHostPitch, kWidth), 0) << row;
    for (size_t gap = kWidth; gap < kHostPitch; ++gap) {
      ASSERT_EQ(at[row * kHostPitch + gap], std::byte{0x11});
    }
  }
  EXPECT_EQ(lanes(), 0u);
}

TEST_F(SharedMemory, CopiesHappenInTheOrderOfTheirStream) {
  HeldStream held;
  constexpr size_t kCount = 100'000;
  ASSERT_EQ(held.make(kCount * 4), CUDA_SUCCESS);
  PinnedWords host(kCount);
  std::vector<uint32_t> expected = words(kCount, 1);
  std::memset(host.words, 0, kCount * 4);
  // The source is read when the stream comes to it, as CUDA does with pinned memory.
  ASSERT_EQ(held.hold(), CUDA_SUCCESS);
  ASSERT_EQ(to_device(held.data, host.words, kCount * 4, held.stream, true), CUDA_SUCCESS);
  ASSERT_EQ(held.kernels.launch_scale_add(held.stream, held.data, kCount, 3, 7), CUDA_SUCCESS);
  ASSERT_EQ(to_host(host.words, held.data, kCount * 4, held.stream, true), CUDA_SUCCESS);
  EXPECT_EQ(client::stream_query(held.stream), CUDA_ERROR_NOT_READY);
  std::memcpy(host.words, expected.data(), kCount * 4);
  held.gate.open();
  ASSERT_EQ(client::stream_synchronize(held.stream), CUDA_SUCCESS);
  for (uint32_t& word : expected) word = word * 3 + 7;
  EXPECT_EQ(host.get(kCount), expected);
}

// A few bytes, which would otherwise be taken at the call, are what a copy before it writes.
TEST_F(SharedMemory, ASmallCopyReadsWhatOneBeforeItWrites) {
  HeldStream held;
  constexpr size_t kCount = 20'000;
  CUdeviceptr other = 0;
  ASSERT_EQ(held.make(kCount * 4), CUDA_SUCCESS);
  ASSERT_EQ(client::memory_allocate(0, 4, &other), CUDA_SUCCESS);
  PinnedWords host(kCount);
  ASSERT_EQ(fill_words(held.data, 42, kCount, held.stream), CUDA_SUCCESS);
  ASSERT_EQ(held.hold(), CUDA_SUCCESS);
  ASSERT_EQ(to_host(host.words, held.data, kCount * 4, held.stream, true), CUDA_SUCCESS);
  auto copied = rig.start([&] { return to_device(other, host.words, 4, held.stream, false); });
  held.gate.open();
  ASSERT_EQ(copied.get(), CUDA_SUCCESS);
  uint32_t word = 0;
  ASSERT_EQ(to_host(&word, other, 4, held.stream, false), CUDA_SUCCESS);
  EXPECT_EQ(word, 42u);
}

TEST_F(SharedMemory, FreedMemoryIsReadToItsEndByCopiesUnderWay) {
  HeldStream held;
  constexpr size_t kCount = 100'000;
  ASSERT_EQ(held.make(kCount * 4), CUDA_SUCCESS);
  const std::vector<uint32_t> sent = words(kCount, 9);
  ASSERT_EQ(held.hold(), CUDA_SUCCESS);
  {
    PinnedWords host(kCount);
    ASSERT_TRUE(is_shared(host.words, kCount * 4));
    std::memcpy(host.words, sent.data(), kCount * 4);
    ASSERT_EQ(to_device(held.data, host.words, kCount * 4, held.stream, true), CUDA_SUCCESS);
    ASSERT_EQ(to_host(host.words, held.data, kCount * 4, held.stream, true), CUDA_SUCCESS);
  }
  EXPECT_EQ(client::stream_query(held.stream), CUDA_ERROR_NOT_READY);
  held.gate.open();
  std::vector<uint32_t> got(kCount);
  ASSERT_EQ(to_host(got.data(), held.data, kCount * 4, held.stream, false), CUDA_SUCCESS);
  EXPECT_EQ(got, sent);
  // And its room in the server's limit comes back.
  for (int round = 0; round < 20; ++round) {
    PinnedWords again(kMiB);
    ASSERT_TRUE(is_shared(again.words, kMiB));
  }
}

struct Unshared {
  const char* name;
  void (*change)(RigOptions*);
};
class NotShared : public testing::TestWithParam<Unshared> {};
INSTANTIATE_TEST_SUITE_P(
    All, NotShared,
    testing::Values(
        Unshared{"ByTheClientsSetting",
                 [](RigOptions* options) { options->client.shared_bytes_min = 0; }},
        Unshared{"TooSmall",
                 [](RigOptions* options) { options->client.shared_bytes_min = 64 * kMiB; }},
        Unshared{"ByTheServersSetting",
                 [](RigOptions* options) { options->server.shared_bytes_max = 0; }},
        Unshared{"OverTheServersLimit",
                 [](RigOptions* options) { options->server.shared_bytes_max = kMiB; }},
        Unshared{"NoSharedMemory", [](RigOptions* options) { options->shared_memory = false; }}),
    [](const auto& test) { return test.param.name; });

TEST_P(NotShared, CopiesTravel) {
  RigOptions options = through_shared_memory();
  GetParam().change(&options);
  Rig rig(options);
  ASSERT_EQ(rig.opened(), CUDA_SUCCESS);
  constexpr size_t kCount = kMiB;
  CUdeviceptr data = 0;
  ASSERT_EQ(client::memory_allocate(0, kCount * 4, &data), CUDA_SUCCESS);
  PinnedWords host(kCount);
  EXPECT_FALSE(is_shared(host.words, 4));
  const std::vector<uint32_t> sent = words(kCount, 5);
  std::memcpy(host.words, sent.data(), kCount * 4);
  ASSERT_EQ(to_device(data, host.words, kCount * 4, nullptr, true), CUDA_SUCCESS);
  ASSERT_EQ(client::stream_synchronize(nullptr), CUDA_SUCCESS);
  std::memset(host.words, 0, kCount * 4);
  ASSERT_EQ(to_host(host.words, data, kCount * 4, nullptr, true), CUDA_SUCCESS);
  ASSERT_EQ(client::stream_synchronize(nullptr), CUDA_SUCCESS);
  EXPECT_EQ(host.get(kCount), sent);
  EXPECT_EQ(lanes(), 2u);
}

TEST_F(SharedMemory, ALostServerLeavesTheMemory) {
  PinnedWords host(kMiB);
  CUdeviceptr data = 0;
  ASSERT_EQ(client::memory_allocate(0, 4 * kMiB, &data), CUDA_SUCCESS);
  ASSERT_TRUE(is_shared(host.words, 4 * kMiB));
  rig.cut();
  EXPECT_NE(to_device(data, host.words, 4 * kMiB, nullptr, false), CUDA_SUCCESS);
  std::memset(host.words, 1, 4 * kMiB);
}

}  // namespace
}  // namespace farlane::system_test
