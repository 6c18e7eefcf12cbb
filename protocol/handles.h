// The client-made names of streams, events, modules, kernels and graphs: strong types over 64 bits,
//
//   bits 63..56  kind         never 0, so that a handle is never 0, 1 or 2, which CUDA reserves
//   bits 55..32  generation   grows when an index is used again, so that a stale handle is noticed
//   bits 31..0   index        small and dense: tables are arrays
//
// The application holds the same 64 bits as its cudaStream_t, CUevent, …
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "protocol/check.h"

namespace farlane::protocol {

enum class HandleKind : uint8_t {
  kStream = 1,
  kEvent = 2,
  kModule = 3,
  kKernel = 4,
  kGraph = 5,
  kExec = 6,  // an instantiated graph
  kCudax = 7,  // an object of a CUDA-X library
};

const char* handle_kind_name(HandleKind kind);

template <HandleKind kKindValue>
class Handle {
 public:
  static constexpr HandleKind kKind = kKindValue;
  static constexpr uint32_t kGenerationMax = 0xfffffe;  // 0xffffff is reserved, see legacy()

  // No object: is_valid() is false. Nothing on the wire may be this.
  constexpr Handle() = default;

  // `generation` at most kGenerationMax.
  static constexpr Handle make(uint32_t index, uint32_t generation) {
    FARLANE_CHECK(generation <= kGenerationMax, "a handle's generation has 24 bits");
    return Handle(pack(index, generation));
  }

  // Any 64 bits: from the wire or from an application. Ask is_valid() before use.
  static constexpr Handle from_bits(uint64_t bits) { return Handle(bits); }

  // The legacy default stream of a device: it exists from the start and is never created or
  // destroyed.
  static constexpr Handle legacy(uint32_t device) requires(kKindValue == HandleKind::kStream) {
    return Handle(pack(device, kGenerationReserved));
  }
  constexpr bool is_legacy() const requires(kKindValue == HandleKind::kStream) {
    return is_valid() && generation() == kGenerationReserved;
  }

  // The kind is right; whether such an object exists is for the table to say.
  constexpr bool is_valid() const { return bits_ >> 56 == static_cast<uint64_t>(kKindValue); }
  constexpr uint64_t bits() const { return bits_; }
  constexpr uint32_t index() const { return static_cast<uint32_t>(bits_); }
  constexpr uint32_t generation() const { return static_cast<uint32_t>(bits_ >> 32) & 0xffffff; }

  friend constexpr auto operator<=>(Handle, Handle) = default;

 private:
  static constexpr uint32_t kGenerationReserved = 0xffffff;
  static constexpr uint64_t pack(uint32_t index, uint32_t generation) {
    return uint64_t{static_cast<uint8_t>(kKindValue)} << 56 | uint64_t{generation} << 32 | index;
  }
  explicit constexpr Handle(uint64_t bits) : bits_(bits) {}

  uint64_t bits_ = 0;
};

using StreamId = Handle<HandleKind::kStream>;
using EventId = Handle<HandleKind::kEvent>;
using ModuleId = Handle<HandleKind::kModule>;
using KernelId = Handle<HandleKind::kKernel>;
using CudaxId = Handle<HandleKind::kCudax>;
using GraphId = Handle<HandleKind::kGraph>;
using ExecId = Handle<HandleKind::kExec>;

static_assert(sizeof(StreamId) == 8);

// For traces and logs: "stream 3.1" (index.generation), "stream legacy 0", "not a stream 0x7".
std::string describe_handle(HandleKind kind, uint64_t bits);

template <HandleKind kKind>
std::string describe(Handle<kKind> handle) {
  return describe_handle(kKind, handle.bits());
}

}  // namespace farlane::protocol

template <farlane::protocol::HandleKind kKind>
struct std::hash<farlane::protocol::Handle<kKind>> {
  size_t operator()(farlane::protocol::Handle<kKind> handle) const noexcept {
    return std::hash<uint64_t>()(handle.bits() * 0x9e3779b97f4a7c15u);
  }
};
