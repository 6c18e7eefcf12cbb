#include "server/handshake.h"

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <array>
#include <asio/error.hpp>
#include <cerrno>
#include <cstring>

#include "generated/protocol/messages.h"
#include "protocol/record.h"
#include "transport/socket_util.h"
#include "transport/tcp.h"

namespace farlane::server {

namespace {
// A hello takes about 1 KiB; whoever announces more is no client of ours.
constexpr size_t kHelloBytesMax = 64 * 1024;
constexpr auto kLingerTime = std::chrono::seconds(1);

constexpr auto kLookAgainTime = std::chrono::milliseconds(10);
constexpr const char* kUnixPeer = "unix socket";  // transport::peer_address() of one

bool has_hung_up(int fd) {
  pollfd state{fd, POLLRDHUP, 0};
  return ::poll(&state, 1, 0) > 0;
}

void wait_for_bytes(int fd, size_t bytes) {
  const int count = static_cast<int>(bytes);
  ::setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &count, sizeof count);
}

// Reads what still comes and throws it away, until the peer closes or the time is up.
class Linger : public std::enable_shared_from_this<Linger> {
 public:
  Linger(asio::io_context& io, transport::Fd socket)
      : socket_(io, socket.release()), timer_(io, kLingerTime) {}

  void start() {
    ::shutdown(socket_.native_handle(), SHUT_WR);
    wait_for_bytes(socket_.native_handle(), 1);
    timer_.async_wait([self = shared_from_this()](const std::error_code&) {
      std::error_code ignored;
      self->socket_.close(ignored);
    });
    read();
  }

 private:
  void read() {
    socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                       [self = shared_from_this()](const std::error_code& error) {
                         if (error) return;
                         std::array<char, 4096> buffer;
                         const ssize_t count = ::recv(self->socket_.native_handle(), buffer.data(),
                                                      buffer.size(), MSG_DONTWAIT);
                         if (count > 0 || (count < 0 && errno == EAGAIN)) {
                           self->read();
                         } else {
                           self->timer_.cancel();
                         }
                       });
  }

  asio::posix::stream_descriptor socket_;
  asio::steady_timer timer_;
};

}  // namespace

void send_and_close(asio::io_context& io, transport::Fd socket, const std::string& message) {
  const std::vector<std::byte> record = control_reply_record(message);
  const std::array<uint32_t, 2> prefix{static_cast<uint32_t>(record.size()), 0};
  std::vector<std::byte> frame(sizeof prefix + record.size());
  std::memcpy(frame.data(), prefix.data(), sizeof prefix);
  std::memcpy(frame.data() + sizeof prefix, record.data(), record.size());
  // A fresh connection's buffer has room for it; if not, the peer learns as much from the close.
  const ssize_t sent =
      ::send(socket.get(), frame.data(), frame.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0) spdlog::debug("sending a refusal failed: {}", std::strerror(errno));
  std::make_shared<Linger>(io, std::move(socket))->start();
}

Handshake::Handshake(asio::io_context& io, transport::Fd socket,
                     std::chrono::milliseconds time_limit, std::shared_ptr<const Events> events)
    : socket_(io),
      timer_(io),
      time_limit_(time_limit),
      events_(std::move(events)),
      peer_(transport::peer_address(socket.get())),
      is_unix_(peer_ == kUnixPeer),
      retry_(io) {
  socket_.assign(socket.release());
}

Handshake::~Handshake() {
  events_->ended();
}

void Handshake::start() {
  timer_.expires_after(time_limit_);
  timer_.async_wait([self = shared_from_this()](const std::error_code& error) {
    if (error) return;
    self->refuse(goodbye_message(SessionEnd::kTimeout, "no whole hello came in time"),
                 fmt::format("no whole hello came within {} ms (setting "
                             "timeouts.handshake_timeout_ms)",
                             self->time_limit_.count()));
  });
  wait_for_more();
}

void Handshake::wait_for_more() {
  wait_for_bytes(socket_.native_handle(), wanted_bytes_);
  socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [self = shared_from_this()](const std::error_code& error) {
                       if (!error) self->look();
                     });
}

void Handshake::look() {
  seen_.resize(wanted_bytes_);
  const ssize_t count =
      ::recv(socket_.native_handle(), seen_.data(), seen_.size(), MSG_PEEK | MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return wait_for_more();
  if (count > 0 && count < static_cast<ssize_t>(wanted_bytes_) && is_unix_ &&
      !has_hung_up(socket_.native_handle())) {
    // Unix sockets wake at every byte, whatever was asked for; a client of ours sends its hello in
    // one piece, so that looking again now and then is enough.
    retry_.expires_after(kLookAgainTime);
    retry_.async_wait([self = shared_from_this()](const std::error_code& error) {
      if (!error) self->wait_for_more();
    });
    return;
  }
  if (count < static_cast<ssize_t>(wanted_bytes_)) {
    // Less than was waited for: the peer has closed its side.
    spdlog::info("{}: closed after {} bytes, before a whole hello", peer_,
                 std::max<ssize_t>(count, 0));
    return finish();
  }
  const transport::FirstFrame frame = transport::parse_first_frame(seen_);
  switch (frame.state) {
    case transport::FirstFrame::State::kIncomplete:
      if (frame.frame_bytes > kHelloBytesMax) {
        return refuse(
            goodbye_message(SessionEnd::kProtocol, "this is not a Farlane client's hello"),
            fmt::format("a first frame of {} bytes (limit {}): not a Farlane client?",
                        frame.frame_bytes, kHelloBytesMax));
      }
      wanted_bytes_ = frame.frame_bytes;
      return wait_for_more();
    case transport::FirstFrame::State::kRefused:
      return refuse(goodbye_message(SessionEnd::kProtocol, "this is not a Farlane client's hello"),
                    frame.reason + ": not a Farlane client?");
    case transport::FirstFrame::State::kComplete:
      return judge_hello(frame.head);
  }
}

void Handshake::judge_hello(std::span<const std::byte> head) {
  const auto malformed = [&](const std::string& why) {
    refuse(goodbye_message(SessionEnd::kProtocol, "not a hello: " + why), "not a hello: " + why);
  };
  // Records lie on 8-byte boundaries, the frame's head behind its prefix does in `seen_` too.
  protocol::RecordCursor records(head);
  protocol::Record record;
  protocol::message::Control control;
  protocol::Fault fault;
  if (!records.next(record)) return malformed(records.fault().text());
  if (!decode(record, control, fault)) return malformed(fault.text());
  HelloFacts hello;
  std::string why;
  switch (read_control(control.message, &hello, &why)) {
    case ControlKind::kHello:
      break;
    case ControlKind::kMalformed:
    case ControlKind::kGoodbye:
    case ControlKind::kOther:
      return malformed(why.empty() ? "another control message" : why);
  }
  if (hello.major != protocol_major()) {
    const std::string text = fmt::format(
        "this server speaks version {} of the protocol and the client version {}: "
        "install the same release on both sides",
        protocol_major(), hello.major);
    return refuse(goodbye_message(SessionEnd::kVersion, text), text);
  }
  if (hello.probe) {
    spdlog::debug("{}: probe of {}", peer_, hello.client);
    timer_.cancel();
    transport::Fd socket(socket_.release());
    wait_for_bytes(socket.get(), 1);
    if (hello.monitor && events_->monitor(socket)) return;
    send_and_close(static_cast<asio::io_context&>(
                       asio::query(socket_.get_executor(), asio::execution::context)),
                   std::move(socket), events_->status());
    return;
  }
  timer_.cancel();
  transport::Fd socket(socket_.release());
  wait_for_bytes(socket.get(), 1);
  (hello.lane == 0 ? events_->accepted : events_->lane)(std::move(socket), hello, peer_);
}

void Handshake::refuse(const std::string& control_message, const std::string& log_line) {
  spdlog::info("{}: refused: {}", peer_, log_line);
  timer_.cancel();
  auto& io =
      static_cast<asio::io_context&>(asio::query(socket_.get_executor(), asio::execution::context));
  send_and_close(io, transport::Fd(socket_.release()), control_message);
}

void Handshake::finish() {
  timer_.cancel();
  std::error_code ignored;
  socket_.close(ignored);
}

}  // namespace farlane::server
