// Host calls and the program's own memory: what the worker does in order, what passes what, and
// what a client may not do.
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <cstring>

#include "server/worker_test_client.h"

namespace farlane::server {
namespace {

using protocol::StreamId;

constexpr uint64_t kGranule = 2u << 20;
constexpr StreamId kLegacy = StreamId::legacy(0);

std::vector<std::byte> bytes_of(size_t count, int value) {
  return std::vector<std::byte>(count, static_cast<std::byte>(value));
}

class HostCall : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    spdlog::set_level(spdlog::level::off);
    settings_.overtaking = GetParam();
    settings_.staging_slot_bytes = 64 * 1024;
    settings_.staging_slots = 2;
    place_windows(&settings_);
    std::string error;
    host_ = Host::start(software_driver(), settings_, 0, &error);
    ASSERT_NE(host_, nullptr) << error;
    client_ = std::make_unique<TestClient>(*host_, settings_, nullptr);
    ASSERT_EQ(client_->hello().devices.size(), 1u);
    ASSERT_EQ(c().ask(message::ExtentCreate{0, base(), kGranule}).result, CUDA_SUCCESS);
  }

  TestClient& c() { return *client_; }
  uint64_t base() const { return host_->window_base; }
  StreamId stream(uint32_t index, unsigned flags = CU_STREAM_NON_BLOCKING) {
    const StreamId id = StreamId::make(index, 0);
    c().post(message::StreamCreate{id, 0, flags, 0});
    return id;
  }
  void fill(StreamId stream, uint64_t at, uint32_t value, uint64_t bytes = 64) {
    c().post(message::Fill{stream, at, 0, value, 1, bytes, 1});
  }
  CUresult query(StreamId stream) {
    return static_cast<CUresult>(c().ask(message::StreamQuery{stream}).result);
  }
  CUresult synchronize(StreamId stream) {
    return static_cast<CUresult>(c().ask(message::StreamSynchronize{stream}).result);
  }
  std::vector<std::byte> read(StreamId stream, uint64_t from, size_t bytes) {
    const uint64_t ticket = ++ticket_;
    c().post(message::CopyOut{stream, from, 0, bytes, 1, ticket});
    c().pump_until([&] { return c().tickets[ticket].last; });
    return c().tickets[ticket].bytes;
  }
  void wait_until_due(uint64_t ticket) {
    ASSERT_TRUE(c().pump_until([&] { return c().due.contains(ticket); }));
    EXPECT_EQ(c().due[ticket], CUDA_SUCCESS);
  }
  void expect_fault(const std::string& text) {
    c().settle();
    EXPECT_EQ(c().executor->end(), SessionEnd::kProtocol);
    EXPECT_NE(c().executor->end_text().find(text), std::string::npos) << c().executor->end_text();
  }

  ServerSettings settings_;
  std::unique_ptr<Host> host_;
  std::unique_ptr<TestClient> client_;
  uint64_t ticket_ = 100;
};

TEST_P(HostCall, HoldsItsStreamAndNoOther) {
  const StreamId held = stream(0);
  const StreamId other = stream(1);
  fill(held, base(), 1);
  c().post(message::CopyOut{held, base(), 0, 64, 1, 7});
  c().post(message::HostCall{held, 1});
  fill(held, base(), 2);
  wait_until_due(1);
  // Data of copies before it were sent before.
  EXPECT_TRUE(c().tickets[7].last);
  EXPECT_EQ(c().tickets[7].bytes, bytes_of(64, 1));
  EXPECT_EQ(query(held), CUDA_ERROR_NOT_READY);
  EXPECT_EQ(read(other, base(), 64), bytes_of(64, 1));
  fill(other, base() + 4096, 9);
  EXPECT_EQ(synchronize(other), CUDA_SUCCESS);
  EXPECT_EQ(query(other), CUDA_SUCCESS);
  // Who waits for the whole device waits for it too, and holds up nobody.
  const uint64_t device = c().begin(message::DeviceSynchronize{0});
  fill(other, base() + 4096, 10);
  EXPECT_EQ(synchronize(other), CUDA_SUCCESS);
  EXPECT_FALSE(c().replies.contains(device));
  c().post(message::HostCallDone{1});
  EXPECT_EQ(c().reply<message::DeviceSynchronizeReply>(device).result, CUDA_SUCCESS);
  EXPECT_EQ(read(held, base(), 64), bytes_of(64, 2));
  EXPECT_EQ(query(held), CUDA_SUCCESS);
}

TEST_P(HostCall, BodiesWaitBehindItAndTheAnswerGetsThrough) {
  const StreamId held = stream(0);
  c().post(message::HostCall{held, 1});
  wait_until_due(1);
  // More than there are slots for.
  for (int i = 0; i < 8; ++i) {
    c().post(message::CopyIn{held, base() + static_cast<uint64_t>(i) * 65536, 0, 60'000, 1, {}},
             bytes_of(60'000, i + 1));
  }
  for (int i = 0; i < 5000; ++i) fill(held, base() + kGranule / 2, static_cast<uint32_t>(i & 127));
  c().post(message::HostCallDone{1});
  EXPECT_EQ(synchronize(held), CUDA_SUCCESS);
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(read(held, base() + static_cast<uint64_t>(i) * 65536, 60'000),
              bytes_of(60'000, i + 1));
  }
  EXPECT_EQ(read(held, base() + kGranule / 2, 64), bytes_of(64, 4999 & 127));
}

TEST_P(HostCall, CopiesHappenAtItsPlace) {
  const StreamId held = stream(0);
  fill(held, base(), 1, 200'000);
  c().post(message::HostCall{held, 1});
  c().post(message::CopyWithin{held, base() + kGranule / 2, 0, base(), 0, 200'000, 1});
  fill(held, base(), 3, 200'000);
  wait_until_due(1);
  const auto small = bytes_of(100, 50);
  c().post(message::HostCallCopy{1, base(), 0, 100, 1, small});
  c().post(message::HostCallCopy{1, base() + 100, 0, 60'000, 1, {}}, bytes_of(60'000, 51));
  c().post(message::HostCallDone{1});
  const auto got = read(held, base() + kGranule / 2, 200'000);
  EXPECT_EQ(std::vector<std::byte>(got.begin(), got.begin() + 100), small);
  EXPECT_EQ(std::vector<std::byte>(got.begin() + 100, got.begin() + 60'100), bytes_of(60'000, 51));
  EXPECT_EQ(got.back(), std::byte{1});
  EXPECT_EQ(read(held, base(), 10), bytes_of(10, 3));
}

TEST_P(HostCall, ManyInOrder) {
  const StreamId one = stream(0);
  const StreamId two = stream(1);
  for (uint64_t ticket = 1; ticket <= 100; ++ticket) {
    c().append(message::HostCall{ticket % 2 == 0 ? one : two, ticket});
    c().append(message::Fill{ticket % 2 == 0 ? one : two, base() + ticket * 64, 0,
                             static_cast<uint32_t>(ticket), 1, 64, 1});
  }
  c().send();
  for (uint64_t ticket = 1; ticket <= 100; ++ticket) {
    wait_until_due(ticket);
    EXPECT_FALSE(c().due.contains(ticket + 2)) << "its stream has not come so far";
    c().post(message::HostCallDone{ticket});
  }
  EXPECT_EQ(synchronize(one), CUDA_SUCCESS);
  EXPECT_EQ(synchronize(two), CUDA_SUCCESS);
  EXPECT_EQ(read(kLegacy, base() + 100 * 64, 64), bytes_of(64, 100));
}

TEST_P(HostCall, TheSessionEndsWithCallsOpen) {
  c().post(message::HostCall{stream(0), 1});
  c().post(message::HostCall{kLegacy, 2});
  wait_until_due(1);
  c().channel().close();
  c().settle();
  EXPECT_EQ(c().executor->end(), SessionEnd::kPeerGone);
  client_.reset();  // waits for the device
}

TEST_P(HostCall, OnlyWhatIsDueCanBeDone) {
  c().post(message::HostCallDone{1});
  expect_fault("host call 1 is not due");
}
TEST_P(HostCall, IsDoneOnce) {
  const StreamId held = stream(0);
  c().post(message::HostCall{held, 1});
  wait_until_due(1);
  c().append(message::HostCallDone{1});
  c().append(message::HostCallDone{1});
  c().send();
  expect_fault("host call 1 is not due");
}
TEST_P(HostCall, TicketsAreForOneCall) {
  c().post(message::HostCall{stream(0), 1});
  wait_until_due(1);
  c().post(message::HostCall{stream(1), 1});
  expect_fault("of another host call");
}
TEST_P(HostCall, CopiesNeedADueCall) {
  const auto data = bytes_of(8, 1);
  c().post(message::HostCallCopy{3, base(), 0, 8, 1, data});
  expect_fault("host call 3 is not due");
}

// ---- memory of the program's own

TEST_P(HostCall, MappedMemoryIsUsedAcrossBorders) {
  const uint64_t at = base() + 64 * kGranule;
  for (uint64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(c().ask(message::MemoryCreate{100 + i, 0, 0, kGranule}).result, CUDA_SUCCESS);
    c().post(message::MemoryMap{at + i * kGranule, kGranule, 100 + i});
  }
  const message::MemoryAccessOf access{0, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  c().post(message::MemoryAccess{at, 3 * kGranule, {&access, 1}});
  fill(kLegacy, at, 7, 3 * kGranule);
  EXPECT_EQ(read(kLegacy, at + kGranule - 10, 20), bytes_of(20, 7));
  // The name goes, the mapping stays; then the middle goes.
  c().post(message::MemoryRelease{101});
  fill(kLegacy, at + kGranule, 8, 10);
  EXPECT_EQ(synchronize(kLegacy), CUDA_SUCCESS);
  EXPECT_TRUE(c().errors.empty());
  c().post(message::MemoryUnmap{at + kGranule, kGranule});
  fill(kLegacy, at + kGranule, 9, 10);
  c().ask(message::Echo{1});
  ASSERT_EQ(c().errors.size(), 1u);
  EXPECT_EQ(c().errors[0].result, CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(read(kLegacy, at + 2 * kGranule, 10), bytes_of(10, 7));
  c().post(message::MemoryUnmap{at, kGranule});
  c().post(message::MemoryUnmap{at + 2 * kGranule, kGranule});
  EXPECT_EQ(c().ask(message::DeviceReset{0}).result, CUDA_SUCCESS);
}

TEST_P(HostCall, MemoryIsNotMadeTwice) {
  EXPECT_EQ(c().ask(message::MemoryCreate{5, 0, 0, kGranule}).result, CUDA_SUCCESS);
  c().post(message::MemoryCreate{5, 0, 0, kGranule});
  expect_fault("memory 5 exists");
}
TEST_P(HostCall, MappingsLieInAWindow) {
  EXPECT_EQ(c().ask(message::MemoryCreate{5, 0, 0, kGranule}).result, CUDA_SUCCESS);
  c().post(message::MemoryMap{base() - kGranule, kGranule, 5});
  expect_fault("are not free granules");
}
TEST_P(HostCall, MappingsDoNotOverlapExtents) {
  EXPECT_EQ(c().ask(message::MemoryCreate{5, 0, 0, kGranule}).result, CUDA_SUCCESS);
  c().post(message::MemoryMap{base(), kGranule, 5});
  expect_fault("are not free granules");
}
TEST_P(HostCall, MappingsAreNoExtents) {
  const uint64_t at = base() + 8 * kGranule;
  EXPECT_EQ(c().ask(message::MemoryCreate{5, 0, 0, kGranule}).result, CUDA_SUCCESS);
  c().post(message::MemoryMap{at, kGranule, 5});
  c().post(message::ExtentRelease{0, at, kGranule});
  expect_fault("there is no extent");
}
TEST_P(HostCall, MappingsAreNotLargerThanTheirMemory) {
  EXPECT_EQ(c().ask(message::MemoryCreate{5, 0, 0, kGranule}).result, CUDA_SUCCESS);
  c().post(message::MemoryMap{base() + 8 * kGranule, 2 * kGranule, 5});
  expect_fault("bytes of memory of");
}
TEST_P(HostCall, MemoryThatNobodyMadeIsNotReleased) {
  c().post(message::MemoryRelease{5});
  expect_fault("memory 5 does not exist");
}
TEST_P(HostCall, TooMuchMemoryIsToldAtOnce) {
  EXPECT_EQ(c().ask(message::MemoryCreate{5, 0, 0, uint64_t{1} << 44}).result,
            CUDA_ERROR_OUT_OF_MEMORY);
  // Nothing is left of it: its name is free.
  EXPECT_EQ(c().ask(message::MemoryCreate{5, 0, 0, kGranule}).result, CUDA_SUCCESS);
  EXPECT_EQ(c().executor->end(), SessionEnd::kNotYet);
}

INSTANTIATE_TEST_SUITE_P(Overtaking, HostCall, testing::Bool(),
                         [](const auto& each) { return each.param ? "On" : "Off"; });

}  // namespace
}  // namespace farlane::server
