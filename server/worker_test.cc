// The worker's executor on the software device, driven record by record.
#include <spdlog/spdlog.h>
#include <stdlib.h>

#include <filesystem>
#include <numeric>

#include "protocol/limits.h"
#include "server/output_capture.h"
#include "server/worker_test_client.h"
#include "server/worker_test_kernels.h"

namespace farlane::server {
namespace {

using protocol::EventId;
using protocol::KernelId;
using protocol::ModuleId;
using protocol::StreamId;

constexpr uint64_t kGranule = 2u << 20;
constexpr StreamId kLegacy = StreamId::legacy(0);
constexpr ModuleId kModule = ModuleId::make(0, 0);
constexpr KernelId kAdd = KernelId::make(0, 0);
constexpr KernelId kAwait = KernelId::make(1, 0);

std::vector<std::byte> numbers(size_t bytes) {
  std::vector<std::byte> data(bytes);
  for (size_t i = 0; i < bytes; ++i) data[i] = static_cast<std::byte>(i * 2654435761u >> 13);
  return data;
}

class Worker : public testing::Test {
 protected:
  void SetUp() override {
    spdlog::set_level(spdlog::level::off);
    settings_.staging_slot_bytes = 64 * 1024;
    settings_.staging_slots = 2;
    settings_.credit_bytes = 64 * 1024;
    place_windows(&settings_);
    start();
  }

  void start(OutputSource* output = nullptr) {
    client_.reset();
    host_.reset();
    std::string error;
    host_ = Host::start(software_driver(), settings_, 0, &error);
    ASSERT_NE(host_, nullptr) << error;
    client_ = std::make_unique<TestClient>(*host_, settings_, output);
    ASSERT_EQ(client_->hello().devices.size(), 1u);
  }

  TestClient& c() { return *client_; }
  uint64_t base() const { return host_->window_base; }

  void extent(uint64_t offset, uint64_t bytes = kGranule) {
    EXPECT_EQ(c().ask(message::ExtentCreate{0, base() + offset, bytes}).result, CUDA_SUCCESS);
  }
  void copy_in(uint64_t to, std::span<const std::byte> data, StreamId stream = kLegacy) {
    if (data.size() <= 1024) {
      c().post(message::CopyIn{stream, to, 0, data.size(), 1, data});
    } else {
      c().post(message::CopyIn{stream, to, 0, data.size(), 1, {}}, data);
    }
  }
  std::vector<std::byte> copy_out(uint64_t from, size_t bytes, StreamId stream = kLegacy) {
    const uint64_t ticket = ++ticket_;
    c().post(message::CopyOut{stream, from, 0, bytes, 1, ticket});
    c().pump_until([&] { return c().tickets[ticket].last; });
    EXPECT_EQ(c().tickets[ticket].result, CUDA_SUCCESS);
    return c().tickets[ticket].bytes;
  }
  void load(const char* ptx, ModuleId module) {
    const auto image = std::as_bytes(std::span(ptx, std::strlen(ptx)));
    const message::ImageHash hash = hash_image(image);
    message::ModuleLoadReply reply = c().ask(message::ModuleLoad{module, 0, {&hash, 1}});
    ASSERT_EQ(reply.result, CUDA_SUCCESS);
    if (!reply.missing.empty()) {
      ASSERT_EQ(reply.missing[0], hash);
      const size_t half = image.size() / 2;
      c().post(message::ImagePart{hash, image.size(), 0}, image.first(half));
      c().post(message::ImagePart{hash, image.size(), half}, image.subspan(half));
      reply = c().ask(message::ModuleLoad{module, 0, {&hash, 1}});
    }
    ASSERT_EQ(reply.result, CUDA_SUCCESS) << reply.log;
    ASSERT_TRUE(reply.missing.empty());
    facts_ = reply;
  }
  void load_add() {
    load(kAddPtx, kModule);
    c().post(message::KernelBind{kAdd, kModule, "add"});
    c().post(message::KernelBind{kAwait, kModule, "await_flag"});
  }
  void launch_add(uint64_t address, int32_t value, StreamId stream = kLegacy) {
    struct {
      uint64_t p;
      int32_t value;
    } params{address, value};
    message::Launch launch{stream, kAdd, 1, 1, 1, 32, 1, 1, 0, {}, {}};
    launch.params = std::as_bytes(std::span(&params, 1)).first(12);
    c().post(launch);
  }
  void launch_await(uint64_t flag, StreamId stream) {
    message::Launch launch{stream, kAwait, 1, 1, 1, 1, 1, 1, 0, {}, {}};
    launch.params = std::as_bytes(std::span(&flag, 1));
    c().post(launch);
  }
  CUresult synchronize(StreamId stream = kLegacy) {
    return static_cast<CUresult>(c().ask(message::StreamSynchronize{stream}).result);
  }
  StreamId stream(uint32_t index, unsigned flags = CU_STREAM_NON_BLOCKING) {
    const StreamId id = StreamId::make(index, 0);
    c().post(message::StreamCreate{id, 0, flags, 0});
    return id;
  }
  void expect_fault(const std::string& text) {
    c().settle();
    EXPECT_EQ(c().executor->end(), SessionEnd::kProtocol);
    EXPECT_NE(c().executor->end_text().find(text), std::string::npos) << c().executor->end_text();
  }
  size_t position(const std::string& what) {
    const auto found = std::find(c().arrived.begin(), c().arrived.end(), what);
    EXPECT_NE(found, c().arrived.end()) << what;
    return static_cast<size_t>(found - c().arrived.begin());
  }

  ServerSettings settings_;
  std::unique_ptr<Host> host_;
  std::unique_ptr<TestClient> client_;
  message::ModuleLoadReply facts_;
  uint64_t ticket_ = 100;
};

TEST_F(Worker, AWholeSession) {
  extent(0);
  load_add();
  EXPECT_EQ(facts_.kernels_total, 2u);
  ASSERT_EQ(facts_.kernels.size(), 2u);
  const auto add = std::find_if(facts_.kernels.begin(), facts_.kernels.end(),
                                [](const auto& facts) { return facts.name == "add"; });
  ASSERT_NE(add, facts_.kernels.end());
  EXPECT_EQ(add->param_bytes, 12u);
  ASSERT_EQ(add->params.size(), 2u);
  EXPECT_EQ(add->params[1].offset, 8u);
  EXPECT_EQ(add->params[1].bytes, 4u);
  EXPECT_GT(add->max_threads_per_block, 0);

  std::vector<int32_t> values(32);
  std::iota(values.begin(), values.end(), 0);
  copy_in(base() + 4096, std::as_bytes(std::span(values)));
  launch_add(base() + 4096, 5);
  launch_add(base() + 4096, 7);
  EXPECT_EQ(synchronize(), CUDA_SUCCESS);
  const auto out = copy_out(base() + 4096, 128);
  ASSERT_EQ(out.size(), 128u);
  for (int i = 0; i < 32; ++i) {
    int32_t value = 0;
    std::memcpy(&value, out.data() + 4 * i, 4);
    EXPECT_EQ(value, i + 12);
  }
  EXPECT_TRUE(c().errors.empty());
}

TEST_F(Worker, FreshMemoryIsZero) {
  extent(0);
  c().post(message::Fill{kLegacy, base(), 0, 0xab, 1, kGranule, 1});
  EXPECT_EQ(synchronize(), CUDA_SUCCESS);
  c().post(message::ExtentRelease{0, base(), kGranule});
  extent(0);
  EXPECT_EQ(copy_out(base(), kGranule), std::vector<std::byte>(kGranule));
}

TEST_F(Worker, CopiesOfAllShapesComeBackEqual) {
  extent(0, 4 * kGranule);
  // Inline; a body that fits a slot; one that is larger than a slot.
  for (const size_t bytes : {1ul, 1000ul, 60'000ul, 200'000ul}) {
    const auto data = numbers(bytes);
    copy_in(base() + 512, data);
    EXPECT_EQ(copy_out(base() + 512, bytes), data) << bytes;
  }
  // 2-D: packed rows into a pitch and back; rows longer than a slot.
  for (const size_t width : {100ul, 70'000ul}) {
    const size_t height = 7;
    const auto data = numbers(width * height);
    c().post(message::CopyIn{kLegacy, base(), 80'000, width, height, {}}, data);
    c().post(message::CopyOut{kLegacy, base(), 80'000, width, height, 7 * width});
    c().pump_until([&] { return c().tickets[7 * width].last; });
    EXPECT_EQ(c().tickets[7 * width].bytes, data) << width;
    // A row of the pitch, at its place.
    const auto row = copy_out(base() + 3 * 80'000, width);
    EXPECT_TRUE(std::equal(row.begin(), row.end(), data.begin() + 3 * width));
  }
  const auto inline_rows = numbers(300);
  c().post(message::CopyIn{kLegacy, base(), 1000, 100, 3, inline_rows});
  c().post(message::CopyWithin{kLegacy, base() + kGranule, 100, base(), 1000, 100, 3});
  EXPECT_EQ(copy_out(base() + kGranule, 300), inline_rows);
  // Empty ones are answered as well.
  c().post(message::CopyOut{kLegacy, base(), 0, 0, 1, 1});
  c().pump_until([&] { return c().tickets[1].last; });
  EXPECT_EQ(c().tickets[1].result, CUDA_SUCCESS);
}

TEST_F(Worker, FillsOfAllWidths) {
  extent(0);
  c().post(message::Fill{kLegacy, base(), 0, 0x11, 1, 4, 1});
  c().post(message::Fill{kLegacy, base() + 4, 0, 0x2233, 2, 2, 1});
  c().post(message::Fill{kLegacy, base() + 8, 0, 0x44556677, 4, 1, 1});
  c().post(message::Fill{kLegacy, base() + 16, 8, 0x99, 1, 2, 3});
  const std::vector<uint8_t> want{0x11, 0x11, 0x11, 0x11, 0x33, 0x22, 0x33, 0x22, 0x77,
                                  0x66, 0x55, 0x44, 0,    0,    0,    0,    0x99, 0x99,
                                  0,    0,    0,    0,    0,    0,    0x99, 0x99, 0,
                                  0,    0,    0,    0,    0,    0x99, 0x99, 0,    0};
  const auto out = copy_out(base(), want.size());
  EXPECT_EQ(std::memcmp(out.data(), want.data(), want.size()), 0);
  c().post(message::Fill{kLegacy, base(), 0, 1, 3, 1, 1});
  expect_fault("elements of 3 bytes");
}

TEST_F(Worker, AnswersDoNotOvertakeData) {
  extent(0, 2 * kGranule);
  for (int round = 0; round < 20; ++round) {
    const uint64_t ticket = 500 + static_cast<uint64_t>(round);
    c().append(message::Fill{kLegacy, base(), 0, static_cast<uint32_t>(round), 1, kGranule, 1});
    c().append(message::CopyOut{kLegacy, base(), 0, 500'000, 1, ticket});
    c().append(message::StreamSynchronize{kLegacy});
    const uint64_t asked = c().sequence();
    c().send();
    c().pump_until([&] { return c().replies.contains(asked); });
    ASSERT_TRUE(c().tickets[ticket].last);
    EXPECT_GT(c().tickets[ticket].pieces, 4);
    EXPECT_EQ(c().tickets[ticket].bytes,
              std::vector<std::byte>(500'000, static_cast<std::byte>(round)));
  }
}

TEST_F(Worker, OtherCommandsGoOnWhileOneWaits) {
  extent(0);
  load_add();
  const StreamId slow = stream(0);
  const StreamId other = stream(1);
  launch_await(base(), slow);
  const uint64_t waiting = c().begin(message::StreamSynchronize{slow});
  launch_add(base() + 4096, 3, other);
  EXPECT_EQ(synchronize(other), CUDA_SUCCESS);
  EXPECT_EQ(c().ask(message::StreamQuery{slow}).result, CUDA_ERROR_NOT_READY);
  EXPECT_FALSE(c().replies.contains(waiting));
  const uint64_t device = c().begin(message::DeviceSynchronize{0});
  const int32_t one = 1;
  copy_in(base(), std::as_bytes(std::span(&one, 1)), other);
  EXPECT_EQ(c().reply<message::StreamSynchronizeReply>(waiting).result, CUDA_SUCCESS);
  EXPECT_EQ(c().reply<message::DeviceSynchronizeReply>(device).result, CUDA_SUCCESS);
  EXPECT_EQ(c().ask(message::StreamQuery{slow}).result, CUDA_SUCCESS);
}

TEST_F(Worker, AnEventWaitedForMeansTheRecordBefore) {
  extent(0);
  load_add();
  const StreamId slow = stream(0);
  const StreamId other = stream(1);
  const EventId event = EventId::make(0, 0);
  c().post(message::EventCreate{event, 0, CU_EVENT_DISABLE_TIMING});
  EXPECT_EQ(c().ask(message::EventQuery{event}).result, CUDA_SUCCESS);
  launch_await(base(), slow);
  c().post(message::EventRecord{event, slow, 0});
  EXPECT_EQ(c().ask(message::EventQuery{event}).result, CUDA_ERROR_NOT_READY);
  const uint64_t first = c().begin(message::EventSynchronize{event});
  // Recorded again behind a kernel that does not end before the first wait has been answered.
  launch_await(base() + 64, other);
  c().post(message::EventRecord{event, other, 0});
  const uint64_t second = c().begin(message::EventSynchronize{event});
  c().settle();
  EXPECT_FALSE(c().replies.contains(first));
  c().post(message::Fill{kLegacy, base(), 0, 1, 4, 1, 1});
  EXPECT_EQ(c().reply<message::EventSynchronizeReply>(first).result, CUDA_SUCCESS);
  EXPECT_FALSE(c().replies.contains(second));
  c().post(message::Fill{kLegacy, base() + 64, 0, 1, 4, 1, 1});
  EXPECT_EQ(c().reply<message::EventSynchronizeReply>(second).result, CUDA_SUCCESS);
}

TEST_F(Worker, EventsMeasureAndOrder) {
  extent(0);
  load_add();
  const StreamId a = stream(0);
  const StreamId b = stream(1);
  const EventId start = EventId::make(0, 0);
  const EventId end = EventId::make(1, 0);
  c().post(message::EventCreate{start, 0, 0});
  c().post(message::EventCreate{end, 0, 0});
  c().post(message::EventRecord{start, a, 0});
  launch_await(base(), a);
  c().post(message::EventRecord{end, a, 0});
  c().post(message::StreamWait{b, end, 0});
  launch_add(base() + 4096, 1, b);
  EXPECT_EQ(c().ask(message::StreamQuery{b}).result, CUDA_ERROR_NOT_READY);
  c().post(message::Fill{stream(2), base(), 0, 1, 4, 1, 1});
  EXPECT_EQ(synchronize(b), CUDA_SUCCESS);
  const auto elapsed = c().ask(message::EventElapsed{start, end});
  EXPECT_EQ(elapsed.result, CUDA_SUCCESS);
  EXPECT_GT(elapsed.milliseconds, 0);
  c().post(message::EventDestroy{start});
  c().post(message::StreamDestroy{a});
  EXPECT_EQ(c().ask(message::DeviceSynchronize{0}).result, CUDA_SUCCESS);
  EXPECT_TRUE(c().errors.empty());
}

TEST_F(Worker, AFenceHoldsLaterWorkOfEveryStream) {
  extent(0);
  load_add();
  const StreamId slow = stream(0);
  const StreamId other = stream(1);
  launch_await(base(), slow);
  c().post(message::ReuseFence{0});
  launch_add(base() + 4096, 1, other);
  const StreamId fresh = stream(2);
  launch_add(base() + 8192, 1, fresh);
  c().settle();
  EXPECT_EQ(c().ask(message::StreamQuery{other}).result, CUDA_ERROR_NOT_READY);
  EXPECT_EQ(c().ask(message::StreamQuery{fresh}).result, CUDA_ERROR_NOT_READY);
  // Only what is outside the session's streams can end it now: another fence would wait as well.
  const int32_t one = 1;
  ASSERT_EQ(software_driver().cuMemcpyHtoD(base(), &one, 4), CUDA_SUCCESS);
  EXPECT_EQ(synchronize(other), CUDA_SUCCESS);
  EXPECT_EQ(synchronize(fresh), CUDA_SUCCESS);
}

TEST_F(Worker, MemoryGoesWhenItsWorkIsDone) {
  extent(0);
  extent(4 * kGranule);
  load_add();
  const auto before = c().ask(message::MemoryInfo{0});
  ASSERT_EQ(before.result, CUDA_SUCCESS);
  const StreamId slow = stream(0);
  launch_await(base(), slow);
  c().post(message::ExtentRelease{0, base() + 4 * kGranule, kGranule});
  // Refused from now on, though the memory is still there.
  c().post(message::Fill{kLegacy, base() + 4 * kGranule, 0, 1, 1, 1, 1});
  const uint64_t again = c().begin(message::ExtentCreate{0, base() + 4 * kGranule, kGranule});
  const uint64_t info = c().begin(message::MemoryInfo{0});
  c().settle();
  EXPECT_FALSE(c().replies.contains(again));
  EXPECT_FALSE(c().replies.contains(info));
  c().post(message::Fill{stream(1), base(), 0, 1, 4, 1, 1});
  EXPECT_EQ(c().reply<message::ExtentCreateReply>(again).result, CUDA_SUCCESS);
  EXPECT_EQ(c().reply<message::MemoryInfoReply>(info).result, CUDA_SUCCESS);
  ASSERT_EQ(c().errors.size(), 1u);
  EXPECT_EQ(c().errors[0].result, CUDA_ERROR_INVALID_VALUE);
}

TEST_F(Worker, OutOfMemoryLeavesNothingBehind) {
  const auto before = c().ask(message::MemoryInfo{0});
  const uint64_t too_much = (before.total_bytes / kGranule + 1) * kGranule;
  ASSERT_LT(too_much, static_cast<uint64_t>(settings_.window_bytes));
  EXPECT_EQ(c().ask(message::ExtentCreate{0, base(), too_much}).result, CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(c().ask(message::MemoryInfo{0}).free_bytes, before.free_bytes);
  extent(0);
  EXPECT_EQ(c().ask(message::MemoryInfo{0}).free_bytes, before.free_bytes - kGranule);
  EXPECT_TRUE(c().errors.empty());
}

TEST_F(Worker, MemoryComesBackWithTheSession) {
  const auto before = c().ask(message::MemoryInfo{0});
  extent(0, 16 * kGranule);
  client_.reset();
  client_ = std::make_unique<TestClient>(*host_, settings_, nullptr);
  c().hello();
  EXPECT_EQ(c().ask(message::MemoryInfo{0}).free_bytes, before.free_bytes);
}

TEST_F(Worker, WindowsMove) {
  EXPECT_EQ(c().ask(message::WindowsReserve{kOtherBase, kWindowBytes}).result, CUDA_SUCCESS);
  EXPECT_EQ(c().ask(message::ExtentCreate{0, kOtherBase, kGranule}).result, CUDA_SUCCESS);
  // Not under extents, and not where the addresses end.
  EXPECT_NE(c().ask(message::WindowsReserve{kWindowBase, kWindowBytes}).result, CUDA_SUCCESS);
  c().post(message::ExtentRelease{0, kOtherBase, kGranule});
  c().ask(message::MemoryInfo{0});
  EXPECT_NE(c().ask(message::WindowsReserve{UINT64_MAX - 4095, 1ull << 40}).result, CUDA_SUCCESS);
  EXPECT_NE(c().ask(message::WindowsReserve{0, 0}).result, CUDA_SUCCESS);
  EXPECT_EQ(c().executor->end(), SessionEnd::kNotYet);
}

struct BadRange {
  const char* name;
  uint64_t offset;
  uint64_t pitch, width, height;
};
class Ranges : public Worker, public testing::WithParamInterface<BadRange> {};

TEST_P(Ranges, AreRefusedWithoutHarm) {
  extent(0);
  extent(8 * kGranule);
  const BadRange& bad = GetParam();
  const uint64_t at = base() + bad.offset;
  c().post(message::CopyOut{kLegacy, at, bad.pitch, bad.width, bad.height, 1});
  c().pump_until([&] { return c().tickets[1].last; });
  EXPECT_EQ(c().tickets[1].result, CUDA_ERROR_INVALID_VALUE);
  EXPECT_TRUE(c().tickets[1].bytes.empty());
  EXPECT_TRUE(c().errors.empty()) << "a ticket's error is told with the ticket alone";
  int told = 0;
  const auto refused = [&](uint64_t sequence) {
    c().ask(message::Echo{1});
    ASSERT_EQ(c().errors.size(), static_cast<size_t>(++told));
    EXPECT_EQ(c().errors.back().sequence, sequence);
    EXPECT_EQ(c().errors.back().result, CUDA_ERROR_INVALID_VALUE);
    EXPECT_FALSE(c().errors.back().sticky);
  };
  refused(c().post(message::Fill{kLegacy, at, bad.pitch, 1, 1, bad.width, bad.height}));
  refused(c().post(
      message::CopyWithin{kLegacy, base(), bad.pitch, at, bad.pitch, bad.width, bad.height}));
  refused(c().post(
      message::CopyWithin{kLegacy, at, bad.pitch, base(), bad.pitch, bad.width, bad.height}));
}

INSTANTIATE_TEST_SUITE_P(Of, Ranges,
                         testing::Values(BadRange{"before", uint64_t(-1), 0, 16, 1},
                                         BadRange{"over_the_end", kGranule - 8, 0, 16, 1},
                                         BadRange{"after", kGranule, 0, 1, 1},
                                         BadRange{"into_a_gap", kGranule / 2, 0, 7 * kGranule, 1},
                                         BadRange{"second_row", kGranule - 100, 200, 16, 2},
                                         BadRange{"pitch_below_width", 0, 8, 16, 4},
                                         BadRange{"wrapping_width", 64, 0, UINT64_MAX - 4096, 1},
                                         BadRange{"wrapping_pitch", 0, UINT64_MAX / 2, 16, 4},
                                         BadRange{"host_memory", 0x7fff'0000'0000 - kWindowBase, 0,
                                                  16, 1}),
                         [](const auto& param) { return param.param.name; });

TEST_F(Worker, VariablesMayBeTouchedOnceFound) {
  load_add();
  const auto found = c().ask(message::VariableFind{kModule, "counter"});
  ASSERT_EQ(found.result, CUDA_SUCCESS);
  EXPECT_EQ(found.bytes, 4u);
  const auto out = copy_out(found.address, 4);
  EXPECT_EQ(std::to_integer<int>(out[0]), 42);
  c().post(message::Fill{kLegacy, found.address, 0, 1, 1, 5, 1});  // one byte too far
  c().ask(message::Echo{1});
  EXPECT_EQ(c().errors.size(), 1u);
  EXPECT_EQ(c().ask(message::VariableFind{kModule, "nothing"}).result, CUDA_ERROR_NOT_FOUND);
  c().post(message::ModuleUnload{kModule});
  c().post(message::CopyOut{kLegacy, found.address, 0, 4, 1, 1});
  c().pump_until([&] { return c().tickets[1].last; });
  EXPECT_EQ(c().tickets[1].result, CUDA_ERROR_INVALID_VALUE);
}

TEST_F(Worker, TheFirstPostedErrorIsToldOnceBeforeTheNextAnswer) {
  extent(0);
  load_add();
  c().append(message::KernelSet{kAdd, 4711, 1});  // no such attribute
  const uint64_t first = c().sequence();
  c().append(message::Fill{kLegacy, base() - 4096, 0, 1, 1, 1, 1});
  c().append(message::Echo{7});
  const uint64_t echo = c().sequence();
  c().send();
  EXPECT_EQ(c().reply<message::EchoReply>(echo).value, 7u);
  ASSERT_EQ(c().errors.size(), 1u);
  EXPECT_EQ(c().errors[0].sequence, first);
  EXPECT_EQ(c().errors[0].result, CUDA_ERROR_INVALID_VALUE);
  EXPECT_NE(c().errors[0].what.find("kernel_set"), std::string::npos) << c().errors[0].what;
  EXPECT_NE(c().errors[0].what.find("CUDA_ERROR_INVALID_VALUE"), std::string::npos);
  EXPECT_LT(position("error " + std::to_string(first)), position("reply " + std::to_string(echo)));
  c().ask(message::Echo{8});
  EXPECT_EQ(c().errors.size(), 1u);
}

TEST_F(Worker, StickyErrorsStayAndAreToldOnce) {
  extent(0);
  load_add();
  launch_add(base() + 1024 * kGranule, 1);  // nothing is there
  EXPECT_EQ(synchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_TRUE(c().errors.empty());
  launch_add(base(), 1);
  c().post(message::CopyOut{kLegacy, base(), 0, 16, 1, 1});
  EXPECT_EQ(synchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_EQ(c().ask(message::DeviceSynchronize{0}).result, CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_TRUE(c().errors.empty()) << "the reply has told it";
  EXPECT_EQ(c().tickets[1].result, CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_EQ(c().executor->end(), SessionEnd::kNotYet);
}

TEST_F(Worker, WhatCouldNotBeMadeIsAnErrorAndNoFault) {
  c().post(message::StreamCreate{StreamId::make(5, 0), 0, 0xffff, 0});  // no such flags
  c().ask(message::Echo{1});
  ASSERT_EQ(c().errors.size(), 1u);
  c().post(message::Fill{StreamId::make(5, 0), base(), 0, 1, 1, 1, 1});
  c().ask(message::Echo{1});
  ASSERT_EQ(c().errors.size(), 2u);
  EXPECT_EQ(c().errors[1].result, CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(synchronize(StreamId::make(5, 0)), CUDA_ERROR_INVALID_HANDLE);
  load_add();
  c().post(message::KernelBind{KernelId::make(9, 0), kModule, "nothing"});
  c().ask(message::Echo{1});
  ASSERT_EQ(c().errors.size(), 3u);
  EXPECT_EQ(c().errors[2].result, CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(c().ask(message::KernelFactsGet{KernelId::make(9, 0)}).result,
            CUDA_ERROR_INVALID_HANDLE);
  // After its module, a kernel is an error too.
  c().post(message::ModuleUnload{kModule});
  launch_add(base(), 1);
  c().ask(message::Echo{1});
  ASSERT_EQ(c().errors.size(), 4u);
  EXPECT_EQ(c().executor->end(), SessionEnd::kNotYet);
}

TEST_F(Worker, ParametersMustHaveTheKernelsSize) {
  extent(0);
  load_add();
  message::Launch launch{kLegacy, kAdd, 1, 1, 1, 1, 1, 1, 0, {}, {}};
  const uint64_t pointer = base();
  launch.params = std::as_bytes(std::span(&pointer, 1));  // 8 of 12 bytes
  c().post(launch);
  c().ask(message::Echo{1});
  ASSERT_EQ(c().errors.size(), 1u);
  EXPECT_EQ(c().errors[0].result, CUDA_ERROR_INVALID_VALUE);
}

TEST_F(Worker, LaunchesRecordEvents) {
  extent(0);
  load_add();
  const EventId event = EventId::make(0, 0);
  c().post(message::EventCreate{event, 0, CU_EVENT_DISABLE_TIMING});
  const StreamId slow = stream(0);
  launch_await(base(), slow);
  message::LaunchAttribute attribute;
  attribute.id = CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT;
  const uint64_t bits = event.bits();
  std::memcpy(attribute.value.data(), &bits, sizeof bits);
  message::Launch launch{slow, kAdd, 1, 1, 1, 32, 1, 1, 0, {&attribute, 1}, {}};
  std::array<uint64_t, 2> params{base() + 4096, 5};
  launch.params = std::as_bytes(std::span(params)).first(12);
  c().post(launch);
  EXPECT_EQ(c().ask(message::EventQuery{event}).result, CUDA_ERROR_NOT_READY);
  const int32_t one = 1;
  copy_in(base(), std::as_bytes(std::span(&one, 1)), stream(1));
  EXPECT_EQ(c().ask(message::EventSynchronize{event}).result, CUDA_SUCCESS);
  EXPECT_TRUE(c().errors.empty());
  const uint64_t never = EventId::make(1, 0).bits();
  std::memcpy(attribute.value.data(), &never, sizeof never);
  c().post(launch);
  expect_fault("event 1.0 does not exist");
}

TEST_F(Worker, AttributesOfGraphsAreRefused) {
  extent(0);
  load_add();
  message::LaunchAttribute attribute;
  attribute.id = CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE;
  message::Launch launch{kLegacy, kAdd, 1, 1, 1, 1, 1, 1, 0, {&attribute, 1}, {}};
  std::array<uint64_t, 2> params{base(), 1};
  launch.params = std::as_bytes(std::span(params)).first(12);
  c().post(launch);
  c().ask(message::Echo{1});
  ASSERT_EQ(c().errors.size(), 1u);
  EXPECT_EQ(c().errors[0].result, CUDA_ERROR_NOT_SUPPORTED);
}

TEST_F(Worker, QuestionsAboutKernelsAndLimits) {
  load_add();
  const auto facts = c().ask(message::KernelFactsGet{kAdd});
  EXPECT_EQ(facts.result, CUDA_SUCCESS);
  EXPECT_EQ(facts.facts.name, "add");
  const auto blocks = c().ask(message::OccupancyBlocks{kAdd, 128, 0, 0});
  EXPECT_EQ(blocks.result, CUDA_SUCCESS);
  EXPECT_GT(blocks.blocks, 0);
  EXPECT_EQ(c().ask(message::OccupancyShared{kAdd, 1, 128}).result, CUDA_SUCCESS);
  const auto more = c().ask(message::KernelsMore{kModule, 1});
  EXPECT_EQ(more.kernels.size(), 1u);
  const auto stack = c().ask(message::LimitGet{0, CU_LIMIT_STACK_SIZE});
  EXPECT_EQ(stack.result, CUDA_SUCCESS);
  EXPECT_EQ(c().ask(message::LimitSet{0, CU_LIMIT_STACK_SIZE, 4096}).result, CUDA_SUCCESS);
  EXPECT_EQ(c().ask(message::LimitGet{0, CU_LIMIT_STACK_SIZE}).value, 4096u);
}

TEST_F(Worker, ABadImageIsAnErrorWithALog) {
  const std::string ptx = ".version 8.0\n.target sm_75\n.address_size 64\nnonsense\n";
  const auto image = std::as_bytes(std::span(ptx));
  const message::ImageHash hash = hash_image(image);
  c().post(message::ImagePart{hash, image.size(), 0}, image);
  const auto reply = c().ask(message::ModuleLoad{kModule, 0, {&hash, 1}});
  EXPECT_NE(reply.result, CUDA_SUCCESS);
  EXPECT_TRUE(reply.missing.empty());
  EXPECT_FALSE(reply.log.empty());
  EXPECT_EQ(c().executor->end(), SessionEnd::kNotYet);
}

TEST_F(Worker, AnImageThatIsNotWhatItSaysEndsTheSession) {
  const auto image = numbers(100);
  c().post(message::ImagePart{{1, 2}, 100, 0}, image);
  expect_fault("do not match its hash");
}

TEST_F(Worker, ImagesAreKeptOnDiskAndCheckedWhenRead) {
  std::string folder = testing::TempDir() + "farlane-modules-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  settings_.module_cache_dir = folder;
  start();
  load_add();
  start();
  const auto image = std::as_bytes(std::span(kAddPtx, std::strlen(kAddPtx)));
  const message::ImageHash hash = hash_image(image);
  EXPECT_TRUE(c().ask(message::ModuleLoad{kModule, 0, {&hash, 1}}).missing.empty());
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    std::filesystem::resize_file(file, image.size() - 1);
  }
  start();
  EXPECT_EQ(c().ask(message::ModuleLoad{kModule, 0, {&hash, 1}}).missing.size(), 1u);
  EXPECT_TRUE(std::filesystem::is_empty(folder)) << "the damaged image is gone";
  std::filesystem::remove_all(folder);
}

TEST_F(Worker, DeviceOutputComesBeforeTheAnswer) {
  std::string error;
  const auto capture = OutputCapture::start(&error);
  ASSERT_NE(capture, nullptr) << error;
  start(capture.get());
  load(kSayPtx, kModule);
  c().post(message::KernelBind{kAdd, kModule, "say"});
  for (const int32_t value : {1, 2}) {
    message::Launch launch{kLegacy, kAdd, 1, 1, 1, 1, 1, 1, 0, {}, {}};
    launch.params = std::as_bytes(std::span(&value, 1));
    c().post(launch);
    const uint64_t asked = c().begin(message::StreamSynchronize{kLegacy});
    c().reply<message::StreamSynchronizeReply>(asked);
    EXPECT_LT(position("output"), position("reply " + std::to_string(asked)));
  }
  EXPECT_EQ(c().outputs[1], "value 1\nvalue 2\n");
  client_.reset();
}

TEST_F(Worker, CreditComesBack) {
  extent(0);
  const auto data = numbers(1024);
  uint64_t sent = 0;
  const size_t acks = c().acks.size();
  for (int i = 0; i < 200; ++i) {
    copy_in(base(), data);
    sent += 1024;
  }
  c().settle();
  ASSERT_GT(c().acks.size(), acks + 8) << "one per quarter of the credit";
  for (size_t i = 1; i < c().acks.size(); ++i) {
    EXPECT_GE(c().acks[i].taken_bytes, c().acks[i - 1].taken_bytes);
    EXPECT_GE(c().acks[i].executed, c().acks[i - 1].executed);
  }
  EXPECT_GT(c().acks.back().taken_bytes, sent * 3 / 4);
}

TEST_F(Worker, DeviceResetTakesEverythingDown) {
  const auto before = c().ask(message::MemoryInfo{0});
  extent(0, 4 * kGranule);
  load_add();
  const StreamId s = stream(0);
  launch_add(base(), 1, s);
  const uint64_t stack_bytes = c().ask(message::LimitGet{0, CU_LIMIT_STACK_SIZE}).value;
  const message::LimitSet more_stack{0, CU_LIMIT_STACK_SIZE, 2 * stack_bytes};
  EXPECT_EQ(c().ask(more_stack).result, CUDA_SUCCESS);
  EXPECT_EQ(c().ask(message::LimitGet{0, CU_LIMIT_STACK_SIZE}).value, 2 * stack_bytes);
  EXPECT_EQ(c().ask(message::DeviceReset{0}).result, CUDA_SUCCESS);
  EXPECT_EQ(c().ask(message::LimitGet{0, CU_LIMIT_STACK_SIZE}).value, stack_bytes);
  EXPECT_EQ(c().ask(message::MemoryInfo{0}).free_bytes, before.free_bytes);
  EXPECT_EQ(synchronize(s), CUDA_ERROR_INVALID_HANDLE);
  launch_add(base(), 1);
  c().ask(message::Echo{1});
  EXPECT_EQ(c().errors.size(), 1u);
  extent(0);
  EXPECT_EQ(synchronize(), CUDA_SUCCESS);
  EXPECT_EQ(c().executor->end(), SessionEnd::kNotYet);
}

TEST_F(Worker, AResetOvertakesReleases) {
  extent(0);
  c().append(message::DeviceReset{0});
  const uint64_t reset = c().sequence();
  c().append(message::ExtentRelease{0, base(), kGranule});
  c().append(message::DeviceReset{0});
  const uint64_t again = c().sequence();
  c().send();
  EXPECT_EQ(c().reply<message::DeviceResetReply>(reset).result, CUDA_SUCCESS);
  EXPECT_EQ(c().reply<message::DeviceResetReply>(again).result, CUDA_SUCCESS);
  extent(0);
  EXPECT_EQ(c().executor->end(), SessionEnd::kNotYet);
  EXPECT_TRUE(c().errors.empty());
}

// Knows everything, and answers when the test says so.
class LateIpc final : public Ipc {
 public:
  void set_wake(std::function<void()>) override {}
  void share(uint64_t, const std::string&, const std::string&, const transport::Fd&) override {}
  void open(uint64_t question, const std::string&) override { question_ = question; }
  void forget(const std::string&) override {}
  bool take(IpcAnswer* answer) override {
    if (!found) return false;
    found = false;
    std::string data(1 + sizeof(uint64_t), 'm');
    std::memcpy(data.data() + 1, &kGranule, sizeof kGranule);
    *answer = {question_, true, data, std::move(memory)};
    return true;
  }
  bool found = false;
  transport::Fd memory;

 private:
  uint64_t question_ = 0;
};

TEST_F(Worker, MemoryReleasedBeforeItIsOpenIsNoMemory) {
  LateIpc ipc;
  c().executor->set_ipc(&ipc);
  std::shared_ptr<PhysicalMemory> theirs;
  ASSERT_EQ(PhysicalMemory::create(software_driver(), 0, kGranule, 0, &theirs), CUDA_SUCCESS);
  ASSERT_EQ(theirs->share(&ipc.memory), CUDA_SUCCESS);
  const uint64_t open = c().begin(message::MemoryOpen{{}, 7, 0});
  c().post(message::MemoryRelease{7});
  c().settle();
  ipc.found = true;
  c().reply<message::MemoryOpenReply>(open);
  c().post(message::MemoryMap{base() + 64 * kGranule, kGranule, 7});
  expect_fault("memory 7 does not exist");
}

// ---- the client's faults

TEST_F(Worker, UnknownHandlesEndTheSession) {
  c().post(message::Fill{StreamId::make(3, 0), base(), 0, 1, 1, 1, 1});
  expect_fault("stream 3.0 does not exist");
}
TEST_F(Worker, StaleHandlesEndTheSession) {
  const EventId event = EventId::make(0, 1);
  c().post(message::EventCreate{event, 0, 0});
  c().post(message::EventDestroy{event});
  c().post(message::EventRecord{event, kLegacy, 0});
  expect_fault("does not exist");
}
TEST_F(Worker, NamesAreMadeOnce) {
  stream(0);
  stream(0);
  expect_fault("cannot be created");
}
TEST_F(Worker, NamesAreDense) {
  c().post(message::EventCreate{EventId::make(0xffffffff, 0), 0, 0});
  expect_fault("cannot be created");
}
TEST_F(Worker, DevicesAreThoseOfTheSession) {
  c().post(message::ReuseFence{1});
  expect_fault("device 1 of 1");
}
TEST_F(Worker, ExtentsLieInTheWindow) {
  c().begin(message::ExtentCreate{0, base() - kGranule, kGranule});
  expect_fault("not whole granules of the window");
}
TEST_F(Worker, ExtentsAreWholeGranules) {
  c().begin(message::ExtentCreate{0, base(), kGranule + 1});
  expect_fault("not whole granules");
}
TEST_F(Worker, ExtentsDoNotOverlap) {
  extent(0, 2 * kGranule);
  c().begin(message::ExtentCreate{0, base() + kGranule, 2 * kGranule});
  expect_fault("overlap");
}
TEST_F(Worker, ExtentsAreReleasedWhole) {
  extent(0, 2 * kGranule);
  c().post(message::ExtentRelease{0, base(), kGranule});
  expect_fault("there is no extent");
}
TEST_F(Worker, CopiesBringAsMuchDataAsTheySay) {
  extent(0);
  const auto data = numbers(100);
  c().post(message::CopyIn{kLegacy, base(), 0, 101, 1, data});
  expect_fault("101 bytes with 100 bytes of data");
}
TEST_F(Worker, BodiesBelongToCommandsThatTakeThem) {
  const auto data = numbers(100);
  c().post(message::ReuseFence{0}, data);
  expect_fault("a body that it does not take");
}
TEST_F(Worker, TheLogHasNoGaps) {
  c().skip_sequence(1);
  c().post(message::ReuseFence{0});
  expect_fault("sequence 3 instead of 2");
}
TEST_F(Worker, UnknownOpsEndTheSession) {
  c().append(message::ReuseFence{0});
  const uint16_t op = 4711;
  std::memcpy(c().frame().data() + offsetof(RecordHeader, op), &op, sizeof op);
  c().send();
  expect_fault("an unknown op (4711)");
}
TEST_F(Worker, AGoodbyeEndsTheSession) {
  const std::string goodbye = protocol::control::encode(
      protocol::control::Goodbye{protocol::control::Goodbye::Reason::kClientDone, "done"});
  c().post(message::Control{std::as_bytes(std::span(goodbye))});
  c().settle();
  EXPECT_EQ(c().executor->end(), SessionEnd::kClientDone);
}
TEST_F(Worker, AClosedConnectionEndsTheSession) {
  c().channel().close();
  c().settle();
  EXPECT_EQ(c().executor->end(), SessionEnd::kPeerGone);
}

TEST(WorkerHello, MustComeFirstAndFit) {
  spdlog::set_level(spdlog::level::off);
  std::string error;
  ServerSettings settings;
  const auto host = Host::start(software_driver(), settings, 0, &error);
  ASSERT_NE(host, nullptr) << error;
  {
    TestClient early(*host, settings, nullptr);
    early.post(message::ReuseFence{0});
    early.settle();
    EXPECT_EQ(early.executor->end(), SessionEnd::kProtocol);
  }
  {
    TestClient old(*host, settings, nullptr);
    protocol::control::Hello hello;
    hello.major = 99;
    const std::string encoded = protocol::control::encode(hello);
    old.post(message::Control{std::as_bytes(std::span(encoded))});
    old.settle();
    EXPECT_EQ(old.executor->end(), SessionEnd::kVersion);
  }
}

// The whole loop on its own thread, with its waits and pulse.
TEST(WorkerLoop, SleepsWakesAndSaysGoodbye) {
  spdlog::set_level(spdlog::level::off);
  std::string error;
  ServerSettings settings;
  settings.spin_us = 0;
  settings.heartbeat_ms = 20;
  place_windows(&settings);
  const auto host = Host::start(software_driver(), settings, 0, &error);
  ASSERT_NE(host, nullptr) << error;
  TestClient c(*host, settings, nullptr);
  c.hello();
  const uint64_t base = host->window_base;
  ASSERT_EQ(c.ask(message::ExtentCreate{0, base, kGranule}).result, CUDA_SUCCESS);
  const auto image = std::as_bytes(std::span(kAddPtx, std::strlen(kAddPtx)));
  const message::ImageHash hash = hash_image(image);
  c.post(message::ImagePart{hash, image.size(), 0}, image);
  ASSERT_EQ(c.ask(message::ModuleLoad{kModule, 0, {&hash, 1}}).result, CUDA_SUCCESS);
  c.post(message::KernelBind{kAwait, kModule, "await_flag"});
  const StreamId slow = StreamId::make(0, 0);
  c.post(message::StreamCreate{slow, 0, CU_STREAM_NON_BLOCKING, 0});

  std::thread loop([&] { c.executor->run(); });
  const auto send = [&](const auto& message) {
    c.append(message);
    EXPECT_EQ(c.channel().send({c.frame(), {}}), transport::SendStatus::kSent);
    c.frame().clear();
    return c.sequence();
  };
  const auto receive_until = [&](const std::function<bool()>& done) {
    const auto deadline = transport::Clock::now() + std::chrono::seconds(30);
    while (!done() && transport::Clock::now() < deadline) {
      if (c.channel().receive(c) != transport::ReceiveStatus::kDelivered) {
        c.channel().wait(true, false, deadline);
      }
    }
    return done();
  };
  message::Launch launch{slow, kAwait, 1, 1, 1, 1, 1, 1, 0, {}, {}};
  launch.params = std::as_bytes(std::span(&base, 1));
  send(launch);
  const uint64_t waiting = send(message::StreamSynchronize{slow});
  // Signs of life come while the device is at work.
  EXPECT_TRUE(receive_until([&] { return c.alives >= 2; }));
  EXPECT_FALSE(c.replies.contains(waiting))
      << c.reply<message::StreamSynchronizeReply>(waiting).result
      << (c.errors.empty() ? "" : c.errors[0].what);
  send(message::Fill{StreamId::legacy(0), base, 0, 1, 4, 1, 1});
  EXPECT_TRUE(receive_until([&] { return c.replies.contains(waiting); }));
  c.controls.clear();
  c.executor->request_end(SessionEnd::kDraining, "the server is shutting down");
  EXPECT_TRUE(receive_until([&] { return !c.controls.empty(); }));
  EXPECT_EQ(c.goodbye().reason, protocol::control::Goodbye::Reason::kDraining);
  loop.join();
}

// A client that asks and reads nothing costs bounded memory, and ends with a reason.
TEST(WorkerLoop, EndsAClientThatFloodsAndReadsNothing) {
  spdlog::set_level(spdlog::level::off);
  std::string error;
  ServerSettings settings;
  settings.client_timeout_ms = 100;
  const auto host = Host::start(software_driver(), settings, 0, &error);
  ASSERT_NE(host, nullptr) << error;
  TestClient c(*host, settings, nullptr);
  c.hello();
  std::thread loop([&] { c.executor->run(); });
  const auto deadline = transport::Clock::now() + std::chrono::seconds(30);
  auto status = transport::SendStatus::kSent;
  while (status != transport::SendStatus::kGone && transport::Clock::now() < deadline) {
    if (status == transport::SendStatus::kSent) {
      c.frame().clear();
      for (int i = 0; i < 100; ++i) c.append(message::Echo{1});
    } else {
      c.channel().wait(false, true, deadline);
      if (c.channel().flush() == transport::SendStatus::kGone) break;
    }
    status = c.channel().send({c.frame(), {}});
  }
  loop.join();
  EXPECT_EQ(c.executor->end(), SessionEnd::kTimeout);
  EXPECT_EQ(c.executor->end_text(),
            "the client took no data for 100 ms (setting timeouts.client_timeout_ms)");
  // The outbox, 32 frames of 256 KiB, holds fewer than this many answers of 32 bytes and more.
  EXPECT_LT(c.executor->executed(), 300'000u);
}

TEST(WorkerLoop, ASlowReaderGetsEverything) {
  std::string error;
  const ServerSettings settings;
  const auto host = Host::start(software_driver(), settings, 0, &error);
  ASSERT_NE(host, nullptr) << error;
  TestClient c(*host, settings, nullptr, {.queue_frames = 1});
  c.hello();
  // Until the worker takes no more.
  uint64_t sent = c.sequence();
  for (int refused = 0; refused < 1000;) {
    c.frame().clear();
    for (int i = 0; i < 1000; ++i) c.append(message::Echo{c.sequence()});
    auto status = c.channel().send({c.frame(), {}});
    for (; status == transport::SendStatus::kBusy && refused < 1000; ++refused) {
      c.executor->step();
      ASSERT_NE(c.channel().flush(), transport::SendStatus::kGone);
      status = c.channel().send({c.frame(), {}});
    }
    ASSERT_NE(status, transport::SendStatus::kGone);
    if (status == transport::SendStatus::kSent) {
      sent = c.sequence();
      refused = 0;
    }
  }
  EXPECT_LT(c.executor->executed(), sent);
  EXPECT_TRUE(c.pump_until([&] { return c.replies.contains(sent); }));
  EXPECT_EQ(c.replies.size(), sent - 1);  // all but the hello
  EXPECT_EQ(c.executor->end(), SessionEnd::kNotYet);
}

// ---- captures and graphs

constexpr protocol::GraphId kGraph = protocol::GraphId::make(0, 0);
constexpr protocol::ExecId kExec = protocol::ExecId::make(0, 0);

TEST_F(Worker, CapturedWorkRunsWhenItsGraphIsLaunched) {
  extent(0);
  load_add();
  const StreamId one = stream(1);
  launch_add(base(), 5, one);
  c().post(message::CaptureBegin{one, kGraph, 0, {}});
  launch_add(base(), 100, one);
  launch_add(base() + 128, 7, one);
  const message::CaptureEndReply end = c().ask(message::CaptureEnd{one, kGraph, 0});
  ASSERT_EQ(end.result, CUDA_SUCCESS);
  EXPECT_EQ(end.nodes, 2u);
  EXPECT_EQ(copy_out(base(), 1, one)[0], std::byte{5});
  ASSERT_EQ(c().ask(message::GraphInstantiate{kExec, kGraph, 0}).result, CUDA_SUCCESS);
  c().post(message::GraphDestroy{kGraph});
  for (int i = 0; i < 2; ++i) c().post(message::GraphLaunch{one, kExec});
  EXPECT_EQ(copy_out(base(), 1, one)[0], std::byte{205});
  EXPECT_EQ(copy_out(base() + 128, 1, one)[0], std::byte{14});
  c().post(message::ExecDestroy{kExec});
  EXPECT_EQ(synchronize(one), CUDA_SUCCESS);
  EXPECT_TRUE(c().errors.empty());
}

// What the worker records for itself never lands in a capture, and what a capturing stream did
// before still counts: a fence behind it, a release, a synchronisation of the device.
TEST_F(Worker, ACaptureIsNotDisturbedByTheWorkersOwnMarks) {
  extent(0);
  extent(kGranule);
  load_add();
  const StreamId waiting = stream(1, CU_STREAM_DEFAULT);
  const StreamId other = stream(2);
  launch_await(base() + kGranule, waiting);
  launch_add(base(), 1, kLegacy);  // waits for the one before: both streams are busy
  c().post(message::CaptureBegin{waiting, kGraph, 0, {}});
  launch_add(base(), 10, waiting);
  const uint64_t question = c().begin(message::DeviceSynchronize{0});
  c().settle();
  EXPECT_FALSE(c().replies.contains(question)) << "the stream's work from before is not done";
  const int32_t one = 1;
  copy_in(base() + kGranule, std::as_bytes(std::span(&one, 1)), stream(3));
  c().post(message::ReuseFence{0});
  launch_add(base(), 2, other);  // behind the fence
  EXPECT_EQ(c().reply<message::DeviceSynchronizeReply>(question).result, CUDA_SUCCESS);
  // A stream that is captured can neither wait nor be asked, and that breaks nothing here.
  EXPECT_EQ(synchronize(waiting), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(c().ask(message::StreamQuery{waiting}).result, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  const message::CaptureEndReply end = c().ask(message::CaptureEnd{waiting, kGraph, 0});
  EXPECT_EQ(end.result, CUDA_SUCCESS);
  EXPECT_EQ(end.nodes, 1u);
  EXPECT_EQ(synchronize(other), CUDA_SUCCESS);
  EXPECT_EQ(copy_out(base(), 1)[0], std::byte{3});
  EXPECT_TRUE(c().errors.empty());
}

TEST_F(Worker, HostDataOnACapturingStreamIsRefused) {
  extent(0);
  const StreamId one = stream(1);
  c().post(message::CaptureBegin{one, kGraph, 0, {}});
  copy_in(base(), numbers(16), one);
  c().post(message::CopyOut{one, base(), 0, 16, 1, 77});
  c().pump_until([&] { return c().tickets[77].last; });
  EXPECT_EQ(c().tickets[77].result, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(c().ask(message::CaptureEnd{one, kGraph, 0}).nodes, 0u);
  ASSERT_EQ(c().errors.size(), 1u);
  EXPECT_EQ(c().errors[0].result, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
}

TEST_F(Worker, ForkedCapturesAndNodesByNumber) {
  extent(0);
  load_add();
  const StreamId one = stream(1);
  const StreamId two = stream(2);
  const EventId fork = EventId::make(0, 0);
  const EventId join = EventId::make(1, 0);
  c().post(message::EventCreate{fork, 0, CU_EVENT_DISABLE_TIMING});
  c().post(message::EventCreate{join, 0, CU_EVENT_DISABLE_TIMING});
  c().post(message::CaptureBegin{one, kGraph, 0, {}});
  launch_add(base(), 1, one);
  c().post(message::EventRecord{fork, one, 0});
  c().post(message::StreamWait{two, fork, 0});
  launch_add(base() + 128, 2, two);
  launch_add(base() + 256, 3, one);
  c().post(message::EventRecord{join, two, 0});
  c().post(message::StreamWait{one, join, 0});
  const message::CaptureStateReply state = c().ask(message::CaptureState{one, kGraph});
  EXPECT_EQ(state.nodes, 3u);
  EXPECT_EQ(state.dependencies.size(), 2u);
  ASSERT_EQ(c().ask(message::CaptureEnd{one, kGraph, 0}).nodes, 3u);
  // A fourth node behind all: numbers go on where the capture ended.
  const std::vector<message::GraphDependency> behind = {{1, 0}, {2, 0}};
  c().post(message::FillNode{kGraph, kExec, 3, 0, base() + 512, 4, 9, 4, 1, 1, behind});
  const message::GraphShapeReply shape = c().ask(message::GraphShape{kGraph, 0, 0});
  ASSERT_EQ(shape.result, CUDA_SUCCESS);
  EXPECT_EQ(shape.nodes, 4u);
  EXPECT_EQ(shape.edges, 4u);
  ASSERT_EQ(shape.types.size(), 4u);
  EXPECT_EQ(shape.types[3].type, static_cast<uint32_t>(CU_GRAPH_NODE_TYPE_MEMSET));
  const message::KernelNodeGetReply kernel = c().ask(message::KernelNodeGet{kGraph, 1});
  EXPECT_EQ(kernel.kernel, kAdd.bits());
  EXPECT_EQ(kernel.block_x, 32u);
  ASSERT_EQ(c().ask(message::GraphInstantiate{kExec, kGraph, 0}).result, CUDA_SUCCESS);
  c().post(message::GraphLaunch{two, kExec});
  const std::vector<std::byte> got = copy_out(base(), 516, two);
  EXPECT_EQ(got[0], std::byte{1});
  EXPECT_EQ(got[128], std::byte{2});
  EXPECT_EQ(got[256], std::byte{3});
  EXPECT_EQ(got[512], std::byte{9});
  c().settle();
  EXPECT_TRUE(c().errors.empty());
}

TEST_F(Worker, GraphsOfAHostileClient) {
  extent(0);
  // Memory that is not the session's is refused, and the node's number is used up all the same.
  c().post(message::GraphCreate{kGraph, 0});
  c().post(message::CopyNode{
      kGraph, kExec, 0, 0, base(), 16, 16, 0x7000'0000'0000, 16, 16, 16, 1, 1, {}});
  c().post(message::FillNode{kGraph, kExec, 1, 0, base(), 4, 1, 4, 4, 1, {}});
  EXPECT_EQ(c().ask(message::GraphShape{kGraph, 0, 0}).nodes, 2u);
  ASSERT_EQ(c().errors.size(), 1u);
  EXPECT_EQ(c().errors[0].result, CUDA_ERROR_INVALID_VALUE);
  // Numbers that do not exist are errors; one that jumps ends the session.
  EXPECT_EQ(c().ask(message::KernelNodeGet{kGraph, 4'000'000'000u}).result,
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(c().ask(message::GraphShape{kGraph, UINT32_MAX, UINT32_MAX}).result, CUDA_SUCCESS);
  c().post(message::EmptyNode{kGraph, 4'000'000'000u, {}});
  expect_fault("would be number 2");
}

TEST_F(Worker, ACaptureEndsWithItsStreamOrItsDevice) {
  extent(0);
  load_add();
  const StreamId one = stream(1);
  c().post(message::CaptureBegin{one, kGraph, 0, {}});
  launch_add(base(), 1, one);
  c().post(message::StreamDestroy{one});
  const StreamId two = stream(2);
  const auto second = protocol::GraphId::make(1, 0);
  c().post(message::CaptureBegin{two, second, 0, {}});
  launch_add(base(), 1, two);
  EXPECT_EQ(c().ask(message::DeviceReset{0}).result, CUDA_SUCCESS);
  const StreamId three = stream(3);
  c().post(message::CaptureBegin{three, protocol::GraphId::make(2, 0), 0, {}});
  EXPECT_EQ(c().ask(message::CaptureEnd{three, protocol::GraphId::make(2, 0), 0}).result,
            CUDA_SUCCESS);
  EXPECT_EQ(c().executor->end(), SessionEnd::kNotYet);
}

}  // namespace
}  // namespace farlane::server
