// A stream behind a collective that lacks a rank: the driver would make this thread wait once it
// holds a thousand commands of a stream, and then nobody would read the abort that ends it.
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "server/worker_test_client.h"

namespace farlane::server {
namespace {

using protocol::StreamId;

constexpr uint32_t kNccl = 8;
constexpr uint32_t kAbort = 6;  // its number in protocol/api/nccl.api
constexpr StreamId kHung = StreamId::make(0, 0);
// Less than the driver holds.
constexpr int kMany = 1000;
// So many that their bytes are more than the backlog keeps of what is soon over.
constexpr int kPosted = 40'000;

int g_fills = 0;
bool g_is_hung = false;
CUresult (*g_event_query)(CUevent) = nullptr;
CUresult (*g_fill)(CUdeviceptr, unsigned char, size_t, CUstream) = nullptr;

CUresult query(CUevent event) {
  return g_is_hung ? CUDA_ERROR_NOT_READY : g_event_query(event);
}
CUresult fill(CUdeviceptr to, unsigned char value, size_t count, CUstream stream) {
  ++g_fills;
  return g_fill(to, value, count, stream);
}

class FarAhead : public testing::Test {
 protected:
  void SetUp() override {
    spdlog::set_level(spdlog::level::off);
    place_windows(&settings_);
    settings_.libraries_path = TEST_NCCL_FOLDER;
    table_ = software_driver();
    g_fills = 0;
    g_is_hung = false;
    g_event_query = std::exchange(table_.cuEventQuery, &query);
    g_fill = std::exchange(table_.cuMemsetD8Async, &fill);
    std::string error;
    host_ = Host::start(table_, settings_, 0, &error);
    ASSERT_NE(host_, nullptr) << error;
    client_ = std::make_unique<TestClient>(*host_, settings_, nullptr);
    client_->hello();
    ASSERT_EQ(c().ask(message::ExtentCreate{0, host_->window_base, 2u << 20}).result, CUDA_SUCCESS);
    c().post(message::StreamCreate{kHung, 0, CU_STREAM_NON_BLOCKING, 0});
    c().settle();
    g_fills = 0;  // new memory is filled too
  }
  TestClient& c() { return *client_; }
  void post_fills() {
    for (int i = 0; i < kPosted; ++i) {
      c().append(message::Fill{kHung, host_->window_base, 16, 7, 1, 16, 1});
      if (i % 100 == 0) c().send();
    }
    c().send();
  }
  message::CudaxAbortReply abort() { return c().ask(message::CudaxAbort{kNccl, kAbort, 100}); }

  ServerSettings settings_;
  DriverTable table_;
  std::unique_ptr<Host> host_;
  std::unique_ptr<TestClient> client_;
};

TEST_F(FarAhead, AnAbortIsReadBehindAHungStream) {
  ASSERT_NE(c().ask(message::CudaxOpen{kNccl}).major, 0u);
  ASSERT_EQ(abort().result, CUDA_SUCCESS);  // from here on the session has communicators
  g_is_hung = true;
  post_fills();
  EXPECT_EQ(abort().result, CUDA_SUCCESS);
  EXPECT_GT(g_fills, 0);
  EXPECT_LE(g_fills, kMany);
  g_is_hung = false;
  EXPECT_TRUE(c().pump_until([&] { return g_fills == kPosted; }));
  EXPECT_EQ(c().ask(message::StreamSynchronize{kHung}).result, CUDA_SUCCESS);
  EXPECT_TRUE(c().errors.empty());
}

// It lives as long as its device, whose events go before.
TEST_F(FarAhead, TheLegacyStreamKeepsNoMarks) {
  ASSERT_NE(c().ask(message::CudaxOpen{kNccl}).major, 0u);
  ASSERT_EQ(abort().result, CUDA_SUCCESS);
  for (int i = 0; i < kMany; ++i) {
    c().post(message::Fill{StreamId::legacy(0), host_->window_base, 16, 7, 1, 16, 1});
  }
  EXPECT_TRUE(c().pump_until([&] { return g_fills == kMany; }));
  client_.reset();
  host_.reset();
}

TEST_F(FarAhead, WithoutCommunicatorsNothingIsHeldBack) {
  g_is_hung = true;
  post_fills();
  EXPECT_TRUE(c().pump_until([&] { return g_fills == kPosted; }));
  g_is_hung = false;
}

}  // namespace
}  // namespace farlane::server
