// Either side disappears, at every point that can be chosen: no call hangs, each says the same for
// ever, and the device's memory is free again.
#include <gtest/gtest.h>

#include "tests/system/rig.h"

namespace farlane::system_test {
namespace {

using client::kServerLost;
using client::memory_allocate;
using transport::FaultPlan;

constexpr uint64_t kMiB = uint64_t{1} << 20;
// Words that a kernel changes: the copies are what takes many frames, and the software device is
// slow under a sanitizer.
constexpr uint32_t kScaled = 1000;

// A little of everything; the first error. Kinds of calls that follow an error are made all the
// same.
CUresult use_everything() {
  CUresult first = CUDA_SUCCESS;
  const auto note = [&](CUresult result) {
    if (first == CUDA_SUCCESS) first = result;
    // Once lost, for ever.
    if (first == kServerLost) {
      EXPECT_EQ(result, kServerLost);
    }
  };
  Kernels kernels;
  CUdeviceptr data = 0;
  CUstream stream = nullptr;
  CUevent event = nullptr;
  std::vector<uint32_t> host = words(100'000, 1);
  note(memory_allocate(0, host.size() * 4, &data));
  if (first != CUDA_SUCCESS) return first;
  note(kernels.load());
  if (first != CUDA_SUCCESS) return first;
  note(client::stream_create(0, 0, 0, &stream));
  note(client::event_create(0, 0, &event));
  if (first != CUDA_SUCCESS) return first;
  note(to_device(data, host.data(), host.size() * 4, stream, true));
  note(kernels.launch_scale_add(stream, data, kScaled, 3, 5));
  note(client::event_record(event, stream, 0));
  note(client::event_synchronize(event));
  std::vector<uint32_t> got(host.size());
  note(to_host(got.data(), data, got.size() * 4, stream, false));
  if (first == CUDA_SUCCESS) {
    for (uint32_t i = 0; i < kScaled; ++i) host[i] = host[i] * 3 + 5;
    EXPECT_EQ(got, host);
  }
  note(client::stream_synchronize(stream));
  note(client::memory_free(data));
  note(client::device_synchronize(0));
  size_t free_bytes = 0;
  size_t total = 0;
  note(client::memory_info(0, &free_bytes, &total));
  return first;
}

void expect_lost_for_ever() {
  CUdeviceptr data = 0;
  size_t free_bytes = 0;
  size_t total = 0;
  EXPECT_EQ(memory_allocate(0, 1, &data), kServerLost);
  EXPECT_EQ(client::memory_info(0, &free_bytes, &total), kServerLost);
  EXPECT_EQ(client::device_synchronize(0), kServerLost);
  EXPECT_EQ(client::session_error(), kServerLost);
  EXPECT_EQ(client::session_start(), kServerLost);
}

// `point`: sets where the connection breaks. Goes on until a session gets through.
void break_everywhere(const std::function<void(RigOptions*, uint64_t)>& point, uint64_t most) {
  const uint64_t before = device_free_bytes();
  bool got_through = false;
  for (uint64_t i = 0; i <= most && !got_through; ++i) {
    SCOPED_TRACE("broken after " + std::to_string(i));
    {
      RigOptions options;
      // Chunks small enough that copies are many frames.
      options.client.copy_chunk_bytes = 64 * 1024;
      options.client.inline_bytes_max = 1024;
      options.server.staging_slot_bytes = 64 * 1024;
      // Few: on a slow machine they would be frames to break before, too, and there more of them.
      options.server.heartbeat_ms = 2'000;
      point(&options, i);
      Rig rig(options);
      if (rig.opened() != CUDA_SUCCESS) {
        EXPECT_EQ(rig.opened(), kServerLost);
        continue;
      }
      const CUresult result = use_everything();
      got_through = result == CUDA_SUCCESS;
      if (!got_through) {
        EXPECT_EQ(result, kServerLost);
        expect_lost_for_ever();
      }
    }
    EXPECT_EQ(device_free_bytes(), before);
  }
  EXPECT_TRUE(got_through) << "or the loop ended too early";
}

TEST(Loss, TheConnectionBreaksBeforeAnyFrameOfTheClient) {
  break_everywhere(
      [](RigOptions* options, uint64_t frames) {
        options->client_faults = FaultPlan{.cut_after_sent_frames = frames};
      },
      200);
}

TEST(Loss, TheConnectionBreaksBeforeAnyFrameOfTheServer) {
  break_everywhere(
      [](RigOptions* options, uint64_t frames) {
        options->server_faults = FaultPlan{.cut_after_sent_frames = frames};
      },
      300);
}

TEST(Loss, TheConnectionBreaksInTheMiddleOfWhatTheClientReceives) {
  break_everywhere(
      [](RigOptions* options, uint64_t i) {
        options->client_faults = FaultPlan{.cut_after_received_bytes = i * 20'000 + 1};
      },
      300);
}

TEST(Loss, TheConnectionBreaksInTheMiddleOfWhatTheServerReceives) {
  break_everywhere(
      [](RigOptions* options, uint64_t i) {
        options->server_faults = FaultPlan{.cut_after_received_bytes = i * 20'000 + 1};
      },
      300);
}

TEST(Loss, ACallThatWaitsReturnsWhenTheWorkerDies) {
  Rig rig;
  Kernels kernels;
  Gate gate;
  ASSERT_EQ(kernels.load(), CUDA_SUCCESS);
  ASSERT_EQ(gate.make(), CUDA_SUCCESS);
  CUstream stream = nullptr;
  CUdeviceptr data = 0;
  ASSERT_EQ(memory_allocate(0, 4, &data), CUDA_SUCCESS);
  ASSERT_EQ(client::stream_create(0, CU_STREAM_NON_BLOCKING, 0, &stream), CUDA_SUCCESS);
  ASSERT_EQ(kernels.launch_wait_for(stream, gate.address()), CUDA_SUCCESS);
  EXPECT_EQ(client::stream_query(stream), CUDA_ERROR_NOT_READY) << "the worker has launched it";
  const auto& waits = client::session_if_any()->inbox().counters().waits;
  const uint64_t waits_before = waits;
  // Three kinds of waiting at once, so that there are followers too.
  auto one = rig.start([&] { return client::stream_synchronize(stream); });
  auto two = rig.start([] { return client::device_synchronize(0); });
  auto three = rig.start([&] {
    uint32_t word = 0;
    return to_host(&word, data, 4, stream, false);
  });
  while (waits < waits_before + 3) std::this_thread::yield();
  rig.cut();
  EXPECT_EQ(one.get(), kServerLost);
  EXPECT_EQ(two.get(), kServerLost);
  EXPECT_EQ(three.get(), kServerLost);
  expect_lost_for_ever();
  gate.open();
}

TEST(Loss, ASilentServerIsGivenUpAfterTheTimeoutAndNotBefore) {
  RigOptions options;
  options.client.call_timeout_ms = 300;
  options.by_hand = true;
  Rig rig(options);
  ASSERT_EQ(rig.opened(), CUDA_SUCCESS);
  // The worker does not move any more.
  const auto start = std::chrono::steady_clock::now();
  size_t free_bytes = 0;
  size_t total = 0;
  EXPECT_EQ(client::memory_info(0, &free_bytes, &total), kServerLost);
  const auto took = std::chrono::steady_clock::now() - start;
  EXPECT_GE(took, std::chrono::milliseconds(300));
  EXPECT_LT(took, std::chrono::seconds(20)) << "on a slow machine too";
  expect_lost_for_ever();
}

TEST(Loss, ALongKernelIsNotSilence) {
  RigOptions options;
  options.client.call_timeout_ms = 1'000;
  options.server.heartbeat_ms = 50;
  Rig rig(options);
  Kernels kernels;
  Gate gate;
  ASSERT_EQ(kernels.load(), CUDA_SUCCESS);
  ASSERT_EQ(gate.make(), CUDA_SUCCESS);
  CUstream stream = nullptr;
  ASSERT_EQ(client::stream_create(0, CU_STREAM_NON_BLOCKING, 0, &stream), CUDA_SUCCESS);
  ASSERT_EQ(kernels.launch_wait_for(stream, gate.address()), CUDA_SUCCESS);
  auto waiting = rig.start([&] { return client::stream_synchronize(stream); });
  EXPECT_EQ(waiting.wait_for(std::chrono::milliseconds(1'600)), std::future_status::timeout);
  gate.open();
  EXPECT_EQ(waiting.get(), CUDA_SUCCESS);
}

TEST(Loss, ASilentClientLosesItsSession) {
  const uint64_t before = device_free_bytes();
  {
    RigOptions options;
    options.server.client_timeout_ms = 200;
    // Handshake and window go through, and then nothing any more.
    options.client_faults = FaultPlan{.freeze_after_sent_frames = 2};
    options.client.call_timeout_ms = 5'000;
    Rig rig(options);
    ASSERT_EQ(rig.opened(), CUDA_SUCCESS);
    CUdeviceptr data = 0;
    EXPECT_EQ(memory_allocate(0, kMiB, &data), kServerLost);
    EXPECT_EQ(rig.wait_for_worker(), server::SessionEnd::kTimeout) << rig.worker_text();
    EXPECT_NE(rig.worker_text().find("timeouts.client_timeout_ms"), std::string::npos);
  }
  EXPECT_EQ(device_free_bytes(), before);
}

TEST(Loss, AClientThatDisappearsInTheMiddleOfACopyLeavesNothing) {
  const uint64_t before = device_free_bytes();
  for (const bool to_the_host : {false, true}) {
    {
      RigOptions options;
      options.by_hand = true;
      options.client.connections = 0;  // of lanes: lanes_test.cc
      options.client.copy_chunk_bytes = 64 * 1024;
      options.server.staging_slot_bytes = 64 * 1024;
      options.server.staging_slots = 2;
      options.loopback.queue_frames = 1;
      Rig rig(options);
      CUdeviceptr data = 0;
      constexpr size_t kBytes = 8 * kMiB;
      ASSERT_EQ(rig.pumped([&] { return memory_allocate(0, kBytes, &data); }), CUDA_SUCCESS);
      std::vector<std::byte> host(kBytes);
      auto copying = rig.start([&] {
        return to_the_host ? to_host(host.data(), data, kBytes, nullptr, false)
                           : to_device(data, host.data(), kBytes, nullptr, false);
      });
      const auto& arrived = client::session_if_any()->inbox().counters().frames;
      const uint64_t executed = rig.executed();
      const uint64_t frames = arrived;
      while (to_the_host ? arrived < frames + 5 : rig.executed() < executed + 5) rig.step();
      rig.cut();
      EXPECT_EQ(copying.get(), kServerLost);
    }
    EXPECT_EQ(device_free_bytes(), before);
  }
}

}  // namespace
}  // namespace farlane::system_test
