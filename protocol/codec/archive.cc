#include "protocol/codec/archive.h"

#include <ar.h>
#include <elf.h>

#include <charconv>
#include <cstring>
#include <string_view>

namespace farlane::codec {
namespace {

static_assert(sizeof(ar_hdr) == 60);
constexpr uint16_t kMachineCuda = 190;  // EM_CUDA, which older elf.h lack

// Calls visit(member) for each. The length of the archive; nothing: it is none, or is cut off.
template <class Visit>
std::optional<size_t> walk(std::span<const std::byte> bytes, Visit&& visit) {
  if (bytes.size() < SARMAG || !is_archive(bytes.data())) {
    return std::nullopt;
  }
  size_t at = SARMAG;
  while (at < bytes.size() && bytes[at] != std::byte{0}) {
    ar_hdr header;
    if (bytes.size() - at < sizeof header) {
      return std::nullopt;
    }
    std::memcpy(&header, bytes.data() + at, sizeof header);
    at += sizeof header;
    size_t length = 0;
    const char* const digits = header.ar_size;
    const auto number = std::from_chars(digits, digits + sizeof header.ar_size, length);
    if (number.ec != std::errc() ||
        std::memcmp(header.ar_fmag, ARFMAG, sizeof header.ar_fmag) != 0 ||
        length > bytes.size() - at) {
      return std::nullopt;
    }
    visit(bytes.subspan(at, length));
    at += length + length % 2;  // a member begins at an even place; the last one may lack the byte
  }
  return at < bytes.size() ? at : bytes.size();
}

// A table or a part of an object; false: it is not all there.
bool has(std::span<const std::byte> bytes, uint64_t offset, uint64_t length) {
  return offset <= bytes.size() && length <= bytes.size() - offset;
}

bool read_header(std::span<const std::byte> bytes, Elf64_Ehdr* header) {
  if (bytes.size() < sizeof *header || std::memcmp(bytes.data(), ELFMAG, SELFMAG) != 0) {
    return false;
  }
  std::memcpy(header, bytes.data(), sizeof *header);
  return true;
}

}  // namespace

bool is_archive(const void* bytes) {
  return std::strncmp(static_cast<const char*>(bytes), ARMAG, SARMAG) == 0;
}

std::optional<size_t> archive_bytes(std::span<const std::byte> bytes) {
  return walk(bytes, [](std::span<const std::byte>) {});
}

std::vector<std::span<const std::byte>> archive_members(std::span<const std::byte> bytes) {
  std::vector<std::span<const std::byte>> members;
  if (!walk(bytes, [&](std::span<const std::byte> member) { members.push_back(member); })) {
    members.clear();
  }
  return members;
}

bool is_host_object(std::span<const std::byte> bytes) {
  Elf64_Ehdr header;
  return read_header(bytes, &header) && header.e_machine != kMachineCuda;
}

std::vector<std::span<const std::byte>> object_fatbins(std::span<const std::byte> bytes) {
  Elf64_Ehdr header;
  if (!read_header(bytes, &header) || header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_shentsize != sizeof(Elf64_Shdr) ||
      !has(bytes, header.e_shoff, uint64_t{header.e_shnum} * sizeof(Elf64_Shdr)) ||
      header.e_shstrndx >= header.e_shnum) {
    return {};
  }
  std::vector<Elf64_Shdr> sections(header.e_shnum);
  std::memcpy(sections.data(), bytes.data() + header.e_shoff, sections.size() * sizeof(Elf64_Shdr));
  const Elf64_Shdr& names = sections[header.e_shstrndx];
  if (!has(bytes, names.sh_offset, names.sh_size)) {
    return {};
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + names.sh_offset,
                              names.sh_size);
  std::vector<std::span<const std::byte>> found;
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_name >= text.size() || section.sh_type == SHT_NOBITS) {
      continue;
    }
    const std::string_view rest = text.substr(section.sh_name);
    const std::string_view name = rest.substr(0, rest.find('\0'));
    // Relocatable device code, and code that was linked already.
    if ((name == "__nv_relfatbin" || name == ".nv_fatbin") &&
        has(bytes, section.sh_offset, section.sh_size)) {
      found.push_back(bytes.subspan(section.sh_offset, section.sh_size));
    }
  }
  return found;
}

}  // namespace farlane::codec
