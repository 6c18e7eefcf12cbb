#include "transport/tcp.h"

#include <linux/tcp.h>  // newer than the C library's
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "transport/check.h"
#include "transport/end_reason.h"
#include "transport/socket_util.h"
#include "transport/tcp_receiver.h"
#include "transport/tcp_sender.h"

namespace farlane::transport {
namespace {

// A machine that answers at all answers the server's heartbeats, and the kernel's probes of an idle
// connection.
constexpr auto kMachineAnswersWithin = std::chrono::seconds(15);
// With so much unread there was room for more.
constexpr int kUnreadBytesMax = 32 * 1024;

class TcpChannel final : public Channel {
 public:
  TcpChannel(Fd fd, Bytes already_read, uint32_t wake_bytes)
      : fd_(std::move(fd)),
        event_(above_standard_streams(Fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)))),
        peer_name_(peer_address(fd_.get())),
        sender_(fd_.get()),
        receiver_(fd_.get(), already_read),
        wake_bytes_(wake_bytes) {
    if (!event_) {
      close_because("cannot make an eventfd: " + error_text(errno));
    }
    buffered_ = receiver_.has_buffered_frame();
  }
  // The one place where descriptors are closed: until here close() on another thread cannot hit a
  // descriptor that has been given to somebody else.
  ~TcpChannel() override { close(); }

  SendStatus send(const Frame& frame) override;
  SendStatus flush() override;
  bool drained() const override { return sender_.drained(); }
  ReceiveStatus receive(FrameSink& sink) override;
  Ready wait(bool for_read, bool for_write, Deadline deadline) override;
  void wake() override;
  bool peer_is_stopped(Clock::duration silent) const override;
  void close() override { close_because("closed on this side"); }
  std::string close_reason() const override { return reason_.get(); }
  std::string peer_name() const override { return peer_name_; }

 private:
  void close_because(std::string reason);
  bool cannot_send();
  SendStatus sent(SendStatus status);
  Ready ready_without_asking(bool for_read, bool for_write);
  bool poll(bool for_read, bool for_write, const timespec* timeout, Ready* ready);
  void set_low_mark();
  void ring();

  const Fd fd_;
  const Fd event_;
  const std::string peer_name_;
  TcpSender sender_;
  TcpReceiver receiver_;
  const uint32_t wake_bytes_;
  std::atomic<uint32_t> low_mark_{1};  // what the kernel was told; whoever waits changes it
  EndReason reason_;

  std::atomic<bool> closed_{false};
  // Each direction ends by itself: frames that came whole before the peer was lost are received
  // although sending has failed already.
  std::atomic<bool> send_ended_{false};
  std::atomic<bool> receive_ended_{false};
  std::atomic<bool> peer_hung_up_{false};  // seen by poll(): no use in waiting for room
  std::atomic<bool> buffered_{false};      // receive() can go on without the socket
  std::atomic<bool> stalled_{false};       // receive() cannot go on whatever the socket says

  // wake() rings the eventfd only when somebody waits. Both orders are safe because the one sets
  // woken_ and then reads waiting_, the other the reverse, sequentially consistent.
  std::atomic<bool> woken_{false};
  std::atomic<bool> waiting_{false};
};

bool TcpChannel::cannot_send() {
  if (!closed_.load(std::memory_order_relaxed) && !send_ended_.load(std::memory_order_relaxed) &&
      !peer_hung_up_.load(std::memory_order_relaxed)) {
    return false;
  }
  sender_.give_up();
  reason_.set("peer closed the connection");  // unless a cause was seen before
  return true;
}

SendStatus TcpChannel::sent(SendStatus status) {
  if (status == SendStatus::kGone) {
    send_ended_ = true;
    reason_.set(sender_.end_reason());
  }
  return status;
}

SendStatus TcpChannel::send(const Frame& frame) {
  if (cannot_send()) {
    return SendStatus::kGone;
  }
  if (!sender_.drained()) {
    const SendStatus earlier = sent(sender_.flush());
    if (earlier != SendStatus::kSent) {
      return earlier;
    }
  }
  return sent(sender_.send(frame));
}

SendStatus TcpChannel::flush() {
  if (cannot_send()) {
    return SendStatus::kGone;
  }
  return sent(sender_.flush());
}

bool TcpChannel::peer_is_stopped(Clock::duration silent) const {
  if (closed_ || receive_ended_ || peer_hung_up_) {
    return false;
  }
  tcp_info info{};
  socklen_t bytes = sizeof info;
  int unread = 0;
  if (::getsockopt(fd_.get(), IPPROTO_TCP, TCP_INFO, &info, &bytes) != 0 ||
      ::ioctl(fd_.get(), FIONREAD, &unread) != 0) {
    return false;
  }
  using std::chrono::milliseconds;
  if (unread > kUnreadBytesMax || milliseconds(info.tcpi_last_data_recv) < silent) {
    return false;
  }
  if (milliseconds(info.tcpi_last_ack_recv) < kMachineAnswersWithin) {
    return true;
  }
  // A machine without room for more is asked ever more seldom; what it left unanswered is counted.
  const bool has_no_room = info.tcpi_unacked == 0 && info.tcpi_notsent_bytes != 0;
  return has_no_room && info.tcpi_probes < 2;
}

ReceiveStatus TcpChannel::receive(FrameSink& sink) {
  if (closed_.load(std::memory_order_relaxed) || receive_ended_.load(std::memory_order_relaxed)) {
    return ReceiveStatus::kGone;
  }
  stalled_.store(false, std::memory_order_relaxed);
  const TcpReceiver::Result result = receiver_.receive(sink);
  buffered_.store(receiver_.has_buffered_frame(), std::memory_order_relaxed);
  switch (result) {
    case TcpReceiver::Result::kDelivered:
      return ReceiveStatus::kDelivered;
    case TcpReceiver::Result::kNothing:
      // close() on another thread also looks like the end of the stream or an empty one.
      return closed_ ? ReceiveStatus::kGone : ReceiveStatus::kNothing;
    case TcpReceiver::Result::kStalled:
      stalled_.store(true, std::memory_order_relaxed);
      return ReceiveStatus::kStalled;
    case TcpReceiver::Result::kEnded:
      break;
  }
  receive_ended_ = true;
  reason_.set(receiver_.end_reason());
  peer_hung_up_ = true;
  if (receiver_.peer_at_fault()) {
    close_because(receiver_.end_reason());
  }
  return ReceiveStatus::kGone;
}

// What is known without a system call.
Ready TcpChannel::ready_without_asking(bool for_read, bool for_write) {
  Ready ready;
  ready.woken = woken_.load(std::memory_order_relaxed) && woken_.exchange(false);
  const bool closed = closed_;
  ready.readable = for_read && (closed || buffered_ || receive_ended_);
  ready.writable = for_write && (closed || send_ended_ || peer_hung_up_);
  return ready;
}

// Bytes that are worth waking up for. The kernel still wakes when the peer ends, or when its buffer
// has no room for more.
void TcpChannel::set_low_mark() {
  const auto wanted =
      std::clamp<uint32_t>(receiver_.missing_body_bytes(), 1, std::max(wake_bytes_, 1u));
  if (wanted != low_mark_.load(std::memory_order_relaxed)) {
    low_mark_.store(wanted, std::memory_order_relaxed);
    set_receive_low_mark(fd_.get(), wanted);
  }
}

// Asks the kernel, and waits as long as `timeout` says (nullptr: for ever). True when it said
// something, be it only that the eventfd was rung.
bool TcpChannel::poll(bool for_read, bool for_write, const timespec* timeout, Ready* ready) {
  // A stalled reader is waiting for its sink: more bytes do not help it, and would make wait()
  // spin.
  const bool reads = for_read && !stalled_;
  if (reads) {
    set_low_mark();
  }
  const auto events = static_cast<short>((reads ? POLLIN : 0) | (for_write ? POLLOUT : 0) |
                                         (reads || for_write ? POLLRDHUP : 0));
  pollfd fds[2] = {{events != 0 ? fd_.get() : -1, events, 0}, {event_.get(), POLLIN, 0}};
  const int count = ::ppoll(fds, 2, timeout, nullptr);
  if (count < 0) {
    FARLANE_TRANSPORT_CHECK(errno == EINTR || errno == ENOMEM, "ppoll() gets what it expects");
    return true;  // look again, and wait anew
  }
  const short seen = fds[0].revents;
  if ((seen & (POLLRDHUP | POLLHUP | POLLERR)) != 0) {
    peer_hung_up_ = true;
  }
  const bool ended = (seen & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
  ready->readable |= reads && ((seen & POLLIN) != 0 || ended);
  ready->writable |= for_write && ((seen & POLLOUT) != 0 || ended);
  if (fds[1].revents != 0) {
    uint64_t rings = 0;
    // Nothing to do about a failure; named because Ubuntu's read() may not be ignored.
    [[maybe_unused]] const ssize_t got = ::read(event_.get(), &rings, sizeof(rings));
  }
  return count > 0;
}

Ready TcpChannel::wait(bool for_read, bool for_write, Deadline deadline) {
  waiting_ = true;
  Ready ready;
  for (;;) {
    ready = ready_without_asking(for_read, for_write);
    if (ready.readable || ready.writable || closed_) {
      break;
    }
    if (ready.woken) {
      // Says what else is there, so that a thread that is woken all the time also sees its peer.
      const timespec at_once{};
      static_cast<void>(poll(for_read, for_write, &at_once, &ready));
      break;
    }
    timespec left{};
    const bool in_time = time_left(deadline, &left);
    const bool said =
        poll(for_read, for_write, deadline == Deadline::max() ? nullptr : &left, &ready);
    if (ready.readable || ready.writable) {
      ready.woken = woken_.exchange(false);
      break;
    }
    if (!said && !in_time) {
      ready.timed_out = true;
      break;
    }
  }
  waiting_ = false;
  return ready;
}

void TcpChannel::ring() {
  const uint64_t one = 1;
  // It fails only when the counter is full, and then the bell has been rung.
  [[maybe_unused]] const ssize_t sent = ::write(event_.get(), &one, sizeof(one));
}

void TcpChannel::wake() {
  woken_ = true;
  if (waiting_) {
    ring();
  }
}

void TcpChannel::close_because(std::string reason) {
  reason_.set(std::move(reason));
  if (!closed_.exchange(true)) {
    ::shutdown(fd_.get(), SHUT_RDWR);
    ring();
  }
}

}  // namespace

std::unique_ptr<Channel> adopt_tcp(int fd, Bytes already_read, const TcpOptions& options) {
  FARLANE_TRANSPORT_CHECK(fd >= 0, "a socket is adopted");
  set_buffer_options(fd, options);
  set_connection_options(fd, options);
  return std::make_unique<TcpChannel>(Fd(fd), already_read, options.wake_bytes);
}

FirstFrame parse_first_frame(Bytes stream) {
  FirstFrame first;
  if (stream.size() < kPrefixBytes) {
    return first;
  }
  const Prefix prefix = read_prefix(stream.data());
  if (!within_limits(prefix)) {
    first.state = FirstFrame::State::kRefused;
    first.reason = prefix_fault(prefix);
    return first;
  }
  first.frame_bytes = kPrefixBytes + prefix.head_bytes + size_t{prefix.body_bytes};
  if (stream.size() >= first.frame_bytes) {
    first.state = FirstFrame::State::kComplete;
    first.head = stream.subspan(kPrefixBytes, prefix.head_bytes);
    first.body = stream.subspan(kPrefixBytes + prefix.head_bytes, prefix.body_bytes);
  }
  return first;
}

}  // namespace farlane::transport
