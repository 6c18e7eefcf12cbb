#include "client/core/image.h"

#include <elf.h>

#include <algorithm>
#include <cstring>

#include "protocol/codec/archive.h"
#include "protocol/codec/fatbin.h"
#include "protocol/limits.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace farlane::client {
namespace {

size_t elf_bytes(const void* image) {
  Elf64_Ehdr header;
  std::memcpy(&header, image, sizeof header);
  const auto* base = static_cast<const std::byte*>(image);
  uint64_t end = header.e_shoff + uint64_t{header.e_shnum} * header.e_shentsize;
  end = std::max<uint64_t>(end, header.e_phoff + uint64_t{header.e_phnum} * header.e_phentsize);
  for (unsigned i = 0; i < header.e_shnum; ++i) {
    Elf64_Shdr section;
    std::memcpy(&section, base + header.e_shoff + size_t{i} * header.e_shentsize, sizeof section);
    if (section.sh_type != SHT_NOBITS) {
      end = std::max<uint64_t>(end, section.sh_offset + section.sh_size);
    }
  }
  return end;
}

}  // namespace

std::span<const std::byte> image_bytes(const void* image) {
  if (image == nullptr) {
    return {};
  }
  uint32_t magic = 0;
  std::memcpy(&magic, image, sizeof magic);
  if (magic == codec::kFatbinWrapperMagic) {
    // {magic, version, data, filename_or_fatbins}
    const void* container = nullptr;
    std::memcpy(&container, static_cast<const std::byte*>(image) + 8, sizeof container);
    return image_bytes(container);
  }
  const auto* bytes = static_cast<const std::byte*>(image);
  if (magic == codec::kFatbinMagic) {
    const auto size = codec::fatbin_bytes({bytes, codec::kFatbinHeaderBytes});
    return size ? std::span(bytes, *size) : std::span<const std::byte>();
  }
  if (std::memcmp(image, ELFMAG, SELFMAG) == 0) {
    return {bytes, elf_bytes(image)};
  }
  if (codec::is_archive(image)) {
    // Its end is a zero byte (client/cuda/link.cc), which it keeps.
    const auto size = codec::archive_bytes({bytes, protocol::limits::image_bytes_max});
    return size ? std::span(bytes, *size + 1) : std::span<const std::byte>();
  }
  return {bytes, std::strlen(static_cast<const char*>(image)) + 1};
}

protocol::message::ImageHash image_hash(std::span<const std::byte> bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {.low = hash.low64, .high = hash.high64};
}

}  // namespace farlane::client
