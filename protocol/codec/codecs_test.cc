#include "protocol/codec/codecs.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace farlane::codec {
namespace {

std::vector<std::byte> sample(size_t bytes, unsigned seed, int alphabet) {
  std::mt19937 random(seed);
  std::vector<std::byte> out(bytes);
  for (std::byte& b : out) {
    b = static_cast<std::byte>(random() % static_cast<unsigned>(alphabet));
  }
  return out;
}

class Codecs : public testing::TestWithParam<Codec> {};

TEST_P(Codecs, RoundTrip) {
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{100}, size_t{70000}, size_t{1} << 20}) {
    for (const int alphabet : {1, 4, 256}) {
      for (const int level : {0, 9}) {
        const auto in = sample(bytes, 1, alphabet);
        std::vector<std::byte> packed, out;
        std::string error;
        ASSERT_TRUE(compress(GetParam(), in, level, &packed, &error)) << error;
        ASSERT_TRUE(decompress(GetParam(), packed, bytes, bytes, &out, &error)) << error;
        EXPECT_EQ(in, out);
      }
    }
  }
}

TEST_P(Codecs, RefusesWrongSizes) {
  const auto in = sample(5000, 2, 8);
  std::vector<std::byte> packed, out;
  std::string error;
  ASSERT_TRUE(compress(GetParam(), in, 0, &packed, &error));
  EXPECT_FALSE(decompress(GetParam(), packed, 5000, 4999, &out, &error));
  EXPECT_NE(error.find("limit 4999"), std::string::npos) << error;
  EXPECT_FALSE(decompress(GetParam(), packed, 4999, 1 << 20, &out, &error));
  EXPECT_FALSE(decompress(GetParam(), packed, 5001, 1 << 20, &out, &error));
  EXPECT_FALSE(decompress(GetParam(), packed, ~uint64_t{0}, 1 << 20, &out, &error));
}

TEST_P(Codecs, EveryPrefixIsRefused) {
  const auto in = sample(3000, 3, 8);
  std::vector<std::byte> packed, out;
  std::string error;
  ASSERT_TRUE(compress(GetParam(), in, 0, &packed, &error));
  for (size_t bytes = 0; bytes < packed.size(); ++bytes) {
    // A copy of just these bytes, so that the address sanitizer sees a read past them.
    const std::vector<std::byte> prefix(packed.begin(), packed.begin() + static_cast<long>(bytes));
    EXPECT_FALSE(decompress(GetParam(), prefix, in.size(), in.size(), &out, &error)) << bytes;
  }
}

TEST_P(Codecs, DamagedInputNeverReadsOutside) {
  const auto in = sample(2000, 4, 16);
  std::vector<std::byte> packed, out;
  std::string error;
  ASSERT_TRUE(compress(GetParam(), in, 0, &packed, &error));
  std::mt19937 random(5);
  for (int round = 0; round < 2000; ++round) {
    auto damaged = packed;
    for (int flip = 0; flip < 3; ++flip) {
      damaged[random() % damaged.size()] ^= static_cast<std::byte>(1u << (random() % 8));
    }
    if (decompress(GetParam(), damaged, in.size(), in.size(), &out, &error)) {
      EXPECT_EQ(out.size(), in.size());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Codecs, testing::Values(Codec::kNone, Codec::kLz4, Codec::kZstd),
                         [](const auto& test) { return codec_name(test.param); });

}  // namespace
}  // namespace farlane::codec
