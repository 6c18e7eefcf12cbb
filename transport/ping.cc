#include "transport/ping.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <algorithm>
#include <atomic>
#include <barrier>
#include <cerrno>
#include <thread>
#include <vector>

#include "transport/channel.h"
#include "transport/fd.h"
#include "transport/socket_util.h"
#include "transport/tcp.h"

namespace farlane::transport {
namespace {

struct SocketPair {
  Fd a;
  Fd b;
};

// Two connected, blocking sockets over 127.0.0.1; empty with `*error` set where that fails.
SocketPair connect_pair(std::string* error) {
  const Deadline deadline = Clock::now() + std::chrono::seconds(5);
  const auto listener = TcpListener::listen("127.0.0.1", 0, error);
  if (!listener) {
    return {};
  }
  SocketPair pair;
  pair.a = connect_tcp_socket("127.0.0.1", listener->port(), deadline, error);
  if (pair.a) {
    pair.b = listener->accept(deadline, error);
  }
  if (!pair.a || !pair.b) {
    return {};
  }
  set_connection_options(pair.b.get(), {});
  for (const int fd : {pair.a.get(), pair.b.get()}) {
    static_cast<void>(::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK));
  }
  return pair;
}

bool send_all(int fd, const std::byte* data, size_t bytes) {
  while (bytes > 0) {
    const ssize_t sent = ::send(fd, data, bytes, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) {
      continue;
    }
    if (sent <= 0) {
      return false;
    }
    data += sent;
    bytes -= static_cast<size_t>(sent);
  }
  return true;
}

bool receive_all(int fd, std::byte* data, size_t bytes, bool spinning) {
  while (bytes > 0) {
    const ssize_t got = ::recv(fd, data, bytes, spinning ? MSG_DONTWAIT : 0);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
      continue;
    }
    if (got <= 0) {
      return false;
    }
    data += got;
    bytes -= static_cast<size_t>(got);
  }
  return true;
}

void echo(int fd, const PingOptions& options, uint32_t round_trips) {
  std::vector<std::byte> message(options.message_bytes);
  for (uint32_t i = 0; i < round_trips; ++i) {
    if (!receive_all(fd, message.data(), message.size(), options.spinning) ||
        !send_all(fd, message.data(), message.size())) {
      break;
    }
  }
}

}  // namespace

PingResult measure_ping(const PingOptions& options) {
  PingResult result;
  if (options.round_trips == 0 || options.message_bytes == 0) {
    result.error = "a ping-pong needs at least one round trip of one byte";
    return result;
  }
  const SocketPair pair = connect_pair(&result.error);
  if (!pair.a) {
    return result;
  }
  const uint32_t all = options.warm_up_round_trips + options.round_trips;
  std::thread peer([&] { echo(pair.b.get(), options, all); });
  std::vector<std::byte> message(options.message_bytes);
  std::vector<double> times_us;
  times_us.reserve(options.round_trips);
  for (uint32_t i = 0; i < all; ++i) {
    const auto start = Clock::now();
    if (!send_all(pair.a.get(), message.data(), message.size()) ||
        !receive_all(pair.a.get(), message.data(), message.size(), options.spinning)) {
      result.error = "the ping-pong broke off: " + error_text(errno);
      break;
    }
    if (i >= options.warm_up_round_trips) {
      times_us.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
    }
  }
  ::shutdown(pair.a.get(), SHUT_RDWR);
  peer.join();
  if (result.error.empty()) {
    std::sort(times_us.begin(), times_us.end());
    result.min_us = times_us.front();
    result.median_us = times_us[times_us.size() / 2];
    result.p99_us = times_us[times_us.size() * 99 / 100];
  }
  return result;
}

StreamResult measure_stream(const StreamOptions& options) {
  StreamResult result;
  if (options.connections == 0 || options.chunk_bytes == 0) {
    result.error = "a stream needs at least one connection and one byte per write";
    return result;
  }
  std::vector<SocketPair> pairs;
  for (uint32_t i = 0; i < options.connections; ++i) {
    pairs.push_back(connect_pair(&result.error));
    if (!pairs.back().a) {
      return result;
    }
  }
  const uint64_t share_bytes = options.total_bytes / options.connections;
  std::barrier start(static_cast<ptrdiff_t>(options.connections * 2 + 1));
  std::atomic<bool> broken{false};
  std::vector<std::thread> threads;
  const auto each_chunk = [&](auto&& move) {
    const uint64_t chunks =
        std::max<uint64_t>(1, options.memory_bytes / options.connections / options.chunk_bytes);
    // Touched before the clock starts.
    std::vector<std::byte> memory(chunks * options.chunk_bytes);
    start.arrive_and_wait();
    for (uint64_t done = 0; done < share_bytes;) {
      const auto bytes = std::min<uint64_t>(options.chunk_bytes, share_bytes - done);
      if (!move(memory.data() + done % memory.size(), bytes)) {
        broken = true;  // its other end sees the shutdown, and stops too
        break;
      }
      done += bytes;
    }
  };
  for (const SocketPair& pair : pairs) {
    threads.emplace_back([&, fd = pair.a.get()] {
      each_chunk([fd](const std::byte* data, size_t bytes) { return send_all(fd, data, bytes); });
      ::shutdown(fd, SHUT_WR);
    });
    threads.emplace_back([&, fd = pair.b.get()] {
      each_chunk(
          [fd](std::byte* data, size_t bytes) { return receive_all(fd, data, bytes, false); });
      ::shutdown(fd, SHUT_RD);
    });
  }
  start.arrive_and_wait();
  const auto begin = Clock::now();
  for (std::thread& thread : threads) {
    thread.join();
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  if (broken) {
    result.error = "the stream broke off";
    return result;
  }
  result.gb_per_s = static_cast<double>(share_bytes * options.connections) / seconds / 1e9;
  return result;
}

}  // namespace farlane::transport
