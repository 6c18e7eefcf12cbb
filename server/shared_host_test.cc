// What a client can do with host memory that it shares: regions are checked, bounded, and gone with
// the session; a copy outside of one ends the session with a reason.
#include "server/shared_host.h"

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>

#include "server/worker_test_client.h"
#include "transport/shm_segment.h"

namespace farlane::server {
namespace {

constexpr protocol::StreamId kLegacy = protocol::StreamId::legacy(0);
constexpr uint64_t kBytes = 2 * 1024 * 1024;
constexpr uint64_t kRegionBytes = 64 * 1024;

transport::Fd memory_of(size_t bytes) {
  std::string error;
  transport::Fd memory = transport::make_passable_memory(bytes, &error);
  EXPECT_TRUE(memory) << error;
  return memory;
}

class SharedHostTest : public testing::Test {
 protected:
  void SetUp() override {
    spdlog::set_level(spdlog::level::off);
    settings_.client_timeout_ms = 60'000;
    place_windows(&settings_);
    std::string error;
    host_ = Host::start(software_driver(), settings_, 0, &error);  // and a context is current
    ASSERT_NE(host_, nullptr) << error;
  }
  void connect() {
    client_ = std::make_unique<TestClient>(*host_, settings_, nullptr);
    client_->hello();
    ASSERT_EQ(client_->ask(message::ExtentCreate{0, host_->window_base, kBytes}).result,
              CUDA_SUCCESS);
  }
  std::string end() {
    client_->pump_until([&] { return client_->executor->end() != SessionEnd::kNotYet; });
    return std::string(session_end_name(client_->executor->end())) + ": " +
           client_->executor->end_text();
  }

  ServerSettings settings_;
  std::unique_ptr<Host> host_;
  std::unique_ptr<TestClient> client_;
};

TEST_F(SharedHostTest, RowsMustLieInTheRegion) {
  SharedHost shared(software_driver(), kRegionBytes);
  ASSERT_EQ(shared.map(7, kRegionBytes, memory_of(kRegionBytes)), CUDA_SUCCESS);
  std::byte* const at = shared.find(7, 0, 0, kRegionBytes, 1);
  ASSERT_NE(at, nullptr);
  EXPECT_EQ(shared.find(7, 100, 0, kRegionBytes - 100, 1), at + 100);
  EXPECT_EQ(shared.find(7, 100, 0, kRegionBytes - 99, 1), nullptr);
  EXPECT_EQ(shared.find(7, kRegionBytes + 1, 0, 0, 1), nullptr);
  EXPECT_EQ(shared.find(7, UINT64_MAX, 0, 2, 1), nullptr);
  EXPECT_EQ(shared.find(7, 0, 1024, 1024, kRegionBytes / 1024), at);
  EXPECT_EQ(shared.find(7, 1, 1024, 1024, kRegionBytes / 1024), nullptr);
  EXPECT_EQ(shared.find(7, 0, 1024, 1024, kRegionBytes / 1024 + 1), nullptr);
  EXPECT_EQ(shared.find(7, 0, 1023, 1024, 2), nullptr) << "rows that overlap";
  EXPECT_EQ(shared.find(7, 0, UINT64_MAX, 1, UINT64_MAX), nullptr);
  EXPECT_EQ(shared.find(7, 0, 1, 1, 0), nullptr);
  EXPECT_EQ(shared.find(8, 0, 0, 1, 1), nullptr);
  EXPECT_TRUE(shared.retire(7));
  EXPECT_FALSE(shared.retire(7));
  EXPECT_EQ(shared.find(7, 0, 0, 1, 1), nullptr);
}

TEST_F(SharedHostTest, TheLimitIsForAllRegionsTogether) {
  SharedHost shared(software_driver(), 2 * kRegionBytes);
  ASSERT_EQ(shared.map(1, kRegionBytes, memory_of(kRegionBytes)), CUDA_SUCCESS);
  EXPECT_EQ(shared.map(2, 2 * kRegionBytes, memory_of(2 * kRegionBytes)), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(shared.map(2, UINT64_MAX, memory_of(kRegionBytes)), CUDA_ERROR_OUT_OF_MEMORY);
  ASSERT_EQ(shared.map(2, kRegionBytes, memory_of(kRegionBytes)), CUDA_SUCCESS);
  EXPECT_EQ(shared.map(3, 1, memory_of(kRegionBytes)), CUDA_ERROR_OUT_OF_MEMORY);
  shared.retire(1);
  shared.release(1);
  EXPECT_EQ(shared.map(3, kRegionBytes, memory_of(kRegionBytes)), CUDA_SUCCESS);
}

TEST_F(SharedHostTest, MemoryThatCouldHarmIsRefused) {
  SharedHost shared(software_driver(), kBytes);
  EXPECT_EQ(shared.map(1, kRegionBytes, transport::Fd()), CUDA_ERROR_INVALID_VALUE);
  const transport::Fd open(::memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(open.get(), kRegionBytes), 0);
  EXPECT_EQ(shared.map(1, kRegionBytes, open), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(shared.map(1, kBytes, memory_of(kRegionBytes)), CUDA_ERROR_INVALID_VALUE);
  EXPECT_FALSE(shared.exists(1));
  SharedHost off(software_driver(), 0);
  EXPECT_EQ(off.map(1, kRegionBytes, memory_of(kRegionBytes)), CUDA_ERROR_NOT_SUPPORTED);
}

TEST_F(SharedHostTest, ARegionWithoutMemoryIsAnErrorAndNoFault) {
  connect();
  EXPECT_EQ(client_->ask(message::HostMap{1, kRegionBytes}).result, CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(client_->ask(message::Echo{7}).value, 7u);
}

TEST_F(SharedHostTest, CopiesWithUnknownRegionsEndTheSession) {
  connect();
  client_->post(message::CopyInShared{kLegacy, host_->window_base, 0, 1, 0, 0, 4, 1});
  EXPECT_NE(end().find("protocol fault: copy_in_shared"), std::string::npos) << end();
  EXPECT_NE(end().find("not in host region 1"), std::string::npos) << end();
}

TEST_F(SharedHostTest, UnmappingWhatIsNotThereEndsTheSession) {
  connect();
  client_->post(message::HostUnmap{1});
  EXPECT_NE(end().find("host region 1 does not exist"), std::string::npos) << end();
}

}  // namespace
}  // namespace farlane::server
