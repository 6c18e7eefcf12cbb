#include "server/last_words.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace farlane::server {

std::unique_ptr<KeptText> KeptText::make(std::string* error) {
  std::unique_ptr<KeptText> kept(new KeptText());
  const auto failed = [&] {
    *error = std::string("cannot make memory for a worker's last words: ") + std::strerror(errno);
    return nullptr;
  };
  kept->memory_ = transport::Fd(::memfd_create("farlane-last-words", MFD_CLOEXEC));
  if (!kept->memory_ || ::ftruncate(kept->memory_.get(), sizeof(Ring)) != 0) return failed();
  void* memory =
      ::mmap(nullptr, sizeof(Ring), PROT_READ | PROT_WRITE, MAP_SHARED, kept->memory_.get(), 0);
  if (memory == MAP_FAILED) return failed();
  kept->ring_ = static_cast<Ring*>(memory);  // zeros are an empty ring
  return kept;
}

KeptText::~KeptText() {
  if (ring_ != nullptr) ::munmap(ring_, sizeof(Ring));
}

ssize_t KeptText::read_from(int pipe, std::span<const char>* text) {
  const uint64_t written = ring_->written_bytes.load(std::memory_order_relaxed);
  const size_t at = written % kRingBytes;
  const ssize_t count = ::read(pipe, ring_->text + at, std::min(kReadBytes, kRingBytes - at));
  if (count <= 0) return count;
  *text = std::span<const char>(ring_->text + at, static_cast<size_t>(count));
  // First the room for the next read is cleared, then this one counts: until it does, whoever looks
  // finds it by its not being NUL.
  const size_t next = at + static_cast<size_t>(count);
  for (size_t i = 0; i < kReadBytes;) {
    const size_t from = (next + i) % kRingBytes;
    const size_t bytes = std::min(kReadBytes - i, kRingBytes - from);
    std::memset(ring_->text + from, 0, bytes);
    i += bytes;
  }
  ring_->written_bytes.store(written + static_cast<uint64_t>(count), std::memory_order_release);
  return count;
}

// Read, not mapped: a worker's memory is its own to cut short.
std::string LastWords::read_memory() const {
  constexpr size_t kRingBytes = KeptText::kRingBytes;
  uint64_t written = 0;
  std::string ring(kRingBytes, '\0');
  if (::pread(memory_.get(), &written, sizeof written, offsetof(KeptText::Ring, written_bytes)) !=
          static_cast<ssize_t>(sizeof written) ||
      ::pread(memory_.get(), ring.data(), ring.size(), offsetof(KeptText::Ring, text)) !=
          static_cast<ssize_t>(ring.size())) {
    return "";
  }
  const size_t at = written % kRingBytes;
  const size_t kept = std::min<uint64_t>(written, kRingBytes - KeptText::kReadBytes);
  std::string text;
  if (kept > at) text = ring.substr(kRingBytes - (kept - at));
  text += ring.substr(at - std::min(at, kept), std::min(at, kept));
  // A read that it did not live to count.
  const size_t room = std::min(KeptText::kReadBytes, kRingBytes - at);
  text.append(ring, at, std::min(room, ring.find('\0', at) - at));
  return text;
}

std::string LastWords::take() {
  std::string text = memory_ ? read_memory() : "";
  std::array<char, 4096> buffer;
  // A pipe holds no more than its size; a process that still writes is not waited for.
  for (size_t read_bytes = 0; pipe_ && read_bytes < (1u << 20);) {
    const ssize_t count = ::read(pipe_.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    text.append(buffer.data(), static_cast<size_t>(count));
    read_bytes += static_cast<size_t>(count);
  }
  pipe_.reset();
  memory_.reset();
  if (text.size() <= kLastWordsBytesMax) return text;
  const std::string note = "[what was before this is left out]\n";
  return note + text.substr(text.size() - (kLastWordsBytesMax - note.size()));
}

std::string quoted_lines(const std::string& text) {
  std::string out;
  bool begins = true;
  for (const char c : text) {
    if (begins) out += "\n  | ";
    begins = c == '\n';
    if (begins) continue;
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 && c != '\t') {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace farlane::server
