// The control messages as libprotobuf makes them from control.proto, for the server: namespace
// farlane::control, header generated/protocol/control.pb.h. Never linked into a client library.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace farlane::control {

class Control;

// False with a reason in *error: malformed, over a limit of limits.h, or of no kind.
[[nodiscard]] bool parse(std::span<const std::byte> bytes, Control* control, std::string* error);

// The bytes for a `control_reply` record.
std::string serialize(const Control& control);

}  // namespace farlane::control
