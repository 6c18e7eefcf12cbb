// The way from bytes to PTX texts, fed with damaged bytes. Compiled with the sanitizers' eyes on
// it: every buffer here is exactly as long as what it holds.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <random>

#include "server/softcuda/image_select.h"

namespace farlane::softcuda {
namespace {

std::vector<std::byte> read_bytes(const std::string& name) {
  std::ifstream file(std::string(FARLANE_SOFTCUDA_TESTDATA "/") + name, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  EXPECT_FALSE(text.empty()) << name;
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

std::vector<std::byte> linked_image() {
  const std::vector<std::string> texts = {".version 9.0\nfirst", ".version 9.0\nsecond"};
  const std::vector<char> image = link_container(texts);
  std::vector<std::byte> bytes(image.size());
  std::memcpy(bytes.data(), image.data(), image.size());
  return bytes;
}

TEST(Image, HighestTextUpToNinetyIsChosen) {
  Image image;
  std::string error;
  ASSERT_EQ(open_image(read_bytes("default.fatbin"), &image, &error), CUDA_SUCCESS) << error;
  ASSERT_EQ(image.texts.size(), 1u);
  EXPECT_NE(image.texts[0].find(".target sm_90"), std::string::npos);
}

TEST(Image, LinkedContainerGivesBackItsTexts) {
  Image image;
  std::string error;
  const auto bytes = linked_image();
  ASSERT_EQ(open_image(bytes, &image, &error), CUDA_SUCCESS) << error;
  EXPECT_EQ(image.texts, (std::vector<std::string>{".version 9.0\nfirst", ".version 9.0\nsecond"}));
  Image by_pointer;
  ASSERT_EQ(open_image(bytes.data(), &by_pointer, &error), CUDA_SUCCESS) << error;
  EXPECT_EQ(by_pointer.texts, image.texts);
}

TEST(Image, MachineCodeAloneIsRefusedInPlainWords) {
  Image image;
  std::string error;
  EXPECT_EQ(open_image(read_bytes("sass.fatbin"), &image, &error), CUDA_ERROR_NO_BINARY_FOR_GPU);
  EXPECT_NE(error.find("compute_90"), std::string::npos) << error;
}

TEST(Image, AWrapperInsideUntrustedBytesIsRefused) {
  // It would be pointers that somebody else wrote.
  std::vector<std::byte> bytes(24, std::byte{0x41});
  const uint32_t head[2] = {0x466243b1, 1};
  std::memcpy(bytes.data(), head, sizeof head);
  Image image;
  std::string error;
  EXPECT_EQ(open_image(bytes, &image, &error), CUDA_ERROR_INVALID_IMAGE);
}

TEST(Image, EveryPrefixIsRefused) {
  for (const auto& whole : {read_bytes("default.fatbin"), read_bytes("speed.fatbin"),
                            read_bytes("plain.fatbin"), linked_image()}) {
    for (size_t length = 0; length < whole.size(); ++length) {
      const std::vector<std::byte> prefix(whole.begin(), whole.begin() + static_cast<long>(length));
      Image image;
      std::string error;
      ASSERT_NE(open_image(prefix, &image, &error), CUDA_SUCCESS) << length;
    }
  }
}

TEST(Image, DamageIsRefusedOrStaysInside) {
  std::mt19937_64 random(7);
  for (const auto& whole : {read_bytes("default.fatbin"), read_bytes("speed.fatbin"),
                            read_bytes("plain.fatbin"), linked_image()}) {
    for (int round = 0; round < 500; ++round) {
      auto damaged = whole;
      for (int flip = 0; flip < 3; ++flip) {
        damaged[random() % (flip == 0 ? 64 : damaged.size())] = static_cast<std::byte>(random());
      }
      Image image;
      std::string error;
      if (open_image(damaged, &image, &error) != CUDA_SUCCESS) {
        EXPECT_FALSE(error.empty());
      }
    }
  }
}

}  // namespace
}  // namespace farlane::softcuda
