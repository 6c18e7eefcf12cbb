// Names, connecting and listening, on Asio. Everything here ends by handing out a bare socket.
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <asio.hpp>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "transport/socket_util.h"
#include "transport/tcp.h"

namespace farlane::transport {
namespace {

using asio::ip::tcp;
using Endpoints = std::vector<tcp::endpoint>;

std::string name_of(const std::string& host, uint16_t port) {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::string seconds_text(Clock::duration duration) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f s", static_cast<double>(ms) / 1000.0);
  return text;
}

// The answer of a lookup, shared with the thread that makes it, because getaddrinfo() knows no
// deadline and cannot be called off: the thread may outlive whoever asked.
struct Lookup {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  Endpoints endpoints;
  asio::error_code error;
};

void look_up(const std::shared_ptr<Lookup>& lookup, const std::string& host, uint16_t port) {
  asio::io_context io;
  tcp::resolver resolver(io);
  asio::error_code error;
  const auto found = resolver.resolve(host, std::to_string(port), error);
  const std::scoped_lock lock(lookup->mutex);
  lookup->error = error;
  for (const auto& entry : found) {
    lookup->endpoints.push_back(entry.endpoint());
  }
  lookup->done = true;
  lookup->changed.notify_all();
}

// The program we are a guest in expects its signals on its own threads.
void start_without_signals(const std::shared_ptr<Lookup>& lookup, const std::string& host,
                           uint16_t port) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread(look_up, lookup, host, port).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Endpoints resolve(const std::string& host, uint16_t port, Deadline deadline, std::string* error) {
  if (host.empty()) {
    *error = "no host given; an address looks like gpu-node:4713, 10.0.0.7:4713 or [fd00::7]:4713";
    return {};
  }
  asio::error_code not_numeric;
  const asio::ip::address address = asio::ip::make_address(host, not_numeric);
  if (!not_numeric) {
    return {tcp::endpoint(address, port)};
  }
  const auto lookup = std::make_shared<Lookup>();
  start_without_signals(lookup, host, port);
  std::unique_lock lock(lookup->mutex);
  const auto done = [&] { return lookup->done; };
  if (deadline == Deadline::max()) {
    lookup->changed.wait(lock, done);
  } else if (!lookup->changed.wait_until(lock, std::max(deadline, Deadline{}), done)) {
    *error = "the name \"" + host +
             "\" was not resolved in time; check the name service, or give the IP address";
    return {};
  }
  if (lookup->error || lookup->endpoints.empty()) {
    *error = "cannot find the host \"" + host +
             "\": " + (lookup->error ? lookup->error.message() : "it has no address") +
             "; check its spelling, or give the IP address";
    return {};
  }
  return lookup->endpoints;
}

// Our own socket() call, since Asio's does not set close-on-exec.
Fd make_socket(const tcp::endpoint& endpoint) {
  return above_standard_streams(Fd(::socket(
      endpoint.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP)));
}

std::string refusal_text(const std::string& name, int error) {
  std::string text = name + ": " + error_text(error);
  switch (error) {
    case ECONNREFUSED:
      return text + ": nothing listens there; check that the server runs and that the port is its";
    case ENETUNREACH:
    case EHOSTUNREACH:
      return text + "; check the address, the route to it, and firewalls between";
    default:
      return text;
  }
}

Fd connect_one(const tcp::endpoint& endpoint, Deadline deadline, const TcpOptions& options,
               std::string* error) {
  const std::string name = name_of(endpoint.address().to_string(), endpoint.port());
  Fd fd = make_socket(endpoint);
  if (!fd) {
    *error = name + ": cannot make a socket: " + error_text(errno);
    return {};
  }
  set_buffer_options(fd.get(), options);
  asio::io_context io(1);
  tcp::socket socket(io);
  asio::error_code result;
  socket.assign(endpoint.protocol(), fd.get(), result);
  if (result) {
    *error = name + ": " + error_text(result.value());
    return {};
  }
  static_cast<void>(fd.release());
  bool done = false;
  const auto start = Clock::now();
  socket.async_connect(endpoint, [&](asio::error_code connected) {
    result = connected;
    done = true;
  });
  if (deadline == Deadline::max()) {
    io.run();
  } else {
    io.run_until(deadline);
  }
  if (!done) {
    *error = name + ": no answer within " + seconds_text(Clock::now() - start) +
             "; check the address and firewalls between";
    return {};
  }
  if (result) {
    *error = refusal_text(name, result.value());
    return {};
  }
  fd = Fd(socket.release(result));
  if (connected_to_itself(fd.get())) {
    *error = refusal_text(name, ECONNREFUSED);
    return {};
  }
  set_connection_options(fd.get(), options);
  return fd;
}

Deadline fair_share(Deadline deadline, size_t addresses_left) {
  if (deadline == Deadline::max() || addresses_left <= 1) {
    return deadline;
  }
  const auto now = Clock::now();
  return now + (deadline - now) / static_cast<int64_t>(addresses_left);
}

}  // namespace

Fd connect_tcp_socket(const std::string& host, uint16_t port, Deadline deadline, std::string* error,
                      const TcpOptions& options) {
  std::string failures;
  try {
    const Endpoints endpoints = resolve(host, port, deadline, &failures);
    for (size_t i = 0; i < endpoints.size(); ++i) {
      std::string failure;
      const Deadline share = fair_share(deadline, endpoints.size() - i);
      if (Fd fd = connect_one(endpoints[i], share, options, &failure)) {
        return fd;
      }
      failures += (failures.empty() ? "" : "; ") + failure;
    }
  } catch (const std::exception& e) {
    // Asio and std::thread report an exhausted process (no descriptors, no threads) this way.
    failures += (failures.empty() ? "" : "; ") + std::string(e.what());
  }
  *error = "cannot connect to " + name_of(host, port) + ": " + failures;
  return {};
}

std::unique_ptr<Channel> connect_tcp(const std::string& host, uint16_t port, Deadline deadline,
                                     std::string* error, const TcpOptions& options) {
  Fd fd = connect_tcp_socket(host, port, deadline, error, options);
  return fd ? adopt_tcp(fd.release(), {}, options) : nullptr;
}

TcpListener::TcpListener(Fd fd, uint16_t port, std::string address)
    : fd_(std::move(fd)), port_(port), address_(std::move(address)) {}

std::unique_ptr<TcpListener> TcpListener::listen(const std::string& host, uint16_t port,
                                                 std::string* error, const TcpOptions& options) {
  const std::string what = "cannot listen on " + name_of(host, port) + ": ";
  std::string failure;
  Endpoints endpoints;
  try {
    endpoints = resolve(host, port, Deadline::max(), &failure);
  } catch (const std::exception& e) {
    failure = e.what();
  }
  if (endpoints.empty()) {
    *error = what + failure;
    return nullptr;
  }
  const tcp::endpoint& endpoint = endpoints.front();
  Fd fd = make_socket(endpoint);
  const int on = 1;
  if (fd) {
    // A restarted server may bind its port while old connections are still being forgotten.
    static_cast<void>(::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
    set_buffer_options(fd.get(), options);
  }
  if (!fd || ::bind(fd.get(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) != 0 ||
      ::listen(fd.get(), SOMAXCONN) != 0) {
    const int cause = errno;
    *error = what + error_text(cause);
    if (cause == EADDRINUSE) {
      *error += "; another process listens there: choose another port, or 0 for a free one";
    } else if (cause == EADDRNOTAVAIL) {
      *error += "; the address is not one of this machine's";
    } else if (cause == EACCES) {
      *error += "; ports below 1024 need a privilege: choose a higher one";
    }
    return nullptr;
  }
  const std::string address = local_address(fd.get());
  const auto bound = static_cast<uint16_t>(std::stoul(address.substr(address.rfind(':') + 1)));
  return std::unique_ptr<TcpListener>(new TcpListener(std::move(fd), bound, address));
}

Fd TcpListener::accept(Deadline deadline, std::string* error) {
  error->clear();
  for (;;) {
    Fd fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd) {
      return fd;
    }
    if (errno == EINTR || errno == ECONNABORTED) {
      continue;  // that one client gave up; the next may be there
    }
    if (errno != EAGAIN) {
      *error = "cannot accept on " + address_ + ": " + error_text(errno);
      return {};
    }
    pollfd ready{fd_.get(), POLLIN, 0};
    timespec timeout{};
    if (!time_left(deadline, &timeout)) {
      return {};
    }
    static_cast<void>(
        ::ppoll(&ready, 1, deadline == Deadline::max() ? nullptr : &timeout, nullptr));
  }
}

}  // namespace farlane::transport
