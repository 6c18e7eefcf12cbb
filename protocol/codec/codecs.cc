#include "protocol/codec/codecs.h"

#include <lz4.h>
#include <lz4hc.h>
#include <zstd.h>

#include <cstring>

namespace farlane::codec {
namespace {

bool fail(std::string* error, std::string text) {
  if (error != nullptr) {
    *error = std::move(text);
  }
  return false;
}

const char* chars(const std::byte* bytes) {
  return reinterpret_cast<const char*>(bytes);
}
char* chars(std::byte* bytes) {
  return reinterpret_cast<char*>(bytes);
}

bool compress_lz4(std::span<const std::byte> in, int level, std::vector<std::byte>* out,
                  std::string* error) {
  if (in.size() > static_cast<size_t>(LZ4_MAX_INPUT_SIZE)) {
    return fail(error, "lz4: input of " + std::to_string(in.size()) +
                           " bytes is over the format's " + std::to_string(LZ4_MAX_INPUT_SIZE));
  }
  const int in_bytes = static_cast<int>(in.size());
  out->resize(static_cast<size_t>(LZ4_compressBound(in_bytes)));
  const int out_max = static_cast<int>(out->size());
  const int written =
      level > 0 ? LZ4_compress_HC(chars(in.data()), chars(out->data()), in_bytes, out_max, level)
                : LZ4_compress_default(chars(in.data()), chars(out->data()), in_bytes, out_max);
  if (written <= 0) {
    return fail(error, "lz4: compression failed");
  }
  out->resize(static_cast<size_t>(written));
  return true;
}

bool compress_zstd(std::span<const std::byte> in, int level, std::vector<std::byte>* out,
                   std::string* error) {
  out->resize(ZSTD_compressBound(in.size()));
  const size_t written = ZSTD_compress(out->data(), out->size(), in.data(), in.size(),
                                       level == 0 ? ZSTD_CLEVEL_DEFAULT : level);
  if (ZSTD_isError(written) != 0) {
    return fail(error, std::string("zstd: ") + ZSTD_getErrorName(written));
  }
  out->resize(written);
  return true;
}

}  // namespace

const char* codec_name(Codec codec) {
  switch (codec) {
    case Codec::kNone:
      return "none";
    case Codec::kLz4:
      return "lz4";
    case Codec::kZstd:
      return "zstd";
  }
  return "unknown";
}

bool compress(Codec codec, std::span<const std::byte> in, int level, std::vector<std::byte>* out,
              std::string* error) {
  switch (codec) {
    case Codec::kNone:
      out->assign(in.begin(), in.end());
      return true;
    case Codec::kLz4:
      return compress_lz4(in, level, out, error);
    case Codec::kZstd:
      return compress_zstd(in, level, out, error);
  }
  return fail(error, "unknown codec");
}

bool decompress(Codec codec, std::span<const std::byte> in, uint64_t bytes_expected,
                uint64_t bytes_max, std::vector<std::byte>* out, std::string* error) {
  if (bytes_expected > bytes_max) {
    return fail(error, std::string(codec_name(codec)) + ": block claims " +
                           std::to_string(bytes_expected) + " bytes, limit " +
                           std::to_string(bytes_max));
  }
  uint64_t produced = 0;
  switch (codec) {
    case Codec::kNone:
      out->assign(in.begin(), in.end());
      produced = out->size();
      break;
    case Codec::kLz4: {
      if (bytes_expected > static_cast<uint64_t>(LZ4_MAX_INPUT_SIZE) ||
          in.size() > static_cast<size_t>(LZ4_COMPRESSBOUND(LZ4_MAX_INPUT_SIZE))) {
        return fail(error, "lz4: block is over the format's 2.1 GB");
      }
      // One byte more than expected, so that an overlong block is seen and an empty one has a
      // buffer.
      out->resize(bytes_expected + 1);
      const int result =
          LZ4_decompress_safe(chars(in.data()), chars(out->data()), static_cast<int>(in.size()),
                              static_cast<int>(out->size()));
      if (result < 0) {
        return fail(error, "lz4: block is damaged or longer than it claims");
      }
      produced = static_cast<uint64_t>(result);
      break;
    }
    case Codec::kZstd: {
      out->resize(bytes_expected + 1);
      const size_t result = ZSTD_decompress(out->data(), out->size(), in.data(), in.size());
      if (ZSTD_isError(result) != 0) {
        return fail(error, std::string("zstd: ") + ZSTD_getErrorName(result));
      }
      produced = result;
      break;
    }
  }
  if (produced != bytes_expected) {
    return fail(error, std::string(codec_name(codec)) + ": block claims " +
                           std::to_string(bytes_expected) + " bytes but holds " +
                           std::to_string(produced));
  }
  out->resize(bytes_expected);
  return true;
}

}  // namespace farlane::codec
