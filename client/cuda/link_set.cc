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
  uint64_t options;
  uint64_t options_at;
};
static_assert(sizeof(Header) % kPadding == 0);
static_assert(sizeof(uint64_t) * 2 == kPadding);

bool is_link_set(const void* image) {
  // The magic ends in a NUL, so comparing stops inside any shorter text.
  return std::strncmp(static_cast<const char*>(image), kMagic, sizeof(kMagic)) == 0;
}

size_t padded(size_t bytes) {
  return (bytes + kPadding - 1) / kPadding * kPadding;
}

}  // namespace

std::vector<std::byte> pack_link_set(std::span<const std::vector<char>> images,
                                     std::span<const client::JitOption> options) {
  Header header = {};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.images = images.size();
  header.bytes = sizeof(Header);
  for (const auto& image : images) {
    header.bytes += kPadding + padded(image.size());
  }
  header.options = options.size();
  header.options_at = header.bytes;
  header.bytes += padded(options.size_bytes());
  std::vector<std::byte> packed(header.bytes);
  std::memcpy(packed.data(), &header, sizeof(header));
  size_t at = sizeof(header);
  for (const auto& image : images) {
    const uint64_t size = image.size();
    std::memcpy(packed.data() + at, &size, sizeof(size));
    std::memcpy(packed.data() + at + kPadding, image.data(), image.size());
    at += kPadding + padded(image.size());
  }
  if (!options.empty()) {
    std::memcpy(packed.data() + header.options_at, options.data(), options.size_bytes());
  }
  return packed;
}

std::vector<client::JitOption> jit_numbers_of(const void* image) {
  Header header;
  if (!is_link_set(image)) {
    return {};
  }
  std::memcpy(&header, image, sizeof(header));
  std::vector<client::JitOption> options(header.options);
  if (!options.empty()) {
    std::memcpy(options.data(), static_cast<const std::byte*>(image) + header.options_at,
                options.size() * sizeof(client::JitOption));
  }
  return options;
}

std::vector<const void*> images_of(const void* image) {
  if (!is_link_set(image)) {
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
