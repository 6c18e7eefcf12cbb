#include "transport/endpoint.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "transport/socket_util.h"
#include "transport/tcp.h"

namespace farlane::transport {
namespace {

constexpr const char* kSystemFolder = "/run/farlane";

std::string own_folder() {
  return "/tmp/farlane-" + std::to_string(::geteuid());
}

// Anybody may make a folder of that name in /tmp; only what is ours alone is used.
bool is_safe(const std::string& folder, std::string* why) {
  struct stat status {};
  if (::lstat(folder.c_str(), &status) != 0) {
    *why = folder + ": " + error_text(errno);
    return false;
  }
  if (folder == own_folder() && (!S_ISDIR(status.st_mode) || status.st_uid != ::geteuid() ||
                                 (status.st_mode & (S_IWGRP | S_IWOTH)) != 0)) {
    *why = folder + " is not this user's own folder";
    return false;
  }
  return true;
}

void make_if_usual(const std::string& folder) {
  if (folder == own_folder()) {
    static_cast<void>(::mkdir(folder.c_str(), 0700));
  } else if (folder == kSystemFolder) {
    static_cast<void>(::mkdir(folder.c_str(), 0755));
  }
}

Connection through_tcp(const Endpoint& endpoint, Deadline deadline, std::string remark) {
  Connection made;
  TcpOptions options;
  options.wake_bytes = endpoint.tcp_wake_bytes;
  made.channel = connect_tcp(endpoint.host, endpoint.port, deadline, &made.error, options);
  made.remark = std::move(remark);
  return made;
}

Connection through_socket(const Endpoint& endpoint, const std::string& path, Deadline deadline) {
  Connection made;
  ShmOptions options;
  options.ring_bytes = endpoint.shm_ring_bytes;
  made.channel = connect_shm(path, deadline, &made.error, options);
  made.shared_memory = made.channel != nullptr;
  return made;
}

}  // namespace

Connection connect(const Endpoint& endpoint, Deadline deadline) {
  if (!endpoint.socket_path.empty()) {
    if (endpoint.choice == Choice::kTcp) {
      Connection made;
      made.error = "the server's address unix:" + endpoint.socket_path +
                   " is a shared-memory one, and connection.transport says tcp; set it to auto, or "
                   "server to HOST:PORT";
      return made;
    }
    return through_socket(endpoint, endpoint.socket_path, deadline);
  }
  if (endpoint.choice == Choice::kTcp) {
    return through_tcp(endpoint, deadline, "");
  }
  if (!is_loopback(endpoint.host)) {
    if (endpoint.choice == Choice::kAuto) {
      return through_tcp(endpoint, deadline, "");
    }
    Connection made;
    made.error =
        "shared memory is asked for (connection.transport), but " + endpoint.host +
        " is not an address of this machine alone; use 127.0.0.1:" + std::to_string(endpoint.port) +
        ", or unix: and the path of the server's socket";
    return made;
  }
  std::string tried;
  for (const std::string& folder : endpoint.socket_folders) {
    std::string why;
    if (is_safe(folder, &why)) {
      Connection made = through_socket(endpoint, socket_file(folder, endpoint.port), deadline);
      if (made.channel != nullptr) {
        return made;
      }
      why = made.error;
    }
    tried += (tried.empty() ? "" : "; ") + why;
  }
  if (endpoint.choice == Choice::kAuto) {
    return through_tcp(endpoint, deadline, "no shared memory: " + tried);
  }
  Connection made;
  made.error = "shared memory is asked for (connection.transport), but the server on port " +
               std::to_string(endpoint.port) + " offers none here (connection.socket_dir must be " +
               "the same folder on both sides): " + tried;
  return made;
}

std::unique_ptr<Channel> accept_channel(Fd socket, Deadline deadline, std::string* error,
                                        uint32_t tcp_wake_bytes) {
  sockaddr_storage address{};
  socklen_t bytes = sizeof(address);
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &bytes) != 0) {
    *error = "a connection is no socket: " + error_text(errno);
    return nullptr;
  }
  if (address.ss_family == AF_UNIX) {
    return accept_shm(std::move(socket), deadline, error);
  }
  TcpOptions options;
  options.wake_bytes = tcp_wake_bytes;
  return adopt_tcp(socket.release(), {}, options);
}

std::string socket_file(const std::string& folder, uint16_t port) {
  return folder + "/farlane-" + std::to_string(port) + ".sock";
}

std::vector<std::string> socket_folders(const std::string& chosen) {
  if (!chosen.empty()) {
    return {chosen};
  }
  std::vector<std::string> folders{kSystemFolder};
  if (const char* run = std::getenv("XDG_RUNTIME_DIR"); run != nullptr && *run == '/') {
    folders.emplace_back(run);
  }
  folders.push_back(own_folder());
  return folders;
}

bool is_loopback(const std::string& host) {
  in_addr v4{};
  if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) {
    return (ntohl(v4.s_addr) >> 24) == 127;
  }
  in6_addr v6{};
  if (::inet_pton(AF_INET6, host.c_str(), &v6) == 1) {
    return IN6_IS_ADDR_LOOPBACK(&v6);
  }
  return host == "localhost";
}

std::unique_ptr<UnixListener> listen_beside(const std::vector<std::string>& folders, uint16_t port,
                                            uint32_t mode, std::string* error) {
  std::string tried;
  for (const std::string& folder : folders) {
    make_if_usual(folder);
    std::string why;
    if (is_safe(folder, &why)) {
      if (auto listener = UnixListener::listen(socket_file(folder, port), mode, &why)) {
        return listener;
      }
    }
    tried += (tried.empty() ? "" : "; ") + why;
  }
  *error = tried;
  return nullptr;
}

}  // namespace farlane::transport
