#include "server/link.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

namespace farlane::server {

namespace {
// A description of 64 devices is about 150 KB.
constexpr size_t kMessageBytesMax = 192 * 1024;
}  // namespace

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
  char kind_byte = static_cast<char>(kind);
  std::array<iovec, 2> parts{iovec{&kind_byte, 1},
                             iovec{const_cast<char*>(text.data()), text.size()}};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  if (fd >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(link, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

LinkStatus receive_link(int link, LinkMessage* out) {
  std::vector<char> buffer(kMessageBytesMax);
  iovec part{buffer.data(), buffer.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t count = 0;
  do {
    count = ::recvmsg(link, &message, MSG_CMSG_CLOEXEC);
  } while (count < 0 && errno == EINTR);
  if (count < 0) {
    return errno == EAGAIN || errno == EWOULDBLOCK ? LinkStatus::kNothing : LinkStatus::kGone;
  }
  if (count == 0) return LinkStatus::kGone;
  out->kind = static_cast<LinkKind>(buffer[0]);
  out->text.assign(buffer.data() + 1, static_cast<size_t>(count) - 1);
  out->fd = transport::Fd();
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    out->fd = transport::Fd(fd);
  }
  return LinkStatus::kDone;
}

}  // namespace farlane::server
