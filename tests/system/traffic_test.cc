// Several threads, each with a stream and memory of its own, do everything at random and know what
// must come out. The same traffic runs with every optimisation off, with every limit at its least,
// and over channels that are as bad as the contract allows.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "tests/system/rig.h"

namespace farlane::system_test {
namespace {

struct Variant {
  const char* name;
  void (*change)(RigOptions*);
};

constexpr transport::FaultPlan kRough{
    .busy_per_mille = 200, .hold_per_mille = 200, .late_per_mille = 200, .short_per_mille = 200};

const Variant kVariants[] = {
    {"Defaults", [](RigOptions*) {}},
    {"BatchingOff", [](RigOptions* options) { options->client.batching = false; }},
    {"SmallBatches", [](RigOptions* options) { options->client.flush_bytes = 1024; }},
    {"ParallelEncodingOff", [](RigOptions* options) { options->client.parallel_encoding = false; }},
    {"SendBeforeQuestionsOff",
     [](RigOptions* options) { options->client.send_before_questions = false; }},
    {"OneLookAtTheDevice", [](RigOptions* options) { options->server.device_looks = 1; }},
    {"InlineCopiesOff", [](RigOptions* options) { options->client.inline_bytes_max = 0; }},
    {"TinyChunks",
     [](RigOptions* options) {
       options->client.inline_bytes_max = 100;
       options->client.copy_chunk_bytes = 1000;
     }},
    {"LeastCredit", [](RigOptions* options) { options->client.credit_bytes_max = 1; }},
    {"LeastCreditOfTheServer", [](RigOptions* options) { options->server.credit_bytes = 1; }},
    {"OneStagingSlot",
     [](RigOptions* options) {
       options->server.staging_slots = 1;
       options->server.staging_slot_bytes = 4096;
     }},
    {"SpinningOff",
     [](RigOptions* options) {
       options->client.spin_us = options->client.sender_spin_us = options->server.spin_us =
           options->server.device_spin_us = 0;
     }},
    {"SpinningOn",
     [](RigOptions* options) {
       options->client.spin_us = options->client.sender_spin_us = options->server.spin_us = 200;
       options->server.device_spin_us = 10'000;
     }},
    {"NothingCached",
     [](RigOptions* options) {
       options->client.cached_bytes_max = 0;
       options->client.extent_bytes_min = 0;
     }},
    {"LargeExtents", [](RigOptions* options) { options->client.extent_bytes_min = 64 << 20; }},
    {"NarrowChannel", [](RigOptions* options) { options->loopback.queue_frames = 1; }},
    {"RoughClient",
     [](RigOptions* options) {
       options->client_faults = kRough;
       options->client.copy_chunk_bytes = 20'000;
     }},
    {"RoughServer",
     [](RigOptions* options) {
       options->server_faults = kRough;
       options->client.copy_chunk_bytes = 20'000;
     }},
    {"EverythingAtItsWorst",
     [](RigOptions* options) {
       options->client_faults = options->server_faults = kRough;
       options->client.batching = false;
       options->client.inline_bytes_max = 0;
       options->client.copy_chunk_bytes = 5'000;
       options->client.credit_bytes_max = 1;
       options->client.cached_bytes_max = 0;
       options->client.extent_bytes_min = 0;
       options->client.spin_us = options->client.sender_spin_us = options->server.spin_us = 0;
       options->server.staging_slots = 1;
       options->server.staging_slot_bytes = 1024;
       options->loopback.queue_frames = 1;
     }},
};

uint64_t test_seed() {
  const char* text = std::getenv("FARLANE_TEST_SEED");
  return text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
}

// One thread's part. A mirror on the host says what the device must hold.
class Traffic {
 public:
  Traffic(const Kernels& kernels, uint64_t seed) : kernels_(kernels), random_(seed) {}

  void run(int steps) {
    client::make_device_current(0);
    ok(client::stream_create(0, random_() % 2 == 0 ? CU_STREAM_NON_BLOCKING : CU_STREAM_DEFAULT, 0,
                             &stream_));
    ok(client::event_create(0, CU_EVENT_DISABLE_TIMING, &event_));
    ok(client::host_allocate(kWordsMax * 4, 0, &pinned_));
    for (int i = 0; i < 3; ++i) allocate();
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) step();
    for (size_t i = 0; i < blocks_.size(); ++i) verify(blocks_[i], i % 2 == 0);
    while (!blocks_.empty()) release(blocks_.size() - 1);
    ok(client::host_free(pinned_));
    ok(client::event_destroy(event_));
    ok(client::stream_destroy(stream_));
  }

 private:
  static constexpr size_t kWordsMax = 50'000;  // 200 kB: above every default threshold
  struct Block {
    CUdeviceptr address = 0;
    bool stream_ordered = false;
    std::vector<uint32_t> mirror;
  };

  static void ok(CUresult result) { ASSERT_EQ(result, CUDA_SUCCESS); }
  size_t up_to(size_t most) { return 1 + random_() % most; }
  // Mostly small ones.
  size_t some_words() { return up_to(random_() % 4 == 0 ? kWordsMax : 300); }
  Block& any() { return blocks_[random_() % blocks_.size()]; }

  void allocate() {
    Block block;
    block.mirror = words(some_words(), random_());
    block.stream_ordered = random_() % 2 == 0;
    const size_t bytes = block.mirror.size() * 4;
    ok(block.stream_ordered ? client::memory_allocate_async(0, bytes, stream_, &block.address)
                            : client::memory_allocate(0, bytes, &block.address));
    ok(to_device(block.address, block.mirror.data(), bytes, stream_, true));
    blocks_.push_back(std::move(block));
  }

  void release(size_t index) {
    const Block block = std::move(blocks_[index]);
    blocks_.erase(blocks_.begin() + static_cast<ptrdiff_t>(index));
    ok(block.stream_ordered ? client::memory_free_async(block.address, stream_)
                            : client::memory_free(block.address));
  }

  void verify(const Block& block, bool async) {
    const size_t bytes = block.mirror.size() * 4;
    if (async) {
      ok(to_host(pinned_, block.address, bytes, stream_, true));
      ok(client::stream_synchronize(stream_));
      ASSERT_EQ(std::memcmp(pinned_, block.mirror.data(), bytes), 0);
    } else {
      std::vector<uint32_t> got(block.mirror.size());
      ok(to_host(got.data(), block.address, bytes, stream_, false));
      ASSERT_EQ(got, block.mirror);
    }
  }

  void copy_rows_in(Block& block) {
    // A box of words inside the block's rows, from host rows with a pitch of their own.
    const size_t row_words = up_to(std::min<size_t>(block.mirror.size(), 64));
    const size_t rows = block.mirror.size() / row_words;
    const size_t width = up_to(row_words);
    const size_t host_pitch = width + random_() % 5;
    const std::vector<uint32_t> host = words(host_pitch * rows, random_());
    client::Copy copy;
    copy.to = block.address;
    copy.from = reinterpret_cast<uint64_t>(host.data());
    copy.width = width * 4;
    copy.height = rows;
    copy.to_pitch = row_words * 4;
    copy.from_pitch = host_pitch * 4;
    ok(client::copy(copy, stream_, random_() % 2 == 0));
    for (size_t row = 0; row < rows; ++row) {
      std::copy_n(host.begin() + static_cast<ptrdiff_t>(row * host_pitch), width,
                  block.mirror.begin() + static_cast<ptrdiff_t>(row * row_words));
    }
  }

  void step() {
    Block& block = any();
    const size_t count = block.mirror.size();
    switch (random_() % 12) {
      case 0:
        if (blocks_.size() < 8) allocate();
        return;
      case 1:
        if (blocks_.size() > 2) release(random_() % blocks_.size());
        return;
      case 2: {
        block.mirror = words(count, random_());
        ok(to_device(block.address, block.mirror.data(), count * 4, stream_, random_() % 2 == 0));
        return;
      }
      case 3: {
        const auto value = static_cast<uint32_t>(random_());
        const size_t begin = random_() % count;
        const size_t length = up_to(count - begin);
        ok(fill_words(block.address + begin * 4, value, length, stream_));
        std::fill_n(block.mirror.begin() + static_cast<ptrdiff_t>(begin), length, value);
        return;
      }
      case 4:
      case 5:
      case 6: {
        const auto factor = static_cast<uint32_t>(random_());
        const auto summand = static_cast<uint32_t>(random_());
        ok(kernels_.launch_scale_add(stream_, block.address, static_cast<uint32_t>(count), factor,
                                     summand));
        for (uint32_t& word : block.mirror) word = word * factor + summand;
        return;
      }
      case 7: {
        const Block& from = any();
        const size_t length = up_to(std::min(count, from.mirror.size()));
        if (&from == &block) return;
        ok(within(block.address, from.address, length * 4, stream_));
        std::copy_n(from.mirror.begin(), length, block.mirror.begin());
        return;
      }
      case 8:
        copy_rows_in(block);
        return;
      case 9:
        ok(client::event_record(event_, stream_, 0));
        if (random_() % 2 == 0) ok(client::event_synchronize(event_));
        ok(client::stream_wait_event(stream_, event_, 0));
        return;
      case 10:
        verify(block, true);
        return;
      default:
        verify(block, false);
        return;
    }
  }

  const Kernels& kernels_;
  std::mt19937_64 random_;
  CUstream stream_ = nullptr;
  CUevent event_ = nullptr;
  void* pinned_ = nullptr;
  std::vector<Block> blocks_;
};

class TrafficTest : public ::testing::TestWithParam<Variant> {};

TEST_P(TrafficTest, EveryByteIsRight) {
  const uint64_t seed = test_seed();
  SCOPED_TRACE("FARLANE_TEST_SEED=" + std::to_string(seed));
  RigOptions options;
  GetParam().change(&options);
  if (options.client_faults) options.client_faults->seed = seed;
  if (options.server_faults) options.server_faults->seed = seed + 1;
  const uint64_t before = device_free_bytes();
  {
    Rig rig(options);
    ASSERT_EQ(rig.opened(), CUDA_SUCCESS);
    Kernels kernels;
    ASSERT_EQ(kernels.load(), CUDA_SUCCESS);
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] { Traffic(kernels, seed * 1000 + i).run(150); });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(client::device_synchronize(0), CUDA_SUCCESS);
    EXPECT_FALSE(client::session_if_any()->lost());
  }
  EXPECT_EQ(device_free_bytes(), before);
}

INSTANTIATE_TEST_SUITE_P(, TrafficTest, ::testing::ValuesIn(kVariants),
                         [](const auto& test) { return std::string(test.param.name); });

// What the switches are for: their counters move when they are on, and do not when they are off.
TEST(Switches, BatchingGathersCommands) {
  for (const bool batching : {true, false}) {
    RigOptions options;
    options.client.batching = batching;
    options.by_hand = true;
    Rig rig(options);
    CUdeviceptr data = 0;
    ASSERT_EQ(rig.pumped([&] { return client::memory_allocate(0, 4096, &data); }), CUDA_SUCCESS);
    const auto& counters = client::session_if_any()->log().counters();
    const uint64_t frames = counters.frames;
    constexpr int kCommands = 1000;
    ASSERT_EQ(rig.pumped([&] {
      for (int i = 0; i < kCommands; ++i) {
        if (const CUresult result = fill_words(data, i, 1, nullptr); result != CUDA_SUCCESS) {
          return result;
        }
      }
      return client::device_synchronize(0);
    }),
              CUDA_SUCCESS);
    if (batching) {
      EXPECT_LT(counters.frames - frames, kCommands);
    } else {
      EXPECT_GE(counters.frames - frames, kCommands);
    }
  }
}

TEST(Switches, SmallCopiesTravelInTheBatch) {
  for (const int64_t inline_bytes : {int64_t{0}, int64_t{4096}}) {
    RigOptions options;
    options.client.inline_bytes_max = inline_bytes;
    Rig rig(options);
    CUdeviceptr data = 0;
    ASSERT_EQ(client::memory_allocate(0, 4096, &data), CUDA_SUCCESS);
    const std::vector<uint32_t> host = words(1024, 1);
    ASSERT_EQ(to_device(data, host.data(), 4096, nullptr, true), CUDA_SUCCESS);
    ASSERT_EQ(client::device_synchronize(0), CUDA_SUCCESS);
    EXPECT_EQ(client::session_if_any()->log().counters().body_bytes.load(),
              inline_bytes == 0 ? 4096u : 0u);
  }
}

TEST(Switches, CreditStopsASenderThatIsAhead) {
  RigOptions options;
  options.server.credit_bytes = 4096;
  options.client.flush_bytes = 1024;
  options.by_hand = true;
  Rig rig(options);
  CUdeviceptr data = 0;
  ASSERT_EQ(rig.pumped([&] { return client::memory_allocate(0, 4096, &data); }), CUDA_SUCCESS);
  const auto& counters = client::session_if_any()->log().counters();
  const uint64_t sent = counters.bytes;
  auto posting = rig.start([&] {
    for (int i = 0; i < 1000; ++i) {
      if (const CUresult result = fill_words(data, i, 1, nullptr); result != CUDA_SUCCESS) {
        return result;
      }
    }
    return CUDA_SUCCESS;
  });
  // The worker does not move: the sender must come to a stop.
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (counters.credit_waits == 0 && std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
  }
  EXPECT_GT(counters.credit_waits.load(), 0u);
  EXPECT_LE(counters.bytes - sent, 4096u);
  EXPECT_EQ(rig.pumped([&] {
    const CUresult posted = posting.get();
    return posted == CUDA_SUCCESS ? client::device_synchronize(0) : posted;
  }),
            CUDA_SUCCESS);
}

}  // namespace
}  // namespace farlane::system_test
