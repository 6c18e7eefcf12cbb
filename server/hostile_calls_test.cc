// Library calls in pieces, as no client of ours sends them: each ends its session, with a reason.
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <string>
#include <vector>

#include "protocol/limits.h"
#include "server/worker_test_client.h"

namespace farlane::server {
namespace {

namespace limits = protocol::limits;

constexpr protocol::StreamId kLegacy = protocol::StreamId::legacy(0);
// Of a library that there is not.
constexpr uint32_t kFunction = 999 << 16 | 1;

class HostileCalls : public testing::Test {
 protected:
  void SetUp() override {
    spdlog::set_level(spdlog::level::off);
    place_windows(&settings_);
    std::string error;
    host_ = Host::start(software_driver(), settings_, 0, &error);
    ASSERT_NE(host_, nullptr) << error;
    client_ = std::make_unique<TestClient>(*host_, settings_, nullptr);
    client_->hello();
  }
  template <class M>
  void post(const M& message) {
    client_->post(message);
    client_->settle();
  }
  void piece(uint64_t call, uint64_t total, size_t count) {
    const std::vector<std::byte> bytes(count);
    post(message::CudaxPiece{call, total, bytes});
  }
  bool goes_on() const { return client_->executor->end() == SessionEnd::kNotYet; }
  // Why the session has ended; nothing: it goes on.
  std::string reason() const {
    return client_->executor->end() == SessionEnd::kProtocol ? client_->executor->end_text() : "";
  }

  ServerSettings settings_;
  std::unique_ptr<Host> host_;
  std::unique_ptr<TestClient> client_;
};

TEST_F(HostileCalls, ACallWithoutItsPieces) {
  piece(1, 16, 8);
  post(message::CudaxLongCall{kLegacy, kFunction, 1});
  EXPECT_NE(reason().find("has 8 bytes of arguments, not 16"), std::string::npos) << reason();
}

TEST_F(HostileCalls, AQuestionWithoutItsPieces) {
  post(message::CudaxLongAsk{kLegacy, kFunction, 1});
  EXPECT_NE(reason().find("has no arguments"), std::string::npos) << reason();
}

TEST_F(HostileCalls, PiecesThatNobodyUses) {
  piece(1, limits::cudax_long_bytes_max, 8);
  EXPECT_TRUE(goes_on());
  piece(2, 1, 1);
  EXPECT_NE(reason().find("beside"), std::string::npos) << reason();
}

TEST_F(HostileCalls, ManyPiecesThatNobodyUses) {
  for (uint32_t call = 0; call < limits::cudax_long_calls_max; ++call) piece(call, 8, 8);
  EXPECT_TRUE(goes_on());
  piece(limits::cudax_long_calls_max, 8, 8);
  EXPECT_NE(reason().find("beside"), std::string::npos) << reason();
}

TEST_F(HostileCalls, AStreamThatIsNone) {
  piece(1, 8, 8);
  post(message::CudaxLongCall{protocol::StreamId::make(5, 0), kFunction, 1});
  EXPECT_NE(reason(), "");
}

TEST_F(HostileCalls, ALibraryThatIsNotOpen) {
  piece(1, 8, 8);
  post(message::CudaxLongCall{kLegacy, kFunction, 1});
  EXPECT_NE(reason().find("was not opened"), std::string::npos) << reason();
}

TEST_F(HostileCalls, ResultsThatAreNone) {
  post(message::CudaxResults{1});
  EXPECT_NE(reason().find("has no results left"), std::string::npos) << reason();
}

}  // namespace
}  // namespace farlane::server
