#include "protocol/codec/fatbin.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <random>

namespace farlane::codec {
namespace {

const FatbinLimits kLimits;

std::vector<std::byte> read(const std::string& name) {
  std::ifstream file(std::string(FARLANE_CODEC_TESTDATA "/") + name + ".fatbin", std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

std::string unpacked(const FatbinMember& member) {
  std::vector<std::byte> bytes;
  std::string error;
  EXPECT_TRUE(unpack_member(member, kLimits, &bytes, &error)) << error;
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

struct Case {
  const char* name;
  Codec ptx;
  Codec elf;
};

class RealFatbins : public testing::TestWithParam<Case> {};

TEST_P(RealFatbins, HoldsBothPtxTextsAndTheElf) {
  const auto bytes = read(GetParam().name);
  ASSERT_FALSE(bytes.empty());
  EXPECT_EQ(fatbin_bytes(bytes), bytes.size());
  std::vector<FatbinMember> members;
  std::string error;
  ASSERT_TRUE(parse_fatbin(bytes, kLimits, &members, &error)) << error;
  ASSERT_EQ(members.size(), 3u);
  int elf_count = 0;
  for (const FatbinMember& member : members) {
    const std::string text = unpacked(member);
    if (member.kind == FatbinKind::kElf) {
      ++elf_count;
      EXPECT_EQ(member.codec, GetParam().elf);
      EXPECT_EQ(text.substr(1, 3), "ELF");
      EXPECT_EQ(member.arch, 90u);
    } else {
      EXPECT_EQ(member.kind, FatbinKind::kPtx);
      EXPECT_EQ(member.codec, GetParam().ptx);
      EXPECT_NE(text.find(".target sm_" + std::to_string(member.arch)), std::string::npos);
      EXPECT_NE(text.find(".visible .entry"), std::string::npos);
    }
  }
  EXPECT_EQ(elf_count, 1);
  const FatbinMember* best = best_ptx(members, 90);
  ASSERT_NE(best, nullptr);
  EXPECT_EQ(best->arch, 90u);
  best = best_ptx(members, 89);
  ASSERT_NE(best, nullptr);
  EXPECT_EQ(best->arch, 75u);
  EXPECT_EQ(best_ptx(members, 70), nullptr);
}

INSTANTIATE_TEST_SUITE_P(Nvcc, RealFatbins,
                         testing::Values(Case{"default", Codec::kZstd, Codec::kNone},
                                         Case{"plain", Codec::kNone, Codec::kNone},
                                         Case{"mode_none", Codec::kNone, Codec::kNone},
                                         Case{"compress_all", Codec::kZstd, Codec::kZstd},
                                         Case{"mode_speed", Codec::kLz4, Codec::kNone},
                                         Case{"mode_size", Codec::kZstd, Codec::kZstd},
                                         Case{"mode_balance", Codec::kZstd, Codec::kNone},
                                         Case{"relocatable", Codec::kZstd, Codec::kZstd},
                                         Case{"debug", Codec::kZstd, Codec::kZstd}),
                         [](const auto& test) { return test.param.name; });

TEST(Fatbin, ArchitectureSpecificTextWinsOnItsOwnArchitectureOnly) {
  const auto bytes = read("specific");
  std::vector<FatbinMember> members;
  std::string error;
  ASSERT_TRUE(parse_fatbin(bytes, kLimits, &members, &error)) << error;
  ASSERT_EQ(members.size(), 3u);
  ASSERT_NE(best_ptx(members, 90), nullptr);
  EXPECT_EQ(best_ptx(members, 90)->arch_suffix, 'a');
  ASSERT_NE(best_ptx(members, 100), nullptr);
  EXPECT_EQ(best_ptx(members, 100)->arch_suffix, 'f');
  ASSERT_NE(best_ptx(members, 120), nullptr);
  EXPECT_EQ(best_ptx(members, 120)->arch, 90u);
  EXPECT_EQ(best_ptx(members, 120)->arch_suffix, '\0');
}

TEST(Fatbin, SassOnlyHasNoPtx) {
  const auto bytes = read("sass");
  std::vector<FatbinMember> members;
  std::string error;
  ASSERT_TRUE(parse_fatbin(bytes, kLimits, &members, &error)) << error;
  EXPECT_EQ(members.size(), 1u);
  EXPECT_EQ(best_ptx(members, 90), nullptr);
}

TEST(Fatbin, ChainedContainersAndPadding) {
  auto bytes = read("default");
  const auto second = read("mode_speed");
  bytes.insert(bytes.end(), second.begin(), second.end());
  std::vector<FatbinMember> members;
  std::string error;
  ASSERT_TRUE(parse_fatbin(bytes, kLimits, &members, &error)) << error;
  EXPECT_EQ(members.size(), 6u);
  bytes.resize(bytes.size() + 8);
  EXPECT_TRUE(parse_fatbin(bytes, kLimits, &members, &error)) << error;
  bytes.back() = std::byte{1};
  EXPECT_FALSE(parse_fatbin(bytes, kLimits, &members, &error));
}

TEST(Fatbin, LimitsHold) {
  const auto bytes = read("default");
  std::vector<FatbinMember> members;
  std::string error;
  FatbinLimits small;
  small.container_bytes_max = bytes.size() - 1;
  EXPECT_FALSE(parse_fatbin(bytes, small, &members, &error));
  small = {};
  small.member_bytes_max = 100;
  EXPECT_FALSE(parse_fatbin(bytes, small, &members, &error));
  small = {};
  small.members_max = 2;
  EXPECT_FALSE(parse_fatbin(bytes, small, &members, &error));
}

class HostileFatbins : public testing::TestWithParam<const char*> {};

TEST_P(HostileFatbins, EveryPrefixIsRefused) {
  const auto bytes = read(GetParam());
  std::vector<FatbinMember> members;
  std::string error;
  for (size_t length = 0; length < bytes.size(); ++length) {
    // An exact copy, so that the address sanitizer sees a read past the end.
    const std::vector<std::byte> prefix(bytes.begin(), bytes.begin() + static_cast<long>(length));
    ASSERT_FALSE(parse_fatbin(prefix, kLimits, &members, &error)) << length;
  }
}

TEST_P(HostileFatbins, DamageIsRefusedOrStaysInside) {
  const auto bytes = read(GetParam());
  std::mt19937_64 random(42);
  std::vector<FatbinMember> members;
  std::string error;
  FatbinLimits limits;
  limits.member_bytes_max = 1 << 20;
  const size_t header_area = 0x80;  // half of the damage where the sizes are
  for (int round = 0; round < 3000; ++round) {
    auto damaged = bytes;
    for (int flip = 0; flip < 4; ++flip) {
      const size_t at = random() % (flip % 2 == 0 ? header_area : damaged.size());
      damaged[at] = static_cast<std::byte>(random());
    }
    if (!parse_fatbin(damaged, limits, &members, &error)) {
      continue;
    }
    for (const FatbinMember& member : members) {
      std::vector<std::byte> out;
      if (unpack_member(member, limits, &out, &error)) {
        EXPECT_EQ(out.size(), member.uncompressed_bytes);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Nvcc, HostileFatbins,
                         testing::Values("default", "plain", "compress_all", "mode_speed"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace farlane::codec
