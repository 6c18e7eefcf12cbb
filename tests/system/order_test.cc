// What runs when: the log, streams, events, and questions that have to wait.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>

#include "tests/system/rig.h"

namespace farlane::system_test {
namespace {

using client::event_create;
using client::event_elapsed;
using client::event_query;
using client::event_record;
using client::event_synchronize;
using client::memory_allocate;
using client::stream_create;
using client::stream_query;
using client::stream_synchronize;
using client::stream_wait_event;

RigOptions by_hand() {
  RigOptions options;
  options.by_hand = true;
  return options;
}

TEST(Order, PostedCommandsWaitForNobodyAndRunInOrder) {
  Rig rig(by_hand());
  CUdeviceptr data = 0;
  Kernels kernels;
  rig.pumped([&] { return memory_allocate(0, 4096, &data); });
  ASSERT_EQ(rig.pumped([&] { return kernels.load(); }), CUDA_SUCCESS);
  const uint64_t before = rig.executed();
  // All of these return although the worker does not move.
  ASSERT_EQ(fill_words(data, 1, 1024, nullptr), CUDA_SUCCESS);
  for (uint32_t i = 1; i <= 20; ++i) {
    ASSERT_EQ(kernels.launch_scale_add(nullptr, data, 1024, 3, i), CUDA_SUCCESS);
  }
  EXPECT_EQ(rig.executed(), before);
  uint32_t want = 1;
  for (uint32_t i = 1; i <= 20; ++i) want = want * 3 + i;
  std::vector<uint32_t> got(1024);
  ASSERT_EQ(rig.pumped([&] { return to_host(got.data(), data, 4096, nullptr, false); }),
            CUDA_SUCCESS);
  EXPECT_EQ(got, std::vector<uint32_t>(1024, want));
  EXPECT_GE(rig.executed(), before + 22);
}

TEST(Order, ASynchronisationBehindACopyToTheHostAsksNobody) {
  for (const bool local : {true, false}) {
    RigOptions options;
    options.client.local_answers = local;
    Rig rig(options);
    CUdeviceptr data = 0;
    CUstream blocking = nullptr;
    CUstream apart = nullptr;
    void* pinned = nullptr;
    ASSERT_EQ(memory_allocate(0, 4096, &data), CUDA_SUCCESS);
    ASSERT_EQ(stream_create(0, CU_STREAM_DEFAULT, 0, &blocking), CUDA_SUCCESS);
    ASSERT_EQ(stream_create(0, CU_STREAM_NON_BLOCKING, 0, &apart), CUDA_SUCCESS);
    ASSERT_EQ(client::host_allocate(4096, 0, &pinned), CUDA_SUCCESS);
    std::vector<uint32_t> pageable(1024);
    const auto asks = [](CUstream stream) {
      client::CommandLog& log = client::session_if_any()->log();
      const uint64_t before = log.last_sequence();
      EXPECT_EQ(stream_synchronize(stream), CUDA_SUCCESS);
      return log.last_sequence() != before;
    };
    uint32_t value = 7;
    for (const CUstream stream : {CUstream{nullptr}, blocking, apart}) {
      for (uint32_t* const host : {static_cast<uint32_t*>(pinned), pageable.data()}) {
        ASSERT_EQ(fill_words(data, ++value, 1024, stream), CUDA_SUCCESS);
        ASSERT_EQ(to_host(host, data, 4096, stream, true), CUDA_SUCCESS);
        EXPECT_EQ(asks(stream), !local);
        EXPECT_EQ(std::vector<uint32_t>(host, host + 1024), std::vector<uint32_t>(1024, value));
        // Work behind the copy is not told by its data.
        ASSERT_EQ(to_host(host, data, 4096, stream, true), CUDA_SUCCESS);
        ASSERT_EQ(fill_words(data, 1, 1024, stream), CUDA_SUCCESS);
        EXPECT_TRUE(asks(stream));
      }
    }
    // The default stream also stands for work that blocking streams were given since.
    ASSERT_EQ(to_host(pinned, data, 4096, nullptr, true), CUDA_SUCCESS);
    ASSERT_EQ(fill_words(data, 1, 1024, blocking), CUDA_SUCCESS);
    EXPECT_TRUE(asks(nullptr));
    ASSERT_EQ(client::host_free(pinned), CUDA_SUCCESS);
  }
}

TEST(Order, ASynchronisationWaitsOnlyForWhatWasPostedBeforeIt) {
  Rig rig(by_hand());
  Kernels kernels;
  Gate first;
  Gate second;
  CUstream stream = nullptr;
  ASSERT_EQ(rig.pumped([&] { return kernels.load(); }), CUDA_SUCCESS);
  ASSERT_EQ(rig.pumped([&] { return first.make(); }), CUDA_SUCCESS);
  ASSERT_EQ(rig.pumped([&] { return second.make(); }), CUDA_SUCCESS);
  ASSERT_EQ(stream_create(0, CU_STREAM_NON_BLOCKING, 0, &stream), CUDA_SUCCESS);
  const auto step_until = [&](auto done) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (!done() && std::chrono::steady_clock::now() < end) rig.step();
    return done();
  };
  ASSERT_EQ(kernels.launch_wait_for(stream, first.address()), CUDA_SUCCESS);
  const uint64_t before = rig.executed();
  auto synchronised = rig.start([&] { return stream_synchronize(stream); });
  // The stream, the kernel, the question; and then more work, while it waits.
  ASSERT_TRUE(step_until([&] { return rig.executed() >= before + 3; }));
  ASSERT_EQ(kernels.launch_wait_for(stream, second.address()), CUDA_SUCCESS);
  ASSERT_TRUE(step_until([&] { return rig.executed() >= before + 4; }));
  first.open();
  EXPECT_TRUE(step_until(
      [&] { return synchronised.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }));
  second.open();
  EXPECT_EQ(rig.pumped([&] { return synchronised.get(); }), CUDA_SUCCESS);
}

TEST(Order, AQuestionThatWaitsHoldsUpNobodyElse) {
  Rig rig;
  Kernels kernels;
  Gate gate;
  CUstream stream = nullptr;
  ASSERT_EQ(kernels.load(), CUDA_SUCCESS);
  ASSERT_EQ(gate.make(), CUDA_SUCCESS);
  ASSERT_EQ(stream_create(0, CU_STREAM_NON_BLOCKING, 0, &stream), CUDA_SUCCESS);
  ASSERT_EQ(kernels.launch_wait_for(stream, gate.address()), CUDA_SUCCESS);
  EXPECT_EQ(stream_query(stream), CUDA_ERROR_NOT_READY);
  std::atomic<bool> gate_opened = false;
  auto waiting = rig.start([&] {
    const CUresult result = stream_synchronize(stream);
    EXPECT_TRUE(gate_opened) << "the kernel cannot have ended";
    return result;
  });
  // Another thread's questions, work and memory, meanwhile.
  for (uint32_t i = 0; i < 20; ++i) {
    size_t free_bytes = 0;
    size_t total_bytes = 0;
    ASSERT_EQ(client::memory_info(0, &free_bytes, &total_bytes), CUDA_SUCCESS);
    CUstream other = nullptr;
    CUdeviceptr data = 0;
    ASSERT_EQ(stream_create(0, CU_STREAM_NON_BLOCKING, 0, &other), CUDA_SUCCESS);
    ASSERT_EQ(client::memory_allocate_async(0, 4096, other, &data), CUDA_SUCCESS);
    ASSERT_EQ(fill_words(data, i, 1024, other), CUDA_SUCCESS);
    std::vector<uint32_t> got(1024);
    ASSERT_EQ(to_host(got.data(), data, 4096, other, false), CUDA_SUCCESS);
    EXPECT_EQ(got, std::vector<uint32_t>(1024, i));
  }
  EXPECT_EQ(stream_query(stream), CUDA_ERROR_NOT_READY);
  gate_opened = true;
  gate.open();
  EXPECT_EQ(waiting.get(), CUDA_SUCCESS);
  EXPECT_EQ(stream_query(stream), CUDA_SUCCESS);
}

TEST(Order, AStreamWaitsForAnEventOfAnother) {
  Rig rig;
  Kernels kernels;
  Gate gate;
  CUstream first = nullptr;
  CUstream second = nullptr;
  CUevent event = nullptr;
  CUdeviceptr data = 0;
  ASSERT_EQ(kernels.load(), CUDA_SUCCESS);
  ASSERT_EQ(gate.make(), CUDA_SUCCESS);
  ASSERT_EQ(memory_allocate(0, 4096, &data), CUDA_SUCCESS);
  ASSERT_EQ(stream_create(0, CU_STREAM_NON_BLOCKING, 0, &first), CUDA_SUCCESS);
  ASSERT_EQ(stream_create(0, CU_STREAM_NON_BLOCKING, 0, &second), CUDA_SUCCESS);
  ASSERT_EQ(event_create(0, 0, &event), CUDA_SUCCESS);
  ASSERT_EQ(fill_words(data, 5, 1024, first), CUDA_SUCCESS);
  ASSERT_EQ(kernels.launch_wait_for(first, gate.address()), CUDA_SUCCESS);
  ASSERT_EQ(kernels.launch_scale_add(first, data, 1024, 2, 1), CUDA_SUCCESS);
  ASSERT_EQ(event_record(event, first, 0), CUDA_SUCCESS);
  ASSERT_EQ(stream_wait_event(second, event, 0), CUDA_SUCCESS);
  ASSERT_EQ(kernels.launch_scale_add(second, data, 1024, 10, 7), CUDA_SUCCESS);
  EXPECT_EQ(event_query(event), CUDA_ERROR_NOT_READY);
  EXPECT_EQ(stream_query(second), CUDA_ERROR_NOT_READY);
  gate.open();
  std::vector<uint32_t> got(1024);
  ASSERT_EQ(to_host(got.data(), data, 4096, second, false), CUDA_SUCCESS);
  EXPECT_EQ(got, std::vector<uint32_t>(1024, (5 * 2 + 1) * 10 + 7));
  EXPECT_EQ(event_query(event), CUDA_SUCCESS);
}

TEST(Order, AnEventIsOverBeforeWhatFollowsIt) {
  Rig rig;
  Kernels kernels;
  Gate gate;
  CUstream stream = nullptr;
  CUevent start = nullptr;
  CUevent end = nullptr;
  CUdeviceptr data = 0;
  ASSERT_EQ(kernels.load(), CUDA_SUCCESS);
  ASSERT_EQ(gate.make(), CUDA_SUCCESS);
  ASSERT_EQ(memory_allocate(0, 4096, &data), CUDA_SUCCESS);
  ASSERT_EQ(stream_create(0, CU_STREAM_NON_BLOCKING, 0, &stream), CUDA_SUCCESS);
  ASSERT_EQ(event_create(0, 0, &start), CUDA_SUCCESS);
  ASSERT_EQ(event_create(0, 0, &end), CUDA_SUCCESS);
  ASSERT_EQ(event_record(start, stream, 0), CUDA_SUCCESS);
  ASSERT_EQ(fill_words(data, 5, 1024, stream), CUDA_SUCCESS);
  ASSERT_EQ(event_record(end, stream, 0), CUDA_SUCCESS);
  ASSERT_EQ(kernels.launch_wait_for(stream, gate.address()), CUDA_SUCCESS);
  ASSERT_EQ(event_synchronize(end), CUDA_SUCCESS);
  EXPECT_EQ(stream_query(stream), CUDA_ERROR_NOT_READY);
  float milliseconds = -1;
  EXPECT_EQ(event_elapsed(start, end, &milliseconds), CUDA_SUCCESS);
  EXPECT_GE(milliseconds, 0);
  // Recorded once more, behind the gate: what was known of the event is out of date.
  ASSERT_EQ(event_record(end, stream, 0), CUDA_SUCCESS);
  EXPECT_EQ(event_query(end), CUDA_ERROR_NOT_READY);
  gate.open();
  EXPECT_EQ(event_synchronize(end), CUDA_SUCCESS);
  EXPECT_EQ(stream_query(stream), CUDA_SUCCESS);
}

TEST(Order, TheDefaultStreamWaitsForBlockingStreamsOnly) {
  Rig rig;
  Kernels kernels;
  Gate gate;
  CUstream blocking = nullptr;
  CUstream apart = nullptr;
  CUdeviceptr data = 0;
  ASSERT_EQ(kernels.load(), CUDA_SUCCESS);
  ASSERT_EQ(gate.make(), CUDA_SUCCESS);
  ASSERT_EQ(memory_allocate(0, 4096, &data), CUDA_SUCCESS);
  ASSERT_EQ(stream_create(0, CU_STREAM_DEFAULT, 0, &blocking), CUDA_SUCCESS);
  ASSERT_EQ(stream_create(0, CU_STREAM_NON_BLOCKING, 0, &apart), CUDA_SUCCESS);
  ASSERT_EQ(fill_words(data, 5, 1024, blocking), CUDA_SUCCESS);
  ASSERT_EQ(kernels.launch_wait_for(blocking, gate.address()), CUDA_SUCCESS);
  ASSERT_EQ(kernels.launch_scale_add(blocking, data, 1024, 2, 1), CUDA_SUCCESS);
  ASSERT_EQ(kernels.launch_scale_add(nullptr, data, 1024, 10, 7), CUDA_SUCCESS);
  EXPECT_EQ(stream_query(nullptr), CUDA_ERROR_NOT_READY);
  EXPECT_EQ(stream_query(apart), CUDA_SUCCESS);
  EXPECT_EQ(stream_synchronize(apart), CUDA_SUCCESS);
  gate.open();
  std::vector<uint32_t> got(1024);
  ASSERT_EQ(to_host(got.data(), data, 4096, nullptr, false), CUDA_SUCCESS);
  EXPECT_EQ(got, std::vector<uint32_t>(1024, (5 * 2 + 1) * 10 + 7));
}

TEST(Order, BlockingStreamsAndTheDefaultStreamTakeTurns) {
  Rig rig;
  Kernels kernels;
  CUstream blocking = nullptr;
  CUdeviceptr data = 0;
  constexpr uint32_t kCount = 20'000;
  ASSERT_EQ(kernels.load(), CUDA_SUCCESS);
  ASSERT_EQ(memory_allocate(0, kCount * 4, &data), CUDA_SUCCESS);
  ASSERT_EQ(stream_create(0, CU_STREAM_DEFAULT, 0, &blocking), CUDA_SUCCESS);
  uint32_t want = 0;
  for (uint32_t i = 1; i <= 25; ++i) {
    // Long work here and short work there, so that the short one would overtake if it could.
    ASSERT_EQ(fill_words(data, i, kCount, nullptr), CUDA_SUCCESS);
    ASSERT_EQ(kernels.launch_scale_add(nullptr, data, kCount, 3, i), CUDA_SUCCESS);
    ASSERT_EQ(kernels.launch_scale_add(blocking, data, 16, 5, 1), CUDA_SUCCESS);
    ASSERT_EQ(kernels.launch_scale_add(nullptr, data, 16, 7, 2), CUDA_SUCCESS);
    want = ((i * 3 + i) * 5 + 1) * 7 + 2;
    std::vector<uint32_t> got(16);
    ASSERT_EQ(to_host(got.data(), data, 64, blocking, false), CUDA_SUCCESS);
    ASSERT_EQ(got, std::vector<uint32_t>(16, want)) << "round " << i;
  }
}

TEST(Order, WhatASynchronousCopyWroteIsThereForEveryStream) {
  for (const bool by_copy : {true, false}) {
    Rig rig;
    Kernels kernels;
    Gate gate;
    CUstream blocking = nullptr;
    CUstream apart = nullptr;
    CUdeviceptr data = 0;
    ASSERT_EQ(kernels.load(), CUDA_SUCCESS);
    ASSERT_EQ(gate.make(), CUDA_SUCCESS);
    ASSERT_EQ(memory_allocate(0, 64, &data), CUDA_SUCCESS);
    ASSERT_EQ(stream_create(0, CU_STREAM_DEFAULT, 0, &blocking), CUDA_SUCCESS);
    ASSERT_EQ(stream_create(0, CU_STREAM_NON_BLOCKING, 0, &apart), CUDA_SUCCESS);
    ASSERT_EQ(fill_words(data, 1, 16, nullptr), CUDA_SUCCESS);
    // The default stream waits for this one, so what follows there is late.
    ASSERT_EQ(kernels.launch_wait_for(blocking, gate.address()), CUDA_SUCCESS);
    const auto& waits = client::session_if_any()->inbox().counters().waits;
    const uint64_t waits_before = waits;
    std::vector<uint32_t> got(16);
    auto program = rig.start([&] {
      const std::vector<uint32_t> host(16, 7);
      const CUresult wrote = by_copy ? to_device(data, host.data(), 64, nullptr, false)
                                     : client::fill(data, 0, 7, 4, 16, 1, nullptr, false);
      if (wrote != CUDA_SUCCESS) return wrote;
      const CUresult launched = kernels.launch_scale_add(apart, data, 16, 10, 3);
      return launched == CUDA_SUCCESS ? to_host(got.data(), data, 64, apart, false) : launched;
    });
    while (waits == waits_before) std::this_thread::yield();
    gate.open();
    EXPECT_EQ(program.get(), CUDA_SUCCESS);
    EXPECT_EQ(got, std::vector<uint32_t>(16, 73));
  }
}

TEST(Order, IdleStreamsAreAnsweredWithoutTheServer) {
  Rig rig(by_hand());
  CUstream stream = nullptr;
  CUdeviceptr data = 0;
  ASSERT_EQ(rig.pumped([&] { return memory_allocate(0, 4096, &data); }), CUDA_SUCCESS);
  ASSERT_EQ(stream_create(0, CU_STREAM_NON_BLOCKING, 0, &stream), CUDA_SUCCESS);
  ASSERT_EQ(fill_words(data, 1, 1024, stream), CUDA_SUCCESS);
  ASSERT_EQ(rig.pumped([&] { return stream_synchronize(stream); }), CUDA_SUCCESS);
  // The worker does not move from here on: each of these would wait for ever.
  const uint64_t asked = client::session_if_any()->asked();
  EXPECT_EQ(stream_synchronize(stream), CUDA_SUCCESS);
  EXPECT_EQ(stream_query(stream), CUDA_SUCCESS);
  EXPECT_EQ(client::session_if_any()->asked(), asked);
}

TEST(Order, AnAsynchronousCopyToTheHostArrivesByTheNextSynchronisation) {
  Rig rig;
  CUstream stream = nullptr;
  CUdeviceptr data = 0;
  constexpr size_t kWords = 1 << 20;
  ASSERT_EQ(memory_allocate(0, kWords * 4, &data), CUDA_SUCCESS);
  ASSERT_EQ(stream_create(0, CU_STREAM_NON_BLOCKING, 0, &stream), CUDA_SUCCESS);
  void* pinned = nullptr;
  ASSERT_EQ(client::host_allocate(kWords * 4, 0, &pinned), CUDA_SUCCESS);
  auto* got = static_cast<uint32_t*>(pinned);
  for (uint32_t round = 1; round <= 5; ++round) {
    ASSERT_EQ(fill_words(data, round, kWords, stream), CUDA_SUCCESS);
    ASSERT_EQ(to_host(got, data, kWords * 4, stream, true), CUDA_SUCCESS);
    ASSERT_EQ(round % 2 == 0 ? stream_synchronize(stream) : client::device_synchronize(0),
              CUDA_SUCCESS);
    EXPECT_EQ(std::count(got, got + kWords, round), static_cast<ptrdiff_t>(kWords));
  }
  EXPECT_EQ(client::host_free(pinned), CUDA_SUCCESS);
}

}  // namespace
}  // namespace farlane::system_test
