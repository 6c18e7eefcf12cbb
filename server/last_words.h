// What a worker wrote on its standard error last, kept so that it outlives the worker: the
// supervisor puts it into the log of a worker that dies. It is in the pipe, or has been read from
// there into memory that both processes hold.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "transport/fd.h"

namespace farlane::server {

// Of one worker, in the log. Bytes.
inline constexpr size_t kLastWordsBytesMax = 16 * 1024;

// The worker's end. Not thread-safe.
class KeptText {
 public:
  // Null with *error when there is no memory to share.
  static std::unique_ptr<KeptText> make(std::string* error);
  ~KeptText();
  KeptText(const KeptText&) = delete;
  KeptText& operator=(const KeptText&) = delete;

  // As read(2), into the memory itself: at no moment is what was read in neither place. *text is
  // valid until the next call.
  ssize_t read_from(int pipe, std::span<const char>* text);
  int fd() const { return memory_.get(); }

 private:
  KeptText() = default;

  // Bytes of one read; behind what was written, as many are NUL.
  static constexpr size_t kReadBytes = 16 * 1024;
  static constexpr size_t kRingBytes = 64 * 1024;
  static_assert(kRingBytes >= kReadBytes + kLastWordsBytesMax);
  struct Ring {
    std::atomic<uint64_t> written_bytes;  // ever
    char text[kRingBytes];
  };
  friend class LastWords;

  transport::Fd memory_;
  Ring* ring_ = nullptr;
};

// The supervisor's end.
class LastWords {
 public:
  void set_pipe(transport::Fd pipe) { pipe_ = std::move(pipe); }
  void set_memory(transport::Fd memory) { memory_ = std::move(memory); }

  // Once the worker is dead: at most its last kLastWordsBytesMax bytes, with a note if there were
  // more. Empty: it wrote nothing.
  std::string take();

 private:
  std::string read_memory() const;

  transport::Fd pipe_;    // the reading end; it does not block
  transport::Fd memory_;  // KeptText::fd()
};

// Each line on one of its own, marked, without control characters: what another process wrote can
// not pass for a line of the log.
std::string quoted_lines(const std::string& text);

}  // namespace farlane::server
