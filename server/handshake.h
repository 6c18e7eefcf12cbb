// A new connection until it is clear what it wants. Looks at the first frame without taking it from
// the socket, so that a worker gets the connection as if nobody had touched it.
#pragma once

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "server/control.h"
#include "transport/fd.h"

namespace farlane::server {

class Handshake : public std::enable_shared_from_this<Handshake> {
 public:
  struct Events {
    // A hello of our version. The connection is the receiver's.
    std::function<void(transport::Fd socket, const HelloFacts& hello, const std::string& peer)>
        accepted;
    // The same, of a bulk lane for the session that the hello names.
    std::function<void(transport::Fd socket, const HelloFacts& hello, const std::string& peer)>
        lane;
    // The same, of one that asks about the devices. It answers a probe where that is not offered.
    std::function<bool(const transport::Fd& socket)> monitor;
    std::function<std::string()> status;  // the answer to a probe
    std::function<void()> ended;          // whatever came of it
  };

  Handshake(asio::io_context& io, transport::Fd socket, std::chrono::milliseconds time_limit,
            std::shared_ptr<const Events> events);
  ~Handshake();
  void start();
  // Answers without having heard the client: too many at once, shutting down.
  void refuse(const std::string& control_message, const std::string& log_line);

 private:
  void wait_for_more();
  void look();
  void judge_hello(std::span<const std::byte> head);
  void finish();

  asio::posix::stream_descriptor socket_;
  asio::steady_timer timer_;
  const std::chrono::milliseconds time_limit_;
  const std::shared_ptr<const Events> events_;
  const std::string peer_;
  std::vector<std::byte> seen_;
  size_t wanted_bytes_ = 8;
  bool is_unix_ = false;
  asio::steady_timer retry_;
};

// Sends a control message on a connection that has no channel, and closes it so that the message
// arrives: the peer's unread bytes would otherwise make the kernel throw it away.
void send_and_close(asio::io_context& io, transport::Fd socket, const std::string& message);

}  // namespace farlane::server
