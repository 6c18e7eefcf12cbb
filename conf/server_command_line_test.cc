#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "conf/server_settings.h"

namespace farlane {
namespace {

ServerCommandLine parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "gpuserverd");
  return parse_server_command_line(static_cast<int>(arguments.size()), arguments.data(),
                                   "gpuserverd 1.2.3");
}

class ServerCommandLineTest : public ::testing::Test {
 protected:
  ServerCommandLineTest() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "farlane-command-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    file_ = (folder_ / "server.toml").string();
    ::setenv("FARLANE_GPUSERVERD_CONFIG", "", 1);
  }
  ~ServerCommandLineTest() override {
    std::filesystem::remove_all(folder_);
    ::unsetenv("FARLANE_GPUSERVERD_CONFIG");
    ::unsetenv("FARLANE_GPUSERVERD_DRAIN_S");
  }
  std::filesystem::path folder_;
  std::string file_;
};

TEST_F(ServerCommandLineTest, NeedsNoFile) {
  const ServerCommandLine line = parse({"--listen", "0.0.0.0:0", "--device=software"});
  ASSERT_FALSE(line.exit_now);
  EXPECT_EQ(line.settings.listen, "0.0.0.0:0");
  EXPECT_EQ(line.settings.device, "software");
  EXPECT_EQ(line.origins[0], "--listen");
}

TEST_F(ServerCommandLineTest, EverySettingIsAnOption) {
  const ServerCommandLine line =
      parse({"--spin-us", "-1", "--module-cache-bytes-max", "3MiB", "--window-base=0x200000000000",
             "--log-level", "off", "--staging-slots", "4"});
  ASSERT_FALSE(line.exit_now);
  EXPECT_EQ(line.settings.spin_us, -1);
  EXPECT_EQ(line.settings.module_cache_bytes_max, 3 * conf::kMiB);
  EXPECT_EQ(line.settings.window_base, 0x2000'0000'0000);
  EXPECT_EQ(line.settings.log_level, "off");
  EXPECT_EQ(line.settings.staging_slots, 4);
}

TEST_F(ServerCommandLineTest, OptionOverEnvironmentOverFile) {
  std::ofstream(file_) << "[sessions]\ndrain_s = 1\nmax_sessions = 7\nwarm_workers = 5\n";
  ::setenv("FARLANE_GPUSERVERD_DRAIN_S", "2", 1);
  const ServerCommandLine line = parse({"--config", file_.c_str(), "--max-sessions", "9"});
  ASSERT_FALSE(line.exit_now);
  EXPECT_EQ(line.file, file_);
  EXPECT_EQ(line.settings.drain_s, 2);
  EXPECT_EQ(line.settings.max_sessions, 9);
  EXPECT_EQ(line.settings.warm_workers, 5);
}

TEST_F(ServerCommandLineTest, MistakesEndWithStatusTwo) {
  for (std::vector<const char*> arguments :
       std::vector<std::vector<const char*>>{{"--lisen", "x"},
                                             {"--device", "tpu"},
                                             {"--drain-s", "-1"},
                                             {"--config", "/no/file"},
                                             {"stray"}}) {
    ::testing::internal::CaptureStderr();
    const ServerCommandLine line = parse(arguments);
    EXPECT_NE(::testing::internal::GetCapturedStderr(), "") << arguments.front();
    EXPECT_TRUE(line.exit_now) << arguments.front();
    EXPECT_EQ(line.exit_code, 2) << arguments.front();
  }
}

TEST_F(ServerCommandLineTest, HelpAndVersion) {
  ::testing::internal::CaptureStdout();
  const ServerCommandLine help = parse({"--help"});
  const std::string text = ::testing::internal::GetCapturedStdout();
  EXPECT_TRUE(help.exit_now);
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_NE(text.find("--heartbeat-ms"), std::string::npos);
  EXPECT_NE(text.find("Default: \"127.0.0.1:4713\"."), std::string::npos);
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(parse({"--version"}).exit_code, 0);
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "gpuserverd 1.2.3\n");
}

}  // namespace
}  // namespace farlane
