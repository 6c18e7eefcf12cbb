#include "server/image_cache.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace farlane::server {
namespace {

namespace message = protocol::message;

std::vector<std::byte> image_of(size_t bytes, int salt) {
  std::vector<std::byte> image(bytes);
  for (size_t i = 0; i < bytes; ++i) image[i] = static_cast<std::byte>(i * 7 + salt);
  return image;
}

ImageCache::Part add(ImageCache& cache, std::span<const std::byte> image, size_t from, size_t to) {
  std::string why;
  return cache.add_part(message::ImagePart{hash_image(image), image.size(), from},
                        image.subspan(from, to - from), &why);
}

TEST(ImageCache, OldImagesGoWhenThereIsNoRoom) {
  ImageCache cache("", 0, /*memory_bytes_max=*/250);
  const auto first = image_of(100, 1);
  const auto second = image_of(100, 2);
  const auto third = image_of(100, 3);
  for (const auto* image : {&first, &second, &third}) {
    EXPECT_EQ(add(cache, *image, 0, 60), ImageCache::Part::kTaken);
    EXPECT_EQ(add(cache, *image, 60, 100), ImageCache::Part::kComplete);
  }
  EXPECT_EQ(cache.find(hash_image(first)), nullptr);
  EXPECT_NE(cache.find(hash_image(second)), nullptr);
  EXPECT_NE(cache.find(hash_image(third)), nullptr);
}

// A client may send what is there: it counts once, and its going takes nothing else along.
TEST(ImageCache, AnImageThatCameTwiceCountsOnce) {
  ImageCache cache("", 0, /*memory_bytes_max=*/250);
  const auto first = image_of(100, 1);
  const auto second = image_of(100, 2);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(add(cache, first, 0, 100), ImageCache::Part::kComplete);
  }
  EXPECT_EQ(add(cache, second, 0, 100), ImageCache::Part::kComplete);
  EXPECT_NE(cache.find(hash_image(first)), nullptr);
  EXPECT_NE(cache.find(hash_image(second)), nullptr);
  for (int salt = 3; salt < 9; ++salt) {
    EXPECT_EQ(add(cache, image_of(100, salt), 0, 100), ImageCache::Part::kComplete);
  }
  EXPECT_EQ(cache.find(hash_image(first)), nullptr);
  EXPECT_NE(cache.find(hash_image(image_of(100, 8))), nullptr);
}

// Several workers fill one folder: it never holds more than it may, and is not looked through for
// every image.
TEST(ImageCache, TheFolderKeepsItsLimit) {
  constexpr uint64_t kFolderBytesMax = 64 * 1024;
  constexpr size_t kImageBytes = 100;
  std::string folder = testing::TempDir() + "farlane-images-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  std::vector<std::unique_ptr<ImageCache>> workers;
  for (int i = 0; i < 4; ++i) {
    workers.push_back(std::make_unique<ImageCache>(folder, kFolderBytesMax, /*memory=*/1000));
  }
  std::vector<std::byte> image = image_of(kImageBytes, 0);
  uint64_t most = 0;
  constexpr int kImages = 2000;
  for (int i = 0; i < kImages; ++i) {
    std::memcpy(image.data(), &i, sizeof i);
    ImageCache& worker = *workers[i % workers.size()];
    EXPECT_EQ(add(worker, image, 0, kImageBytes), ImageCache::Part::kComplete);
    if (i % 10 != 0) continue;
    uint64_t bytes = 0;
    for (const auto& file : std::filesystem::directory_iterator(folder)) bytes += file.file_size();
    most = std::max(most, bytes);
  }
  EXPECT_LE(most, kFolderBytesMax);
  EXPECT_GT(most, kFolderBytesMax / 2);
  uint64_t looks = 0;
  for (const auto& worker : workers) looks += worker->folder_looks();
  EXPECT_LT(looks, kImages / 5);
  EXPECT_GE(looks, workers.size());
  EXPECT_NE(workers[0]->find(hash_image(image)), nullptr)
      << "the last one is there, for others too";
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace farlane::server
