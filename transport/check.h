// The always-on check for faults of our own: it ends the process and says where. What a peer does
// wrong never comes here; that ends the channel with a reason.
#pragma once

namespace farlane::transport {

[[noreturn]] void check_failed(const char* condition, const char* meaning, const char* file,
                               int line);

}  // namespace farlane::transport

#define FARLANE_TRANSPORT_CHECK(condition, meaning) \
  ((condition) ? static_cast<void>(0)               \
               : ::farlane::transport::check_failed(#condition, meaning, __FILE__, __LINE__))
