#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "conf/client_settings.h"
#include "conf/host_port.h"
#include "conf/render.h"
#include "conf/server_settings.h"

namespace farlane {
namespace {

using conf::kMiB;

class SettingsTest : public ::testing::Test {
 protected:
  SettingsTest() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "farlane-settings-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~SettingsTest() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = folder_ / name;
    std::filesystem::create_directories(path.parent_path());
    // A file that is cut to nothing and written again is sent to the disk at once by some file
    // systems; a new one is not.
    std::filesystem::remove(path);
    std::ofstream(path) << text;
    return path.string();
  }

  conf::Environment environment() {
    return [this](const char* name) -> const char* {
      const auto found = variables_.find(name);
      return found == variables_.end() ? nullptr : found->second.c_str();
    };
  }

  bool load_client(const std::string& text) {
    variables_["FARLANE_CONFIG"] = write("client.toml", text);
    return load_client_settings(environment(), &client_, &origins_, &error_);
  }

  // The error for this file, without the folder's name.
  std::string refusal(const std::string& text) {
    EXPECT_FALSE(load_client(text)) << text;
    EXPECT_TRUE(error_.starts_with(folder_.string() + "/")) << error_;
    return error_.substr(std::min(error_.size(), folder_.string().size() + 1));
  }

  std::filesystem::path folder_;
  std::map<std::string, std::string> variables_;
  ClientSettings client_;
  conf::Origins origins_;
  std::string error_;
};

std::string origin(const conf::Origins& origins, const std::string& key) {
  const conf::Table& table = client_settings_table();
  return origins.at(static_cast<size_t>(conf::find(table, key) - table.settings.data()));
}

std::string read(const std::string& name) {
  std::ifstream in(std::string(FARLANE_SOURCE_DIR "/") + name);
  EXPECT_TRUE(in) << name;
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

TEST_F(SettingsTest, DefaultsNeedNoFile) {
  ASSERT_TRUE(load_client_settings(environment(), &client_, &origins_, &error_)) << error_;
  EXPECT_EQ(client_.server, "127.0.0.1:4713");
  EXPECT_EQ(client_.call_timeout_ms, 10'000);
  EXPECT_EQ(origin(origins_, "server"), "default");
}

TEST_F(SettingsTest, FileThenEnvironment) {
  variables_["FARLANE_CALL_TIMEOUT_MS"] = "1234";
  ASSERT_TRUE(
      load_client("server = \"gpu7:99\"\n"
                  "[timeouts]\n"
                  "call_timeout_ms = 5000\n"
                  "connect_timeout_ms = 300\n"
                  "[copies]\n"
                  "copy_chunk_bytes = \"2MiB\"\n"
                  "inline_bytes_max = 4096\n"
                  "[memory]\n"
                  "window_base = 0x200000000000\n"
                  "[batching]\n"
                  "enabled = false\n"))
      << error_;
  EXPECT_EQ(client_.server, "gpu7:99");
  EXPECT_EQ(client_.call_timeout_ms, 1234);
  EXPECT_EQ(client_.connect_timeout_ms, 300);
  EXPECT_EQ(client_.copy_chunk_bytes, 2 * kMiB);
  EXPECT_EQ(client_.inline_bytes_max, 4096);
  EXPECT_EQ(client_.window_base, 0x2000'0000'0000);
  EXPECT_FALSE(client_.batching);
  EXPECT_EQ(origin(origins_, "server"), (folder_ / "client.toml:1").string());
  EXPECT_EQ(origin(origins_, "timeouts.call_timeout_ms"), "FARLANE_CALL_TIMEOUT_MS");
  EXPECT_EQ(origin(origins_, "devices"), "default");
}

TEST_F(SettingsTest, UnknownKeyNamesTheNearest) {
  EXPECT_EQ(refusal("[timeouts]\n\ncall_timeuot_ms = 5\n"),
            "client.toml:3: there is no setting timeouts.call_timeuot_ms; did you mean "
            "timeouts.call_timeout_ms?");
  EXPECT_EQ(refusal("servr = \"a:1\"\n"),
            "client.toml:1: there is no setting servr; did you mean server?");
  // The right name in the wrong place.
  EXPECT_EQ(refusal("copy_chunk_bytes = 1\n"),
            "client.toml:1: there is no setting copy_chunk_bytes; did you mean "
            "copies.copy_chunk_bytes?");
  EXPECT_EQ(refusal("[bacthing]\nenabled = true\n"),
            "client.toml:1: there is no setting bacthing; did you mean [batching]?");
}

TEST_F(SettingsTest, WrongTypeAndRange) {
  EXPECT_EQ(refusal("[timeouts]\ncall_timeout_ms = \"soon\"\n"),
            "client.toml:2: timeouts.call_timeout_ms is text in quotes; it must be a whole number, "
            "100 to 3600000");
  EXPECT_EQ(refusal("[timeouts]\ncall_timeout_ms = 99\n"),
            "client.toml:2: timeouts.call_timeout_ms is \"99\"; it must be a whole number, 100 to "
            "3600000");
  EXPECT_EQ(refusal("[copies]\ncopy_chunk_bytes = \"9MiB\"\n"),
            "client.toml:2: copies.copy_chunk_bytes is \"9MiB\"; it must be a number of bytes such "
            "as \"4MiB\", 1MiB to 8MiB");
  EXPECT_EQ(refusal("[log]\nlevel = \"loud\"\n"),
            "client.toml:2: log.level is \"loud\"; it must be one of off, error, warning, info, "
            "debug");
  EXPECT_EQ(refusal("server = 4713\n"),
            "client.toml:1: server is a whole number; it must be text in quotes");
  EXPECT_EQ(refusal("[batching]\nenabled = 1\n"),
            "client.toml:2: batching.enabled is a whole number; it must be true or false");
  EXPECT_TRUE(refusal("server = \n").starts_with("client.toml:1: "));
  EXPECT_TRUE(refusal("timeouts = 3\n").starts_with("client.toml:1: there is no setting timeouts"));
}

TEST_F(SettingsTest, EnvironmentIsCheckedToo) {
  variables_["FARLANE_SPIN_US"] = "fast";
  EXPECT_FALSE(load_client(""));
  EXPECT_EQ(error_,
            "environment variable FARLANE_SPIN_US: waiting.spin_us is \"fast\"; it must be a whole "
            "number, -1 to 1000000");
}

// Every row, at both ends of its range and one step beyond, from the environment.
TEST_F(SettingsTest, EveryRangeHolds) {
  for (const conf::Table* table : {&client_settings_table(), &server_settings_table()}) {
    for (const conf::Setting& setting : table->settings) {
      ClientSettings client;
      ServerSettings server;
      void* const settings = table == &client_settings_table() ? static_cast<void*>(&client)
                                                               : static_cast<void*>(&server);
      const auto accepted = [&](const std::string& text) {
        return conf::set_from_text(setting, text, "test", settings, &error_);
      };
      SCOPED_TRACE(setting.key);
      if (setting.kind == conf::Kind::kInteger || setting.kind == conf::Kind::kBytes ||
          setting.kind == conf::Kind::kAddress) {
        EXPECT_LT(setting.minimum, setting.maximum);
        EXPECT_TRUE(accepted(std::to_string(setting.minimum)));
        EXPECT_TRUE(accepted(std::to_string(setting.maximum)));
        EXPECT_FALSE(accepted(std::to_string(setting.minimum - 1)));
        EXPECT_FALSE(accepted(std::to_string(setting.maximum + 1)));
        EXPECT_FALSE(accepted(""));
        EXPECT_FALSE(accepted("1x"));
      }
      // What is printed is what is read, and defaults obey their own limits.
      EXPECT_TRUE(accepted(conf::value_text(setting, table->defaults))) << error_;
      EXPECT_EQ(conf::value_text(setting, settings), conf::value_text(setting, table->defaults));
    }
  }
}

TEST_F(SettingsTest, NamesFollowOneRule) {
  std::set<std::string> keys;
  std::set<std::string> variables;
  for (const conf::Table* table : {&client_settings_table(), &server_settings_table()}) {
    for (const conf::Setting& setting : table->settings) {
      SCOPED_TRACE(setting.key);
      EXPECT_TRUE(keys.insert(std::string(table->program) + " " + setting.key).second);
      EXPECT_TRUE(variables.insert(setting.environment).second);
      EXPECT_TRUE(std::string(setting.environment).starts_with(table->environment_prefix));
      EXPECT_TRUE(std::string(setting.help).ends_with("."));
      EXPECT_EQ(std::string(setting.help).find('|'), std::string::npos);  // markdown table
    }
  }
}

TEST_F(SettingsTest, FileIsFoundInOrder) {
  variables_["HOME"] = folder_.string();
  EXPECT_NE(client_settings_file(environment()), folder_.string() + "/.config/farlane/client.toml");
  const std::string home = write(".config/farlane/client.toml", "");
  EXPECT_EQ(client_settings_file(environment()), home);
  variables_["XDG_CONFIG_HOME"] = (folder_ / "xdg").string();
  EXPECT_NE(client_settings_file(environment()), home);
  const std::string xdg = write("xdg/farlane/client.toml", "");
  EXPECT_EQ(client_settings_file(environment()), xdg);
  variables_["FARLANE_CONFIG"] = write("named.toml", "devices = 3\n");
  ASSERT_TRUE(load_client_settings(environment(), &client_, nullptr, &error_)) << error_;
  EXPECT_EQ(client_.devices, 3);
}

TEST_F(SettingsTest, NamedFileMustExist) {
  variables_["FARLANE_CONFIG"] = (folder_ / "missing.toml").string();
  EXPECT_FALSE(load_client_settings(environment(), &client_, nullptr, &error_));
  EXPECT_EQ(error_, (folder_ / "missing.toml").string() +
                        ": cannot open this settings file: No such file or directory");
  variables_["FARLANE_CONFIG"] = folder_.string();
  EXPECT_FALSE(load_client_settings(environment(), &client_, nullptr, &error_));
}

TEST_F(SettingsTest, ServerCommandLineOverridesAll) {
  ServerSettings server;
  variables_["FARLANE_GPUSERVERD_LISTEN"] = "a:1";
  variables_["FARLANE_GPUSERVERD_DRAIN_S"] = "3";
  const std::string file =
      write("server.toml", "device = \"software\"\n[log]\nlevel = \"debug\"\n");
  ASSERT_TRUE(load_server_settings(file, environment(), {{"listen", "b:2", "--listen"}}, &server,
                                   &origins_, &error_))
      << error_;
  EXPECT_EQ(server.listen, "b:2");
  EXPECT_EQ(server.drain_s, 3);
  EXPECT_EQ(server.device, "software");
  EXPECT_EQ(server.log_level, "debug");
  EXPECT_EQ(origins_[0], "--listen");
  EXPECT_FALSE(load_server_settings("", environment(), {{"device", "tpu", "--device"}}, &server,
                                    nullptr, &error_));
  EXPECT_EQ(error_, "--device: device is \"tpu\"; it must be one of auto, cuda, software");
}

// Whatever the bytes of a file, an answer and no crash.
TEST_F(SettingsTest, DamagedFiles) {
  const std::string good = conf::example_file(client_settings_table());
  // Every setting, without what is said about it: that would be most of the text.
  const std::string active =
      std::regex_replace(std::regex_replace(good, std::regex("\n#([a-z_]+ = )"), "\n$1"),
                         std::regex("\n#[^\n]*"), "");
  EXPECT_TRUE(load_client(active)) << error_;
  for (size_t bytes = 0; bytes < active.size(); ++bytes) {
    if (!load_client(active.substr(0, bytes))) {
      EXPECT_FALSE(error_.empty());
    }
  }
  for (const char* text : {"\xff\xfe", "[", "a.b.c.d = 1", "[[timeouts]]\ncall_timeout_ms = 5",
                           "server = \"\\ud800\"", "timeouts = { call_timeout_ms = 1 }"}) {
    EXPECT_FALSE(load_client(text)) << text;
    EXPECT_FALSE(error_.empty());
  }
  EXPECT_FALSE(load_client(std::string((1 << 20) + 1, '#')));
}

TEST(Bytes, TextBothWays) {
  int64_t bytes = 0;
  EXPECT_TRUE(conf::parse_bytes("4MiB", &bytes));
  EXPECT_EQ(bytes, 4 * kMiB);
  EXPECT_TRUE(conf::parse_bytes(" 3 KiB ", &bytes));
  EXPECT_EQ(bytes, 3072);
  EXPECT_TRUE(conf::parse_bytes("17", &bytes));
  EXPECT_EQ(bytes, 17);
  for (const char* text : {"", "MiB", "1MB", "1.5GiB", "9999999999TiB", "0x", "1 2"}) {
    EXPECT_FALSE(conf::parse_bytes(text, &bytes)) << text;
  }
  EXPECT_EQ(conf::bytes_text(0), "0");
  EXPECT_EQ(conf::bytes_text(1023), "1023");
  EXPECT_EQ(conf::bytes_text(1536 * 1024), "1536KiB");
  EXPECT_EQ(conf::bytes_text(int64_t{4} << 40), "4TiB");
}

TEST(HostPort, AcceptsAndRefuses) {
  std::string error;
  conf::HostPort found;
  ASSERT_TRUE(conf::parse_host_port("gpu7:4713", &found, &error));
  EXPECT_EQ(found.host, "gpu7");
  EXPECT_EQ(found.port, 4713);
  ASSERT_TRUE(conf::parse_host_port("[fe80::1]:1", &found, &error));
  EXPECT_EQ(found.host, "fe80::1");
  ASSERT_TRUE(conf::parse_host_port("0.0.0.0:0", &found, &error));
  for (const char* text : {"", ":", "gpu7", "gpu7:", ":4713", "gpu7:65536", "gpu7:-1", "gpu7:1x",
                           "::1:4713", "[]:1", "[::1]", "[::1]4713"}) {
    error.clear();
    EXPECT_FALSE(conf::parse_host_port(text, &found, &error)) << text;
    EXPECT_FALSE(error.empty());
  }
}

TEST(EditDistance, KnownValues) {
  EXPECT_EQ(conf::edit_distance("", ""), 0u);
  EXPECT_EQ(conf::edit_distance("abc", ""), 3u);
  EXPECT_EQ(conf::edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(conf::edit_distance("sitting", "kitten"), 3u);
}

// The checked-in pages are what the tables say now.
TEST(CheckedIn, ConfigurationPage) {
  EXPECT_TRUE(read("docs/configuration.md") == conf::configuration_page())
      << "run: farlane settings --markdown > docs/configuration.md";
}
TEST(CheckedIn, ExampleFiles) {
  EXPECT_TRUE(read("conf/client.example.toml") == conf::example_file(client_settings_table()))
      << "run: farlane settings --example client > conf/client.example.toml";
  EXPECT_TRUE(read("conf/server.example.toml") == conf::example_file(server_settings_table()))
      << "run: farlane settings --example server > conf/server.example.toml";
}

// An example file is valid as it stands and with every line uncommented, and changes nothing.
TEST_F(SettingsTest, ExampleFilesLoad) {
  const std::regex commented("\n#([a-z_]+ = )");
  const std::string client = conf::example_file(client_settings_table());
  const std::string server = conf::example_file(server_settings_table());
  for (bool active : {false, true}) {
    ASSERT_TRUE(load_client(active ? std::regex_replace(client, commented, "\n$1") : client))
        << error_;
    for (const conf::Setting& setting : client_settings_table().settings) {
      EXPECT_EQ(conf::value_text(setting, &client_),
                conf::value_text(setting, client_settings_table().defaults));
    }
    EXPECT_EQ(origin(origins_, "server") != "default", active);
    EXPECT_EQ(origin(origins_, "log.file") != "default", active);
    ServerSettings settings;
    const std::string file =
        write("server.toml", active ? std::regex_replace(server, commented, "\n$1") : server);
    ASSERT_TRUE(load_server_settings(file, environment(), {}, &settings, &origins_, &error_))
        << error_;
    for (const conf::Setting& setting : server_settings_table().settings) {
      EXPECT_EQ(conf::value_text(setting, &settings),
                conf::value_text(setting, server_settings_table().defaults));
    }
    for (const std::string& where : origins_) EXPECT_EQ(where != "default", active);
  }
}

}  // namespace
}  // namespace farlane
