// Data of copies on streams that wait for each other (data_look.h): looking at the device takes
// time, and it goes on meanwhile.
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "server/worker_test_client.h"

namespace farlane::server {
namespace {

using protocol::EventId;
using protocol::StreamId;

constexpr uint32_t kStreams = 3;
constexpr size_t kBytes = 4;

// The events behind what was read, in order. Each fires just after a look at it and before one at
// the next.
std::vector<CUevent> g_reads;
bool g_read_last = false;
size_t g_seen = 0;  // the oldest that was seen to have fired
CUresult (*g_event_query)(CUevent) = nullptr;
CUresult (*g_event_record)(CUevent, CUstream) = nullptr;
CUresult (*g_copy_out)(void*, CUdeviceptr, size_t, CUstream) = nullptr;

CUresult copy_out(void* to, CUdeviceptr from, size_t bytes, CUstream stream) {
  g_read_last = true;
  return g_copy_out(to, from, bytes, stream);
}
CUresult record(CUevent event, CUstream stream) {
  if (std::exchange(g_read_last, false)) g_reads.push_back(event);
  return g_event_record(event, stream);
}
CUresult query(CUevent event) {
  const auto found = std::find(g_reads.begin(), g_reads.end(), event);
  if (found == g_reads.end()) return g_event_query(event);
  const auto number = static_cast<size_t>(found - g_reads.begin());
  if (g_reads.size() < kStreams || number + 1 < g_seen) return CUDA_ERROR_NOT_READY;
  const CUresult result = g_event_query(event);
  if (result == CUDA_SUCCESS) g_seen = std::min(g_seen, number);
  return result;
}

TEST(DataOrder, WhatAnotherStreamWaitedForGoesFirst) {
  spdlog::set_level(spdlog::level::off);
  ServerSettings settings;
  place_windows(&settings);
  DriverTable table = software_driver();
  g_event_query = std::exchange(table.cuEventQuery, &query);
  g_event_record = std::exchange(table.cuEventRecord, &record);
  g_copy_out = std::exchange(table.cuMemcpyDtoHAsync, &copy_out);
  std::string error;
  const std::unique_ptr<Host> host = Host::start(table, settings, 0, &error);
  ASSERT_NE(host, nullptr) << error;
  TestClient c(*host, settings, nullptr);
  c.hello();
  ASSERT_EQ(c.ask(message::ExtentCreate{0, host->window_base, 2u << 20}).result, CUDA_SUCCESS);
  for (uint32_t i = 0; i < kStreams; ++i) {
    c.post(message::StreamCreate{StreamId::make(i, 0), 0, CU_STREAM_NON_BLOCKING, 0});
    c.post(message::EventCreate{EventId::make(i, 0), 0, CU_EVENT_DISABLE_TIMING});
  }
  c.settle();
  for (uint64_t round = 0; round < 3; ++round) {
    g_reads.clear();
    g_seen = kStreams;
    std::vector<std::string> expected;
    for (uint32_t i = 0; i < kStreams; ++i) {
      const StreamId stream = StreamId::make(i, 0);
      const uint64_t ticket = 10 * (round + 1) + i;
      if (i != 0) c.append(message::StreamWait{stream, EventId::make(i - 1, 0), 0});
      c.append(message::CopyOut{stream, host->window_base, 0, kBytes, 1, ticket});
      c.append(message::EventRecord{EventId::make(i, 0), stream, 0});
      expected.push_back("data " + std::to_string(ticket));
    }
    c.arrived.clear();
    c.send();
    ASSERT_TRUE(c.pump_until([&] { return c.arrived.size() == kStreams; }));
    EXPECT_EQ(c.arrived, expected);
  }
}

}  // namespace
}  // namespace farlane::server
