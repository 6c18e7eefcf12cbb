#include "transport/socket_util.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cctype>
#include <cstring>
#include <system_error>

namespace farlane::transport {
namespace {

std::string address_text(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  switch (address.ss_family) {
    case AF_INET: {
      const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
      inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text));
      return std::string(text) + ":" + std::to_string(ntohs(v4.sin_port));
    }
    case AF_INET6: {
      const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
      inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text));
      return "[" + std::string(text) + "]:" + std::to_string(ntohs(v6.sin6_port));
    }
    case AF_UNIX:
      return "unix socket";
    default:
      return "unknown";
  }
}

void set_int(int fd, int level, int option, uint32_t value) {
  const int number = static_cast<int>(value);
  static_cast<void>(::setsockopt(fd, level, option, &number, sizeof(number)));
}

}  // namespace

std::string error_text(int error) {
  std::string text = std::system_category().message(error);
  if (!text.empty()) {
    text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  }
  return text;
}

std::string peer_address(int fd) {
  sockaddr_storage address{};
  socklen_t bytes = sizeof(address);
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &bytes) != 0) {
    return "unknown";
  }
  return address_text(address);
}

std::string local_address(int fd) {
  sockaddr_storage address{};
  socklen_t bytes = sizeof(address);
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes) != 0) {
    return "unknown";
  }
  return address_text(address);
}

bool connected_to_itself(int fd) {
  return local_address(fd) == peer_address(fd);
}

bool time_left(Deadline deadline, timespec* left) {
  const auto now = Clock::now();
  if (now >= deadline) {
    return false;
  }
  const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(deadline - now).count();
  left->tv_sec = static_cast<time_t>(ns / 1'000'000'000);
  left->tv_nsec = static_cast<long>(ns % 1'000'000'000);
  return true;
}

void set_buffer_options(int fd, const TcpOptions& options) {
  if (options.send_buffer_bytes > 0) {
    set_int(fd, SOL_SOCKET, SO_SNDBUF, options.send_buffer_bytes);
  }
  if (options.receive_buffer_bytes > 0) {
    set_int(fd, SOL_SOCKET, SO_RCVBUF, options.receive_buffer_bytes);
  }
}

void set_receive_low_mark(int fd, uint32_t bytes) {
  set_int(fd, SOL_SOCKET, SO_RCVLOWAT, bytes);
}

void set_connection_options(int fd, const TcpOptions& options) {
  set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (options.keepalive_idle_s > 0) {
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, options.keepalive_idle_s);
    set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, options.keepalive_interval_s);
    set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, options.keepalive_probes);
  }
  if (options.user_timeout_ms > 0) {
    set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, options.user_timeout_ms);
  }
}

}  // namespace farlane::transport
