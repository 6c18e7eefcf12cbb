#include "server/link.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <vector>

#include "transport/fd_passing.h"

namespace farlane::server {

namespace {
// A description of 64 devices is about 150 KB.
constexpr size_t kMessageBytesMax = 192 * 1024;
}  // namespace

std::string question_text(uint64_t question) {
  std::string text(kQuestionBytes, '\0');
  std::memcpy(text.data(), &question, kQuestionBytes);
  return text;
}

bool read_question(const std::string& text, uint64_t* question) {
  if (text.size() < kQuestionBytes) return false;
  std::memcpy(question, text.data(), kQuestionBytes);
  return true;
}

bool make_link(LinkPair* pair, std::string* error) {
  std::array<int, 2> fds{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds.data()) != 0) {
    *error = std::string("cannot make a socket pair for a worker: ") + std::strerror(errno);
    return false;
  }
  for (const int fd : fds) {
    const int bytes = 2 * static_cast<int>(kMessageBytesMax);
    ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  }
  ::fcntl(fds[0], F_SETFL, O_NONBLOCK);
  pair->supervisor = transport::Fd(fds[0]);
  pair->worker = transport::Fd(fds[1]);
  return true;
}

bool send_link(int link, LinkKind kind, const std::string& text, int fd) {
  const char kind_byte = static_cast<char>(kind);
  const transport::Bytes parts[] = {std::as_bytes(std::span(&kind_byte, 1)),
                                    std::as_bytes(std::span(text))};
  return transport::send_message(link, parts, fd, 0) >= 0;
}

LinkStatus receive_link(int link, LinkMessage* out) {
  std::vector<char> buffer(kMessageBytesMax);
  transport::Fd fd;
  const ssize_t count =
      transport::receive_message(link, std::as_writable_bytes(std::span(buffer)), 0, &fd);
  if (count < 0) {
    return errno == EAGAIN || errno == EWOULDBLOCK ? LinkStatus::kNothing : LinkStatus::kGone;
  }
  if (count == 0) return LinkStatus::kGone;
  out->kind = static_cast<LinkKind>(buffer[0]);
  out->text.assign(buffer.data() + 1, static_cast<size_t>(count) - 1);
  out->fd = std::move(fd);
  return LinkStatus::kDone;
}

}  // namespace farlane::server
