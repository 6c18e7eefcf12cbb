// Unix sockets by path: listening, with what a dead server left behind, and connecting.
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "transport/shm.h"
#include "transport/socket_util.h"

namespace farlane::transport {
namespace {

constexpr int kBacklog = 64;

bool fill_address(const std::string& path, sockaddr_un* address, std::string* error) {
  *address = {};
  address->sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address->sun_path)) {
    *error = "the socket path \"" + path + "\" is empty or longer than " +
             std::to_string(sizeof(address->sun_path) - 1) + " characters";
    return false;
  }
  std::memcpy(address->sun_path, path.data(), path.size());
  return true;
}

Fd unix_socket() {
  return above_standard_streams(
      Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)));
}

int connect_once(const Fd& socket, const sockaddr_un& address) {
  int result = 0;
  do {
    result = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  } while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

}  // namespace

std::unique_ptr<UnixListener> UnixListener::listen(const std::string& path, uint32_t mode,
                                                   std::string* error) {
  sockaddr_un address{};
  if (!fill_address(path, &address, error)) {
    return nullptr;
  }
  const auto failed = [&](const char* what, int code) {
    *error = std::string("cannot ") + what + " the socket " + path + ": " + error_text(code);
    return nullptr;
  };
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) {
    if (!S_ISSOCK(status.st_mode)) {
      *error = path + " is there already and is no socket";
      return nullptr;
    }
    const Fd probe = unix_socket();
    const int code = probe ? connect_once(probe, address) : errno;
    if (code == 0 || code == EAGAIN) {
      *error = "another process listens on " + path;
      return nullptr;
    }
    if (code != ECONNREFUSED && code != ENOENT) {
      return failed("take over", code);
    }
    if (code == ECONNREFUSED && ::unlink(path.c_str()) != 0) {
      return failed("remove the dead server's", errno);
    }
  }
  Fd socket = unix_socket();
  if (!socket) {
    return failed("make", errno);
  }
  // On the socket before it has a name, so that nobody gets in by the default permissions; on the
  // file afterwards, because the umask took from them.
  static_cast<void>(::fchmod(socket.get(), mode));
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return failed("make", errno);
  }
  if (::chmod(path.c_str(), mode) != 0 || ::listen(socket.get(), kBacklog) != 0) {
    const int code = errno;
    ::unlink(path.c_str());
    return failed("listen on", code);
  }
  return std::unique_ptr<UnixListener>(new UnixListener(std::move(socket), path));
}

UnixListener::~UnixListener() {
  ::unlink(path_.c_str());
}

Fd UnixListener::accept(std::string* error) {
  error->clear();
  int fd = -1;
  do {
    fd = ::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0 && errno != EAGAIN && errno != ECONNABORTED) {
    *error = error_text(errno);
  }
  return above_standard_streams(Fd(fd));
}

std::unique_ptr<Channel> connect_shm(const std::string& path, Deadline deadline, std::string* error,
                                     const ShmOptions& options) {
  sockaddr_un address{};
  if (!fill_address(path, &address, error)) {
    return nullptr;
  }
  Fd socket = unix_socket();
  if (!socket) {
    *error = "cannot make a socket: " + error_text(errno);
    return nullptr;
  }
  for (;;) {
    const int code = connect_once(socket, address);
    if (code == 0) {
      return adopt_shm_client(std::move(socket), path, options, error);
    }
    if (code == EAGAIN) {
      // The backlog is full, and no poll() tells when it is not.
      if (Clock::now() < deadline) {
        static_cast<void>(::poll(nullptr, 0, 1));
        continue;
      }
      *error = "the server at " + path + " did not take the connection in time";
      return nullptr;
    }
    *error = "cannot connect to " + path + ": " + error_text(code);
    if (code == ENOENT) {
      *error += "; is gpuserverd running there, and is its folder shared with this container?";
    } else if (code == ECONNREFUSED) {
      *error += "; the server that made this file is gone";
    } else if (code == EACCES) {
      *error += "; the server's settings say who may use it (connection.socket_access)";
    }
    return nullptr;
  }
}

}  // namespace farlane::transport
