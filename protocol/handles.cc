#include "protocol/handles.h"

#include <fmt/format.h>

namespace farlane::protocol {

const char* handle_kind_name(HandleKind kind) {
  switch (kind) {
    case HandleKind::kStream:
      return "stream";
    case HandleKind::kEvent:
      return "event";
    case HandleKind::kModule:
      return "module";
    case HandleKind::kKernel:
      return "kernel";
    case HandleKind::kGraph:
      return "graph";
    case HandleKind::kExec:
      return "graph exec";
    case HandleKind::kCudax:
      return "library object";
  }
  return "handle";
}

std::string describe_handle(HandleKind kind, uint64_t bits) {
  const char* name = handle_kind_name(kind);
  if (bits >> 56 != static_cast<uint64_t>(kind)) return fmt::format("not a {} {:#x}", name, bits);
  if (kind == HandleKind::kStream && StreamId::from_bits(bits).is_legacy()) {
    return fmt::format("stream legacy {}", StreamId::from_bits(bits).index());
  }
  return fmt::format("{} {}.{}", name, static_cast<uint32_t>(bits), (bits >> 32) & 0xffffff);
}

}  // namespace farlane::protocol
