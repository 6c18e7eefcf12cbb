// LZ4 and zstd blocks of known size. Sizes that come from a peer or an image are claims: they are
// held against a limit before anything is allocated, and the decoder must produce exactly that many
// bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace farlane::codec {

enum class Codec : uint8_t { kNone, kLz4, kZstd };

const char* codec_name(Codec codec);

// Replaces *out. False, with *error set, only when the input is too long for the format (LZ4: 2.1
// GB) or the library fails. `level` is the library's own scale; 0 is its default. Thread-safe.
[[nodiscard]] bool compress(Codec codec, std::span<const std::byte> in, int level,
                            std::vector<std::byte>* out, std::string* error);

// Replaces *out with exactly `bytes_expected` bytes. Refuses, with *error set, when that is more
// than `bytes_max`, when the input is damaged, or when it holds more or less than expected.
// Thread-safe.
[[nodiscard]] bool decompress(Codec codec, std::span<const std::byte> in, uint64_t bytes_expected,
                              uint64_t bytes_max, std::vector<std::byte>* out, std::string* error);

}  // namespace farlane::codec
