// Always-on checks for our own faults. A peer's fault is never checked with these: it ends a
// session through a Fault (reader.h), not a process.
#pragma once

namespace farlane::protocol {

[[noreturn]] void check_failed(const char* file, int line, const char* condition, const char* what);

}  // namespace farlane::protocol

// `what` says which rule was broken, for the person who reads the last line of a log.
#define FARLANE_CHECK(condition, what)                                         \
  do {                                                                         \
    if (!(condition)) [[unlikely]] {                                           \
      ::farlane::protocol::check_failed(__FILE__, __LINE__, #condition, what); \
    }                                                                          \
  } while (false)
