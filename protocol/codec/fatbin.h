// The fat binary container that nvcc 13 puts into programs: several device images (PTX text, ELF),
// each plain, LZ4 or zstd. Layout as observed on nvcc 13.0 output; the test holds it to that.
//
//   container: u32 magic 0xba55ed50, u16 version 1, u16 header bytes 16, u64 bytes of what follows
//   member:    u16 kind, u16 version, u32 header bytes, u64 padded payload bytes,
//              u32 compressed bytes (0 when plain), u32, u16 minor, u16 major, u32 architecture,
//              u32 name offset, u32 name bytes, u64 flags, u64, u64 uncompressed bytes, ...
//
// No size in an image is trusted: everything is checked against the bytes at hand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/codec/codecs.h"

namespace farlane::codec {

constexpr uint32_t kFatbinMagic = 0xba55ed50;
constexpr uint32_t kFatbinWrapperMagic = 0x466243b1;  // __fatBinC_Wrapper_t, points to a container
constexpr size_t kFatbinHeaderBytes = 16;

struct FatbinLimits {
  uint64_t container_bytes_max = uint64_t{1} << 30;
  uint64_t member_bytes_max = uint64_t{256} << 20;  // uncompressed
  uint32_t members_max = 4096;
};

enum class FatbinKind : uint16_t { kPtx = 1, kElf = 2, kOther = 0xffff };

struct FatbinMember {
  FatbinKind kind = FatbinKind::kOther;
  uint32_t arch = 0;        // 75, 90, ...
  char arch_suffix = '\0';  // 'a' (this architecture only), 'f' (its family), or none
  Codec codec = Codec::kNone;
  std::span<const std::byte> payload;  // as stored; points into the parsed bytes
  uint64_t uncompressed_bytes = 0;
};

// The whole length a container's header claims (header included), from its first 16 bytes. Nothing
// when they are not such a header, or when the claim is over the limit.
std::optional<uint64_t> fatbin_bytes(std::span<const std::byte> prefix,
                                     const FatbinLimits& limits = {});

// Lists the members of one container, or of several one after the other. `bytes` must end where the
// last one does; zero padding may follow. False, with *error set, on anything else.
[[nodiscard]] bool parse_fatbin(std::span<const std::byte> bytes, const FatbinLimits& limits,
                                std::vector<FatbinMember>* members, std::string* error);

// The member's own bytes. False, with *error set, when they do not unpack to what is claimed.
[[nodiscard]] bool unpack_member(const FatbinMember& member, const FatbinLimits& limits,
                                 std::vector<std::byte>* out, std::string* error);

// The PTX member a device of this architecture should compile: the highest one not above it. 'a'
// and 'f' variants are for their own architecture only and win over the plain one there. Null if
// none.
const FatbinMember* best_ptx(std::span<const FatbinMember> members, uint32_t arch);

}  // namespace farlane::codec
