#include "protocol/codec/fatbin.h"

#include <algorithm>
#include <cstring>

namespace farlane::codec {
namespace {

constexpr size_t kMemberHeaderBytesMin = 64;
constexpr uint64_t kFlagLz4 = 0x2000;
constexpr uint64_t kFlagZstd = 0x8000;
constexpr uint64_t kFlagArchSpecific = 0x100000;  // sm_90a
constexpr uint64_t kFlagArchFamily = 0x200000;    // sm_100f

template <typename T>
T load(std::span<const std::byte> bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

bool fail(std::string* error, std::string text) {
  if (error != nullptr) {
    *error = "fat binary: " + std::move(text);
  }
  return false;
}

// One member at the start of `bytes`; *used is how far it reaches.
bool parse_member(std::span<const std::byte> bytes, const FatbinLimits& limits,
                  FatbinMember* member, size_t* used, std::string* error) {
  if (bytes.size() < kMemberHeaderBytesMin) {
    return fail(error, "member header is cut short");
  }
  const auto kind = load<uint16_t>(bytes, 0);
  const auto header_bytes = load<uint32_t>(bytes, 4);
  const auto payload_bytes = load<uint64_t>(bytes, 8);
  const auto compressed_bytes = load<uint32_t>(bytes, 16);
  const auto flags = load<uint64_t>(bytes, 40);
  if (header_bytes < kMemberHeaderBytesMin || header_bytes > bytes.size()) {
    return fail(error, "member header of " + std::to_string(header_bytes) + " bytes does not fit");
  }
  if (payload_bytes > bytes.size() - header_bytes) {
    return fail(error, "member of " + std::to_string(payload_bytes) + " bytes does not fit in " +
                           std::to_string(bytes.size() - header_bytes));
  }
  member->kind = kind == static_cast<uint16_t>(FatbinKind::kPtx)   ? FatbinKind::kPtx
                 : kind == static_cast<uint16_t>(FatbinKind::kElf) ? FatbinKind::kElf
                                                                   : FatbinKind::kOther;
  member->arch = load<uint32_t>(bytes, 28);
  member->arch_suffix = (flags & kFlagArchSpecific) != 0 ? 'a'
                        : (flags & kFlagArchFamily) != 0 ? 'f'
                                                         : '\0';
  const bool lz4 = (flags & kFlagLz4) != 0;
  const bool zstd = (flags & kFlagZstd) != 0;
  if (lz4 && zstd) {
    return fail(error, "member claims two compressions");
  }
  member->codec = lz4 ? Codec::kLz4 : zstd ? Codec::kZstd : Codec::kNone;
  if (member->codec == Codec::kNone) {
    if (compressed_bytes != 0) {
      return fail(error, "member uses an unknown compression");
    }
    member->payload = bytes.subspan(header_bytes, payload_bytes);
    member->uncompressed_bytes = payload_bytes;
  } else {
    if (compressed_bytes > payload_bytes) {
      return fail(error, "compressed member does not fit in its payload");
    }
    member->payload = bytes.subspan(header_bytes, compressed_bytes);
    member->uncompressed_bytes = load<uint64_t>(bytes, 56);
  }
  if (member->uncompressed_bytes > limits.member_bytes_max) {
    return fail(error, "member of " + std::to_string(member->uncompressed_bytes) +
                           " bytes, limit " + std::to_string(limits.member_bytes_max));
  }
  *used = header_bytes + payload_bytes;
  return true;
}

bool only_zeros(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

std::optional<uint64_t> fatbin_bytes(std::span<const std::byte> prefix,
                                     const FatbinLimits& limits) {
  if (prefix.size() < kFatbinHeaderBytes || load<uint32_t>(prefix, 0) != kFatbinMagic ||
      load<uint16_t>(prefix, 4) != 1 || load<uint16_t>(prefix, 6) != kFatbinHeaderBytes) {
    return std::nullopt;
  }
  const auto contained = load<uint64_t>(prefix, 8);
  if (contained > limits.container_bytes_max - kFatbinHeaderBytes) {
    return std::nullopt;
  }
  return contained + kFatbinHeaderBytes;
}

bool parse_fatbin(std::span<const std::byte> bytes, const FatbinLimits& limits,
                  std::vector<FatbinMember>* members, std::string* error) {
  members->clear();
  do {
    const std::optional<uint64_t> container_bytes = fatbin_bytes(bytes, limits);
    if (!container_bytes) {
      return fail(error, "no container header, or one over the limit of " +
                             std::to_string(limits.container_bytes_max) + " bytes");
    }
    if (*container_bytes > bytes.size()) {
      return fail(error, "container of " + std::to_string(*container_bytes) +
                             " bytes is cut short at " + std::to_string(bytes.size()));
    }
    std::span<const std::byte> rest =
        bytes.subspan(kFatbinHeaderBytes, *container_bytes - kFatbinHeaderBytes);
    while (!rest.empty()) {
      if (members->size() == limits.members_max) {
        return fail(error, "more than " + std::to_string(limits.members_max) + " members");
      }
      FatbinMember member;
      size_t used = 0;
      if (!parse_member(rest, limits, &member, &used, error)) {
        return false;
      }
      members->push_back(member);
      rest = rest.subspan(used);
    }
    bytes = bytes.subspan(*container_bytes);
  } while (!bytes.empty() && !only_zeros(bytes));
  return true;
}

bool unpack_member(const FatbinMember& member, const FatbinLimits& limits,
                   std::vector<std::byte>* out, std::string* error) {
  return decompress(member.codec, member.payload, member.uncompressed_bytes,
                    limits.member_bytes_max, out, error);
}

const FatbinMember* best_ptx(std::span<const FatbinMember> members, uint32_t arch) {
  const FatbinMember* best = nullptr;
  for (const FatbinMember& member : members) {
    const bool specific = member.arch_suffix != '\0';
    if (member.kind != FatbinKind::kPtx || member.arch > arch ||
        (specific && member.arch != arch)) {
      continue;
    }
    if (best == nullptr || member.arch > best->arch ||
        (member.arch == best->arch && specific && best->arch_suffix == '\0')) {
      best = &member;
    }
  }
  return best;
}

}  // namespace farlane::codec
