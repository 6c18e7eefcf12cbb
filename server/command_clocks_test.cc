// What a worker tells about its time. Times are only held against bounds that a busy machine cannot
// break: what certainly passed, and all that passed.
#include "server/command_clocks.h"

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include "server/worker_test_client.h"

namespace farlane::server {
namespace {

using std::chrono::steady_clock;
constexpr protocol::StreamId kLegacy = protocol::StreamId::legacy(0);
constexpr uint64_t kBytes = 2 * 1024 * 1024;
constexpr auto kLong = std::chrono::microseconds(300);
// The processor's counter and the system's clock need not agree to the last digit.
constexpr uint64_t kLongNs = 295'000;

void pass_time() {
  const auto end = steady_clock::now() + kLong;
  while (steady_clock::now() < end) {
  }
}

CUresult CUDAAPI slow_fill(CUdeviceptr to, unsigned value, size_t count, CUstream stream) {
  pass_time();
  return software_driver().cuMemsetD32Async(to, value, count, stream);
}

// An event that nobody finds fired while the test wants it so.
CUresult (*g_event_query)(CUevent) = nullptr;
bool g_held = false;
CUresult held_query(CUevent event) {
  return g_held ? CUDA_ERROR_NOT_READY : g_event_query(event);
}

class Clocks : public testing::Test {
 protected:
  void SetUp() override {
    spdlog::set_level(spdlog::level::off);
    place_windows(&settings_);
    settings_.staging_slot_bytes = 64 * 1024;
    settings_.staging_slots = 2;
  }
  void start(bool clocks) {
    settings_.command_times = clocks;
    DriverTable table = software_driver();
    table.cuMemsetD32Async = &slow_fill;
    g_event_query = table.cuEventQuery;
    table.cuEventQuery = &held_query;
    if (clocks) table = timed_driver(table);
    table_ = table;
    std::string error;
    host_ = Host::start(table_, settings_, 0, &error);
    ASSERT_NE(host_, nullptr) << error;
    client_ = std::make_unique<TestClient>(*host_, settings_, nullptr);
    client_->hello();
    ASSERT_EQ(client_->ask(message::ExtentCreate{0, base(), kBytes}).result, CUDA_SUCCESS);
  }
  void TearDown() override {
    client_.reset();
    host_.reset();
  }

  TestClient& c() { return *client_; }
  uint64_t base() const { return host_->window_base; }
  void fill() { c().post(message::Fill{kLegacy, base(), 0, 7, 4, 16, 1}); }
  message::WorkerTimesReply times() { return c().ask(message::WorkerTimes{}); }
  static message::CommandTimes of(const message::WorkerTimesReply& reply, protocol::Op op) {
    for (const message::CommandTimes& row : reply.times) {
      if (row.op == static_cast<uint32_t>(op)) return row;
    }
    return {};
  }

  ServerSettings settings_;
  DriverTable table_;
  std::unique_ptr<Host> host_;
  std::unique_ptr<TestClient> client_;
};

TEST_F(Clocks, TellsTheDriverFromTheRest) {
  const auto begin = steady_clock::now();
  start(true);
  for (int i = 0; i < 5; ++i) fill();
  c().ask(message::Echo{1});
  c().ask(message::Echo{2});
  const message::WorkerTimesReply told = times();
  const uint64_t all_ns =
      static_cast<uint64_t>(std::chrono::nanoseconds(steady_clock::now() - begin).count());
  EXPECT_EQ(told.on, 1u);
  const message::CommandTimes fills = of(told, protocol::Op::kFill);
  EXPECT_EQ(fills.count, 5u);
  EXPECT_GE(fills.driver_ns, 5 * kLongNs);
  EXPECT_GT(fills.decode_ns, 0u);
  EXPECT_EQ(fills.reply_ns, 0u);
  const message::CommandTimes echoes = of(told, protocol::Op::kEcho);
  EXPECT_EQ(echoes.count, 2u);
  EXPECT_EQ(echoes.driver_ns, 0u);
  EXPECT_GT(echoes.reply_ns, 0u);
  EXPECT_EQ(of(told, protocol::Op::kLaunch).count, 0u);

  // Nothing is counted twice.
  uint64_t sum_ns = told.receive_ns;
  uint64_t commands = 0;
  for (const message::CommandTimes& row : told.times) {
    sum_ns += row.decode_ns + row.driver_ns + row.reply_ns;
    commands += row.op == static_cast<uint32_t>(protocol::Op::kAck) ? 0 : row.count;
  }
  EXPECT_LE(sum_ns, all_ns + all_ns / 50);
  EXPECT_EQ(commands, c().sequence() - 1) << "all but the question itself";
  EXPECT_EQ(told.frames, commands);
}

TEST_F(Clocks, TellTheDevicesTime) {
  start(true);
  fill();
  const uint64_t question = c().begin(message::StreamSynchronize{kLegacy});
  g_held = true;
  c().executor->step();
  pass_time();
  g_held = false;
  EXPECT_EQ(c().reply<message::StreamSynchronizeReply>(question).result, CUDA_SUCCESS);
  const message::CommandTimes waits = of(times(), protocol::Op::kStreamSynchronize);
  EXPECT_EQ(waits.count, 1u);
  EXPECT_GE(waits.wait_ns, kLongNs);
  EXPECT_GT(waits.reply_ns, 0u);
}

// Copies that find no slot are kept and tried again: each is one copy all the same.
TEST_F(Clocks, CountCommandsAndNotAttempts) {
  start(true);
  constexpr uint64_t kCopies = 6;
  for (uint64_t ticket = 1; ticket <= kCopies; ++ticket) {
    c().post(message::CopyOut{kLegacy, base(), 0, 256 * 1024, 1, ticket});
  }
  c().pump_until([&] { return c().tickets[kCopies].last; });
  const message::CommandTimes copies = of(times(), protocol::Op::kCopyOut);
  EXPECT_EQ(copies.count, kCopies);
  EXPECT_GT(copies.driver_ns, 0u);
  EXPECT_GT(copies.wait_ns, 0u);
  EXPECT_GT(copies.reply_ns, 0u);
}

TEST_F(Clocks, AreOffUnlessAskedFor) {
  start(false);
  fill();
  const message::WorkerTimesReply told = times();
  EXPECT_EQ(told.result, CUDA_SUCCESS);
  EXPECT_EQ(told.on, 0u);
  EXPECT_TRUE(told.times.empty());
  EXPECT_EQ(told.frames + told.receive_ns, 0u);
}

}  // namespace
}  // namespace farlane::server
