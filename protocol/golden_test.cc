// The bytes of every message, as they have been since its first version. A test that fails here
// means that an old client and a new server no longer understand each other: change the major
// version, or do not change the layout. A new message's file is written by running this test with
// FARLANE_GOLDEN_WRITE=1.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "protocol/testing/any_message.h"

namespace farlane::protocol {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kSequence = 77;
constexpr size_t kBytesPerLine = 16;

fs::path folder() {
  return FARLANE_GOLDEN_DIR;
}

bool is_writing() {
  const char* value = std::getenv("FARLANE_GOLDEN_WRITE");
  return value != nullptr && std::string(value) == "1";
}

std::string to_hex(const std::vector<std::byte>& bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < bytes.size(); ++i) {
    text += kDigits[static_cast<uint8_t>(bytes[i]) >> 4];
    text += kDigits[static_cast<uint8_t>(bytes[i]) & 15];
    text += i % kBytesPerLine == kBytesPerLine - 1 || i + 1 == bytes.size() ? '\n' : ' ';
  }
  return text;
}

std::vector<std::byte> from_hex(const std::string& text) {
  std::vector<std::byte> bytes;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    bytes.push_back(static_cast<std::byte>(std::stoi(word, nullptr, 16)));
  }
  return bytes;
}

std::string read(const fs::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void stays_what_it_is(const testing::MessageType& type) {
  SCOPED_TRACE(type.name);
  const std::string name = type.name + ".hex";
  // Seeded by the op and not by the place in the file, so that new messages change no old ones.
  testing::Filler filler(testing::Fill::kRandom,
                         static_cast<uint64_t>(type.op) * 2 + (type.is_reply ? 1 : 0));
  const std::unique_ptr<testing::AnyMessage> message = type.make();
  message->fill(filler);
  const std::vector<std::byte> bytes = message->encoded(kSequence, 0);
  if (is_writing()) std::ofstream(folder() / name) << to_hex(bytes);
  ASSERT_TRUE(fs::exists(folder() / name)) << "write it with FARLANE_GOLDEN_WRITE=1";
  EXPECT_EQ(to_hex(bytes), read(folder() / name));

  const std::vector<std::byte> stored = from_hex(read(folder() / name));
  RecordCursor records(stored);
  Record record;
  ASSERT_TRUE(records.next(record)) << records.fault().text();
  EXPECT_EQ(record.header.sequence, kSequence);
  const std::unique_ptr<testing::AnyMessage> got = type.make();
  Fault fault;
  ASSERT_TRUE(got->decode(record, fault)) << fault.text();
  EXPECT_TRUE(message->equals(*got));
}

TEST(Golden, TheBytesOfEveryMessageStayWhatTheyAre) {
  std::set<std::string> names;
  for (const testing::MessageType& type : testing::message_types()) {
    names.insert(type.name + ".hex");
    stays_what_it_is(type);
  }
  for (const auto& entry : fs::directory_iterator(folder())) {
    EXPECT_TRUE(names.contains(entry.path().filename())) << entry.path() << " has no message";
  }
}

}  // namespace
}  // namespace farlane::protocol
