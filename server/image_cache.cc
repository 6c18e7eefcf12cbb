#include "server/image_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "protocol/limits.h"

namespace farlane::server {

namespace message = protocol::message;
namespace fs = std::filesystem;

namespace {
constexpr size_t kUploadsMax = 256;

bool write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return true;
}
}  // namespace

message::ImageHash hash_image(std::span<const std::byte> image) {
  const XXH128_hash_t hash = XXH3_128bits(image.data(), image.size());
  return {hash.low64, hash.high64};
}

ImageCache::ImageCache(std::string folder, uint64_t folder_bytes_max, uint64_t memory_bytes_max)
    : folder_(std::move(folder)),
      folder_bytes_max_(folder_bytes_max),
      memory_bytes_max_(memory_bytes_max) {}

std::string ImageCache::path_of(const Key& key) const {
  return fmt::format("{}/{:016x}{:016x}.image", folder_, key.second, key.first);
}

ImageRef ImageCache::find(const message::ImageHash& hash) {
  const Key key(hash.low, hash.high);
  if (const auto found = images_.find(key); found != images_.end()) {
    std::erase(recent_, key);
    recent_.push_back(key);
    return found->second;
  }
  ImageRef image = read(key);
  if (image != nullptr) keep(key, image);
  return image;
}

ImageRef ImageCache::read(const Key& key) const {
  if (folder_.empty() || folder_bytes_max_ == 0) return nullptr;
  const std::string path = path_of(key);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return nullptr;
  struct stat facts {};
  std::shared_ptr<Image> image;
  if (::fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_size > 0 &&
      static_cast<uint64_t>(facts.st_size) <= protocol::limits::image_bytes_max) {
    image = std::make_shared<Image>(static_cast<size_t>(facts.st_size));
    std::span<std::byte> left = image->bytes();
    while (!left.empty()) {
      const ssize_t count = ::read(fd, left.data(), left.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) break;
      left = left.subspan(static_cast<size_t>(count));
    }
    if (!left.empty()) image.reset();
  }
  if (image != nullptr &&
      hash_image(std::as_const(*image).bytes()) != message::ImageHash{key.first, key.second}) {
    image.reset();
  }
  if (image == nullptr) {
    spdlog::warn("module cache: {} is damaged and is removed", path);
    ::unlink(path.c_str());
  } else {
    ::futimens(fd, nullptr);  // used now: the longest unused goes first
  }
  ::close(fd);
  return image;
}

void ImageCache::write(const Key& key, const Image& image) {
  const uint64_t bytes = image.bytes().size();
  if (folder_.empty() || bytes > folder_bytes_max_) return;
  std::error_code error;
  fs::create_directories(folder_, error);
  make_room(bytes);
  // Written aside and renamed, so that no worker ever reads half of it.
  std::string temporary = path_of(key) + ".XXXXXX";
  const int fd = ::mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) {
    spdlog::warn("module cache: cannot write to {}: {} (setting modules.module_cache_dir)", folder_,
                 std::strerror(errno));
    return;
  }
  const bool written = write_all(fd, image.bytes());
  ::close(fd);
  if (!written || ::rename(temporary.c_str(), path_of(key).c_str()) != 0) {
    spdlog::warn("module cache: writing {} failed: {}", temporary, std::strerror(errno));
    ::unlink(temporary.c_str());
  }
}

// A folder of small images has a hundred thousand of them, and looking through it takes half a
// second: once for so much that is written, and not for each image. Other workers write meanwhile
// and look for themselves, so some shares are theirs.
void ImageCache::make_room(uint64_t bytes) {
  constexpr uint64_t kShares = 64;
  constexpr uint64_t kSharesOfOthers = 8;
  if (bytes <= unlooked_bytes_) {
    unlooked_bytes_ -= bytes;
    return;
  }
  unlooked_bytes_ = folder_bytes_max_ / kShares;
  const uint64_t taken = bytes + (1 + kSharesOfOthers) * unlooked_bytes_;
  trim_folder(taken < folder_bytes_max_ ? folder_bytes_max_ - taken : 0);
  ++folder_looks_;
}

// Removes the longest unused images until the rest has no more than that.
void ImageCache::trim_folder(uint64_t bytes_max) const {
  struct File {
    fs::file_time_type used;
    uint64_t bytes;
    fs::path path;
  };
  std::vector<File> files;
  uint64_t total = 0;
  std::error_code error;
  for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
    std::error_code gone;
    File file{it->last_write_time(gone), it->file_size(gone), it->path()};
    if (gone) continue;
    total += file.bytes;
    files.push_back(std::move(file));
  }
  if (total <= bytes_max) return;
  std::sort(files.begin(), files.end(),
            [](const File& a, const File& b) { return a.used < b.used; });
  for (const File& file : files) {
    if (total <= bytes_max) break;
    if (fs::remove(file.path, error)) total -= file.bytes;
  }
}

void ImageCache::keep(const Key& key, ImageRef image) {
  // A client may send one that is here already.
  if (const auto before = images_.find(key); before != images_.end()) {
    images_bytes_ -= before->second->bytes().size();
    std::erase(recent_, key);
  }
  images_bytes_ += image->bytes().size();
  images_[key] = std::move(image);
  recent_.push_back(key);
  while (images_bytes_ > memory_bytes_max_ && recent_.size() > 1) {
    const auto oldest = images_.find(recent_.front());
    images_bytes_ -= oldest->second->bytes().size();
    images_.erase(oldest);
    recent_.erase(recent_.begin());
  }
}

ImageCache::Part ImageCache::add_part(const message::ImagePart& part,
                                      std::span<const std::byte> data, std::string* why) {
  const Key key(part.hash.low, part.hash.high);
  auto upload = uploads_.find(key);
  if (upload == uploads_.end()) {
    if (part.image_bytes == 0 || part.image_bytes > protocol::limits::image_bytes_max) {
      *why = fmt::format("a module image of {} bytes (limit {})", part.image_bytes,
                         protocol::limits::image_bytes_max);
      return Part::kRefused;
    }
    if (uploads_.size() >= kUploadsMax ||
        (!uploads_.empty() && uploads_bytes_ + part.image_bytes > memory_bytes_max_)) {
      *why = fmt::format("{} unfinished module images of {} bytes in all (limits {} and {})",
                         uploads_.size() + 1, uploads_bytes_ + part.image_bytes, kUploadsMax,
                         memory_bytes_max_);
      return Part::kRefused;
    }
    Upload fresh{std::make_unique<Image>(part.image_bytes), 0};
    upload = uploads_.emplace(key, std::move(fresh)).first;
    uploads_bytes_ += part.image_bytes;
  }
  const std::span<std::byte> image = upload->second.image->bytes();
  uint64_t& filled = upload->second.filled;
  if (part.image_bytes != image.size() || part.offset != filled ||
      data.size() > image.size() - filled || data.empty()) {
    *why = fmt::format("a piece of {} bytes at {} of a module image of {} bytes that has {}",
                       data.size(), part.offset, image.size(), filled);
    return Part::kRefused;
  }
  std::memcpy(image.data() + filled, data.data(), data.size());
  filled += data.size();
  if (filled < image.size()) return Part::kTaken;

  ImageRef whole(std::move(upload->second.image));
  uploads_bytes_ -= image.size();
  uploads_.erase(upload);
  if (hash_image(whole->bytes()) != part.hash) {
    *why = "a module image whose bytes do not match its hash";
    return Part::kRefused;
  }
  write(key, *whole);
  keep(key, std::move(whole));
  return Part::kComplete;
}

}  // namespace farlane::server
