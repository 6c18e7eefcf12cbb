// How many live names of one kind a session may have: what both sides' tables are made for.
#pragma once

#include <cstdint>

namespace farlane::protocol {

// An index is below this. More are a program out of control: 1M names take 24 MB or so on the
// server. The client refuses the next one; a server that sees it ends the session.
inline constexpr uint32_t kHandleIndexMax = 1u << 20;

}  // namespace farlane::protocol
