#include "server/softcuda/image_select.h"

#include <cstring>

#include "protocol/codec/archive.h"
#include "protocol/codec/fatbin.h"
#include "server/softcuda/driver_device.h"

namespace farlane::softcuda {
namespace {

constexpr char kLinkedMagic[8] = {'\x7f', 'F', 'L', 'P', 'T', 'X', '0', '1'};
constexpr size_t kLinkedHeaderBytes = 24;  // magic, u64 whole length, u64 number of texts
constexpr uint64_t kLinkedBytesMax = uint64_t{1} << 30;
constexpr size_t kTextBytesMax = size_t{256} << 20;
constexpr size_t kWrapperPartsMax = 65536;

// __fatBinC_Wrapper_t of fatbinary_section.h.
struct Wrapper {
  uint32_t magic;
  uint32_t version;  // 2: `parts` is a list of relocatable fat binaries that ends in null
  const void* data;
  void* parts;
};

CUresult fail(CUresult code, std::string text, std::string* error) {
  *error = std::move(text);
  return code;
}

// Byte by byte, so that a short text is not read past its end.
bool starts_with(const void* image, const void* magic, size_t bytes) {
  const auto* a = static_cast<const unsigned char*>(image);
  const auto* b = static_cast<const unsigned char*>(magic);
  for (size_t i = 0; i < bytes; ++i) {
    if (a[i] != b[i]) {
      return false;
    }
  }
  return true;
}

bool starts_with(const void* image, uint32_t magic) {
  return starts_with(image, &magic, sizeof magic);
}

std::span<const std::byte> bytes_at(const void* pointer, size_t bytes) {
  return {static_cast<const std::byte*>(pointer), bytes};
}

CUresult open_text(std::string_view text, Image* out, std::string* error) {
  if (text.find(".version") == std::string_view::npos) {
    return fail(CUDA_ERROR_INVALID_IMAGE, "image is neither PTX text nor a fat binary", error);
  }
  out->texts.emplace_back(text);
  return CUDA_SUCCESS;
}

CUresult open_fatbin(std::span<const std::byte> bytes, Image* out, std::string* error) {
  const codec::FatbinLimits limits;
  std::vector<codec::FatbinMember> members;
  if (!codec::parse_fatbin(bytes, limits, &members, error)) {
    return CUDA_ERROR_INVALID_IMAGE;
  }
  const codec::FatbinMember* best = codec::best_ptx(members, kArch);
  if (best == nullptr) {
    return fail(CUDA_ERROR_NO_BINARY_FOR_GPU,
                "fat binary holds no PTX for compute capability 9.0 or lower; the software device "
                "cannot run machine code: build with -gencode arch=compute_90,code=compute_90",
                error);
  }
  std::vector<std::byte> text;
  if (!codec::unpack_member(*best, limits, &text, error)) {
    return CUDA_ERROR_INVALID_IMAGE;
  }
  std::string_view view(reinterpret_cast<const char*>(text.data()), text.size());
  return open_text(view.substr(0, view.find('\0')), out, error);
}

CUresult open_linked(std::span<const std::byte> bytes, Image* out, std::string* error) {
  uint64_t counts[2];
  std::memcpy(counts, bytes.data() + sizeof kLinkedMagic, sizeof counts);
  std::span<const std::byte> rest = bytes.subspan(kLinkedHeaderBytes);
  for (uint64_t i = 0; i < counts[1]; ++i) {
    uint64_t length = 0;
    if (rest.size() < sizeof length) {
      return fail(CUDA_ERROR_INVALID_IMAGE, "linked image is cut short", error);
    }
    std::memcpy(&length, rest.data(), sizeof length);
    rest = rest.subspan(sizeof length);
    if (length > rest.size()) {
      return fail(CUDA_ERROR_INVALID_IMAGE, "linked image is cut short", error);
    }
    out->texts.emplace_back(reinterpret_cast<const char*>(rest.data()), length);
    rest = rest.subspan(length);
  }
  return CUDA_SUCCESS;
}

// The length a linked image's header claims, or 0.
uint64_t linked_bytes(std::span<const std::byte> prefix) {
  uint64_t bytes = 0;
  std::memcpy(&bytes, prefix.data() + sizeof kLinkedMagic, sizeof bytes);
  return bytes >= kLinkedHeaderBytes && bytes <= kLinkedBytesMax ? bytes : 0;
}

CUresult open_wrapper(const void* image, Image* out, std::string* error) {
  Wrapper wrapper;
  std::memcpy(&wrapper, image, sizeof wrapper);
  if (wrapper.version == 2 && wrapper.parts != nullptr) {
    void* const* parts = static_cast<void* const*>(wrapper.parts);
    for (size_t i = 0; parts[i] != nullptr; ++i) {
      if (i == kWrapperPartsMax) {
        return fail(CUDA_ERROR_INVALID_IMAGE, "wrapper lists too many fat binaries", error);
      }
      if (const CUresult result = open_image(parts[i], out, error); result != CUDA_SUCCESS) {
        return result;
      }
    }
    if (!out->texts.empty()) {
      return CUDA_SUCCESS;
    }
  }
  if ((wrapper.version != 1 && wrapper.version != 2) || wrapper.data == nullptr ||
      !starts_with(wrapper.data, codec::kFatbinMagic)) {
    return fail(CUDA_ERROR_INVALID_IMAGE, "wrapper leads to no fat binary", error);
  }
  return open_image(wrapper.data, out, error);
}

CUresult refuse_machine_code(std::string* error) {
  return fail(CUDA_ERROR_NO_BINARY_FOR_GPU,
              "image is machine code (ELF), which the software device cannot run", error);
}

}  // namespace

CUresult open_image(const void* image, Image* out, std::string* error) {
  if (image == nullptr) {
    return fail(CUDA_ERROR_INVALID_VALUE, "no image", error);
  }
  if (starts_with(image, codec::kFatbinWrapperMagic)) {
    return open_wrapper(image, out, error);
  }
  if (starts_with(image, codec::kFatbinMagic)) {
    const auto bytes = codec::fatbin_bytes(bytes_at(image, codec::kFatbinHeaderBytes));
    if (!bytes) {
      return fail(CUDA_ERROR_INVALID_IMAGE, "fat binary: bad header", error);
    }
    return open_fatbin(bytes_at(image, *bytes), out, error);
  }
  if (starts_with(image, kLinkedMagic, sizeof kLinkedMagic)) {
    const uint64_t bytes = linked_bytes(bytes_at(image, kLinkedHeaderBytes));
    return bytes == 0 ? fail(CUDA_ERROR_INVALID_IMAGE, "linked image: bad header", error)
                      : open_linked(bytes_at(image, bytes), out, error);
  }
  if (starts_with(image,
                  "\x7f"
                  "ELF",
                  4)) {
    return refuse_machine_code(error);
  }
  const auto* text = static_cast<const char*>(image);
  const size_t length = strnlen(text, kTextBytesMax);
  if (length == kTextBytesMax) {
    return fail(CUDA_ERROR_INVALID_IMAGE, "PTX text has no end", error);
  }
  return open_text({text, length}, out, error);
}

CUresult open_image(std::span<const std::byte> bytes, Image* out, std::string* error) {
  const auto is = [&](const void* magic, size_t magic_bytes, size_t header_bytes) {
    return bytes.size() >= header_bytes && std::memcmp(bytes.data(), magic, magic_bytes) == 0;
  };
  const uint32_t fatbin_magic = codec::kFatbinMagic;
  if (is(&fatbin_magic, sizeof fatbin_magic, sizeof fatbin_magic)) {
    return open_fatbin(bytes, out, error);
  }
  if (is(kLinkedMagic, sizeof kLinkedMagic, kLinkedHeaderBytes)) {
    const uint64_t length = linked_bytes(bytes);
    return length == 0 || length > bytes.size()
               ? fail(CUDA_ERROR_INVALID_IMAGE, "linked image: bad header", error)
               : open_linked(bytes.first(length), out, error);
  }
  if (is("\x7f"
         "ELF",
         4, 4)) {
    return refuse_machine_code(error);
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return open_text(text.substr(0, text.find('\0')), out, error);
}

CUresult open_object(std::span<const std::byte> bytes, Image* out, std::string* error) {
  const auto fatbins = codec::object_fatbins(bytes);
  if (fatbins.empty()) {
    return fail(CUDA_ERROR_INVALID_IMAGE, "object holds no device code", error);
  }
  for (const auto fatbin : fatbins) {
    if (const CUresult result = open_fatbin(fatbin, out, error); result != CUDA_SUCCESS) {
      return result;
    }
  }
  return CUDA_SUCCESS;
}

CUresult open_archive(std::span<const std::byte> bytes, Image* out, std::string* error) {
  if (!codec::archive_bytes(bytes)) {
    return fail(CUDA_ERROR_INVALID_IMAGE, "image is no archive, or is cut short", error);
  }
  for (const auto member : codec::archive_members(bytes)) {
    static_cast<void>(open_object(member, out, error));
  }
  return CUDA_SUCCESS;
}

std::vector<char> link_container(std::span<const std::string> texts) {
  std::vector<char> out(kLinkedHeaderBytes);
  for (const std::string& text : texts) {
    const uint64_t length = text.size();
    const auto* bytes = reinterpret_cast<const char*>(&length);
    out.insert(out.end(), bytes, bytes + sizeof length);
    out.insert(out.end(), text.begin(), text.end());
  }
  const uint64_t counts[2] = {out.size(), texts.size()};
  std::memcpy(out.data(), kLinkedMagic, sizeof kLinkedMagic);
  std::memcpy(out.data() + sizeof kLinkedMagic, counts, sizeof counts);
  return out;
}

}  // namespace farlane::softcuda
