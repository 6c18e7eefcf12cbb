#include "protocol/codec/archive.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "protocol/codec/fatbin.h"

namespace farlane::codec {
namespace {

using Bytes = std::vector<std::byte>;

Bytes bytes_of(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

Bytes file(const std::string& name) {
  std::ifstream from(std::string(FARLANE_CODEC_TESTDATA "/") + name, std::ios::binary);
  return bytes_of({std::istreambuf_iterator<char>(from), {}});
}

// By hand: a member's header, and what it holds.
std::string member(const std::string& name, const std::string& contents) {
  std::string header(58, ' ');
  header.replace(0, name.size(), name);
  const std::string size = std::to_string(contents.size());
  header.replace(48, size.size(), size);
  return header + "`\n" + contents;
}

const std::string kTwo = "!<arch>\n" + member("one/", "12345") + "\n" + member("two/", "1234");

TEST(Archive, EndsWithItsLastMemberOrAZero) {
  EXPECT_EQ(archive_bytes(bytes_of(kTwo)), kTwo.size());
  EXPECT_EQ(archive_bytes(bytes_of(kTwo + std::string(9, '\0'))), kTwo.size());
  EXPECT_EQ(archive_members(bytes_of(kTwo)).size(), 2u);
  EXPECT_EQ(archive_members(bytes_of(kTwo))[0].size(), 5u);
  EXPECT_EQ(archive_bytes(bytes_of("!<arch>\n")), 8u);
  // The last member is of odd length, and nothing follows that would make it even.
  const std::string odd = "!<arch>\n" + member("one/", "12345");
  EXPECT_EQ(archive_bytes(bytes_of(odd)), odd.size());
  EXPECT_EQ(archive_bytes(bytes_of(odd + std::string(2, '\0'))), odd.size() + 1);
}

TEST(Archive, WhatIsCutOffIsNone) {
  for (size_t bytes = 0; bytes < kTwo.size(); ++bytes) {
    const auto cut = archive_bytes(bytes_of(kTwo.substr(0, bytes)));
    // Whole members make a whole archive.
    const bool whole = bytes == 8 || bytes == 73 || bytes == 74;
    EXPECT_EQ(cut.has_value(), whole) << bytes;
  }
  std::string wrong = kTwo;
  wrong[8 + 48] = 'x';
  EXPECT_FALSE(archive_bytes(bytes_of(wrong)));
  EXPECT_TRUE(archive_members(bytes_of(wrong)).empty());
  EXPECT_FALSE(archive_bytes(bytes_of("!<thin>\n")));
}

TEST(Archive, ARealOneHoldsObjectsWithDeviceCode) {
  const Bytes archive = file("sample.a");
  ASSERT_FALSE(archive.empty());
  EXPECT_EQ(archive_bytes(archive), archive.size());
  size_t fatbins = 0;
  for (const auto one : archive_members(archive)) {
    for (const auto fatbin : object_fatbins(one)) {
      EXPECT_TRUE(is_host_object(one));
      ++fatbins;
      std::vector<FatbinMember> members;
      std::string error;
      ASSERT_TRUE(parse_fatbin(fatbin, {}, &members, &error)) << error;
      EXPECT_NE(best_ptx(members, 90), nullptr);
    }
    // Whatever it is cut down to, nothing outside of it is read.
    for (size_t bytes = 0; bytes < one.size(); bytes += 7) {
      const Bytes cut(one.begin(), one.begin() + static_cast<std::ptrdiff_t>(bytes));
      static_cast<void>(object_fatbins(cut));
    }
  }
  EXPECT_EQ(fatbins, 1u);
  EXPECT_FALSE(is_host_object(bytes_of("no object")));
  EXPECT_TRUE(object_fatbins(bytes_of("no object")).empty());
}

}  // namespace
}  // namespace farlane::codec
