// Module images by content hash: those of this session in memory, and a folder on disk that all
// workers of a machine share, so that a program's device code travels once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "generated/protocol/messages.h"

namespace farlane::server {

// XXH3-128 of the bytes: how the client names an image.
protocol::message::ImageHash hash_image(std::span<const std::byte> image);

// An image with a zero byte after its end, because PTX is passed to the driver as a C string.
class Image {
 public:
  explicit Image(size_t bytes) : bytes_(bytes), data_(new std::byte[bytes + 1]) {
    data_[bytes] = std::byte{0};
  }
  std::span<std::byte> bytes() { return {data_.get(), bytes_}; }
  std::span<const std::byte> bytes() const { return {data_.get(), bytes_}; }

 private:
  size_t bytes_;
  std::unique_ptr<std::byte[]> data_;  // not zeroed: a large image is touched once
};
using ImageRef = std::shared_ptr<const Image>;

class ImageCache {
 public:
  // What a session may hold in memory, finished images and uploads each. An image that is alone may
  // be larger: the limit of one image is limits::image_bytes_max.
  static constexpr uint64_t kMemoryBytesMax = uint64_t{512} << 20;

  // `folder` empty, or `folder_bytes_max` 0: nothing is kept on disk.
  ImageCache(std::string folder, uint64_t folder_bytes_max,
             uint64_t memory_bytes_max = kMemoryBytesMax);

  // Null: not here.
  ImageRef find(const protocol::message::ImageHash& hash);

  enum class Part : uint8_t {
    kTaken,
    kComplete,
    kRefused,  // the peer's fault: *why
  };
  // Parts of one image come in order, without gaps.
  Part add_part(const protocol::message::ImagePart& part, std::span<const std::byte> data,
                std::string* why);

  // So often the folder was looked through for what to remove.
  uint64_t folder_looks() const { return folder_looks_; }

 private:
  using Key = std::pair<uint64_t, uint64_t>;
  struct Upload {
    std::unique_ptr<Image> image;
    uint64_t filled = 0;
  };

  std::string path_of(const Key& key) const;
  ImageRef read(const Key& key) const;
  void write(const Key& key, const Image& image);
  void make_room(uint64_t bytes);
  void trim_folder(uint64_t bytes_max) const;
  void keep(const Key& key, ImageRef image);

  const std::string folder_;
  const uint64_t folder_bytes_max_;
  const uint64_t memory_bytes_max_;
  uint64_t unlooked_bytes_ = 0;  // may be written before the next look
  uint64_t folder_looks_ = 0;
  std::map<Key, ImageRef> images_;
  std::vector<Key> recent_;  // oldest first
  uint64_t images_bytes_ = 0;
  std::map<Key, Upload> uploads_;
  uint64_t uploads_bytes_ = 0;
};

}  // namespace farlane::server
