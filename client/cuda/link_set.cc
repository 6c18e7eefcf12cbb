#include "client/cuda/link_set.h"

#include <cstdint>
#include <cstring>

namespace farlane::cuda {
namespace {

constexpr char kMagic[16] =
    "\x7f"
    "FarlaneLinkSet";
constexpr size_t kPadding = 16;

struct Header {
  char magic[sizeof(kMagic)];
  uint64_t images;
  uint64_t bytes;
};
static_assert(sizeof(Header) % kPadding == 0);
static_assert(sizeof(uint64_t) * 2 == kPadding);

size_t padded(size_t bytes) {
  return (bytes + kPadding - 1) / kPadding * kPadding;
}

}  // namespace

std::vector<std::byte> pack_link_set(std::span<const std::vector<char>> images) {
  Header header = {};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.images = images.size();
  header.bytes = sizeof(Header);
  for (const auto& image : images) {
    header.bytes += kPadding + padded(image.size());
  }
  std::vector<std::byte> packed(header.bytes);
  std::memcpy(packed.data(), &header, sizeof(header));
  size_t at = sizeof(header);
  for (const auto& image : images) {
    const uint64_t size = image.size();
    std::memcpy(packed.data() + at, &size, sizeof(size));
    std::memcpy(packed.data() + at + kPadding, image.data(), image.size());
    at += kPadding + padded(image.size());
  }
  return packed;
}

std::vector<const void*> images_of(const void* image) {
  // The magic ends in a NUL, so comparing stops inside any shorter text.
  if (std::strncmp(static_cast<const char*>(image), kMagic, sizeof(kMagic)) != 0) {
    return {image};
  }
  const auto* const packed = static_cast<const std::byte*>(image);
  Header header;
  std::memcpy(&header, packed, sizeof(header));
  std::vector<const void*> images;
  size_t at = sizeof(header);
  for (uint64_t i = 0; i < header.images; i++) {
    uint64_t size = 0;
    std::memcpy(&size, packed + at, sizeof(size));
    images.push_back(packed + at + kPadding);
    at += kPadding + padded(size);
  }
  return images;
}

}  // namespace farlane::cuda
