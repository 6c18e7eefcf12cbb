// A stream behind a collective that lacks a rank: the driver would make this thread wait once it
// holds a thousand commands of a stream, and then nobody would read the abort that ends it.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <nccl.h>
#include <spdlog/spdlog.h>

#include <initializer_list>
#include <utility>

#include "server/cudax/test_nccl.h"
#include "server/worker_test_client.h"

namespace farlane::server {
namespace {

using protocol::StreamId;

constexpr uint32_t kNccl = 8;
// Numbers of functions in protocol/api/nccl.api.
constexpr uint32_t kInit = 2;
constexpr uint32_t kAbort = 6;
constexpr uint32_t kAllReduce = 23;
constexpr uint64_t kComm = 100;
constexpr StreamId kHung = StreamId::make(0, 0);
// Less than the driver holds.
constexpr int kMany = 1000;
// So many that their bytes are more than the backlog keeps of what is soon over.
constexpr int kPosted = 40'000;

constexpr int kCallsOfGroup = 32;

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
  static std::span<const std::byte> bytes_of(const std::vector<uint64_t>& words) {
    return std::as_bytes(std::span(words));
  }
  message::CudaxAbortReply abort() { return c().ask(message::CudaxAbort{kNccl, kAbort, kComm}); }

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

// The driver counts the calls of a group, not the groups.
TEST_F(FarAhead, AnAbortIsReadBehindLargeGroups) {
  ASSERT_NE(c().ask(message::CudaxOpen{kNccl}).major, 0u);
  void* const handle = ::dlopen(TEST_NCCL_FOLDER "/libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(handle, nullptr);
  auto& library = *static_cast<cudax::TestNccl*>(::dlsym(handle, "test_nccl"));
  library.aborted = false;
  library.collectives = 0;
  std::vector<uint64_t> init = {kInit, 0, 4 * 8 + sizeof(ncclUniqueId), kComm, 2};
  init.resize(init.size() + sizeof(ncclUniqueId) / sizeof(uint64_t));
  init.insert(init.end(), {0, ~uint64_t{0}});
  const message::ObjectName objects[] = {{kComm}};
  ASSERT_EQ(c().ask(message::CudaxGroupAsk{kNccl, 0, {}, objects, bytes_of(init)}).status, 0);
  std::vector<uint64_t> group;
  for (int i = 0; i < kCallsOfGroup; ++i) {
    group.insert(group.end(), {kAllReduce, 0, 7 * 8, host_->window_base, host_->window_base, 1,
                               ncclFloat, ncclSum, kComm, kHung.bits()});
  }
  g_is_hung = true;
  const message::StreamName streams[] = {{kHung}};
  for (int i = 0; i < kMany; ++i) {
    c().post(message::CudaxGroup{kNccl, cudax::kGroupTogether, streams, objects, bytes_of(group)});
  }
  EXPECT_EQ(abort().result, CUDA_SUCCESS);
  EXPECT_GT(library.collectives, 0);
  EXPECT_LE(library.collectives, kMany);
  EXPECT_EQ(library.collectives % kCallsOfGroup, 0);
  g_is_hung = false;
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
